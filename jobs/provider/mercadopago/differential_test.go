package mercadopago

import (
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/mercadopago/sdk-go/pkg/webhook"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/conciliar/conciliar/jobs/provider"
)

// The official Go SDK's validator (v1.14.0) is the oracle: both must say the
// same, except where it is known to be wrong or more lenient than we are.
//
//  1. It reads every ts as milliseconds, so a tolerance refuses real seconds.
//  2. It accepts a sign in ts.
//  3. It knows data.id only as received, not in lower case.
//  4. It accepts any text as an id or a request id: confused manifests pass.
//  5. It takes one id and never sees that the query has two.
//  6. It accepts an empty secret. NewVerifier refuses one.
var officialReasons = map[webhook.Reason]string{
	webhook.ReasonMissingSignatureHeader:   ReasonMissingSignatureHeader,
	webhook.ReasonMalformedSignatureHeader: ReasonMalformedSignatureHeader,
	webhook.ReasonMissingTimestamp:         ReasonMissingTimestamp,
	webhook.ReasonMissingHash:              ReasonMissingHash,
	webhook.ReasonSignatureMismatch:        ReasonSignatureMismatch,
	webhook.ReasonTimestampOutOfTolerance:  ReasonTimestampOutOfTolerance,
}

const ok = "ok"

// official is the SDK's verdict in our words.
func official(t require.TestingT, xSignature, requestID, dataID, secret string, opts ...webhook.Option) string {
	err := webhook.ValidateSignature(xSignature, requestID, dataID, secret, opts...)
	if err == nil {
		return ok
	}
	var refused *webhook.SignatureError
	require.ErrorAs(t, err, &refused)
	require.Contains(t, officialReasons, refused.Reason)
	return officialReasons[refused.Reason]
}

func ours(t require.TestingT, v *Verifier, xSignature, requestID, rawQuery string) (Signature, string) {
	header := http.Header{"X-Signature": {xSignature}, "X-Request-Id": {requestID}}
	sig, err := v.Verify(header, rawQuery)
	if err == nil {
		return sig, ok
	}
	var refusal *provider.Refusal
	require.ErrorAs(t, err, &refusal)
	return sig, refusal.Reason
}

// Written apart from the code under test.
var (
	plainID        = regexp.MustCompile(`^[A-Za-z0-9_-]{0,128}$`)
	plainRequestID = regexp.MustCompile(`^[!-:<-~]{0,256}$`)
	signedNumber   = regexp.MustCompile(`[+-]\d`)
)

// requireAgreement holds our verdict against the SDK's, without a tolerance.
func requireAgreement(t require.TestingT, xSignature, requestID, dataID, secret string) {
	v, err := NewVerifier([]string{secret})
	require.NoError(t, err)
	sig, got := ours(t, v, xSignature, requestID, "data.id="+url.QueryEscape(dataID))
	want := official(t, xSignature, requestID, dataID, secret)
	if got == want {
		return
	}
	switch got {
	case ok: // slip 3
		require.True(t, sig.LowerCased)
		require.Equal(t, ReasonSignatureMismatch, want)
		require.Equal(t, ok, official(t, xSignature, requestID, strings.ToLower(dataID), secret))
	case ReasonMalformedSignatureHeader: // slip 2
		require.Regexp(t, signedNumber, xSignature)
	case ReasonMalformedDataID: // slip 4
		require.NotRegexp(t, plainID, strings.TrimSpace(dataID))
		require.Contains(t, []string{ok, ReasonSignatureMismatch}, want)
	case ReasonMalformedRequestID: // slip 4
		require.NotRegexp(t, plainRequestID, strings.TrimSpace(requestID))
		require.Contains(t, []string{ok, ReasonSignatureMismatch}, want)
	default:
		require.Equal(t, want, got, "no known slip explains this")
	}
}

func TestVerify_AgreesWithTheOfficialSDK(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		secret := rapid.StringMatching(`[!-~]{1,70}`).Draw(t, "secret")
		dataID := rapid.OneOf(rapid.StringMatching(`[A-Za-z0-9_-]{0,40}`), rapid.StringMatching(`[ -~]{0,20}`), rapid.String()).Draw(t, "data id")
		requestID := rapid.OneOf(rapid.StringMatching(`[a-f0-9-]{0,36}`), rapid.StringMatching(`[ -~]{0,20}`), rapid.String()).Draw(t, "request id")
		ts := rapid.OneOf(rapid.StringMatching(`[0-9]{1,21}`), rapid.StringMatching(`[+-]?[0-9a-f]{0,12}`), rapid.String()).Draw(t, "ts")
		signedAs := rapid.SampledFrom([]string{dataID, strings.ToLower(dataID), strings.ToUpper(dataID), "other"}).Draw(t, "signed as")
		header := Sign(secret, strings.TrimSpace(signedAs), strings.TrimSpace(requestID), ts)
		header = rapid.SampledFrom([]func(string) string{
			func(h string) string { return h },
			strings.ToUpper,
			func(h string) string { return " " + strings.ReplaceAll(h, ",", " , x=1,,") },
			func(h string) string { return h + ",v2=abc,v1=" },
			func(h string) string { return strings.ReplaceAll(h, "v1", "v2") },
			func(h string) string { return strings.ReplaceAll(h, ",", ";") },
			func(h string) string { return h[:len(h)-1] },
			func(h string) string { return h[strings.LastIndex(h, ",")+1:] },
			func(h string) string { return h + "," + rapid.String().Draw(t, "appended") },
			func(string) string { return rapid.String().Draw(t, "replaced") },
		}).Draw(t, "change")(header)
		requireAgreement(t, header, requestID, dataID, secret)
	})
}

