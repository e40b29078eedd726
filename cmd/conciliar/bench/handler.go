package bench

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/conciliar/conciliar/jobs/provider/mercadopago"
	"github.com/conciliar/conciliar/jobs/provider/mercadopago/simulator"
)

// What a merchant would write: one handler, which asks for the payment and sets the order
// within the request, in one transaction. It has no queue, no retry, no memory of what
// it was told, and answers as late as its provider.
const handlerSchema = `
CREATE SCHEMA handler;
CREATE TABLE handler.orders (reference text PRIMARY KEY, status text NOT NULL);
CREATE TABLE handler.payments (id text PRIMARY KEY, reference text NOT NULL, status text NOT NULL, raw bytea NOT NULL)`

func (b *harness) handleWebhook(w http.ResponseWriter, r *http.Request) {
	if err := b.handled(r); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	_, _ = io.WriteString(w, `{"duplicate":false}`)
}

func (b *harness) handled(r *http.Request) error {
	id := r.URL.Query().Get("data.id")
	signature := r.Header.Get("X-Signature")
	ts, _, _ := strings.Cut(strings.TrimPrefix(signature, "ts="), ",")
	if signature != mercadopago.Sign(webhookSecret, id, r.Header.Get("X-Request-Id"), ts) {
		return fmt.Errorf("the signature of %s is not right", id)
	}
	req, err := http.NewRequestWithContext(r.Context(), http.MethodGet, b.simURL+"/v1/payments/"+url.PathEscape(id), http.NoBody) //nolint:gosec // the benchmark's own provider
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+accessToken)
	resp, err := http.DefaultClient.Do(req) //nolint:gosec // the same
	if err != nil {
		return err
	}
	raw, err := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	var payment struct {
		Status    string `json:"status"`
		Reference string `json:"external_reference"`
	}
	if err == nil {
		err = json.Unmarshal(raw, &payment)
	}
	if err != nil {
		return err
	}
	return pgx.BeginFunc(r.Context(), b.pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(r.Context(), `INSERT INTO handler.payments VALUES ($1, $2, $3, $4) ON CONFLICT (id) DO UPDATE SET status = excluded.status, raw = excluded.raw`,
			id, payment.Reference, payment.Status, raw); err != nil {
			return err
		}
		_, err := tx.Exec(r.Context(), `UPDATE handler.orders SET status = 'paid' WHERE reference = $1 AND $2 = 'approved'`, payment.Reference, payment.Status)
		return err
	})
}

// handler measures it beside the provider's own time.
func (b *harness) handler(ctx context.Context) (figures []Figure, err error) {
	if _, err := b.pool.Exec(ctx, handlerSchema); err != nil {
		return nil, err
	}
	for _, latency := range []time.Duration{0, 200 * time.Millisecond} {
		if err := b.startSimulator(ctx, simulator.Faults{Latency: latency}); err != nil {
			return nil, err
		}
		for _, connections := range []int{1, 64} {
			var results []loadResult
			for range b.options.Rounds {
				result, err := b.handlerLoad(ctx, loadShape{connections: connections, length: b.options.Length, warmUp: warmUp})
				if err != nil {
					return nil, err
				}
				results = append(results, result)
			}
			figure := loadFigure(fmt.Sprintf("%d connections, the provider answers after %d ms", connections, latency.Milliseconds()), results)
			b.say("%s: %.0f a second, p99 %.0f ms", figure.What, figure.Value.Median, figure.Latency.P99)
			figures = append(figures, figure)
		}
	}
	return figures, nil
}

func (b *harness) handlerLoad(ctx context.Context, shape loadShape) (loadResult, error) {
	const most = 60_000
	ids, err := b.makeOrders(ctx, most)
	if err != nil {
		return loadResult{}, err
	}
	if _, err := b.pool.Exec(ctx, `TRUNCATE handler.orders, handler.payments; INSERT INTO handler.orders SELECT reference, 'pending' FROM orders`); err != nil {
		return loadResult{}, err
	}
	ln, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return loadResult{}, err
	}
	server := &http.Server{Handler: http.HandlerFunc(b.handleWebhook), ReadHeaderTimeout: time.Minute}
	go func() { _ = server.Serve(ln) }()
	defer func() { _ = server.Close() }()
	shape.atMost = most
	l := b.about(&service{addr: ln.Addr().String()}, ids)
	return l.run(ctx, shape)
}
