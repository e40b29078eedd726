package dashboard_test

import (
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/store"
	"github.com/conciliar/conciliar/store/order"
)

// navigation is the text of a page's navigation.
func navigation(body string) string {
	nav := regexp.MustCompile(`(?s)<nav class="side".*?</nav>`).FindString(body)
	return strings.Join(strings.Fields(regexp.MustCompile(`<[^>]*>`).ReplaceAllString(nav, "")), " ")
}

func TestNavigation_SaysWhatWaits(t *testing.T) {
	t.Parallel()
	b := setup(t)
	nav := func(lang, path string) string { return navigation(b.get(t, lang, path).Body.String()) }
	require.Equal(t, "Overview Orders Failed events Anomalies More Events Payments Payouts Reconciliation Deliveries Refused Actions Logins Job queue (River)", nav("en", "/dashboard"))
	b.deadLetter(t, "100", "payment_not_found: no such payment")
	b.deadLetter(t, "101", "payment_not_found: no such payment")
	b.settle(t, "stranger", payment("102", order.PaymentApproved, "5"))
	require.Contains(t, nav("en", "/dashboard/orders"), "Orders Failed events 2 open Anomalies 1 open More")
	require.Contains(t, nav("es", "/dashboard/orders?reference=stranger"), "Eventos fallidos 2 sin resolver Anomalías 1 sin resolver")
	require.Contains(t, nav("pt-BR", "/dashboard/nothing"), "Eventos com falha 2 em aberto", "the page of an error, too")
	b.exec(t, `INSERT INTO anomalies (kind, order_reference) SELECT 'underpaid', 'o-' || n FROM generate_series(1, $1) n`, 2*store.OpenWorkMost)
	require.Contains(t, nav("en", "/dashboard/orders"), "Anomalies 1,000+ open", "no page counts for ever")
}
