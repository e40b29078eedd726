package source

import (
	"crypto/hmac"
	"crypto/sha1" //nolint:gosec // HMAC-SHA1 is what some senders sign with
	"crypto/sha256"
	"crypto/sha512"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"hash"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
	"golang.org/x/net/http/httpguts"

	"github.com/conciliar/conciliar/jobs/provider"
)

// Verify says how a sender's deliveries are verified.
type Verify struct {
	// Scheme is one of Schemes.
	Scheme string
	// Secrets are those that the sender signs with, or its tokens, or its users with
	// their passwords (user:password): any is right.
	Secrets []string
	// Algorithm, Encoding, Header, Prefix and Manifest are of the scheme hmac; Header
	// and Prefix of bearer, too.
	Algorithm, Encoding, Header, Prefix, Manifest string
	// Tolerance is the largest distance of a delivery's time from now, 0 for any. Nil
	// for the scheme's own.
	Tolerance *time.Duration
}

// defaultTolerance is that of the schemes that sign a time.
const defaultTolerance = 5 * time.Minute

// A verifier verifies deliveries by one scheme.
type verifier struct {
	// header is the one with the signature or the credentials.
	header string
	// timed is true for a scheme that signs a time.
	timed bool
	// id is where the scheme itself has an id; the zero place for nowhere.
	id    place
	check func(s *Source, read *reading) (signedAt time.Time, refusal *provider.Refusal)
}

// schemes make verifiers.
var schemes = map[string]func(f *fieldErrors, v Verify) verifier{
	"hmac": (*fieldErrors).hmac,
	"github": func(f *fieldErrors, v Verify) verifier {
		return f.hmac(Verify{Secrets: v.Secrets, Header: "X-Hub-Signature-256", Prefix: "sha256="})
	},
	"shopify": func(f *fieldErrors, v Verify) verifier {
		return f.hmac(Verify{Secrets: v.Secrets, Header: "X-Shopify-Hmac-Sha256", Encoding: "base64"})
	},
	"standard-webhooks": (*fieldErrors).standardWebhooks,
	"stripe":            (*fieldErrors).stripe,
	"bearer":            (*fieldErrors).bearer,
	"basic":             (*fieldErrors).basic,
}

// Schemes lists every scheme.
func Schemes() []string { return slices.Sorted(maps.Keys(schemes)) }

// verifier makes the verifier that is declared.
func (f *fieldErrors) verifier(v Verify) (verifier, time.Duration) {
	scheme, known := schemes[v.Scheme]
	if !known {
		f.demand(false, "verify.scheme", "must be one of "+strings.Join(Schemes(), ", "))
		return verifier{}, 0
	}
	f.demand(len(v.Secrets) > 0, "verify", "needs secret_env or secret_file")
	for _, foreign := range []struct {
		field, value string
		schemes      []string
	}{
		{"algorithm", v.Algorithm, []string{"hmac"}}, {"encoding", v.Encoding, []string{"hmac"}}, {"manifest", v.Manifest, []string{"hmac"}},
		{"header", v.Header, []string{"hmac", "bearer"}}, {"prefix", v.Prefix, []string{"hmac", "bearer"}},
	} {
		f.demand(foreign.value == "" || slices.Contains(foreign.schemes, v.Scheme), "verify."+foreign.field,
			"belongs to the scheme "+strings.Join(foreign.schemes, " or "))
	}
	made := scheme(f, v)
	var tolerance time.Duration
	if made.timed {
		tolerance = defaultTolerance
	}
	if v.Tolerance != nil {
		tolerance = *v.Tolerance
		f.demand(tolerance >= 0, "verify.tolerance", "must not be negative")
		f.demand(v.Scheme != "bearer" && v.Scheme != "basic", "verify.tolerance", "is of schemes that sign something")
	}
	return made, tolerance
}

var algorithms = map[string]func() hash.Hash{"sha256": sha256.New, "sha512": sha512.New, "sha1": sha1.New}

var encodings = map[string]func(string) ([]byte, error){
	"hex": hex.DecodeString, "base64": base64.StdEncoding.DecodeString, "base64url": base64.RawURLEncoding.DecodeString,
}

