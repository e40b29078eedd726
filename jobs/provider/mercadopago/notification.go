package mercadopago

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/conciliar/conciliar/jobs/provider"
)

const (
	topicTest  = "test"
	actionTest = "test.created"

	// testID is the id in every test that the dashboard sends, unless its user
	// types another one. Nothing stands behind it.
	testID = "123456"

	// maxHintBody is how much of a body we look into; a notification has about
	// 300 bytes. A longer one is accepted all the same, and is not a hint.
	maxHintBody = 64 << 10
)

// A Receiver turns deliveries into events. It is safe for concurrent use.
type Receiver struct {
	verifier      *Verifier
	allowUnsigned bool
	// sellers are the accounts beside the main one.
	sellers atomic.Pointer[[]string]
	// onward are the topics that are passed onward.
	onward atomic.Pointer[Onward]
}

// NewReceiver returns a receiver. With allowUnsigned it also takes what Mercado
// Pago does not sign in a way that can be verified: IPN (the IPN page) and the
// notifications of the older QR codes. Anyone can send these; all they do is
// name a payment to be fetched.
func NewReceiver(verifier *Verifier, allowUnsigned bool) *Receiver {
	return &Receiver{verifier: verifier, allowUnsigned: allowUnsigned}
}

// UseSellers makes these the accounts beside the main one. A delivery that says that
// it is about one of them is another than the same one without.
func (r *Receiver) UseSellers(accounts []string) { r.sellers.Store(&accounts) }

// isSeller reports whether an account is one beside the main one.
func (r *Receiver) isSeller(account string) bool {
	sellers := r.sellers.Load()
	return sellers != nil && slices.Contains(*sellers, account)
}

// Receive accepts a delivery or refuses it; the error is a *provider.Refusal.
//
// The query says what a delivery is about. The body, which no signature covers,
// fills in what the query lacks, and never the id of a signed delivery, unless the
// topic's id stands in the body alone. A body that can't be read is not a hint, nor a
// reason to refuse.
func (r *Receiver) Receive(d provider.Delivery) (provider.Event, error) {
	q := parseQuery(d.RawQuery)
	event, err := r.receive(d, q)
	if refusal, ok := errors.AsType[*provider.Refusal](err); ok {
		refusal.Channel = provider.Webhooks
		if q.isIPN() {
			refusal.Channel = provider.IPN
		}
		if topic := cmp.Or(q.topicWord(), readHints(d.Body).topic); topicNamed(topic) != nil {
			refusal.Topic = topic
		}
	}
	return event, err
}

func (r *Receiver) receive(d provider.Delivery, q query) (provider.Event, error) {
	ipn := q.isIPN()
	if d.Method != http.MethodPost && (d.Method != http.MethodGet || !ipn) {
		return provider.Event{}, malformed(ReasonUnexpectedMethod)
	}
	// An IPN carries an x-signature that can't be verified (the IPN page), and
	// if one day it could, it would not cover this form's id.
	if ipn && r.allowUnsigned {
		return receiveUnsigned(q, d.Body)
	}
	sig, refusal := r.verifier.verify(d.Header, q)
	switch {
	case refusal == nil:
		return r.receiveSigned(q, d.Body, sig), nil
	case r.allowUnsigned && refusal.Reason == ReasonMissingSignatureHeader:
		return receiveUnsigned(q, d.Body)
	}
	return provider.Event{}, refusal
}

// receiveSigned says what a delivery asks for whose signature was verified. A
// signature without an id is one over the time alone: the body's id is fetched
// then, and the fetch proves itself.
func (r *Receiver) receiveSigned(q query, body []byte, sig Signature) provider.Event {
	h := readHints(body)
	event := describe(q, h, cmp.Or(sig.DataID, h.resourceID))
	if event.Work == provider.Keep && r.onward.Load().Has(event.Topic) {
		event.Work = provider.Forward
	}
	event.Signed, event.Signature, event.SignatureKey = true, sig.Key, r.keyOf(sig, event, body)
	// No signature covers a body, and of what is passed onward the body is the work.
	event.Unbound = sig.DataID == "" || event.Work == provider.Forward
	return event
}

// keyOf is what a signed delivery is unique by: its signature and what it asks
// for. The signature covers neither the topic nor the body, so anyone who has seen a
// delivery can send it first under another topic: that must hide nothing. All
// topics without effect are one. With which seller's account a delivery asks for
// something is a part of that, too. The key begins with the signature's time, in seconds:
// new ones stand at the end of their index, and not on a page each of all that there are.
func (r *Receiver) keyOf(sig Signature, event provider.Event, body []byte) []byte {
	asked := string(provider.Keep)
	switch event.Work {
	case provider.Settle, provider.Follow, provider.FraudAlert:
		asked = string(event.Work) + "\x00" + topicNamed(event.Topic).names[0] + "\x00" + event.ResourceID
		if r.isSeller(event.CollectorID) {
			asked += "\x00" + event.CollectorID
		}
	case provider.Authorization:
		asked = string(event.Work) + "\x00" + event.ResourceID + "\x00" + event.CollectorID + "\x00" + event.Action
	case provider.Forward:
		sum := sha256.Sum256(body)
		asked = string(event.Work) + "\x00" + event.Topic + "\x00" + event.ResourceID + "\x00" + string(sum[:])
	case provider.Test:
		asked = string(provider.Test)
	case provider.Keep, provider.Unhandled:
	}
	sum := sha256.Sum256(append(slices.Clone(sig.Key), asked...))
	binary.BigEndian.PutUint32(sum[:], uint32(sig.Timestamp.Unix())) //nolint:gosec // its last 32 bits
	return sum[:]
}

