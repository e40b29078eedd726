package store

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"regexp"
	"time"
)

// ErrRefusedNotFound means that no refused delivery has that id: the ring keeps
// the newest 10,000 of seven days.
var ErrRefusedNotFound = noSuch("refused delivery", "refused_not_found")

// A RefusedFilter selects refused deliveries; an empty field selects all.
type RefusedFilter struct {
	Reason, Source string
	// Named is a payment's id or a request id that the delivery names.
	Named string
	// Since and Until bound the time of refusal: [Since, Until).
	Since, Until time.Time
}

// A RefusedDelivery is a webhook that was refused.
type RefusedDelivery struct {
	ID         int64     `json:"id"`
	RefusedAt  time.Time `json:"refused_at"`
	Source     string    `json:"source"`
	Reason     string    `json:"reason"`
	Method     string    `json:"method"`
	Query      string    `json:"query"`
	XRequestID string    `json:"x_request_id"`
	RemoteIP   *string   `json:"remote_ip"`
	// BodyBytes is the body's length as far as it was read.
	BodyBytes int64 `json:"body_bytes"`
}

// A SignatureHeader is a signature as it came. It may be a genuine one, refused
// for what a proxy changed around it, so that as text and in JSON only the
// beginning of each hash can be read.
type SignatureHeader string

// hash is what of a signature is too long to be a time, with the little of it
// that is shown.
var hash = regexp.MustCompile(`([^\s,;=]{4})[^\s,;=]{12,}`)

// String returns what may be shown.
func (h SignatureHeader) String() string { return hash.ReplaceAllString(string(h), "$1…") }

// MarshalText returns what may be shown.
func (h SignatureHeader) MarshalText() ([]byte, error) { return []byte(h.String()), nil }

// Reveal returns the whole header, to be verified and not to be shown.
func (h SignatureHeader) Reveal() string { return string(h) }

// A RefusedDetail is a refused delivery with what was signed and sent.
type RefusedDetail struct {
	RefusedDelivery
	XSignature SignatureHeader `json:"x_signature"`
	// Body is at most the first 64 KiB; nil where it is hidden. BodySHA256 is the
	// hash of what is kept of it, in hexadecimal.
	Body       *Content `json:"body"`
	BodySHA256 string   `json:"body_sha256"`
}

const refusedColumns = `id, refused_at, source, reason, method, query, x_request_id, host(remote_ip), body_bytes`

// RefusedDeliveries returns one page of the refused deliveries that the filter
// selects.
func (s *Store) RefusedDeliveries(ctx context.Context, filter RefusedFilter, page Page) (List[RefusedDelivery], error) {
	var c conditions
	filter.narrow(&c)
	return readPage(ctx, s, "refused deliveries", `SELECT `+refusedColumns+` FROM webhook_refused`, "id", c, page,
		rowTo[RefusedDelivery], func(r RefusedDelivery) int64 { return r.ID })
}

// RefusedDelivery returns one refused delivery, or ErrRefusedNotFound.
func (s *Store) RefusedDelivery(ctx context.Context, id int64) (RefusedDetail, error) {
	found, err := readOne[keptRefused](ctx, s.pool, `SELECT `+refusedColumns+`, x_signature, body FROM webhook_refused WHERE id = $1`, id)
	if err = ErrRefusedNotFound.ifNone(err, id); err != nil {
		return RefusedDetail{}, fmt.Errorf("refused delivery %d: %w", id, err)
	}
	return found.detail(), nil
}

// A keptRefused is a refused delivery as it is kept.
type keptRefused struct {
	RefusedDelivery

	XSignature SignatureHeader
	Body       []byte
}

func (k keptRefused) detail() RefusedDetail {
	content, sum := newContent(k.Body), sha256.Sum256(k.Body)
	return RefusedDetail{
		RefusedDelivery: k.RefusedDelivery, XSignature: k.XSignature, Body: &content, BodySHA256: hex.EncodeToString(sum[:]),
	}
}
