// A shop in Go that learns from Conciliar what became of its orders.
//
// Go 1.22 or newer, standard library only. Paste the export lines that
// `conciliar dev --order-events-url http://127.0.0.1:8090/conciliar` prints, then
//
//	go run docs/shops/shop.go
//
//	curl -X POST http://127.0.0.1:8090/orders -d '{"reference":"order-1001","amount":"150.00","currency":"ARS"}'
//	curl http://127.0.0.1:8090/orders/order-1001
//
// Settings: SERVICE and ORDERS_TOKEN (Conciliar), ORDER_EVENTS_SECRETS (whsec_…, several
// by commas during a rotation), SHOP_ADDR (127.0.0.1:8090), SHOP_DATA (shop.json).
// One process only: where several share a database, do as shop.py does.
package main

import (
	"bytes"
	"cmp"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

const (
	tolerance = 5 * time.Minute // how old a message may be
	maxBody   = 1 << 20
)

// A shopOrder is the shop's own. Amounts are text: a float would lose cents.
type shopOrder struct {
	Reference      string `json:"reference"`
	Amount         string `json:"amount"`
	Currency       string `json:"currency"`
	Status         string `json:"status"`
	PaidAmount     string `json:"paid_amount"`
	RefundedAmount string `json:"refunded_amount"`
	Flagged        bool   `json:"flagged"`
	EventID        int64  `json:"event_id"`
}

// A document is what the shop reads of an order of Conciliar's.
type document struct {
	Reference      string            `json:"reference"`
	Status         string            `json:"status"`
	Amount         string            `json:"amount"`
	Currency       string            `json:"currency"`
	PaidAmount     string            `json:"paid_amount"`
	RefundedAmount string            `json:"refunded_amount"`
	Anomalies      []json.RawMessage `json:"anomalies"`
}

type event struct {
	ID   int64 `json:"id"` // in the feed; a pushed event has it in webhook-id
	Data struct {
		Order document `json:"order"`
	} `json:"data"`
}

type page struct {
	Items      []event `json:"items"`
	NextCursor string  `json:"next_cursor"`
}

// A shop is the shop's database, which is a file, and what it needs of Conciliar.
type shop struct {
	service, token, file string
	secrets              [][]byte

	mu     sync.Mutex // held by whoever reads or changes what follows
	Orders map[string]*shopOrder
	Cursor string // of the feed
}

// save returns once the data is on the disk, all of it or nothing.
func (s *shop) save() error {
	text, err := json.Marshal(s)
	if err != nil {
		return err
	}
	file, err := os.OpenFile(s.file+".new", os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = file.Write(text)
	if err = errors.Join(err, file.Sync(), file.Close()); err != nil {
		return err
	}
	if err := os.Rename(s.file+".new", s.file); err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(s.file))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// A refusal is an answer of Conciliar's that is not 2xx.
type refusal int

func (r refusal) Error() string { return fmt.Sprintf("Conciliar answered %d", int(r)) }

func (s *shop) conciliar(ctx context.Context, method, path string, body, into any) error {
	ctx, cancel := context.WithTimeout(ctx, 40*time.Second)
	defer cancel()
	var content io.Reader
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			return err
		}
		content = bytes.NewReader(text)
	}
	req, err := http.NewRequestWithContext(ctx, method, s.service+path, content)
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+s.token)
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode/100 != 2 {
		return refusal(resp.StatusCode)
	}
	return json.NewDecoder(resp.Body).Decode(into)
}

func orderPath(reference string) string { return "/api/orders/" + url.PathEscape(reference) }

// register keeps an order and registers it; may be repeated. The amount is text as
// Conciliar writes it, with the currency's own decimals: "150.00" in ARS, "15990" in CLP.
func (s *shop) register(ctx context.Context, ours shopOrder) error {
	// Ours first: the event may be here before the answer is.
	s.mu.Lock()
	if s.Orders[ours.Reference] == nil {
		s.Orders[ours.Reference] = &shopOrder{Reference: ours.Reference, Amount: ours.Amount, Currency: ours.Currency, Status: "new"}
	}
	err := s.save()
	s.mu.Unlock()
	if err != nil {
		return err
	}
	terms := map[string]string{"amount": ours.Amount, "currency": ours.Currency}
	return s.conciliar(ctx, http.MethodPut, orderPath(ours.Reference), terms, &document{})
}

// signed verifies a message after the Standard Webhooks specification.
func (s *shop) signed(header http.Header, body []byte, now time.Time) bool {
	id, timestamp := header.Get("webhook-id"), header.Get("webhook-timestamp")
	seconds, err := strconv.ParseUint(timestamp, 10, 40)
	if id == "" || err != nil || now.Sub(time.Unix(int64(seconds), 0)).Abs() > tolerance {
		return false
	}
	for _, secret := range s.secrets {
		mac := hmac.New(sha256.New, secret)
		_, _ = fmt.Fprintf(mac, "%s.%s.%s", id, timestamp, body)
		wanted := mac.Sum(nil)
		for _, given := range strings.Fields(header.Get("webhook-signature")) {
			text, isV1 := strings.CutPrefix(given, "v1,")
			signature, err := base64.StdEncoding.DecodeString(text)
			if isV1 && err == nil && hmac.Equal(signature, wanted) {
				return true
			}
		}
	}
	return false
}

