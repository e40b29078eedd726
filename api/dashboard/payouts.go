package dashboard

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/conciliar/conciliar/store"
	"github.com/conciliar/conciliar/store/payout"
)

// payoutView is the body of a payout's page.
type payoutView struct {
	store.PayoutDetail

	Movements store.ListOf[store.BookedMovement, store.MoneyPlace]
}

// Older is the place that the next movements begin at.
func (v payoutView) Older() string { return placeText(v.Movements.Next) }

// payouts shows the payout whose id was asked for, or lists payouts, the latest first.
func (d *dashboard) payouts(c *call) error {
	f := c.filters()
	if id := f.text("payout"); id != "" && f.err == nil {
		return d.payout(c, id)
	}
	filter := store.PayoutFilter{State: choice(f, "state", "field.state", "payout_state", payout.States()), Currency: f.currency()}
	at := store.PageOf[store.MoneyPlace]{Limit: pageRows, Before: placeOf(f.query, store.ParsePayoutPlace)}
	found, err := read(c, f, d.deps.Storage.Payouts, filter, at)
	if err != nil {
		return err
	}
	v := f.listed("/dashboard/payouts", tableOf("payouts.caption", "payouts.none", found.Items, payoutColumns...), placeText(found.Next))
	return d.show(c, "payouts", &page{Title: "nav.payouts", Nav: "payouts", Refresh: v.First, Body: v})
}

var payoutColumns = []column[store.Payout]{
	{"field.payout", partTitle, func(p store.Payout) cell { return plainCell(p.ID).leading(payoutPath(p.ID)) }},
	{"field.paid_at", "", func(p store.Payout) cell { return timeCell(p.PaidAt) }},
	{"field.state", partState, func(p store.Payout) cell { return badgeCell("payout_state", p.State) }},
	{"field.amount", partNumber, func(p store.Payout) cell { return moneyCell(p.Amount, p.Currency) }},
	{"field.unexplained", partNumber, func(p store.Payout) cell { return moneyCell(p.Unexplained, p.Currency) }},
	{"field.kept", partMinorNumber, func(p store.Payout) cell { return moneyCell(p.Kept, p.Currency) }},
}

// MovementTable is a list of movements as a part of a page.
func (p *page) MovementTable(movements []store.BookedMovement) table {
	return tableOf("payout.movements", "", movements, movementColumns...).unseen()
}

var movementColumns = []column[store.BookedMovement]{
	{"field.happened", partTitle, func(m store.BookedMovement) cell { return timeCell(m.HappenedAt) }},
	{"field.what", "", func(m store.BookedMovement) cell {
		return wordCell("movement_class", m.Class).over(plainCell(m.Description))
	}},
	{"field.payment", "", func(m store.BookedMovement) cell { return linkCell(m.PaymentID, paymentPath) }},
	{"field.order", "", func(m store.BookedMovement) cell { return linkCell(m.Reference, orderPath) }},
	{"field.amount", partNumber, func(m store.BookedMovement) cell { return moneyCell(m.Net(), m.Currency) }},
	{"field.payout", "", func(m store.BookedMovement) cell { return linkCell(m.PayoutID, payoutPath) }},
}

func (d *dashboard) payout(c *call, id string) error {
	q := c.query()
	at := store.PageOf[store.MoneyPlace]{Limit: pageRows, Before: placeOf(q, store.ParseMovementPlace)}
	if q.err != nil {
		return q.err
	}
	var v payoutView
	var err error
	if v.PayoutDetail, err = d.deps.Storage.Payout(c.ctx, id); err != nil {
		return err
	}
	if v.Movements, err = d.deps.Storage.PayoutMovements(c.ctx, id, at); err != nil {
		return err
	}
	return d.show(c, "payout", &page{Title: "nav.payouts", Name: id, Nav: "payouts", Body: v})
}

// PayoutLink leads to a payout.
func (p *page) PayoutLink(id string) string { return payoutPath(id) }

// payoutPath is a payout's page. Its id is the provider's and may hold anything.
func payoutPath(id string) string { return Base + "/payouts?" + url.Values{"payout": {id}}.Encode() }

// exportTimeout bounds an export. A million rows take far less.
const exportTimeout = 10 * time.Minute

// export sends rows as CSV, in the reader's form of numbers and dates.
func (d *dashboard) export(c *call) error {
	f := c.filters()
	e := store.Export{Kind: f.named("export", "export.kind", store.ExportKinds()), Zone: c.reader.days}
	e.Since, _ = f.on("since", "export.since")
	_, e.Until = f.on("until", "export.until")
	// What a list is narrowed to is read as the list reads it.
	switch e.Kind {
	case store.ExportOrders:
		e.Orders = orderFilter(f)
	case store.ExportPayments:
		e.Payments = paymentFilter(f)
	case store.ExportAnomalies:
		e.Anomalies = anomalyFilter(f)
	case store.ExportEvents:
		e.Events = eventFilter(f)
	}
	if f.refuseOthers(); f.err != nil || e.Kind == "" {
		return errBadInput
	}
	var err error
	if e.Locale, err = store.ParseExportLocale(c.reader.numbers.String()); err != nil {
		if e.Locale, err = store.ParseExportLocale(c.reader.texts.code); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithTimeout(c.Context(), exportTimeout)
	defer cancel()
	// Without effect where the connection has no deadline.
	connection := http.NewResponseController(c.ResponseWriter)
	_ = connection.SetWriteDeadline(time.Now().Add(exportTimeout))
	w := &download{ResponseWriter: c.ResponseWriter, kind: e.Kind}
	if _, err := d.deps.Storage.Export(ctx, e, w); err != nil {
		if !w.begun {
			return err
		}
		d.deps.Logger.ErrorContext(ctx, "export broken off", "kind", e.Kind, "error", err)
		// What was sent must not look whole.
		_ = connection.SetWriteDeadline(time.Unix(1, 0))
		panic(http.ErrAbortHandler)
	}
	return nil
}

// A download says what it is before its first byte, so that an error until then is a
// page.
type download struct {
	http.ResponseWriter

	kind  string
	begun bool
}

func (w *download) Write(p []byte) (int, error) {
	if !w.begun {
		w.begun = true
		h := w.Header()
		h.Set("Content-Type", "text/csv; charset=utf-8")
		h.Set("Content-Disposition", fmt.Sprintf(`attachment; filename="conciliar-%s.csv"`, w.kind))
		h.Set("Cache-Control", "no-store")
		h.Set("X-Content-Type-Options", "nosniff")
	}
	return w.ResponseWriter.Write(p)
}
