package api_test

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/api"
)

// A process that receives nothing has no way in for a webhook or an operator
// could come through.
func TestHealthOnly_LeavesWhatAMonitorAsks(t *testing.T) {
	t.Parallel()
	b := setup(t, setupOptions{deps: func(d *api.Deps) {
		d.HealthOnly = true
		d.Storage, d.Inbox, d.Refused, d.Sources, d.Webhooks, d.Extras = nil, nil, nil, nil, nil, nil
	}})
	for _, path := range []string{"/livez", "/readyz"} {
		require.Equal(t, http.StatusOK, b.do(t, call{method: http.MethodGet, target: path}).Code, path)
	}
	authorized := http.Header{"Authorization": {"Bearer " + statusToken}}
	for _, c := range []call{
		signed("132", "1742505638"),
		{method: http.MethodGet, target: "/api/webhooks/status", header: authorized},
		{method: http.MethodGet, target: "/api/orders/order-1", header: authorized},
	} {
		require.Equal(t, http.StatusNotFound, b.do(t, c).Code, c.target)
	}
	require.Zero(t, b.count(t, "SELECT count(*) FROM webhook_queue"))
}

func TestHealthOnly_StillNeedsItsChecks(t *testing.T) {
	t.Parallel()
	_, err := api.New(api.Deps{HealthOnly: true})
	require.ErrorContains(t, err, "Ready is empty")
	require.ErrorContains(t, err, "Logger is missing")
	require.NotContains(t, err.Error(), "Webhooks")
}
