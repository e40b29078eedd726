package store

import (
	"context"
	"maps"
	"regexp"
	"slices"
	"time"

	"github.com/conciliar/conciliar/store/order"
)

// caseAttempts is of how many events a case has the attempts.
const caseAttempts = 50

// someone stands for a person in a case, and leftOut for what they wrote.
const (
	someone = "(a person)"
	leftOut = "(left out)"
)

// A Case is all that is known under a reference, to be handed to a developer. It has
// nothing of the payer and of the people who act: no body, no answer of the provider's,
// no query, no address, no name, and no text that a person wrote.
type Case struct {
	OrderFacts

	// Logs are the states of its payments, the oldest first.
	Logs []LoggedPayment
	// Attempts are the attempts of the newest events that failed at least once, by event.
	Attempts map[int64][]AttemptFailure
	// Deliveries are the newest messages about it to the shop.
	Deliveries []Delivery
	// Movements are those of its payments in money reports, Refunds those asked for here,
	// Findings what reconciliations found of it.
	Movements []BookedMovement
	Refunds   []Refund
	Findings  []Finding
}

// OrderCase returns the case of an order. The error wraps ErrOrderNotFound where nothing
// is known under the reference.
func (s *Store) OrderCase(ctx context.Context, reference string) (Case, error) {
	facts, err := s.OrderFacts(ctx, reference)
	if err != nil {
		return Case{}, err
	}
	if facts.Order == nil && len(facts.Payments)+len(facts.Events)+len(facts.Anomalies) == 0 {
		return Case{}, ErrOrderNotFound.With(reference)
	}
	c := Case{OrderFacts: facts.withoutPeople(), Attempts: map[int64][]AttemptFailure{}}
	if c.Logs, err = s.OrderPaymentLogs(ctx, reference, factRows); err != nil {
		return c, err
	}
	for _, e := range c.Events {
		if e.LastError == nil || len(c.Attempts) >= caseAttempts {
			continue
		}
		detail, err := s.Event(ctx, e.QueueID)
		if err != nil {
			return c, err
		}
		for i := range detail.AttemptErrors {
			detail.AttemptErrors[i].Error = withoutAddress(detail.AttemptErrors[i].Error)
		}
		c.Attempts[e.QueueID] = detail.AttemptErrors
	}
	deliveries, err := s.Deliveries(ctx, DeliveryFilter{Reference: reference}, Page{Limit: factRows})
	if err != nil {
		return c, err
	}
	refunds, err := s.Refunds(ctx, RefundFilter{OrderReference: reference}, Page{Limit: factRows})
	if err != nil {
		return c, err
	}
	c.Deliveries, c.Refunds = deliveries.Items, refunds.Items
	for i := range c.Refunds {
		c.Refunds[i].RequestedBy, c.Refunds[i].Note, c.Refunds[i].Error = someone, "", ""
	}
	return c, wrap(s.readCase(ctx, &c), "case of order %q", reference)
}

// readCase reads what a case has of the payments it is about.
func (s *Store) readCase(ctx context.Context, c *Case) (err error) {
	var sources, ids []string
	for _, p := range c.Payments {
		sources, ids = append(sources, p.Source), append(ids, p.ID)
	}
	c.Movements, err = readAll[BookedMovement](ctx, s.pool, `
		SELECT `+movementListColumns+` FROM unnest($1::text[], $2::text[]) AS p (source, payment_id)
		JOIN account_movements m ON m.source = p.source AND m.payment_id = p.payment_id
		ORDER BY m.happened_at, m.id LIMIT $3`, sources, ids, factRows)
	if err != nil {
		return err
	}
	c.Findings, err = readAll[Finding](ctx, s.pool, `SELECT *`+findingsFrom+` WHERE id IN (
			SELECT id FROM webhook_reconciliation_findings WHERE order_reference = $1
			UNION
			SELECT f.id FROM webhook_reconciliation_findings f JOIN unnest($2::text[], $3::text[]) AS p (source, payment_id) USING (source, payment_id))
		ORDER BY id DESC LIMIT $4`, text(c.Reference), sources, ids, factRows)
	return err
}

