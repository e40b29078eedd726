package mercadopago

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/conciliar/conciliar/jobs/provider"
)

const (
	headerSignature = "X-Signature"
	headerRequestID = "X-Request-Id"

	// signatureVersion is the only version that Mercado Pago documents.
	signatureVersion = "v1"

	// millisecondsFrom is where a ts stops being seconds. The webhooks page says
	// milliseconds and shows both; production sends seconds. 1e11 seconds are
	// the year 5138 and 1e11 milliseconds are 1973.
	millisecondsFrom = 100_000_000_000

	// maxRequestID bounds x-request-id; Mercado Pago sends a UUID.
	maxRequestID = 256
)

// A Verifier checks the x-signature of deliveries (the webhooks page): an
// HMAC-SHA256 over the query's data.id, the header x-request-id and the
// signature's own ts. Neither the body nor the topic is covered.
//
// It is safe for concurrent use and cannot print its secrets.
type Verifier struct {
	// Closures: whatever prints a Verifier finds addresses, no secrets.
	keyed *atomic.Pointer[[]func() hash.Hash]
	// sellers are those of the sellers beside the main account.
	sellers   *atomic.Pointer[[]func() hash.Hash]
	tolerance time.Duration
	now       func() time.Time
}

// A VerifierOption changes how a Verifier judges.
type VerifierOption func(*Verifier)

// WithTolerance refuses signatures whose ts is further than d from now, in
// either direction; exactly d is still accepted. Zero, the default, checks no
// time: Mercado Pago asks for none.
func WithTolerance(d time.Duration) VerifierOption {
	return func(v *Verifier) { v.tolerance = d }
}

// NewVerifier returns a verifier that accepts a signature made with any of the
// secrets: there are several during a rotation, and one for each application
// and mode. No secret, a blank one, or one with white space around it is an
// error, as anyone can sign with an empty secret and nobody with a mistyped one.
func NewVerifier(secrets []string, opts ...VerifierOption) (*Verifier, error) {
	v := &Verifier{now: time.Now, keyed: &atomic.Pointer[[]func() hash.Hash]{}, sellers: &atomic.Pointer[[]func() hash.Hash]{}}
	if err := v.UseSecrets(secrets); err != nil {
		return nil, err
	}
	for _, opt := range opts {
		opt(v)
	}
	if v.tolerance < 0 {
		return nil, fmt.Errorf("signature tolerance %s is negative", v.tolerance)
	}
	if v.now == nil {
		return nil, errors.New("the verifier's clock is nil")
	}
	return v, nil
}

// UseSecrets replaces the secrets. On an error, which is one of NewVerifier's, the
// old ones stay.
func (v *Verifier) UseSecrets(secrets []string) error {
	if len(secrets) == 0 {
		return errors.New("no webhook secret")
	}
	keyed, err := keyedBy(secrets)
	if err == nil {
		v.keyed.Store(&keyed)
	}
	return err
}

// UseSellerSecrets makes these the secrets that are accepted beside the main
// account's: sellers' own, who need not have any. On an error the old ones stay.
func (v *Verifier) UseSellerSecrets(secrets []string) error {
	keyed, err := keyedBy(secrets)
	if err == nil {
		v.sellers.Store(&keyed)
	}
	return err
}

// keyedBy are the hashes that secrets sign with.
func keyedBy(secrets []string) ([]func() hash.Hash, error) {
	keyed := make([]func() hash.Hash, len(secrets))
	for i, secret := range secrets {
		switch {
		case strings.TrimSpace(secret) == "":
			return nil, fmt.Errorf("webhook secret %d of %d is blank", i+1, len(secrets))
		case strings.TrimSpace(secret) != secret:
			return nil, fmt.Errorf("webhook secret %d of %d has white space around it", i+1, len(secrets))
		}
		keyed[i] = func() hash.Hash { return hmac.New(sha256.New, []byte(secret)) }
	}
	return keyed, nil
}

// accepted are the hashes of all secrets, the main account's first.
func (v *Verifier) accepted() []func() hash.Hash {
	sellers := v.sellers.Load()
	if sellers == nil || len(*sellers) == 0 {
		return *v.keyed.Load()
	}
	return append(slices.Clip(*v.keyed.Load()), *sellers...)
}

// A Signature is one that was verified.
type Signature struct {
	// Key is the signature itself, 32 bytes. The same delivery has the same key.
	Key []byte
	// DataID is the query's data.id as received: the id that was signed. Empty
	// when the delivery names none.
	DataID string
	// LowerCased is true when the signature covers DataID in lower case.
	LowerCased bool
	// Secret is the index of the secret that it was made with.
	Secret int
	// Timestamp is its ts.
	Timestamp time.Time
}

// Verify checks a delivery's headers and raw query. Its error is a
// *provider.Refusal: Malformed when the delivery cannot be read in one way
// only, Unauthenticated when the signature is absent or does not hold.
func (v *Verifier) Verify(header http.Header, rawQuery string) (Signature, error) {
	sig, refusal := v.verify(header, parseQuery(rawQuery))
	if refusal != nil {
		return Signature{}, refusal
	}
	return sig, nil
}

