package api_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// ask is a call for an order that the caller knows by its ETag.
func ask(target, tag string) call {
	h := bearer(ordersToken)
	if tag != "" {
		h["If-None-Match"] = []string{tag}
	}
	return call{method: http.MethodGet, target: "/api/orders/" + target, header: h}
}

func TestETag_TellsWhetherAnOrderChanged(t *testing.T) {
	t.Parallel()
	b := setup(t, setupOptions{})
	tag := b.do(t, putOrder("/api/orders/a", `{"amount":"80","currency":"ARS"}`)).Header().Get("ETag")
	require.Regexp(t, `^"[0-9a-f]{32}"$`, tag)

	for _, known := range []string{tag, "W/" + tag, `"x", ` + tag, "*"} {
		w := b.do(t, ask("a", known))
		require.Equal(t, http.StatusNotModified, w.Code, known)
		require.Empty(t, w.Body.String())
		require.Equal(t, tag, w.Header().Get("ETag"))
	}
	for _, known := range []string{"", `"x"`, "nonsense"} {
		require.Equal(t, tag, b.do(t, ask("a", known)).Header().Get("ETag"))
		requireOrder(t, b.do(t, ask("a", known)), http.StatusOK)
	}
	// When a payment was fetched is no part of it.
	_, err := b.pool.Exec(t.Context(), `
		INSERT INTO payments (source, payment_id, order_reference, status, amount, currency, live_mode, date_last_updated, fetched_at, raw)
		VALUES ('mercadopago', '7', 'a', 'rejected', 80, 'ARS', true, now(), now(), '')`)
	require.NoError(t, err)
	other := b.do(t, ask("a", tag)).Header().Get("ETag")
	require.NotEqual(t, tag, other)
	_, err = b.pool.Exec(t.Context(), `UPDATE payments SET fetched_at = fetched_at + interval '1 hour'`)
	require.NoError(t, err)
	require.Equal(t, http.StatusNotModified, b.do(t, ask("a", other)).Code)

	// What a Mercado Pago order says is, and when that was fetched is not.
	_, err = b.pool.Exec(t.Context(), `
		INSERT INTO payment_aliases (source, alias, provider_order_id, provider_order_topic, order_reference, currency, amount, status, said,
		                             live_mode, provisional, awaited, fetched_at)
		VALUES ('mercadopago', 'PAY01', 'ORD01', 'order', 'a', 'ARS', 80, 'approved', 'processed/accredited', true, true, true, now())`)
	require.NoError(t, err)
	w := b.do(t, ask("a", other))
	shown := requireOrder(t, w, http.StatusOK).ProvisionalPayments
	require.Len(t, shown, 1)
	require.Equal(t, []string{"PAY01", "ORD01", "80.00"}, []string{shown[0].Alias, shown[0].ProviderOrderID, shown[0].Amount})
	other = w.Header().Get("ETag")
	_, err = b.pool.Exec(t.Context(), `UPDATE payment_aliases SET fetched_at = fetched_at + interval '1 hour'`)
	require.NoError(t, err)
	require.Equal(t, http.StatusNotModified, b.do(t, ask("a", other)).Code)

	stale := act("a", "cancel", `{"reason":"sold out"}`)
	stale.header["If-Match"] = []string{tag}
	requireProblem(t, b.do(t, stale), http.StatusPreconditionFailed, "precondition_failed")
	fresh := act("a", "cancel", `{"reason":"sold out"}`)
	fresh.header["If-Match"] = []string{other}
	w = b.do(t, fresh)
	requireOrder(t, w, http.StatusOK)
	require.Equal(t, http.StatusNotModified, b.do(t, ask("a", w.Header().Get("ETag"))).Code)
}

func TestWait_EndsWhenTheOrderDiffers(t *testing.T) {
	t.Parallel()
	b := setup(t, setupOptions{})
	tag := b.do(t, putOrder("/api/orders/a", `{"amount":"80","currency":"ARS"}`)).Header().Get("ETag")
	const callers = 30
	answers := make(chan *httptest.ResponseRecorder, callers)
	ctx := context.WithoutCancel(t.Context())
	for range callers {
		go func() { answers <- b.serve(ctx, ask("a?wait=30s", tag)) }()
	}
	require.Equal(t, http.StatusNotModified, b.do(t, ask("a?wait=1s", tag)).Code, "nothing changed yet")
	require.Empty(t, answers)
	require.Eventually(t, func() bool { return b.pool.Stat().AcquiredConns() == 0 }, 20*time.Second, 5*time.Millisecond,
		"a call that waits holds no connection")

	began := time.Now()
	requireOrder(t, b.do(t, act("a", "amend", `{"amount":"90","currency":"ARS","reason":"shipping"}`)), http.StatusOK)

	for range callers {
		require.Equal(t, "90.00", requireOrder(t, <-answers, http.StatusOK).Amount)
	}
	require.Less(t, time.Since(began), 20*time.Second)
	requireOrder(t, b.do(t, ask("a?wait=30s", tag)), http.StatusOK)
}

func TestWait_SaysWhatItNeeds(t *testing.T) {
	t.Parallel()
	b := setup(t, setupOptions{})
	for _, c := range []call{ask("a?wait=1s", ""), ask("a?wait=1s", "nonsense"), ask("a?wait=31s", `"x"`), ask("a?wait=soon", `"x"`)} {
		requireProblem(t, b.do(t, c), http.StatusBadRequest, "invalid_parameter")
	}
	requireProblem(t, b.do(t, ask("a?wait=30s", `"x"`)), http.StatusNotFound, "order_not_found")
}