// Milliseconds are the one unit that the SDK reads; there the tolerances agree.
func TestVerify_ItsToleranceIsTheOfficialSDKsInMilliseconds(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		const ts = "1742505638683"
		tolerance := time.Duration(rapid.IntRange(1, 900).Draw(t, "tolerance, s")) * time.Second
		now := time.UnixMilli(1742505638683 + rapid.Int64Range(-1_000_000, 1_000_000).Draw(t, "drift, ms"))
		clock := func() time.Time { return now }
		v, err := NewVerifier([]string{testSecret}, WithTolerance(tolerance), WithClock(clock))
		require.NoError(t, err)
		header := Sign(testSecret, testPaymentID, testRequestID, ts)
		_, got := ours(t, v, header, testRequestID, paymentQuery)
		require.Equal(t, official(t, header, testRequestID, testPaymentID, testSecret,
			webhook.WithTolerance(tolerance), webhook.WithNow(clock)), got)
	})
}

// The vectors' record of the SDK is what the SDK says today; where it is not our
// expectation the case is one of the slips above.
func TestOfficialSDK_SlipsOnKnownVectorsAlone(t *testing.T) {
	t.Parallel()
	slips := map[string]int{
		"B04-seconds-tolerance-edge":  1,
		"B05-future-inside-tolerance": 1,
		"B09-ts-negative":             2,
		"D14-two-data-ids":            5,
		"D05-old-secret-in-rotation":  0, // no slip: it takes one secret, we try them all
	}
	for _, v := range loadVectors(t) {
		if _, known := slips[v.ID]; v.OfficialGo != v.Reason && !known {
			require.Equal(t, v.Reason, v.OfficialGo, "%s: a slip that is not listed", v.ID)
		}
		query, err := url.ParseQuery(v.Query)
		require.NoError(t, err)
		var opts []webhook.Option
		if v.ToleranceS > 0 {
			opts = append(opts, webhook.WithTolerance(time.Duration(v.ToleranceS)*time.Second),
				webhook.WithNow(func() time.Time { return time.UnixMilli(v.NowUnixMs) }))
		}
		got := official(t, v.Headers["x-signature"], v.Headers["x-request-id"], query.Get("data.id"), v.Secret, opts...)
		require.Equal(t, v.OfficialGo, got, v.ID)
	}
}

// The confused manifest that the SDK accepts: slip 4, and an empty secret: slip 6.
func TestOfficialSDK_ItsSlipsAreReal(t *testing.T) {
	t.Parallel()
	header := Sign(testSecret, testPaymentID, testRequestID, testTS)
	confused := testPaymentID + ";request-id:" + testRequestID
	require.Equal(t, ok, official(t, header, "", confused, testSecret))
	_, got := ours(t, newVerifier(t), header, "", "data.id="+url.QueryEscape(confused))
	require.Equal(t, ReasonMalformedDataID, got)

	require.Equal(t, ok, official(t, Sign("", "1", "", testTS), "", "1", ""))
}

// Headers whose reason hangs on which parts there are.
func TestVerify_NamesWhatIsMissingLikeTheOfficialSDK(t *testing.T) {
	t.Parallel()
	for header, want := range map[string]string{
		"v2=abc":           ReasonMissingTimestamp,
		"V12=abc,x=y":      ReasonMissingTimestamp,
		"v=abc":            ReasonMalformedSignatureHeader,
		"v1x=abc":          ReasonMalformedSignatureHeader,
		"ts=1,v2=abc":      ReasonMissingHash,
		"ts=1,v1= ":        ReasonMissingHash,
		"ts=x,v2=abc":      ReasonMalformedSignatureHeader,
		"ts=1,v1":          ReasonMissingHash,
		"=1,ts=1,=v1,v1=a": ReasonSignatureMismatch,
	} {
		_, got := ours(t, newVerifier(t), header, "", paymentQuery)
		require.Equal(t, want, got, header)
		require.Equal(t, want, official(t, header, "", testPaymentID, testSecret), header)
	}
}

func FuzzVerifyAgainstOfficialSDK(f *testing.F) {
	for _, v := range loadVectors(f) {
		query, err := url.ParseQuery(v.Query)
		require.NoError(f, err)
		f.Add(v.Headers["x-signature"], v.Headers["x-request-id"], query.Get("data.id"))
	}
	f.Add("ts=+1,v1=a", "\xff", "\x00")
	f.Add("ts=1,ts=-2,v1=é,V9=\xff", "a;b", "%zz")
	f.Fuzz(func(t *testing.T, xSignature, requestID, dataID string) {
		requireAgreement(t, xSignature, requestID, dataID, testSecret)
	})
}

// Whatever the bytes: no panic, and only what was signed is accepted.
func FuzzVerify(f *testing.F) {
	for _, v := range loadVectors(f) {
		f.Add(v.Headers["x-signature"], v.Headers["x-request-id"], v.Query)
	}
	f.Add("ts=1", "", "data.id=1;2&data.id&%&=&data%2eid=3")
	f.Fuzz(func(t *testing.T, xSignature, requestID, rawQuery string) {
		v := newVerifier(t)
		sig, got := ours(t, v, xSignature, requestID, rawQuery)
		if got != ok {
			require.Empty(t, sig)
			return
		}
		require.Len(t, sig.Key, 32)
		require.Regexp(t, plainID, sig.DataID)
		require.Equal(t, ok, official(t, xSignature, requestID, sig.signedAs(), testSecret))
	})
}

// signedAs is the id in the casing that the signature covers.
func (s Signature) signedAs() string {
	if s.LowerCased {
		return strings.ToLower(s.DataID)
	}
	return s.DataID
}
