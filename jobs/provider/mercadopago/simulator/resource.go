package simulator

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
)

// ErrUnknownResource is the error for a resource that was never created.
var ErrUnknownResource = errors.New("unknown resource")

// A ResourceKind is a kind of resource that is about one payment.
type ResourceKind int

// The kinds of resources.
const (
	Chargeback ResourceKind = iota + 1
	Claim
	AuthorizedPayment
	PaymentIntent
	// OnlineOrder is a Mercado Pago order that names no payment's id: only the
	// payments' search leads to its payment. QROrder and PointOrder name it.
	OnlineOrder
	QROrder
	PointOrder
	// FraudAlert is a notification about a payment, with nothing to fetch.
	FraudAlert
)

// A resource is about one payment, and says what the payment is when it is asked
// for.
type resource struct {
	kind    ResourceKind
	id      string
	payment *payment
}

// A resourceShape is how the resources of a kind look.
type resourceShape struct {
	// path is where they are, an id standing behind it; empty for nowhere.
	path string
	// topic is what the query of a notification says, and disputed what it says
	// of a payment that was charged back; topic again when empty.
	topic, disputed string
	// id is the id of the one about a payment.
	id func(s *Simulator, p *payment) string
	// answer is what a GET shows.
	answer func(s *Simulator, r *resource) object
	// notification is the body of a notification without what all have.
	notification func(s *Simulator, r *resource) object
}

var resourceShapes = map[ResourceKind]resourceShape{
	Chargeback: {
		path: "/v1/chargebacks/", topic: "topic_chargebacks_wh",
		// Too large for a float64.
		id: func(_ *Simulator, p *payment) string { return strconv.FormatInt(217_000_000_000_000_000+p.id, 10) },
		answer: func(_ *Simulator, r *resource) object {
			state := r.payment.current.Load().state
			return object{
				"id": r.id, "payments": []int64{r.payment.id}, "currency": state.Currency, "amount": amount{state.Amount},
				"coverage_elegible": true, "documentation_required": true, "documentation_status": "pending",
				"date_documentation_deadline": date(r.payment.createdAt.AddDate(0, 0, 10)),
				"date_last_updated":           date(state.DateLastUpdated), "live_mode": r.payment.liveMode,
			}
		},
		notification: func(_ *Simulator, r *resource) object {
			return object{
				"actions": []string{"changed_case_status"}, "type": "topic_chargebacks_wh",
				"data": object{"id": json.Number(r.id), "payment_id": r.payment.id, "site_id": "MLA"},
			}
		},
	},
	Claim: {
		path: "/post-purchase/v1/claims/", topic: "claim",
		id: func(_ *Simulator, p *payment) string { return strconv.FormatUint(5_200_000_000+p.seq, 10) },
		answer: func(_ *Simulator, r *resource) object {
			return object{
				"id": json.Number(r.id), "resource": "payment", "resource_id": r.payment.id, "status": "opened",
				"type": "mediations", "stage": "claim", "site_id": "MLA",
			}
		},
		notification: func(_ *Simulator, r *resource) object {
			return object{
				"action": "updated", "type": "claim", "data": object{"id": json.Number(r.id), "resource": "/v1/claims/" + r.id},
			}
		},
	},
	AuthorizedPayment: {
		path: "/authorized_payments/", topic: "subscription_authorized_payment",
		id: func(_ *Simulator, p *payment) string { return strconv.FormatUint(6_100_000_000+p.seq, 10) },
		answer: func(_ *Simulator, r *resource) object {
			state := r.payment.current.Load().state
			return object{
				"id": json.Number(r.id), "type": "scheduled", "status": "processed", "currency_id": state.Currency,
				"transaction_amount": amount{state.Amount}, "external_reference": r.payment.reference,
				"payment": object{"id": r.payment.id, "status": state.Status, "status_detail": state.StatusDetail},
			}
		},
		notification: func(_ *Simulator, r *resource) object {
			return object{
				"action": "updated", "type": "subscription_authorized_payment", "entity": "authorized_payment",
				"data": object{"id": r.id}, "version": 0,
			}
		},
	},
	PaymentIntent: {
		path: "/point/integration-api/payment-intents/", topic: "point_integration_wh",
		id: func(s *Simulator, p *payment) string { return uuidFrom(draws(s.cfg.Seed, forResource, p.seq)) },
		answer: func(_ *Simulator, r *resource) object {
			return object{"id": r.id, "state": "FINISHED", "payment": object{"id": strconv.FormatInt(r.payment.id, 10), "type": "credit_card"}}
		},
		notification: func(_ *Simulator, r *resource) object {
			state := r.payment.current.Load().state
			return object{
				"id": r.id, "state": "FINISHED", "amount": amount{state.Amount},
				"payment": object{"id": r.payment.id, "state": state.Status, "type": "credit_card"},
			}
		},
	},
	OnlineOrder: orderShape,
	QROrder:     orderShape,
	PointOrder:  orderShape,
	FraudAlert: {
		topic: "stop_delivery_op_wh",
		id:    func(_ *Simulator, p *payment) string { return strconv.FormatInt(p.id, 10) },
		notification: func(_ *Simulator, r *resource) object {
			return object{
				"action": "Created", "type": "stop_delivery_op_wh",
				"data": object{"description": "", "payment_id": r.payment.id, "site_id": "MLA"},
			}
		},
	},
}

