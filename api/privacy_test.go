package api_test

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/api"
	"github.com/conciliar/conciliar/store"
	"github.com/conciliar/conciliar/store/order"
	"github.com/conciliar/conciliar/store/storetest/fixture"
)

// planted is what may stand nowhere in an answer to a STATUS token: a payer's
// e-mail address, document and name, and the addresses of callers.
var planted = []string{"ana.payer@example.com", "30111222", "Ana Payer", "203.0.113.7", "198.51.100.23"}

const plantedBody = `{"type":"payment","data":{"id":"77"},"payer":{"id":"9001","email":"ana.payer@example.com",` +
	`"first_name":"Ana Payer","identification":{"type":"DNI","number":"30111222"}}}`

// plant puts the payer into everything that keeps what was written elsewhere.
func (b *bundle) plant(t *testing.T) {
	t.Helper()
	letter, _ := b.deadLetter(t, "77")
	settled := b.accept(t, "78")
	fixture.Settle(t, b.store, b.pool, settled, store.FetchedPayment{
		Source: "mercadopago", Reference: "A-1", Raw: []byte(plantedBody),
		Payment: order.Payment{ID: "78", Status: order.PaymentPending, CollectorID: "1", UpdatedAt: b.clock.Now(), FetchedAt: b.clock.Now()},
	})
	archived := b.accept(t, "79")
	for _, statement := range []string{
		`UPDATE webhook_queue SET payload = $1, resource = $1, remote_ip = '198.51.100.23', query = 'payer_email=ana.payer@example.com'`,
		`INSERT INTO odd_payments (queue_id, source, payment_id, fields, problem) SELECT id, source, resource_id, '{amount}', 'payment: transaction_amount is missing' FROM webhook_queue WHERE outcome IS NULL AND octet_length($1) > 0`,
		`INSERT INTO webhook_refused (source, reason, method, query, remote_ip, body) VALUES ('mercadopago', 'signature_mismatch', 'POST', 'payer_email=ana.payer@example.com', '198.51.100.23', $1)`,
	} {
		_, err := b.pool.Exec(t.Context(), statement, []byte(plantedBody))
		require.NoError(t, err)
	}
	_, err := b.pool.Exec(t.Context(), `UPDATE webhook_queue SET completed_at = now(), outcome = 'kept' WHERE id = $1`, archived)
	require.NoError(t, err)
	fixture.Archive(t, b.pool, archived)
	answered[store.Replay](t, b, post(fmt.Sprintf("/api/webhooks/dead-letters/%d/replay", letter), ""), http.StatusAccepted)
}

func TestStatusToken_SeesNoPayerData(t *testing.T) {
	t.Parallel()
	b := setup(t, setupOptions{})
	b.plant(t)
	pages := 0
	for _, r := range api.Routes(b.deps) {
		if !strings.Contains(r.Scheme, "statusToken") {
			continue
		}
		require.Equal(t, http.MethodGet, r.Method, "what a STATUS token may do")
		targets := []string{r.Path}
		if _, parameter, found := strings.Cut(r.Path, "{"); found {
			targets = nil
			name, _, _ := strings.Cut(parameter, "}")
			for id := range 6 {
				targets = append(targets, strings.Replace(r.Path, "{"+name+"}", fmt.Sprint(id), 1))
			}
		}
		for _, target := range targets {
			w := b.do(t, get(target))
			if w.Code != http.StatusNotFound {
				require.Equal(t, http.StatusOK, w.Code, target)
				pages++
			}
			for _, secret := range planted {
				require.NotContains(t, w.Body.String(), secret, target)
			}
		}
	}
	require.Greater(t, pages, 14, "each list, and each of its rows")
}

func TestStatusToken_ComparesABodyByItsHash(t *testing.T) {
	t.Parallel()
	b := setup(t, setupOptions{})
	b.plant(t)
	sum := sha256.Sum256([]byte(plantedBody))

	bare := answered[store.EventDetail](t, b, get("/api/webhooks/events/1"), http.StatusOK)
	require.Nil(t, bare.Payload)
	require.Nil(t, bare.Resource)
	require.Nil(t, bare.RemoteIP)
	require.Equal(t, len(plantedBody), bare.PayloadBytes)
	require.Equal(t, hex.EncodeToString(sum[:]), bare.PayloadSHA256)
	require.Equal(t, hex.EncodeToString(sum[:]), answered[store.RefusedDetail](t, b, get("/api/webhooks/refused/1"), http.StatusOK).BodySHA256)

	whole := answered[store.EventDetail](t, b, getWhole("/api/webhooks/events/1"), http.StatusOK)
	require.Contains(t, whole.Payload.Data, planted[0])
	require.Contains(t, whole.Resource.Data, planted[0])
	require.Equal(t, "198.51.100.23", *whole.RemoteIP)
	require.Contains(t, answered[store.DeadLetterDetail](t, b, getWhole("/api/webhooks/dead-letters/1"), http.StatusOK).Payload.Data, planted[0])
	require.Contains(t, answered[store.RefusedDetail](t, b, getWhole("/api/webhooks/refused/1"), http.StatusOK).Body.Data, planted[0])
	require.Equal(t, "198.51.100.23", *answered[page[store.RefusedDelivery]](t, b, getWhole("/api/webhooks/refused"), http.StatusOK).Items[0].RemoteIP)
}