// hmac makes a verifier of signatures over a manifest.
func (f *fieldErrors) hmac(v Verify) verifier {
	if v.Algorithm == "" {
		v.Algorithm = "sha256"
	}
	if v.Encoding == "" {
		v.Encoding = "hex"
	}
	if v.Manifest == "" {
		v.Manifest = "{{.RawBody}}"
	}
	algorithm, decode := algorithms[v.Algorithm], encodings[v.Encoding]
	f.demand(algorithm != nil, "verify.algorithm", "must be one of "+strings.Join(slices.Sorted(maps.Keys(algorithms)), ", "))
	f.demand(decode != nil, "verify.encoding", "must be one of "+strings.Join(slices.Sorted(maps.Keys(encodings)), ", "))
	f.demand(v.Header != "", "verify", "needs header, the one with the signature")
	f.demand(v.Header == "" || httpguts.ValidHeaderFieldName(v.Header), "verify.header", "is not the name of a header")
	manifest, err := newTemplate(v.Manifest, manifestFields, maxManifest)
	if err != nil {
		f.demand(false, "verify.manifest", err.Error())
	}
	header := http.CanonicalHeaderKey(v.Header)
	return verifier{header: header, check: func(s *Source, read *reading) (time.Time, *provider.Refusal) {
		text := read.header.Get(header)
		if text == "" {
			return time.Time{}, unauthenticated(ReasonMissingSignatureHeader)
		}
		encoded, ok := strings.CutPrefix(text, v.Prefix)
		signature, err := decode(strings.TrimRight(encoded, paddingOf(v.Encoding)))
		if !ok || err != nil {
			return time.Time{}, unauthenticated(ReasonMalformedSignatureHeader)
		}
		signed, err := manifest.render(s.manifestOf(read))
		if err != nil {
			return time.Time{}, unauthenticated(ReasonMalformedSignatureHeader)
		}
		return time.Time{}, signedBy(v.Secrets, algorithm, signed, signature)
	}}
}

// paddingOf is what may stand behind an encoding that is read without it.
func paddingOf(encoding string) string {
	if encoding == "base64url" {
		return "="
	}
	return ""
}

// signedBy refuses what none of the secrets has signed.
func signedBy(secrets []string, algorithm func() hash.Hash, signed, signature []byte) *provider.Refusal {
	for _, secret := range secrets {
		mac := hmac.New(algorithm, []byte(secret))
		mac.Write(signed)
		if hmac.Equal(mac.Sum(nil), signature) {
			return nil
		}
	}
	return unauthenticated(ReasonSignatureMismatch)
}

// maxManifest bounds what is signed: a body of the largest size, and what else a
// sender signs with it.
const maxManifest = 1<<20 + 64<<10

// manifestFields are what a manifest may name.
var manifestFields = []string{"RawBody", "ID", "Type", "Time", "Header"}

// manifestOf is what a manifest is made of.
func (s *Source) manifestOf(read *reading) map[string]any {
	header := make(map[string]string, len(read.header))
	for name := range read.header {
		header[name] = read.header.Get(name)
	}
	return map[string]any{
		"RawBody": string(read.body), "ID": s.id.in(read), "Type": s.typ.in(read), "Time": s.moment.in(read), "Header": header,
	}
}

// standardWebhooks makes a verifier after the Standard Webhooks specification.
func (f *fieldErrors) standardWebhooks(v Verify) verifier {
	keys := make([]*standardwebhooks.Webhook, 0, len(v.Secrets))
	for _, secret := range v.Secrets {
		key, err := standardwebhooks.NewWebhook(secret)
		f.demand(err == nil && strings.TrimPrefix(secret, "whsec_") != "", "verify", "has a secret that is not whsec_ with base64")
		if err == nil {
			keys = append(keys, key)
		}
	}
	header := http.CanonicalHeaderKey(standardwebhooks.HeaderWebhookSignature)
	return verifier{
		header: header, timed: true, id: place{header: http.CanonicalHeaderKey(standardwebhooks.HeaderWebhookID)},
		check: func(_ *Source, read *reading) (time.Time, *provider.Refusal) {
			for _, name := range []string{standardwebhooks.HeaderWebhookID, standardwebhooks.HeaderWebhookTimestamp, standardwebhooks.HeaderWebhookSignature} {
				if read.header.Get(name) == "" {
					return time.Time{}, unauthenticated(ReasonMissingSignatureHeader)
				}
			}
			at := parseTime(read.header.Get(standardwebhooks.HeaderWebhookTimestamp))
			for _, key := range keys {
				if key.VerifyIgnoringTimestamp(read.body, read.header) == nil {
					return at, nil
				}
			}
			return at, unauthenticated(ReasonSignatureMismatch)
		},
	}
}

