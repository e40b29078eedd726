package store_test

import (
	"bytes"
	"encoding/csv"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/store"
	"github.com/conciliar/conciliar/store/order"
	"github.com/conciliar/conciliar/store/storetest/fixture"
)

func (b *bundle) export(t *testing.T, e store.Export, locale string) string {
	t.Helper()
	var err error
	e.Locale, err = store.ParseExportLocale(locale)
	require.NoError(t, err)
	var out bytes.Buffer
	_, err = b.Export(t.Context(), e, &out)
	require.NoError(t, err)
	return out.String()
}

func TestExport_WritesAfterTheLocale(t *testing.T) {
	t.Parallel()
	b := setup(t)
	fixture.Register(t, b.Store, "A-1", "1234.5")
	b.bookPayment(t, 1, releasing("77", "A-1", "92.31", hour(1)))
	late := fixture.Movement("other", "", "-0.5", hour(4))
	late.Description, late.Reference = "=1+1|cmd", " \t@A;1"
	fixture.ImportReport(t, b.Store, "10", hour(0), fixture.Movement("payment", "77", "92.31", hour(1)), fixture.Movement("payout", "900", "-100", hour(3)), late)
	buenosAires := time.FixedZone("-03:00", -3*60*60)

	require.Equal(t, "id,paid_at,collector_id,amount,currency,state,unexplained_amount,opening_balance,balance_kept\r\n"+
		"900,2026-01-02 06:04:05,1,100.00,ARS,explained,0.00,10.00,2.31\r\n", b.export(t, store.Export{Kind: store.ExportPayouts}, "en"))
	require.Equal(t, "id;paid_at;collector_id;amount;currency;state;unexplained_amount;opening_balance;balance_kept\r\n"+
		"900;02/01/2026 03:04:05;1;100,00;ARS;explained;0,00;10,00;2,31\r\n", b.export(t, store.Export{Kind: store.ExportPayouts, Zone: buenosAires}, "es-AR"))
	require.Contains(t, b.export(t, store.Export{Kind: store.ExportOrders}, "pt-BR"), "A-1;partially_paid;1234,50;100,00;0,00;ARS;;")
	require.Contains(t, b.export(t, store.Export{Kind: store.ExportOrders}, "es-MX"), "A-1,partially_paid,1234.50,100.00,")
	payments := b.export(t, store.Export{Kind: store.ExportPayments}, "en")
	require.Contains(t, payments, "77,A-1,approved,,100.00,0.00,0.00,,,,,,92.31,ARS,1,true,")
	require.Contains(t, payments, ",2026-01-02 04:04:05,92.31,900,,\r\n")
	movements := b.export(t, store.Export{Kind: store.ExportMovements, Since: hour(2)}, "es-AR")
	require.Contains(t, movements, ";\"' \t@A;1\";release;'=1+1|cmd;other;0,00;0,50;")
	require.NotContains(t, movements, "payment;")
	require.Len(t, strings.Split(strings.TrimSpace(b.export(t, store.Export{Kind: store.ExportMovements, Since: hour(1), Until: hour(4)}, "en")), "\r\n"), 3)
}