// CreateResource makes the resource of the kind that is about a payment, and
// returns its id; the same one when it is there already. A payment has one of each
// kind. Nobody is told: see NotifyResource.
func (s *Simulator) CreateResource(kind ResourceKind, paymentID string) (id string, err error) {
	p, err := s.payment(paymentID)
	if err != nil {
		return "", err
	}
	return s.createResource(kind, p).id, nil
}

// createResource is CreateResource of a payment in hand.
func (s *Simulator) createResource(kind ResourceKind, p *payment) *resource {
	shape := resourceShapes[kind]
	id := shape.id(s, p)
	s.mu.Lock()
	defer s.mu.Unlock()
	if known := s.resources[shape.path+id]; known != nil {
		return known
	}
	r := &resource{kind: kind, id: id, payment: p}
	s.resources[shape.path+id] = r
	if r.isOrder() {
		s.mercadoPagoOrders = append(s.mercadoPagoOrders, r)
	}
	return r
}

// isOrder reports whether a resource is a Mercado Pago order.
func (r *resource) isOrder() bool { return resourceShapes[r.kind].path == ordersPath }

// NotifyResource is Notify about a resource instead of a payment.
func (s *Simulator) NotifyResource(ctx context.Context, kind ResourceKind, id string) Result {
	return s.sendMade(s.SignedResourceRequest(ctx, kind, id))
}

// SignedResourceRequest makes the request that NotifyResource would send.
func (s *Simulator) SignedResourceRequest(ctx context.Context, kind ResourceKind, id string) (*http.Request, error) {
	shape := resourceShapes[kind]
	r := s.resourceAt(shape.path + id)
	if r == nil {
		return nil, fmt.Errorf("%w: %s", ErrUnknownResource, id)
	}
	return s.request(ctx, s.resourceEnvelope(r, 0, s.notified.Add(1)))
}

// resourceEnvelope makes and signs a notification about a resource. The keys say
// which one it is; they decide what is drawn.
func (s *Simulator) resourceEnvelope(r *resource, attempt int, keys ...uint64) *envelope {
	shape := resourceShapes[r.kind]
	chance := draws(s.cfg.Seed, forResource, append([]uint64{r.payment.seq, uint64(attempt)}, keys...)...) //nolint:gosec // not negative
	body := encoded(s.completed(shape.notification(s, r), r.payment.collectorID, chance))
	requestID, ts := s.stamp(chance, s.now())
	e := s.seal(s.cfg.Secret, r.topic(), r.id, requestID, ts, attempt, body)
	if r.isOrder() {
		e.header.Set("X-Signature", s.signOrder(chance, r.id, requestID, ts))
	}
	return e
}

// topic is what the query of a notification says now.
func (r *resource) topic() string {
	shape := resourceShapes[r.kind]
	if r.payment.current.Load().state.Status == ChargedBack {
		return cmp.Or(shape.disputed, shape.topic)
	}
	return shape.topic
}

// completed adds what notifications have in common and the body doesn't say
// otherwise, where they have a type.
func (s *Simulator) completed(body object, collectorID int64, chance *rand.Rand) object {
	if body["type"] == nil {
		body["created_at"] = s.now().UTC().Format("2006-01-02 15:04:05")
		return body
	}
	all := object{
		"api_version":  "v1",
		"date_created": s.now().UTC().Format("2006-01-02T15:04:05Z"),
		"live_mode":    s.cfg.LiveMode,
		"user_id":      numberOrText(chance.IntN(2) == 0, collectorID),
	}
	maps.Copy(all, body)
	return all
}

// resourceAt finds a resource by its path, nil when there is none.
func (s *Simulator) resourceAt(path string) *resource {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.resources[path]
}

// getResource answers the GET of a resource.
func (s *Simulator) getResource(w http.ResponseWriter, r *http.Request) error {
	calls := s.counters.resources.Add(1)
	found := s.resourceAt(r.URL.Path)
	if s.cfg.TestCredentials && found != nil && found.kind == Chargeback {
		return &apiError{status: http.StatusForbidden, message: "forbidden", word: "forbidden"}
	}
	if found == nil || !s.shows(s.accountOf(r.Context()), found.payment.collectorID) {
		return &apiError{status: http.StatusNotFound, message: "resource not found", word: "not_found"}
	}
	if fault := s.fault(forResource, found.payment.seq, uint64(calls)); fault != nil { //nolint:gosec // counts up from 1
		return fault
	}
	writeJSON(w, http.StatusOK, encoded(resourceShapes[found.kind].answer(s, found)))
	return nil
}

// handleResources serves the paths of all kinds.
func (s *Simulator) handleResources(mux *http.ServeMux) {
	served := map[string]bool{}
	for _, shape := range resourceShapes {
		if shape.path == "" || served[shape.path] {
			continue
		}
		served[shape.path] = true
		mux.HandleFunc("GET "+strings.TrimSuffix(shape.path, "/")+"/{id}", s.guarded(s.getResource))
	}
}