// apply makes our order what an event says, and reports whether that is news. The ids
// of one order's events ascend: an event that was seen before, or is older than what we
// know, changes nothing. 0 is for an order that was read.
func (s *shop) apply(eventID int64, order document) bool {
	ours := s.Orders[order.Reference]
	if ours == nil || (eventID != 0 && eventID <= ours.EventID) {
		return false // not this shop's, or no news
	}
	ours.Status = "other_terms"
	if order.Amount == ours.Amount && order.Currency == ours.Currency {
		ours.Status = order.Status
	}
	ours.PaidAmount, ours.RefundedAmount = order.PaidAmount, order.RefundedAmount
	ours.Flagged = len(order.Anomalies) > 0
	ours.EventID = max(ours.EventID, eventID)
	// Act here, in the same transaction: what is paid, not flagged and not shipped yet
	// becomes a row "to ship", which another program takes up.
	return true
}

// catchUp reads what the feed has after the cursor: what a push could not bring.
func (s *shop) catchUp(ctx context.Context) error {
	for {
		s.mu.Lock()
		cursor := s.Cursor
		s.mu.Unlock()
		var p page
		err := s.conciliar(ctx, http.MethodGet, "/api/orders/changes?limit=100&after="+url.QueryEscape(cursor), nil, &p)
		if errors.Is(err, refusal(http.StatusGone)) {
			p, err = s.startOver(ctx)
		}
		if err != nil {
			return err
		}
		s.mu.Lock()
		for _, e := range p.Items {
			s.apply(e.ID, e.Data.Order)
		}
		s.Cursor = p.NextCursor
		err = s.save() // events and cursor together
		s.mu.Unlock()
		if err != nil || len(p.Items) == 0 {
			return err
		}
	}
}

// startOver answers the end of the feed, and reads each order once after it is known.
func (s *shop) startOver(ctx context.Context) (page, error) {
	var end page
	if err := s.conciliar(ctx, http.MethodGet, "/api/orders/changes?after=latest", nil, &end); err != nil {
		return end, err
	}
	s.mu.Lock() // no event comes in between
	defer s.mu.Unlock()
	for _, reference := range slices.Collect(maps.Keys(s.Orders)) {
		var order document
		err := s.conciliar(ctx, http.MethodGet, orderPath(reference), nil, &order)
		if errors.Is(err, refusal(http.StatusNotFound)) {
			continue // it was kept here and never registered
		}
		if err != nil {
			return end, err
		}
		s.apply(0, order)
	}
	return end, nil
}

// receive is for Conciliar.
func (s *shop) receive(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		answer(w, http.StatusRequestEntityTooLarge, map[string]string{"error": "too large"})
		return
	}
	// The signature is over the bytes: verify before reading them as JSON.
	if !s.signed(r.Header, body, time.Now()) {
		answer(w, http.StatusUnauthorized, map[string]string{"error": "signature"})
		return
	}
	var e event
	id, err := strconv.ParseInt(r.Header.Get("webhook-id"), 10, 64)
	if err = errors.Join(err, json.Unmarshal(body, &e)); err != nil {
		answer(w, http.StatusBadRequest, map[string]string{"error": "not understood"})
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	changed := s.apply(id, e.Data.Order)
	// Also of a repeat: what came before may not have been saved.
	if err := s.save(); err != nil {
		// Any answer but 2xx, or none, is tried again.
		slog.Error("not saved", "error", err)
		answer(w, http.StatusInternalServerError, map[string]string{"error": "internal"})
		return
	}
	answer(w, http.StatusOK, map[string]bool{"changed": changed})
}

// create is for trying, and open to anybody, as show is.
func (s *shop) create(w http.ResponseWriter, r *http.Request) {
	var ours shopOrder
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody)).Decode(&ours); err != nil {
		answer(w, http.StatusBadRequest, map[string]string{"error": "not understood"})
		return
	}
	if err := s.register(r.Context(), ours); err != nil {
		answer(w, http.StatusBadGateway, map[string]string{"error": err.Error()})
		return
	}
	s.show(w, ours.Reference)
}

func (s *shop) show(w http.ResponseWriter, reference string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if ours := s.Orders[reference]; ours != nil {
		answer(w, http.StatusOK, ours)
		return
	}
	answer(w, http.StatusNotFound, map[string]string{"error": "no such order"})
}

func answer(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	if err := json.NewEncoder(w).Encode(body); err != nil {
		slog.Warn("answering", "error", err)
	}
}

func run(ctx context.Context) error {
	s := &shop{
		service: os.Getenv("SERVICE"), token: os.Getenv("ORDERS_TOKEN"),
		file: cmp.Or(os.Getenv("SHOP_DATA"), "shop.json"), Orders: map[string]*shopOrder{},
	}
	for _, text := range strings.Split(os.Getenv("ORDER_EVENTS_SECRETS"), ",") {
		secret, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(strings.TrimSpace(text), "whsec_"))
		if err != nil || len(secret) == 0 {
			return errors.New("ORDER_EVENTS_SECRETS must be whsec_ and base64") // an empty one is known to everybody
		}
		s.secrets = append(s.secrets, secret)
	}
	text, err := os.ReadFile(s.file)
	if err == nil {
		err = json.Unmarshal(text, s)
	}
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /conciliar", s.receive)
	mux.HandleFunc("POST /orders", s.create)
	mux.HandleFunc("GET /orders/{reference}", func(w http.ResponseWriter, r *http.Request) { s.show(w, r.PathValue("reference")) })
	ln, err := (&net.ListenConfig{}).Listen(ctx, "tcp", cmp.Or(os.Getenv("SHOP_ADDR"), "127.0.0.1:8090"))
	if err != nil {
		return err
	}
	go func() {
		for {
			if err := s.catchUp(ctx); err != nil { // the next turn tries again
				slog.Error("catching up", "error", err)
			}
			<-time.After(time.Minute)
		}
	}()
	_, _ = fmt.Fprintf(os.Stdout, "shop listens on http://%s\n", ln.Addr())
	return (&http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}).Serve(ln)
}

func main() {
	if err := run(context.Background()); err != nil {
		slog.Error("shop", "error", err)
		os.Exit(1)
	}
}
