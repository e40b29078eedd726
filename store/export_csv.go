package store

import (
	"context"
	"encoding/csv"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/jackc/pgx/v5"
	"github.com/shopspring/decimal"
	"golang.org/x/text/language"
	"golang.org/x/text/message"
	"golang.org/x/text/number"

	"github.com/conciliar/conciliar/store/order"
)

// What can be exported.
const (
	ExportOrders    = "orders"
	ExportPayments  = "payments"
	ExportMovements = "movements"
	ExportPayouts   = "payouts"
	ExportAnomalies = "anomalies"
	ExportEvents    = "events"
)

// A columnKind is how a column's cells are written.
type columnKind uint8

const (
	columnText columnKind = iota
	columnMoney
	columnTime
)

// An exportColumn is a column of an export, and the expression that it is read by. Its
// name and place are a promise to the sheets that are built on it: new ones come last.
type exportColumn struct {
	name, expression string
	kind             columnKind
}

// An exportTable is what of one kind is exported.
type exportTable struct {
	columns []exportColumn
	// from has the tables, at is the time that --since and --until select by, and by is
	// the order. currency is that of every amount of a row.
	from, at, by, currency string
}

func textColumn(name, expression string) exportColumn {
	return exportColumn{name, expression, columnText}
}

func moneyColumn(name, expression string) exportColumn {
	return exportColumn{name, expression, columnMoney}
}

func timeColumn(name, expression string) exportColumn {
	return exportColumn{name, expression, columnTime}
}

// exports has every column of every export: docs/export.md has the same, by a test.
var exports = map[string]exportTable{
	ExportOrders: {
		from: `orders o`, at: `o.created_at`, by: `o.created_at, o.reference`, currency: `o.currency`,
		columns: []exportColumn{
			textColumn("reference", "o.reference"), textColumn("status", "o.status"), moneyColumn("amount", "o.amount"),
			moneyColumn("paid_amount", "o.paid_amount"), moneyColumn("refunded_amount", "o.refunded_amount"), textColumn("currency", "o.currency"),
			textColumn("collector_id", "o.collector_id"), timeColumn("created_at", "o.created_at"), timeColumn("updated_at", "o.updated_at"),
			timeColumn("cancelled_at", "o.cancelled_at"),
		},
	},
	ExportPayments: {
		from: `payments p LEFT JOIN LATERAL (
			SELECT sum(m.credit - m.debit) AS amount, min(m.happened_at) AS at, string_agg(DISTINCT m.payout_id, ' ') AS payouts
			FROM account_movements m WHERE m.source = p.source AND m.payment_id = p.payment_id AND m.class = 'payment' AND m.currency = p.currency) r ON true`,
		at: madeAt, by: madeAt + `, p.source, p.payment_id`, currency: `coalesce(p.currency, '')`,
		columns: []exportColumn{
			textColumn("payment_id", "p.payment_id"), textColumn("order_reference", "p.order_reference"), textColumn("status", "p.status"),
			textColumn("status_detail", "p.status_detail"), moneyColumn("amount", "p.amount"), moneyColumn("refunded_amount", "p.refunded_amount"),
			moneyColumn("shipping_amount", "p.shipping"), moneyColumn("fee_amount", "p.fee_amount"),
			moneyColumn("application_fee_amount", "p.application_fee_amount"), moneyColumn("financing_fee_amount", "p.financing_fee_amount"),
			moneyColumn("shipping_fee_amount", "p.shipping_fee_amount"), moneyColumn("taxes_amount", "p.taxes_amount"),
			moneyColumn("net_amount", "p.net_amount"), textColumn("currency", "p.currency"), textColumn("collector_id", "p.collector_id"),
			textColumn("live_mode", "p.live_mode"), timeColumn("date_created", madeAt),
			timeColumn("date_last_updated", "p.date_last_updated"), timeColumn("release_date", "p.release_date"),
			timeColumn("released_at", "r.at"), moneyColumn("released_amount", "r.amount"), textColumn("payout_ids", "r.payouts"),
			textColumn("payment_type", "p.payment_type"), textColumn("payment_method", "p.payment_method"),
		},
	},
	ExportMovements: {
		from: `account_movements m`, at: `m.happened_at`, by: `m.happened_at, m.id`, currency: `m.currency`,
		columns: []exportColumn{
			textColumn("id", "m.id"), timeColumn("happened_at", "m.happened_at"), textColumn("collector_id", "m.collector_id"),
			textColumn("source_id", "m.source_id"), textColumn("payment_id", "m.payment_id"), textColumn("order_reference", "m.order_reference"),
			textColumn("record_type", "m.record_type"), textColumn("description", "m.description"), textColumn("class", "m.class"),
			moneyColumn("credit", "m.credit"), moneyColumn("debit", "m.debit"), moneyColumn("gross", "m.gross"), moneyColumn("fee", "m.fee"),
			moneyColumn("financing_fee", "m.financing_fee"), moneyColumn("shipping_fee", "m.shipping_fee"), moneyColumn("taxes", "m.taxes"),
			moneyColumn("coupon", "m.coupon"), textColumn("currency", "m.currency"), textColumn("payout_id", "m.payout_id"),
		},
	},
	ExportPayouts: {
		from: `payouts p`, at: `p.paid_at`, by: `p.paid_at, p.id`, currency: `p.currency`,
		columns: []exportColumn{
			textColumn("id", "p.id"), timeColumn("paid_at", "p.paid_at"), textColumn("collector_id", "p.collector_id"), moneyColumn("amount", "p.amount"),
			textColumn("currency", "p.currency"), textColumn("state", "p.state"), moneyColumn("unexplained_amount", "p.unexplained_amount"),
			moneyColumn("opening_balance", "p.opening_balance"), moneyColumn("balance_kept", "p.balance_kept"),
		},
	},
	ExportAnomalies: {
		from: `anomalies a LEFT JOIN LATERAL (
			SELECT (a.detail ->> 'missing')::numeric AS missing, (a.detail ->> 'surplus')::numeric AS surplus) d ON true`,
		at: `a.opened_at`, by: `a.opened_at, a.id`, currency: `coalesce(a.detail ->> 'currency', '')`,
		columns: []exportColumn{
			textColumn("id", "a.id"), textColumn("kind", "a.kind"), textColumn("state", "CASE WHEN a.closed_at IS NULL THEN 'open' ELSE 'closed' END"),
			textColumn("order_reference", "a.order_reference"), textColumn("payment_id", "a.payment_id"), moneyColumn("missing_amount", "d.missing"),
			moneyColumn("surplus_amount", "d.surplus"), textColumn("currency", "a.detail ->> 'currency'"), textColumn("detail", "a.detail"),
			timeColumn("opened_at", "a.opened_at"), timeColumn("closed_at", "a.closed_at"), textColumn("closed_by", "a.closed_by"), textColumn("note", "a.note"),
		},
	},
	// Events are read as their list is, see exportEvents.
	ExportEvents: {columns: []exportColumn{
		textColumn("queue_id", ""), timeColumn("received_at", ""), textColumn("status", ""), textColumn("outcome", ""), textColumn("source", ""),
		textColumn("topic", ""), textColumn("action", ""), textColumn("resource_id", ""), textColumn("origin", ""), textColumn("replay_of", ""),
		textColumn("attempts", ""), timeColumn("completed_at", ""), textColumn("last_error", ""), textColumn("request_id", ""), textColumn("live_mode", ""),
		textColumn("signed", ""), textColumn("dead_letter_id", ""), textColumn("dead_letter_state", ""),
	}},
}

