package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/shopspring/decimal"
	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/jobs/provider/mercadopago/simulator"
	"github.com/conciliar/conciliar/store"
	"github.com/conciliar/conciliar/store/storetest"
)

// sellerOf are two sellers of a marketplace: Ana's webhooks are signed with the
// application's secret, Bruno's with one of his own.
const (
	sellerAna   = int64(2001)
	sellerBruno = int64(2002)
)

// A market is a service with a file of sellers, and Mercado Pago.
type market struct {
	dir, service string
	environ      []string
	process      *process
	sim          *simulator.Simulator
}

func openMarket(t *testing.T) *market {
	t.Helper()
	sim, err := simulator.New(simulator.Config{Seed: 1, AccessToken: testAccess, Secret: testSecret, Sellers: []simulator.Seller{
		{CollectorID: sellerAna, AccessToken: "APP_USR-ana"}, {CollectorID: sellerBruno, AccessToken: "APP_USR-bruno", Secret: "bruno's signing secret"},
	}})
	require.NoError(t, err)
	srv := httptest.NewServer(sim.Handler())
	t.Cleanup(srv.Close)
	m := &market{dir: t.TempDir(), sim: sim}
	m.write(t, "ana-token", "APP_USR-ana")
	m.declare(t)
	m.environ = environment(storetest.URL(t), srv.URL, map[string]string{
		"MERCADOPAGO_SELLERS_FILE": filepath.Join(m.dir, "sellers.yaml"), "BRUNO_TOKEN": "APP_USR-bruno", "BRUNO_SECRET": "bruno's signing secret",
	})
	m.process, m.service = serve(t, m.environ)
	require.NoError(t, sim.SetTarget(m.service+"/api/checkout/webhook"))
	return m
}

func (m *market) write(t *testing.T, name, content string) {
	t.Helper()
	require.NoError(t, os.WriteFile(filepath.Join(m.dir, name), []byte(content), 0o600))
}

// declare writes the file of the sellers: Ana, and the lines that follow.
func (m *market) declare(t *testing.T, more ...string) {
	t.Helper()
	m.write(t, "sellers.yaml", "version: 1\nsellers:\n  - {collector_id: \"2001\", name: Ana, access_token_file: "+filepath.Join(m.dir, "ana-token")+"}\n"+strings.Join(more, "\n"))
}

// put registers an order of a seller and returns the answer's status.
func (m *market) put(t *testing.T, reference string, seller int64) int {
	t.Helper()
	body := `{"amount":"150.00","currency":"ARS","collector_id":"` + fmt.Sprint(seller) + `"}`
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPut, m.service+"/api/orders/"+reference, strings.NewReader(body))
	require.NoError(t, err)
	req.Header.Set("Authorization", "Bearer "+ordersToken)
	req.Header.Set("Content-Type", "application/json")
	status, _, err := answerTo(req)
	require.NoError(t, err)
	return status
}

// pay has a buyer pay a seller, and the notification sent.
func (m *market) pay(t *testing.T, reference string, seller int64) {
	t.Helper()
	id := m.sim.CreatePayment(simulator.PaymentSpec{
		Reference: reference, Amount: decimal.NewFromInt(150), Status: simulator.Approved, StatusDetail: "accredited", CollectorID: seller,
	})
	require.True(t, m.sim.Notify(t.Context(), id).Acknowledged())
}

func (m *market) awaitPaid(t *testing.T, reference string) {
	t.Helper()
	awaitBody(t, m.service+"/api/orders/"+reference, ordersToken, `"status":"paid"`)
}

// sellers are those of the status, by account.
func (m *market) sellers(t *testing.T) map[string]store.SellerStatus {
	t.Helper()
	code, body := get(t, m.service+"/api/webhooks/status", statusToken)
	require.Equal(t, http.StatusOK, code)
	var status struct {
		Sellers []store.SellerStatus `json:"sellers"`
	}
	require.NoError(t, json.Unmarshal([]byte(body), &status))
	found := map[string]store.SellerStatus{}
	for _, seller := range status.Sellers {
		found[seller.CollectorID] = seller
	}
	return found
}

// A seller that is declared while the service runs is asked for and received for from
// then on. A change that can't be used leaves what was there, and says so.
func TestSellers_AChangedFileIsTakenOverByARunningService(t *testing.T) {
	t.Parallel()
	m := openMarket(t)
	require.Equal(t, http.StatusCreated, m.put(t, "ana-1", sellerAna))
	require.Equal(t, http.StatusBadRequest, m.put(t, "bruno-1", sellerBruno), "nobody has declared him")
	m.pay(t, "ana-1", sellerAna)
	m.awaitPaid(t, "ana-1")

	m.declare(t, `  - {collector_id: "2002", name: Bruno, access_token_env: BRUNO_TOKEN, webhook_secrets_env: [BRUNO_SECRET]}`)
	require.NoError(t, m.process.cmd.Process.Signal(syscall.SIGHUP))
	m.process.err.await(t, `"sellers taken over","sellers":2`)
	require.Equal(t, http.StatusCreated, m.put(t, "bruno-1", sellerBruno))
	require.Equal(t, http.StatusConflict, m.put(t, "bruno-1", sellerAna))
	m.pay(t, "bruno-1", sellerBruno)
	m.awaitPaid(t, "bruno-1")
	eventually(t, func() bool { return len(m.sellers(t)) == 2 })
	require.Equal(t, "ok", findings(t, m.environ, exitDone)["seller 2002"].State)

	// Broken, without a signal: the old file stays in use.
	m.declare(t, `  - {collector_id: "2002", access_token: APP_USR-pasted}`)
	m.process.err.await(t, `line 4, column 28: unknown key access_token`)
	require.NotContains(t, m.process.err.String(), "APP_USR-pasted")
	m.put(t, "bruno-2", sellerBruno)
	m.pay(t, "bruno-2", sellerBruno)
	m.awaitPaid(t, "bruno-2")
	awaitBody(t, m.service+"/api/webhooks/status", statusToken, "A configuration file cannot be used as it is now")
	require.Equal(t, "fail", findings(t, m.environ, exitFailed)["sellers"].State)
	require.Equal(t, exitUsage, execute(t, m.environ, "serve").code, "it does not start with it")
}

// A seller's token that is revoked holds that seller alone, and the one that replaces
// it in its file lets go what was held.
func TestSellers_ANewTokenInItsFileLetsGoWhatWasHeld(t *testing.T) {
	t.Parallel()
	m := openMarket(t)
	m.sim.SetSellerRevoked(sellerAna, true)
	require.Equal(t, http.StatusCreated, m.put(t, "ana-1", sellerAna))
	m.pay(t, "ana-1", sellerAna)
	eventually(t, func() bool { return m.sellers(t)["2001"].Reason == store.ReasonCredentialsRejected })
	buy(t, m.sim, m.service, "main-1")
	found := findings(t, m.environ, exitFailed)
	require.Equal(t, "fail", found["seller 2001"].State)
	require.Equal(t, "ok", found["credentials"].State)
	_, metrics := get(t, m.service+"/metrics", statusToken)
	require.Contains(t, metrics, `conciliar_seller_circuit{seller="2001"}`)

	m.sim.SetSellerToken(sellerAna, "APP_USR-ana-2")
	m.sim.SetSellerRevoked(sellerAna, false)
	m.write(t, "ana-token", "APP_USR-ana-2")
	m.awaitPaid(t, "ana-1")
}