func (v *Verifier) verify(header http.Header, q query) (Signature, *provider.Refusal) {
	signature, alike := oneValue(header.Values(headerSignature))
	if !alike {
		return Signature{}, malformed(ReasonAmbiguousSignatureHeader)
	}
	requestID, alike := oneValue(header.Values(headerRequestID))
	if !alike {
		return Signature{}, malformed(ReasonAmbiguousRequestID)
	}
	h, refusal := parseSignatureHeader(signature)
	if refusal != nil {
		return Signature{}, refusal
	}
	dataID, refusal := q.signedID()
	if refusal != nil {
		return Signature{}, refusal
	}
	if requestID = strings.TrimSpace(requestID); !validRequestID(requestID) {
		return Signature{}, malformed(ReasonMalformedRequestID)
	}

	sig, found := v.match(h, dataID, requestID)
	if !found {
		return Signature{}, unauthenticated(ReasonSignatureMismatch)
	}
	// Only now: a forger learns nothing from what we think of the time.
	if v.tolerance > 0 && v.now().Sub(sig.Timestamp).Abs() > v.tolerance {
		return Signature{}, unauthenticated(ReasonTimestampOutOfTolerance)
	}
	return sig, nil
}

// oneValue is the value of a header that is there once, or several times alike.
// Were two of them different, then whoever stands between us and the sender may
// have read the other one.
func oneValue(values []string) (value string, alike bool) {
	for i, v := range values {
		if i > 0 && v != value {
			return "", false
		}
		value = v
	}
	return value, true
}

// match tries each secret over data.id as received and then in lower case: the
// webhooks page says that it is signed in lower case, the official SDKs since
// June 2026 that it is signed as sent. Either names the same resource.
func (v *Verifier) match(h signatureHeader, dataID, requestID string) (Signature, bool) {
	ids := []string{dataID}
	if lower := strings.ToLower(dataID); lower != dataID {
		ids = append(ids, lower)
	}
	accepted := v.accepted()
	for casing, id := range ids {
		text := manifest(id, requestID, h.ts)
		for i, keyed := range accepted {
			mac := keyed()
			mac.Write([]byte(text))
			sum := mac.Sum(nil)
			// As text, like the official SDKs: upper-case hex is not a signature.
			if subtle.ConstantTimeCompare([]byte(hex.EncodeToString(sum)), []byte(h.hash)) == 1 {
				return Signature{Key: sum, DataID: dataID, LowerCased: casing > 0, Secret: i, Timestamp: h.time}, true
			}
		}
	}
	return Signature{}, false
}

// Sign returns the value of the x-signature header that Mercado Pago would send
// for these values. An empty dataID or requestID is left out of what is signed.
// ts is a decimal number of seconds or milliseconds since 1970.
func Sign(secret, dataID, requestID, ts string) string {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(manifest(dataID, requestID, ts)))
	return "ts=" + ts + "," + signatureVersion + "=" + hex.EncodeToString(mac.Sum(nil))
}

// manifest is the text that is signed (the webhooks page). A value that is
// absent takes its whole pair with it.
func manifest(dataID, requestID, ts string) string {
	var b strings.Builder
	if dataID != "" {
		b.WriteString("id:" + dataID + ";")
	}
	if requestID != "" {
		b.WriteString("request-id:" + requestID + ";")
	}
	b.WriteString("ts:" + ts + ";")
	return b.String()
}

type signatureHeader struct {
	// ts is as received: the manifest has it byte for byte.
	ts   string
	time time.Time
	hash string
}

// parseSignatureHeader reads "ts=<digits>,v1=<hex>" as the official SDKs do:
// any order, spaces around, keys in any case, unknown keys passed over, the
// last of two wins. So a version that comes beside v1 one day does no harm.
func parseSignatureHeader(value string) (signatureHeader, *provider.Refusal) {
	if strings.TrimSpace(value) == "" {
		return signatureHeader{}, unauthenticated(ReasonMissingSignatureHeader)
	}
	var h signatureHeader
	anyHash := false
	for part := range strings.SplitSeq(value, ",") {
		key, val, found := strings.Cut(part, "=")
		key, val = strings.ToLower(strings.TrimSpace(key)), strings.TrimSpace(val)
		if !found || val == "" {
			continue
		}
		switch {
		case key == "ts":
			h.ts = val
		case key == signatureVersion:
			h.hash, anyHash = val, true
		case strings.HasPrefix(key, "v") && allDigits(key[1:]):
			anyHash = true
		}
	}
	switch {
	case h.ts == "" && !anyHash:
		return signatureHeader{}, unauthenticated(ReasonMalformedSignatureHeader)
	case h.ts == "":
		return signatureHeader{}, unauthenticated(ReasonMissingTimestamp)
	}
	n, err := strconv.ParseInt(h.ts, 10, 64)
	if err != nil || !allDigits(h.ts) {
		return signatureHeader{}, unauthenticated(ReasonMalformedSignatureHeader)
	}
	if h.hash == "" {
		return signatureHeader{}, unauthenticated(ReasonMissingHash)
	}
	if h.time = time.Unix(n, 0); n >= millisecondsFrom {
		h.time = time.UnixMilli(n)
	}
	return h, nil
}

// validRequestID accepts visible ASCII without the manifest's separator: with a
// semicolon in it one manifest could be read in two ways. Empty is absent.
func validRequestID(s string) bool {
	if len(s) > maxRequestID {
		return false
	}
	for i := range len(s) {
		if s[i] <= ' ' || s[i] > '~' || s[i] == ';' {
			return false
		}
	}
	return true
}