// ExportKinds are what can be exported.
func ExportKinds() []string {
	return []string{ExportOrders, ExportPayments, ExportMovements, ExportPayouts, ExportAnomalies, ExportEvents}
}

// ExportColumns are the names of an export's columns, in their order.
func ExportColumns(kind string) []string {
	var names []string
	for _, c := range exports[kind].columns {
		names = append(names, c.name)
	}
	return names
}

// An ExportLocale is how a reader's spreadsheet writes numbers and dates.
type ExportLocale struct {
	// Name is its language tag.
	Name string

	point     string
	separator rune
	date      string
}

// ErrExportLocale means that no form of numbers and dates is known by that name.
var ErrExportLocale = &InvalidError{What: "the locale", code: "invalid_parameter"}

// ParseExportLocale reads a language tag such as en, es-AR or pt-BR: the languages are
// English, Spanish and Portuguese. English has ISO dates; where decimals have a comma,
// columns are separated by semicolons, as spreadsheets there expect.
func ParseExportLocale(name string) (ExportLocale, error) {
	tag, err := language.Parse(name)
	base, _ := tag.Base()
	dates := map[string]string{"en": "2006-01-02 15:04:05", "es": "02/01/2006 15:04:05", "pt": "02/01/2006 15:04:05"}
	date, known := dates[base.String()]
	if err != nil || !known {
		return ExportLocale{}, ErrExportLocale.because("%q is not known; it is a language tag such as en, es-AR or pt-BR", name)
	}
	half := message.NewPrinter(tag).Sprint(number.Decimal(0.5))
	l := ExportLocale{Name: tag.String(), point: strings.Trim(half, "05"), separator: ',', date: date}
	if l.point == "," {
		l.separator = ';'
	}
	return l, nil
}

