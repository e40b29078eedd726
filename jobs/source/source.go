// Package source is senders of webhooks that are declared and not programmed: how
// their deliveries are verified, where id, type and time stand in them, and what is
// made of one that is forwarded. It is pure: it knows neither files nor a database.
package source

import (
	"crypto/sha256"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/conciliar/conciliar/jobs/provider"
)

// A Spec declares a sender.
type Spec struct {
	// Name is the source of its events, and the last part of the path that it sends to.
	Name   string
	Verify Verify
	// ID, Type and Time say where these stand in a delivery; the zero Place for nowhere.
	ID, Type, Time Place
	// Forward is as what its events go on; nil for those that are only kept.
	Forward *Forward
}

// A FieldError is what is wrong with one field of a declaration. Its text holds no
// value.
type FieldError struct {
	// Name is the field's, with those that it is within: "verify.algorithm".
	Name    string
	Problem string
}

// Error implements error.
func (e *FieldError) Error() string { return e.Name + ": " + e.Problem }

// Field is the field's name.
func (e *FieldError) Field() string { return e.Name }

// fieldErrors gathers what is wrong with a declaration.
type fieldErrors []error

func (f *fieldErrors) demand(ok bool, field, problem string) {
	if !ok {
		*f = append(*f, &FieldError{field, problem})
	}
}

const (
	// maxID and maxType bound what is stored of a delivery's id and type. A longer id
	// counts whole in telling deliveries apart.
	maxID, maxType = 256, 128
	// unknownType is the topic of a delivery that names no type.
	unknownType = "unknown"
)

// Reasons for which a delivery is refused. They are stored, counted and shown: stable
// words, and the same as those of other receivers where they mean the same.
const (
	ReasonMissingSignatureHeader   = "missing_signature_header"
	ReasonAmbiguousSignatureHeader = "ambiguous_signature_header"
	ReasonMalformedSignatureHeader = "malformed_signature_header"
	ReasonSignatureMismatch        = "signature_mismatch"
	ReasonMissingTimestamp         = "missing_timestamp"
	ReasonTimestampOutOfTolerance  = "timestamp_out_of_tolerance"
	// ReasonMissingAuthorization: no token or password where one is expected.
	ReasonMissingAuthorization = "missing_authorization"
	// ReasonWrongAuthorization: a token or password that is not accepted.
	ReasonWrongAuthorization = "wrong_authorization"
	// ReasonAmbiguousHeader: a header that the sender's id, type or time is read from
	// is there more than once, with different values.
	ReasonAmbiguousHeader = "ambiguous_header"
)

// A Source is a declared sender. It is safe for concurrent use.
type Source struct {
	scheme          string
	name            string
	verifier        verifier
	tolerance       time.Duration
	id, typ, moment place
	forward         *forwarder
	now             func() time.Time
}

// New returns the sender that is declared. The error is one or several FieldErrors,
// joined.
func New(spec Spec) (*Source, error) {
	s := &Source{name: spec.Name, scheme: spec.Verify.Scheme, now: time.Now}
	var wrong fieldErrors
	s.id, s.typ, s.moment = wrong.place("id", spec.ID), wrong.place("type", spec.Type), wrong.place("time", spec.Time)
	s.verifier, s.tolerance = wrong.verifier(spec.Verify)
	if !s.id.isSet() {
		s.id = s.verifier.id
	}
	if spec.Forward != nil {
		s.forward = wrong.forwarder(*spec.Forward)
	}
	return s, errors.Join(wrong...)
}

// Scheme is how its deliveries are verified.
func (s *Source) Scheme() string { return s.scheme }

// SignatureHeader is the header with the signature; empty for a scheme of which it
// would hold the secret itself.
func (s *Source) SignatureHeader() string {
	if s.scheme == "bearer" || s.scheme == "basic" {
		return ""
	}
	return s.verifier.header
}

// Notes are what in the declaration has no effect.
func (s *Source) Notes() []string {
	if s.tolerance > 0 && !s.verifier.timed && !s.moment.isSet() {
		return []string{"tolerance has no effect without time"}
	}
	return nil
}

// Onward returns a source that is received otherwise and is only forwarded. The error
// is that of New.
func Onward(name string, forward Forward) (*Source, error) {
	var wrong fieldErrors
	s := &Source{name: name, forward: wrong.forwarder(forward)}
	return s, errors.Join(wrong...)
}

// Name is the source of its events.
func (s *Source) Name() string { return s.name }

// Work is what an event of it asks for.
func (s *Source) Work() provider.Work {
	if s.forward != nil {
		return provider.Forward
	}
	return provider.Keep
}

// Receive accepts a delivery or refuses it; the error is a *provider.Refusal. One that
// is verified is refused for nothing that its body holds: without an id it is never a
// duplicate, and without a type it has the topic "unknown".
func (s *Source) Receive(d provider.Delivery) (provider.Event, error) {
	read := reading{header: d.Header, body: d.Body}
	if name, ambiguous := s.ambiguous(d.Header); ambiguous {
		if name == s.verifier.header {
			return provider.Event{}, malformed(ReasonAmbiguousSignatureHeader)
		}
		return provider.Event{}, malformed(ReasonAmbiguousHeader)
	}
	signedAt, refusal := s.verifier.check(s, &read)
	if refusal == nil {
		refusal = s.checkTime(signedAt, &read)
	}
	if refusal != nil {
		return provider.Event{}, refusal
	}
	event := provider.Event{
		Source: s.name, Topic: clip(s.typ.in(&read), maxType), Work: s.Work(), Signed: true,
		NotifiedAt: parseTime(s.moment.in(&read)),
	}
	if event.Topic == "" {
		event.Topic = unknownType
	}
	if id := s.id.in(&read); id != "" {
		sum := sha256.Sum256([]byte("id\x00" + id))
		event.ResourceID, event.SignatureKey = clip(id, maxID), sum[:]
	}
	return event, nil
}

// ambiguous finds a header that is looked at and has different values.
func (s *Source) ambiguous(header http.Header) (name string, ambiguous bool) {
	for _, name := range []string{s.verifier.header, s.id.header, s.typ.header, s.moment.header} {
		if values := header[name]; len(values) > 1 && slices.ContainsFunc(values, func(v string) bool { return v != values[0] }) {
			return name, true
		}
	}
	return "", false
}

// checkTime refuses a delivery whose time is too far from now: the one that its scheme
// signs, else the one that is declared.
func (s *Source) checkTime(signedAt time.Time, read *reading) *provider.Refusal {
	if s.tolerance <= 0 || !s.verifier.timed && !s.moment.isSet() {
		return nil
	}
	if !s.verifier.timed {
		signedAt = parseTime(s.moment.in(read))
	}
	switch {
	case signedAt.IsZero():
		return unauthenticated(ReasonMissingTimestamp)
	case s.now().Sub(signedAt).Abs() > s.tolerance:
		return unauthenticated(ReasonTimestampOutOfTolerance)
	}
	return nil
}

func malformed(reason string) *provider.Refusal {
	return &provider.Refusal{Kind: provider.Malformed, Reason: reason}
}

func unauthenticated(reason string) *provider.Refusal {
	return &provider.Refusal{Kind: provider.Unauthenticated, Reason: reason}
}

// clip bounds a text without leaving a part of a character.
func clip(text string, most int) string {
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:most], "")
}
