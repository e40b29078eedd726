package simulator

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strconv"
	"time"
)

// A Result is how a notification ended.
type Result struct {
	// StatusCode is the answer's HTTP status; 0 when no answer came.
	StatusCode int
	// QueueID and Duplicate are what the answer says; zero when it says
	// nothing of the kind.
	QueueID   int64
	Duplicate bool
	// Err is why no answer came, or why nothing was sent.
	Err error
}

// Acknowledged reports whether Mercado Pago would take the notification for
// received.
func (r Result) Acknowledged() bool { return r.Err == nil && r.StatusCode/100 == 2 }

// Notify sends one signed notification about a payment and returns its answer.
// Every call is a delivery of its own, with its own x-request-id and signature.
// It is free of faults, and nothing is sent again.
func (s *Simulator) Notify(ctx context.Context, id string) Result {
	return s.sendMade(s.SignedRequest(ctx, id))
}

// SignedRequest makes the request that Notify would send.
func (s *Simulator) SignedRequest(ctx context.Context, id string) (*http.Request, error) {
	p, err := s.payment(id)
	if err != nil {
		return nil, err
	}
	action := "payment.created"
	if p.current.Load().previous != nil {
		action = "payment.updated"
	}
	return s.request(ctx, s.envelopeOf(p, action, 0, byHand, p.notified.Add(1)))
}

// byHand is the step of notifications outside of Run, and byRun keeps those of Run
// apart that are not about payments.
const (
	byHand = 1 << 32
	byRun  = 1 << 33
)

// An envelope is a notification as it travels: what a replay repeats.
type envelope struct {
	query  string
	header http.Header
	body   []byte
}

// notificationBody is the body of a payment notification. Ids appear as
// numbers and as strings.
type notificationBody struct {
	Action      string `json:"action"`
	APIVersion  string `json:"api_version"`
	Data        object `json:"data"`
	DateCreated string `json:"date_created"`
	ID          any    `json:"id"`
	LiveMode    bool   `json:"live_mode"`
	Type        string `json:"type"`
	UserID      any    `json:"user_id"`
}

// envelopeOf makes and signs a notification about a payment. The keys say
// which one it is; they decide what is drawn.
func (s *Simulator) envelopeOf(p *payment, action string, attempt int, keys ...uint64) *envelope {
	chance := draws(s.cfg.Seed, forEnvelope, append([]uint64{p.seq, uint64(attempt)}, keys...)...) //nolint:gosec // not negative
	now := s.now()
	requestID, ts := s.stamp(chance, now)
	id := strconv.FormatInt(p.id, 10)
	body := encoded(notificationBody{
		Action:      action,
		APIVersion:  "v1",
		Data:        object{"id": numberOrText(chance.IntN(4) == 0, p.id)},
		DateCreated: p.current.Load().state.DateLastUpdated.UTC().Format("2006-01-02T15:04:05Z"),
		ID:          numberOrText(chance.IntN(4) != 0, 100_000_000_000+chance.Int64N(800_000_000_000)),
		LiveMode:    p.liveMode,
		Type:        "payment",
		UserID:      numberOrText(chance.IntN(4) == 0, p.collectorID),
	})
	return s.seal(s.secretOf(p.collectorID), "payment", id, requestID, ts, attempt, body)
}

// stamp draws the request id and the time that a notification made now bears.
func (s *Simulator) stamp(chance *rand.Rand, now time.Time) (requestID, ts string) {
	requestID = uuidFrom(chance)
	// Real deliveries carry seconds; the documentation speaks of
	// milliseconds and shows both.
	ts = strconv.FormatInt(now.Unix(), 10)
	if chance.IntN(8) == 0 {
		ts = strconv.FormatInt(now.UnixMilli(), 10)
	}
	return requestID, ts
}

// seal signs a notification of a topic.
func (*Simulator) seal(secret, topic, id, requestID, ts string, attempt int, body []byte) *envelope {
	return &envelope{
		query: "data.id=" + id + "&type=" + topic,
		header: http.Header{
			"Accept":           {"*/*"},
			"Content-Type":     {"application/json"},
			"User-Agent":       {"MercadoPago WebHook v1.0 " + topic},
			"X-Request-Id":     {requestID},
			"X-Retry":          {strconv.Itoa(attempt)},
			"X-Signature":      {Sign(secret, id, requestID, ts)},
			"X-Socket-Timeout": {strconv.FormatInt(answerLimit.Milliseconds(), 10)},
		},
		body: body,
	}
}

// numberOrText is n as a JSON number or as a JSON string.
func numberOrText(number bool, n int64) any {
	if number {
		return n
	}
	return strconv.FormatInt(n, 10)
}

// request addresses an envelope to the target.
func (s *Simulator) request(ctx context.Context, e *envelope) (*http.Request, error) {
	target := s.target.Load()
	if target == nil {
		return nil, errors.New("no target for notifications")
	}
	to := *target
	if to.RawQuery != "" {
		to.RawQuery += "&"
	}
	to.RawQuery += e.query
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, to.String(), bytes.NewReader(e.body))
	if err != nil {
		return nil, fmt.Errorf("making a notification: %w", err)
	}
	req.Header = e.header.Clone()
	return req, nil
}