// An Export is what is exported, and how it is written.
type Export struct {
	// Kind is one of ExportKinds.
	Kind string
	// Since and Until bound when an order was registered, a payment made, a movement or
	// a payout happened, an anomaly opened, an event received: [Since, Until). A zero
	// time means no bound.
	Since, Until time.Time
	// Orders, Payments, Anomalies and Events select as the lists do what is exported of
	// their kind.
	Orders    OrderFilter
	Payments  PaymentFilter
	Anomalies AnomalyFilter
	Events    EventFilter
	Locale    ExportLocale
	// Zone is that of the dates; UTC when nil.
	Zone *time.Location
}

// Export writes rows as CSV, as of one moment, and returns how many. It holds none of
// them: there may be millions.
func (s *Store) Export(ctx context.Context, e Export, w io.Writer) (rows int64, err error) {
	table, known := exports[e.Kind]
	if !known || e.Locale.point == "" {
		return 0, fmt.Errorf("export of %q in the locale %q", e.Kind, e.Locale.Name)
	}
	if e.Zone == nil {
		e.Zone = time.UTC
	}
	out := csv.NewWriter(w)
	out.Comma, out.UseCRLF = e.Locale.separator, true
	if e.Kind == ExportEvents {
		rows, err = s.exportEvents(ctx, e, out)
		return rows, wrap(err, "export events")
	}
	err = s.readSnapshot(ctx, func(tx pgx.Tx) error {
		for _, setting := range verifySettings[:2] {
			if _, err := tx.Exec(ctx, setting); err != nil {
				return err
			}
		}
		if err := out.Write(ExportColumns(e.Kind)); err != nil {
			return err
		}
		statement, args, err := table.query(e)
		if err != nil {
			return err
		}
		found, _ := tx.Query(ctx, statement, args...)
		cells := newExportCells(table)
		_, err = pgx.ForEachRow(found, cells.scans, func() error {
			rows++
			return out.Write(cells.write(e))
		})
		if err != nil {
			return err
		}
		out.Flush()
		return out.Error()
	})
	return rows, wrap(err, "export %s", e.Kind)
}

// query is the statement that reads an export.
func (t exportTable) query(e Export) (string, []any, error) {
	var c conditions
	c.between(t.at, e.Since, e.Until)
	switch e.Kind {
	case ExportOrders:
		e.Orders.narrow(&c)
	case ExportPayments:
		e.Payments.narrow(&c)
	case ExportAnomalies:
		if err := e.Anomalies.narrow(&c); err != nil {
			return "", nil, err
		}
	}
	expressions := []string{t.currency}
	for _, column := range t.columns {
		expression := column.expression
		if column.kind == columnText {
			expression = "coalesce((" + expression + ")::text, '')"
		}
		expressions = append(expressions, expression)
	}
	return `SELECT ` + strings.Join(expressions, ", ") + ` FROM ` + t.from + ` WHERE ` + c.sql() + ` ORDER BY ` + t.by, c.args, nil
}

// exportCells are one row as it was read.
type exportCells struct {
	table    exportTable
	currency string
	texts    []string
	amounts  []decimal.NullDecimal
	times    []*time.Time
	scans    []any
	record   []string
}

func newExportCells(table exportTable) *exportCells {
	n := len(table.columns)
	c := &exportCells{table: table, texts: make([]string, n), amounts: make([]decimal.NullDecimal, n), times: make([]*time.Time, n), record: make([]string, n)}
	c.scans = []any{&c.currency}
	for i, column := range table.columns {
		switch column.kind {
		case columnText:
			c.scans = append(c.scans, &c.texts[i])
		case columnMoney:
			c.scans = append(c.scans, &c.amounts[i])
		case columnTime:
			c.scans = append(c.scans, &c.times[i])
		}
	}
	return c
}

func (c *exportCells) write(e Export) []string {
	for i, column := range c.table.columns {
		cell := ""
		switch column.kind {
		case columnText:
			cell = harmless(c.texts[i])
		case columnMoney:
			if c.amounts[i].Valid {
				cell = strings.Replace(order.FormatAmount(c.amounts[i].Decimal, c.currency), ".", e.Locale.point, 1)
			}
		case columnTime:
			if c.times[i] != nil {
				cell = c.times[i].In(e.Zone).Format(e.Locale.date)
			}
		}
		c.record[i] = cell
	}
	return c.record
}

// harmless is a text that no spreadsheet takes for a formula (OWASP, CSV injection):
// where it would, an apostrophe comes before it. The words are others'.
func harmless(text string) string {
	first := strings.TrimLeftFunc(text, func(r rune) bool { return unicode.IsSpace(r) || !unicode.IsPrint(r) })
	if first != "" && slices.Contains([]rune("=+-@＝＋－＠"), []rune(first)[0]) || text != "" && strings.ContainsRune("\t\r\n", rune(text[0])) {
		return "'" + text
	}
	return text
}