// receiveUnsigned accepts a delivery as a hint to fetch something. One that does
// not say what to fetch hints at nothing, and is refused like a forged one.
func receiveUnsigned(q query, body []byte) (provider.Event, error) {
	h := readHints(body)
	id, refusal := q.signedID()
	if refusal == nil && id == "" {
		id, refusal = q.id.one(ReasonAmbiguousID, ReasonMalformedID)
	}
	if refusal != nil {
		return provider.Event{}, refusal
	}
	id = cmp.Or(id, h.resourceID)
	if id == "" || q.topicWord() == "" && h.topic == "" {
		return provider.Event{}, unauthenticated(ReasonMissingSignatureHeader)
	}
	return describe(q, h, id), nil
}

// describe says what a delivery is about, id being what it names to fetch.
func describe(q query, h hints, id string) provider.Event {
	topic := cmp.Or(word(q.topicWord()), word(h.topic), topicOfAction(h.action), unknownWord)
	id = resourceOf(topic, h, id)
	event := provider.Event{
		Source: Source, Topic: topic, Action: word(h.action), ResourceID: id, LiveMode: h.liveMode, CollectorID: h.userID,
		NotifiedAt: h.notifiedAt, Work: WorkOf(topic, id),
	}
	if isTest(q, h) {
		event.Work = provider.Test
	}
	return event
}

// topicOfAction is the topic that an action names, as "payment.updated" does, for a
// delivery that says no other; empty where that is none that we know.
func topicOfAction(action string) string {
	topic, _, _ := strings.Cut(word(action), ".")
	if topicNamed(topic) == nil {
		return ""
	}
	return topic
}

// resourceOf is the id that a delivery of the topic names, id being what its query
// does.
func resourceOf(topic string, h hints, id string) string {
	t := topicNamed(topic)
	if t == nil || t.bodyID == nil {
		return id
	}
	if of := t.bodyID(h.body); t.isID(of) {
		return of
	}
	return id
}

// ReadEvent says once more what a delivery names and asks for that was accepted,
// by its topic, its body, and what it was understood to name when it came.
func (*Client) ReadEvent(topic string, body []byte, resourceID string) (string, provider.Work) {
	id := resourceOf(topic, readHints(body), resourceID)
	return id, WorkOf(topic, id)
}

// isTest recognises what the panel's "simulate" button sends: its id or its type
// in the query, which alone is signed, and no live mode. A body's word alone
// never makes a test of an id that a payment could have: see TestBody.
func isTest(q query, h hints) bool {
	return h.liveMode != nil && !*h.liveMode && (q.dataID.value == testID || q.typ.value == topicTest)
}

// TestBody reports whether a body says of itself that it is the panel's test. It
// is believed where the resource that the delivery names is not found.
func TestBody(body []byte) bool {
	h := readHints(body)
	return h.liveMode != nil && !*h.liveMode && (h.envelopeID == testID || h.action == actionTest)
}

// hints is what a body says, believed where nothing better is known.
type hints struct {
	// body is nil where it can't be read.
	body          object
	topic, action string
	// envelopeID is the notification's own id, not the resource's.
	envelopeID string
	// resourceID is the id to fetch.
	resourceID string
	liveMode   *bool
	notifiedAt time.Time
	// userID is the account that the notification is about.
	userID string
}

func readHints(body []byte) hints {
	if len(body) == 0 || len(body) > maxHintBody {
		return hints{}
	}
	o, err := readObject(body)
	if err != nil {
		return hints{}
	}
	data := o.child("data")
	h := hints{
		body: o, topic: cmp.Or(o.str("type"), o.str("topic")), action: o.str("action"), envelopeID: o.id("id"), liveMode: o.boolean("live_mode"),
		userID: o.id("user_id"),
		// The other names that a resource's id has.
		resourceID: cmp.Or(data.id("id"), resourceID(o.scalar("resource")), data.id("new_card_id")),
	}
	h.notifiedAt = readTime(o.text("date_created"))
	if h.action == "" { // chargebacks have a list of them
		var actions []string
		if json.Unmarshal(o.value("actions"), &actions) == nil && len(actions) > 0 {
			h.action = actions[0]
		}
	}
	if h.resourceID == "" && slices.Contains(merchantOrderNames, h.topic) {
		h.resourceID = h.envelopeID
	}
	if isPoint(o) {
		h.topic = topicPoint
		h.resourceID = cmp.Or(o.ref("payment"), h.envelopeID)
	}
	return h
}

// resourceID is the id in an IPN's resource: a bare id, or an address that ends
// in it. The address is never called: its sender could name any host.
func resourceID(resource string) string {
	resource, _, _ = strings.Cut(resource, "#")
	resource, _, _ = strings.Cut(resource, "?")
	if _, rest, isAddress := strings.Cut(resource, "://"); isAddress {
		_, resource, _ = strings.Cut(rest, "/") // a host is not an id
	}
	resource = strings.TrimRight(resource, "/")
	id := resource[strings.LastIndex(resource, "/")+1:]
	if !validID(id) {
		return ""
	}
	return id
}