func TestExport_TakesTheFiltersOfTheLists(t *testing.T) {
	t.Parallel()
	b := setup(t)
	fixture.Register(t, b.Store, "A-1", "100")
	fixture.Register(t, b.Store, "B-2", "100")
	b.bookPayment(t, 1, releasing("77", "A-1", "92.31", hour(1)))
	b.bookPayment(t, 2, releasing("78", "=B", "92.31", hour(1)))
	b.exec(t, `INSERT INTO anomalies (kind, order_reference, payment_id, detail, note) VALUES
		('overpaid', 'A-1', NULL, '{"surplus":"2.5","currency":"ARS"}', ''), ('underpaid', '=B', NULL, '{"missing":"1","currency":"CLP"}', '=1+1')`)
	b.exec(t, `UPDATE webhook_queue SET topic = '@sum' WHERE resource_id = '78'`)
	rows := func(e store.Export) []string {
		lines := strings.Split(strings.TrimSpace(b.export(t, e, "en")), "\r\n")
		return lines[1:]
	}
	orders := rows(store.Export{Kind: store.ExportOrders, Orders: store.OrderFilter{Status: order.StatusPaid}})
	require.Len(t, orders, 1)
	require.Contains(t, orders[0], "A-1,paid,100.00")
	payments := rows(store.Export{Kind: store.ExportPayments, Payments: store.PaymentFilter{Order: "=B"}})
	require.Len(t, payments, 1)
	require.Contains(t, payments[0], "78,'=B,approved")
	require.Empty(t, rows(store.Export{Kind: store.ExportPayments, Payments: store.PaymentFilter{Currency: "BRL"}}))

	anomalies := rows(store.Export{Kind: store.ExportAnomalies, Anomalies: store.AnomalyFilter{State: store.AnomalyOpen, Kind: "overpaid"}})
	require.Len(t, anomalies, 1)
	require.Contains(t, anomalies[0], `overpaid,open,A-1,,,2.50,ARS,"{""surplus"": ""2.5"", ""currency"": ""ARS""}",`)
	require.Contains(t, b.export(t, store.Export{Kind: store.ExportAnomalies}, "es-AR"), `underpaid;open;'=B;;1;;CLP;`)
	require.Contains(t, b.export(t, store.Export{Kind: store.ExportAnomalies}, "en"), ",'=1+1\r\n")

	events := rows(store.Export{Kind: store.ExportEvents, Events: store.EventFilter{ResourceID: "77"}})
	require.Len(t, events, 1)
	require.Contains(t, events[0], ",completed,settled,mercadopago,payment,")
	require.Len(t, rows(store.Export{Kind: store.ExportEvents}), 2)
	require.Empty(t, rows(store.Export{Kind: store.ExportEvents, Events: store.EventFilter{Until: hour(0)}, Since: hour(-1)}))
	require.Empty(t, rows(store.Export{Kind: store.ExportEvents, Until: hour(0)}))
	require.Contains(t, rows(store.Export{Kind: store.ExportEvents, Events: store.EventFilter{ResourceID: "78"}})[0], ",'@sum,")
}

// An export reads events page by page, and each once.
func TestExport_ReadsManyEvents(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.exec(t, `INSERT INTO webhook_archive (id, source, topic, action, resource_id, origin, work, payload, received_at, completed_at, outcome)
		SELECT n, 'mercadopago', 'payment', '', n::text, 'webhook', 'payment', '', now(), now(), 'settled' FROM generate_series(1, 2001) AS n`)
	read, err := csv.NewReader(strings.NewReader(b.export(t, store.Export{Kind: store.ExportEvents}, "en"))).ReadAll()
	require.NoError(t, err)
	require.Len(t, read, 2002)
	require.Equal(t, []string{"2001", "1"}, []string{read[1][0], read[2001][0]})
}

func TestExport_KnowsItsLocales(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"", "xx-invalid-", "fr", "klingon"} {
		_, err := store.ParseExportLocale(name)
		require.ErrorIs(t, err, store.ErrExportLocale, name)
	}
}

// docs/export.md has every column in its place, as sheets rely on it.
func TestExport_TheColumnsAreThoseOfThePage(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../docs/export.md")
	require.NoError(t, err)
	b := setup(t)
	for _, kind := range store.ExportKinds() {
		_, section, found := strings.Cut(string(page), fmt.Sprintf("\n## `conciliar export %s`\n", kind))
		require.True(t, found, kind)
		section, _, _ = strings.Cut(section, "\n## ")
		var columns []string
		for line := range strings.Lines(section) {
			if name, row := strings.CutPrefix(line, "| `"); row {
				columns = append(columns, strings.SplitN(name, "`", 2)[0])
			}
		}
		require.Equal(t, store.ExportColumns(kind), columns, kind)
		header, err := csv.NewReader(strings.NewReader(b.export(t, store.Export{Kind: kind}, "en"))).Read()
		require.NoError(t, err)
		require.Equal(t, columns, header)
	}
}
