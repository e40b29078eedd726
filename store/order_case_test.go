package store_test

import (
	"encoding/json"
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/store"
	"github.com/conciliar/conciliar/store/order"
	"github.com/conciliar/conciliar/store/storetest/fixture"
)

func TestOrderCase_HasAllThatIsKnownAndNobodysData(t *testing.T) {
	t.Parallel()
	b := setup(t)
	_, err := b.OrderCase(t.Context(), "A-1")
	require.ErrorIs(t, err, store.ErrOrderNotFound)

	const payer = `{"payer":{"id":"90817263","email":"maria.perez@example.com","first_name":"Maria","identification":{"number":"30111222"}},"card":{"cardholder":{"name":"M PEREZ"}}}`
	fixture.Register(t, b.Store, "A-1", "100")
	paid := fetched("77", "A-1", order.PaymentApproved, "150", 1)
	paid.Raw = []byte(payer)
	ev := signed(1, "77")
	ev.Payload, ev.Query, ev.RemoteIP = []byte(payer), "data.id=77&email=maria.perez@example.com", netip.MustParseAddr("203.0.113.77")
	queueID := b.accept(t, ev)
	fixture.Settle(t, b.Store, b.pool, queueID, paid)
	died := b.accept(t, signed(2, "77"))
	fixture.Die(t, b.pool, died, 7, "timeout: late for maria.perez@example.com", "forbidden: no")
	b.exec(t, `UPDATE webhook_dead_letter SET state = 'dismissed', note = 'Maria called'`)
	_, err = b.AmendOrder(t.Context(), store.OrderAct{Reference: "A-1", Reason: note(t, "Maria wants less"), By: store.Actor{Name: "ana"}}, order.Terms{Amount: paid.Payment.Amount.Decimal, Currency: "ARS"})
	require.NoError(t, err)
	b.exec(t, `INSERT INTO anomalies (kind, order_reference, payment_id, source, detail, closed_at, closed_by, note)
		VALUES ('fraud_alert', 'A-1', '77', 'mercadopago', '{"amount":"150"}', now(), 'ana', 'Maria paid')`)
	b.exec(t, `INSERT INTO webhook_reconciliation_logs (trigger, status, phase) VALUES ('manual', 'running', 'drift')`)
	b.exec(t, `INSERT INTO webhook_reconciliation_findings (run_id, kind, source, payment_id, order_reference, detail) VALUES
		(1, 'missing', 'mercadopago', '77', NULL, '{}'), (1, 'drift', NULL, NULL, 'A-1', '{}'), (1, 'drift', NULL, NULL, 'B-2', '{}')`)
	fixture.ImportReport(t, b.Store, "10", hour(0), fixture.Movement("payment", "77", "140", hour(1)))

	c, err := b.OrderCase(t.Context(), "A-1")
	require.NoError(t, err)
	body, err := json.Marshal(store.NewCaseDocument("v1", c, nil))
	require.NoError(t, err)
	for _, personal := range []string{"90817263", "maria", "Maria", "30111222", "PEREZ", "203.0.113.77", "ana\"", "example.com"} {
		require.NotContains(t, string(body), personal)
	}
	for _, known := range []string{`"paid_amount":"150.00"`, `"payment_id":"77"`, `"error_class":"timeout"`, `"forbidden: no"`, `"fraud_alert"`, `"credit":"140.00"`, `"amended"`} {
		require.Contains(t, string(body), known)
	}
	require.Len(t, c.Findings, 2)
	require.Len(t, c.Logs, 1)
	require.Len(t, c.Attempts[died], 2)

	// What is known of an order that nobody registered is a case, too.
	b.exec(t, `UPDATE payments SET order_reference = 'C-3'`)
	c, err = b.OrderCase(t.Context(), "C-3")
	require.NoError(t, err)
	doc := store.NewCaseDocument("v1", c, nil)
	require.Nil(t, doc.Order)
	require.Len(t, doc.Payments, 1)
}
