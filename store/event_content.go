package store

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"slices"
	"time"
	"unicode/utf8"
)

// Encodings of a Content.
const (
	EncodingText   = "text"
	EncodingBase64 = "base64"
)

// A Content is bytes as a person and JSON can take them.
type Content struct {
	// Encoding is EncodingText for bytes that are UTF-8, else EncodingBase64
	// (RFC 4648, section 4, with padding).
	Encoding string `json:"encoding"`
	Data     string `json:"data"`
	// Bytes is the length of what Data stands for.
	Bytes int `json:"bytes"`
}

func newContent(b []byte) Content {
	if utf8.Valid(b) {
		return Content{Encoding: EncodingText, Data: string(b), Bytes: len(b)}
	}
	return Content{Encoding: EncodingBase64, Data: base64.StdEncoding.EncodeToString(b), Bytes: len(b)}
}

// A Body is a delivery's body. Those who may not see it see how long it is, and
// can compare its hash.
type Body struct {
	// Payload is the body as received, any bytes; nil where it is hidden.
	Payload *Content `json:"payload"`
	// PayloadBytes is its length, and PayloadSHA256 its hash in hexadecimal.
	PayloadBytes  int    `json:"payload_bytes"`
	PayloadSHA256 string `json:"payload_sha256"`
	// EmptiedAt is when body, address and answer were emptied, nil while they are kept.
	EmptiedAt *time.Time `json:"emptied_at"`
	// Resource is the provider's answer where an attempt could not apply it; nil
	// where there is none, and where it is hidden.
	Resource *Content `json:"resource"`
}

func newBody(payload, resource []byte, emptiedAt *time.Time) Body {
	content, sum := newContent(payload), sha256.Sum256(payload)
	toUTC(emptiedAt)
	b := Body{Payload: &content, PayloadBytes: len(payload), PayloadSHA256: hex.EncodeToString(sum[:]), EmptiedAt: emptiedAt}
	if resource != nil {
		answer := newContent(resource)
		b.Resource = &answer
	}
	return b
}

func (b Body) hidden() Body {
	return Body{PayloadBytes: b.PayloadBytes, PayloadSHA256: b.PayloadSHA256, EmptiedAt: b.EmptiedAt}
}

// WithoutContent is the event without what its sender and the provider wrote, which
// may hold a payer's data, and without addresses.
func (d EventDetail) WithoutContent() EventDetail {
	d.Body, d.Query, d.RemoteIP, d.Actions = d.Body.hidden(), "", nil, withoutAddresses(d.Actions)
	return d
}

// WithoutContent is the dead letter without what the sender and the provider wrote,
// which may hold a payer's data, and without addresses.
func (d DeadLetterDetail) WithoutContent() DeadLetterDetail {
	d.Body, d.Actions = d.Body.hidden(), withoutAddresses(d.Actions)
	return d
}

// WithoutContent is the delivery without what its sender wrote, which may hold a
// payer's data, and without its address.
func (r RefusedDelivery) WithoutContent() RefusedDelivery {
	r.Query, r.RemoteIP = "", nil
	return r
}

// WithoutContent is the delivery without what its sender wrote, which may hold a
// payer's data, and without its address.
func (d RefusedDetail) WithoutContent() RefusedDetail {
	d.RefusedDelivery, d.Body = d.RefusedDelivery.WithoutContent(), nil
	return d
}

// WithoutContent is the delivery without what its receiver answered, which may hold a
// payer's data.
func (d DeliveryDetail) WithoutContent() DeliveryDetail {
	d.Log = slices.Clone(d.Log)
	for i := range d.Log {
		d.Log[i].Answer = ""
	}
	return d
}

// WithoutContent is the payment without the provider's answer, which holds the
// payer's data.
func (k KnownPayment) WithoutContent() KnownPayment {
	k.Raw = nil
	return k
}

func withoutAddresses(actions []OperatorAction) []OperatorAction {
	bare := slices.Clone(actions)
	for i := range bare {
		bare[i] = bare[i].WithoutContent()
	}
	return bare
}