// stripe makes a verifier of Stripe's signatures, t=<seconds>,v1=<hex>, over the time,
// a dot and the body (https://docs.stripe.com/webhooks/signature).
func (*fieldErrors) stripe(v Verify) verifier {
	const header = "Stripe-Signature"
	return verifier{header: header, timed: true, check: func(_ *Source, read *reading) (time.Time, *provider.Refusal) {
		text := read.header.Get(header)
		if text == "" {
			return time.Time{}, unauthenticated(ReasonMissingSignatureHeader)
		}
		var stamp string
		var signatures [][]byte
		for part := range strings.SplitSeq(text, ",") {
			switch name, value, _ := strings.Cut(strings.TrimSpace(part), "="); name {
			case "t":
				stamp = value
			case "v1":
				if signature, err := hex.DecodeString(value); err == nil {
					signatures = append(signatures, signature)
				}
			}
		}
		seconds, err := strconv.ParseInt(stamp, 10, 64)
		if err != nil || len(signatures) == 0 {
			return time.Time{}, unauthenticated(ReasonMalformedSignatureHeader)
		}
		signed := append([]byte(stamp+"."), read.body...)
		for _, signature := range signatures {
			if signedBy(v.Secrets, sha256.New, signed, signature) == nil {
				return time.Unix(seconds, 0), nil
			}
		}
		return time.Time{}, unauthenticated(ReasonSignatureMismatch)
	}}
}

// bearer makes a verifier of tokens (RFC 6750), or of one in a header of its own.
func (f *fieldErrors) bearer(v Verify) verifier {
	if v.Header == "" {
		f.demand(v.Prefix == "", "verify.prefix", "goes with header")
		return f.credentials("Authorization", func(text string) (string, bool) { return authorization(text, "bearer") }, v.Secrets)
	}
	f.demand(httpguts.ValidHeaderFieldName(v.Header), "verify.header", "is not the name of a header")
	return f.credentials(http.CanonicalHeaderKey(v.Header), func(text string) (string, bool) { return strings.CutPrefix(text, v.Prefix) }, v.Secrets)
}

// basic makes a verifier of users with passwords (RFC 7617).
func (f *fieldErrors) basic(v Verify) verifier {
	for _, secret := range v.Secrets {
		user, _, found := strings.Cut(secret, ":")
		f.demand(found && user != "", "verify", "has a secret that is not user:password")
	}
	return f.credentials("Authorization", func(text string) (string, bool) {
		encoded, ok := authorization(text, "basic")
		plain, err := base64.StdEncoding.DecodeString(encoded)
		return string(plain), ok && err == nil
	}, v.Secrets)
}

// authorization is what stands behind the scheme of an Authorization header.
func authorization(text, scheme string) (credentials string, ok bool) {
	name, credentials, _ := strings.Cut(text, " ")
	return strings.TrimLeft(credentials, " "), strings.EqualFold(name, scheme)
}

// credentials makes a verifier of something that is sent as it is.
func (*fieldErrors) credentials(header string, read func(text string) (string, bool), secrets []string) verifier {
	accepted := make([][sha256.Size]byte, len(secrets))
	for i, secret := range secrets {
		accepted[i] = sha256.Sum256([]byte(secret))
	}
	return verifier{header: header, check: func(_ *Source, delivery *reading) (time.Time, *provider.Refusal) {
		given, ok := read(delivery.header.Get(header))
		if !ok || given == "" {
			return time.Time{}, unauthenticated(ReasonMissingAuthorization)
		}
		// Hashes have one length: the comparison tells nothing of the secret's.
		sum, right := sha256.Sum256([]byte(given)), 0
		for _, secret := range accepted {
			right |= subtle.ConstantTimeCompare(sum[:], secret[:])
		}
		if right != 1 {
			return time.Time{}, unauthenticated(ReasonWrongAuthorization)
		}
		return time.Time{}, nil
	}}
}