// withoutPeople are the facts without names and without what people wrote.
func (f OrderFacts) withoutPeople() OrderFacts {
	if f.Order != nil {
		o := *f.Order
		o.Timeline, o.Anomalies = slices.Clone(o.Timeline), nil
		for i, change := range o.Timeline {
			o.Timeline[i].Reason = ""
			if change.Actor != "" {
				o.Timeline[i].Actor = someone
			}
		}
		f.Order = &o
	}
	f.Anomalies = slices.Clone(f.Anomalies)
	for i, a := range f.Anomalies {
		if a.ByPerson() {
			f.Anomalies[i].ClosedBy, f.Anomalies[i].Note = someone, leftOut
		}
		if a.ClosedAt == nil && f.Order != nil {
			f.Order.Anomalies = append(f.Order.Anomalies, f.Anomalies[i])
		}
	}
	f.Dismissals = maps.Clone(f.Dismissals)
	for id, d := range f.Dismissals {
		f.Dismissals[id] = Dismissal{By: someone, At: d.At, Note: leftOut}
	}
	f.Machine.Paused = maps.Clone(f.Machine.Paused)
	for name, p := range f.Machine.Paused {
		f.Machine.Paused[name] = PausedQueue{Since: p.Since, By: someone}
	}
	f.Events = slices.Clone(f.Events)
	for i, e := range f.Events {
		if e.LastError != nil {
			bare := withoutAddress(*e.LastError)
			f.Events[i].LastError = &bare
		}
	}
	return f
}

// address is an e-mail address. Errors quote nothing of an answer; this is for those that
// an earlier release wrote, and for what River caught.
var address = regexp.MustCompile(`[^\s"'<>@]+@[^\s"'<>@]+`)

func withoutAddress(text string) string { return address.ReplaceAllString(text, leftOut) }

// A CaseDocument is a case as a file. Its parts are those of other answers; what it has
// may grow.
type CaseDocument struct {
	// Version is the program's, At the moment of what it shows.
	Version   string    `json:"version"`
	At        time.Time `json:"at"`
	Reference string    `json:"reference"`
	// Verdict is why the order is as it is, in English.
	Verdict any `json:"verdict"`
	// Order is null where none is registered; then Payments are those that name it.
	Order    *OrderDocument    `json:"order"`
	Payments []paymentDocument `json:"payments"`
	Rules    caseRules         `json:"rules"`

	PaymentLogs []caseLog      `json:"payment_logs"`
	Events      []caseEvent    `json:"events"`
	Anomalies   []Anomaly      `json:"anomalies"`
	Deliveries  []Delivery     `json:"deliveries"`
	Movements   []caseMovement `json:"movements"`
	Refunds     []caseRefund   `json:"refunds"`
	Findings    []Finding      `json:"findings"`
	// Refused are deliveries that name one of its payments and were refused since that
	// was read.
	Refused []caseRefused `json:"refused"`
	Service caseService   `json:"service"`
}

// caseRules say which payments count.
type caseRules struct {
	CollectorID string     `json:"collector_id"`
	Sellers     []string   `json:"sellers"`
	Mode        order.Mode `json:"mode"`
}

type caseLog struct {
	PaymentLog
	QueueID int64 `json:"queue_id"`
}

type caseEvent struct {
	Event
	AttemptErrors []AttemptFailure `json:"attempt_errors"`
}

type caseMovement struct {
	PaymentID   string    `json:"payment_id"`
	HappenedAt  time.Time `json:"happened_at"`
	Class       string    `json:"class"`
	Description string    `json:"description"`
	Credit      string    `json:"credit"`
	Debit       string    `json:"debit"`
	Currency    string    `json:"currency"`
	PayoutID    *string   `json:"payout_id"`
}

type caseRefund struct {
	ID          string     `json:"id"`
	PaymentID   string     `json:"payment_id"`
	Amount      string     `json:"amount"`
	Currency    string     `json:"currency"`
	State       string     `json:"state"`
	Reason      string     `json:"reason"`
	Tries       int        `json:"tries"`
	RequestedAt time.Time  `json:"requested_at"`
	EndedAt     *time.Time `json:"ended_at"`
	QueueID     *int64     `json:"queue_id"`
}

type caseRefused struct {
	ID        int64     `json:"id"`
	PaymentID string    `json:"payment_id"`
	At        time.Time `json:"at"`
}

// caseService is what the service was able to do at that moment.
type caseService struct {
	Provider         ProviderState          `json:"provider"`
	Workers          int64                  `json:"workers"`
	PausedQueues     map[string]PausedQueue `json:"paused_queues"`
	WebhookAccepted  *time.Time             `json:"webhook_accepted_at"`
	WebhooksRefused  int64                  `json:"webhooks_refused"`
	UnreadWaiting    int64                  `json:"unread_waiting"`
	UnreadFailed     int64                  `json:"unread_failed"`
	SimilarPayments  []string               `json:"similar_payments"`
	SimilarOrdersNum int                    `json:"similar_orders"`
}

// NewCaseDocument returns the document of a case. verdict is what its facts come to.
func NewCaseDocument(version string, c Case, verdict any) CaseDocument {
	doc := CaseDocument{
		Version: version, At: c.At.UTC(), Reference: c.Reference, Verdict: verdict, Payments: mapped(c.Payments, newPaymentDocument),
		Rules:       caseRules{CollectorID: c.Rules.CollectorID, Sellers: append([]string{}, c.Rules.Sellers...), Mode: c.Rules.Mode},
		PaymentLogs: mapped(c.Logs, func(l LoggedPayment) caseLog { return caseLog(l) }),
		Events: mapped(c.Events, func(e Event) caseEvent {
			return caseEvent{Event: e, AttemptErrors: append([]AttemptFailure{}, c.Attempts[e.QueueID]...)}
		}),
		Anomalies: append([]Anomaly{}, c.Anomalies...), Deliveries: append([]Delivery{}, c.Deliveries...), Findings: append([]Finding{}, c.Findings...),
		Movements: mapped(c.Movements, func(m BookedMovement) caseMovement {
			return caseMovement{
				PaymentID: m.PaymentID, HappenedAt: m.HappenedAt.UTC(), Class: m.Class, Description: m.Description,
				Credit: order.FormatAmount(m.Credit, m.Currency), Debit: order.FormatAmount(m.Debit, m.Currency), Currency: m.Currency, PayoutID: orNil(m.PayoutID),
			}
		}),
		Refunds: mapped(c.Refunds, func(r Refund) caseRefund {
			return caseRefund{
				ID: r.ID, PaymentID: r.PaymentID, Amount: order.FormatAmount(r.Amount, r.Currency), Currency: r.Currency, State: r.State, Reason: r.Reason,
				Tries: r.Tries, RequestedAt: r.RequestedAt.UTC(), EndedAt: said(deref(r.EndedAt)), QueueID: r.QueueID,
			}
		}),
		Refused: mapped(c.Refused, func(r RefusedNews) caseRefused { return caseRefused{r.ID, r.PaymentID, r.At.UTC()} }),
		Service: caseService{
			Provider: c.Provider, Workers: c.Machine.Workers, PausedQueues: c.Machine.Paused, WebhookAccepted: c.Intake.AcceptedAt,
			WebhooksRefused: c.Intake.Refused, UnreadWaiting: c.Unread.Waiting, UnreadFailed: c.Unread.Failed,
			SimilarPayments: mapped(c.Near, func(n NearPayment) string { return n.PaymentID }), SimilarOrdersNum: len(c.NearOrders),
		},
	}
	if c.Order != nil {
		o := NewOrderDocument(*c.Order)
		doc.Order = &o
	}
	return doc
}
