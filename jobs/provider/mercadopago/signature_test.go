package mercadopago

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/jobs/provider"
)

const (
	testSecret    = "your_secret_key_here"
	testRequestID = "2066ca19-c6f1-498a-be75-1923005edd06"
	testPaymentID = "138472432031"
	testTS        = "1742505638"
	paymentQuery  = "data.id=" + testPaymentID + "&type=payment"
)

// vector is one case of testdata/signature_vectors.json.
type vector struct {
	ID           string            `json:"id"`
	Secret       string            `json:"secret"`
	ExtraSecrets []string          `json:"extra_secrets"`
	Method       string            `json:"method"`
	Query        string            `json:"query"`
	Headers      map[string]string `json:"headers"`
	Body         string            `json:"body"`
	ToleranceS   int               `json:"tolerance_s"`
	NowUnixMs    int64             `json:"now_unix_ms"`
	Expected     string            `json:"expected"`
	Reason       string            `json:"reason"`
	EffectiveID  string            `json:"effective_id"`
	OfficialGo   string            `json:"measured_sdk_go_1_14_0"`
}

func (v vector) header() http.Header {
	header := http.Header{}
	for name, value := range v.Headers {
		header.Set(name, value)
	}
	return header
}

func loadVectors(t testing.TB) []vector {
	t.Helper()
	raw, err := os.ReadFile("testdata/signature_vectors.json")
	require.NoError(t, err)
	var file struct {
		Count   int      `json:"count"`
		Vectors []vector `json:"vectors"`
	}
	require.NoError(t, json.Unmarshal(raw, &file))
	require.Len(t, file.Vectors, file.Count)
	require.Len(t, file.Vectors, 59)
	return file.Vectors
}

func newVerifier(t testing.TB, opts ...VerifierOption) *Verifier {
	t.Helper()
	v, err := NewVerifier([]string{testSecret}, opts...)
	require.NoError(t, err)
	return v
}

// signed returns the headers of a delivery signed with the test secret.
func signed(dataID, requestID, ts string) http.Header {
	header := http.Header{}
	header.Set("x-signature", Sign(testSecret, dataID, requestID, ts))
	if requestID != "" {
		header.Set("x-request-id", requestID)
	}
	return header
}

func requireRefusal(t testing.TB, err error, kind provider.RefusalKind, reason string) {
	t.Helper()
	var refusal *provider.Refusal
	require.ErrorAs(t, err, &refusal)
	require.Equal(t, reason, refusal.Reason)
	require.Equal(t, kind, refusal.Kind)
}

func TestVerify_AgreesWithTheVectors(t *testing.T) {
	t.Parallel()
	for _, v := range loadVectors(t) {
		t.Run(v.ID, func(t *testing.T) {
			t.Parallel()
			verifier, err := NewVerifier(append([]string{v.Secret}, v.ExtraSecrets...),
				WithTolerance(time.Duration(v.ToleranceS)*time.Second),
				WithClock(func() time.Time { return time.UnixMilli(v.NowUnixMs) }))
			require.NoError(t, err)
			sig, err := verifier.Verify(v.header(), v.Query)
			if v.Expected == "valid" {
				require.NoError(t, err)
				require.Equal(t, v.EffectiveID, sig.DataID)
				require.Len(t, sig.Key, sha256.Size)
				require.Contains(t, v.Headers["x-signature"], hex.EncodeToString(sig.Key))
				return
			}
			kind := provider.Unauthenticated
			if strings.HasPrefix(v.Reason, "ambiguous_") || strings.HasSuffix(v.Reason, "_data_id") {
				kind = provider.Malformed
			}
			requireRefusal(t, err, kind, v.Reason)
			require.Empty(t, sig)
		})
	}
}

func TestVerify_TellsWhatMatched(t *testing.T) {
	t.Parallel()
	verifier, err := NewVerifier([]string{"new-secret", "old-secret"})
	require.NoError(t, err)
	const id, query = "ORD01JQ4S4KY8HWQ6NA5PXB65B3D3", "data.id=ORD01JQ4S4KY8HWQ6NA5PXB65B3D3&type=order"

	header := http.Header{}
	header.Set("x-signature", Sign("new-secret", id, "", testTS))
	sig, err := verifier.Verify(header, query)
	require.NoError(t, err)
	require.Equal(t, id, sig.DataID)
	require.False(t, sig.LowerCased)
	require.Equal(t, 0, sig.Secret)
	require.Equal(t, time.Unix(1742505638, 0), sig.Timestamp)

	header.Set("x-signature", Sign("old-secret", strings.ToLower(id), "", "1742505638683"))
	sig, err = verifier.Verify(header, query)
	require.NoError(t, err)
	require.Equal(t, id, sig.DataID, "the id to fetch is the one received")
	require.True(t, sig.LowerCased)
	require.Equal(t, 1, sig.Secret)
	require.Equal(t, time.UnixMilli(1742505638683), sig.Timestamp)
}

func TestVerify_RefusesWhatCanBeReadTwice(t *testing.T) {
	t.Parallel()
	good := func() http.Header { return signed(testPaymentID, testRequestID, testTS) }
	for name, c := range map[string]struct {
		change func(http.Header)
		query  string
		reason string
	}{
		"two signatures":            {func(h http.Header) { h.Add("x-signature", "ts=1,v1=aa") }, paymentQuery, ReasonAmbiguousSignatureHeader},
		"two request ids":           {func(h http.Header) { h.Add("x-request-id", "other") }, paymentQuery, ReasonAmbiguousRequestID},
		"two ids":                   {nil, paymentQuery + "&data.id=7", ReasonAmbiguousDataID},
		"two ids, one in capitals":  {nil, "data.id=a7&data.id=A7", ReasonAmbiguousDataID},
		"two ids, one blank":        {nil, paymentQuery + "&data.id=", ReasonAmbiguousDataID},
		"id with a semicolon":       {nil, "data.id=1;2", ReasonMalformedDataID},
		"id with a slash":           {nil, "data.id=..%2Fusers", ReasonMalformedDataID},
		"id with a NUL":             {nil, "data.id=1%00", ReasonMalformedDataID},
		"id with a dot":             {nil, "data.id=1.2", ReasonMalformedDataID},
		"id not ASCII":              {nil, "data.id=%D9%A1", ReasonMalformedDataID},
		"id with a broken escape":   {nil, "data.id=%zz", ReasonMalformedDataID},
		"id too long":               {nil, "data.id=" + strings.Repeat("1", maxID+1), ReasonMalformedDataID},
		"request id, semicolon":     {func(h http.Header) { h.Set("x-request-id", "a;ts:1") }, paymentQuery, ReasonMalformedRequestID},
		"request id, control":       {func(h http.Header) { h.Set("x-request-id", "a\x01b") }, paymentQuery, ReasonMalformedRequestID},
		"request id, space":         {func(h http.Header) { h.Set("x-request-id", "a b") }, paymentQuery, ReasonMalformedRequestID},
		"request id, not ASCII":     {func(h http.Header) { h.Set("x-request-id", "aé") }, paymentQuery, ReasonMalformedRequestID},
		"request id without an end": {func(h http.Header) { h.Set("x-request-id", strings.Repeat("a", maxRequestID+1)) }, paymentQuery, ReasonMalformedRequestID},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			header := good()
			if c.change != nil {
				c.change(header)
			}
			_, err := newVerifier(t).Verify(header, c.query)
			requireRefusal(t, err, provider.Malformed, c.reason)
		})
	}
}

func TestVerify_TakesForOneWhatIsThereTwiceAlike(t *testing.T) {
	t.Parallel()
	for _, query := range []string{paymentQuery, paymentQuery + "&data.id=" + testPaymentID, paymentQuery + "&data%2Eid=" + testPaymentID} {
		header := signed(testPaymentID, testRequestID, testTS)
		header.Add("x-signature", header.Get("x-signature"))
		header.Add("x-request-id", header.Get("x-request-id"))
		sig, err := newVerifier(t).Verify(header, query)
		require.NoError(t, err, query)
		require.Equal(t, testPaymentID, sig.DataID)
	}
}

// One manifest, two readings: the text that is signed for an id and a request id
// is also the text for an id that holds them both.
func TestVerify_RefusesAConfusedManifest(t *testing.T) {
	t.Parallel()
	header := signed(testPaymentID, testRequestID, testTS)
	header.Del("x-request-id")
	_, err := newVerifier(t).Verify(header, "data.id="+testPaymentID+"%3Brequest-id%3A"+testRequestID)
	requireRefusal(t, err, provider.Malformed, ReasonMalformedDataID)

	header = signed(testPaymentID, testRequestID, testTS)
	header.Set("x-request-id", testRequestID)
	_, err = newVerifier(t).Verify(header, "type=payment")
	requireRefusal(t, err, provider.Unauthenticated, ReasonSignatureMismatch)
}

func TestVerify_AcceptsRealIDs(t *testing.T) {
	t.Parallel()
	for _, id := range []string{"1", "217000061307271000", "8aef01a4883161b001885f06d9391a79",
		"0aa0519d-d985-4e83-b62d-dda123456789", "ORD01JQ4S4KY8HWQ6NA5PXB65B3D3", "12345678-aluyasdhfyt", "a_b"} {
		sig, err := newVerifier(t).Verify(signed(id, testRequestID, testTS), "data.id="+id)
		require.NoError(t, err, id)
		require.Equal(t, id, sig.DataID)
	}
	for _, query := range []string{
		"note=50%&" + paymentQuery,       // a merchant's own parameter with a broken escape
		"a=1;b=2&" + paymentQuery,        // or with a semicolon
		"%zz=1&&=&" + paymentQuery,       // or with a key that can't be read
		"id=shop-1&id=2&" + paymentQuery, // or named like the IPN form's
		paymentQuery + "&data_id=666&DATA.ID=666",
		"data.id=+" + testPaymentID + "%20&type=payment",
	} {
		sig, err := newVerifier(t).Verify(signed(testPaymentID, testRequestID, testTS), query)
		require.NoError(t, err, query)
		require.Equal(t, testPaymentID, sig.DataID)
	}
}

func TestVerify_ItsToleranceIsOnBothSidesInBothUnits(t *testing.T) {
	t.Parallel()
	at := time.Unix(1742505638, 0)
	for _, c := range []struct {
		ts      string
		now     time.Time
		refused bool
	}{
		{"1742505638", at.Add(5 * time.Minute), false},
		{"1742505638", at.Add(5*time.Minute + 1), true},
		{"1742505638", at.Add(-5 * time.Minute), false},
		{"1742505638", at.Add(-5*time.Minute - 1), true},
		{"1742505638000", at.Add(5 * time.Minute), false},
		{"1742505638000", at.Add(5*time.Minute + 1), true},
		{"99999999999", time.Unix(99999999999, 0), false},
		{"100000000000", time.UnixMilli(100000000000), false},
		{"0", at, true},
		{"9223372036854775807", at, true},
	} {
		verifier := newVerifier(t, WithTolerance(5*time.Minute), WithClock(func() time.Time { return c.now }))
		_, err := verifier.Verify(signed(testPaymentID, "", c.ts), paymentQuery)
		if c.refused {
			requireRefusal(t, err, provider.Unauthenticated, ReasonTimestampOutOfTolerance)
		} else {
			require.NoError(t, err, c.ts)
		}
	}
	_, err := newVerifier(t).Verify(signed(testPaymentID, "", "1"), paymentQuery)
	require.NoError(t, err, "no tolerance, no check")
}

func TestSign_IsTheDocumentedManifest(t *testing.T) {
	t.Parallel()
	mac := hmac.New(sha256.New, []byte(testSecret))
	mac.Write([]byte("id:" + testPaymentID + ";request-id:" + testRequestID + ";ts:" + testTS + ";"))
	require.Equal(t, "ts="+testTS+",v1="+hex.EncodeToString(mac.Sum(nil)),
		Sign(testSecret, testPaymentID, testRequestID, testTS))
	// Cases of the official SDKs' suites.
	require.Equal(t, "ts=1742505638683,v1=3f075add3ddb923bebf0bc0648457b8244cf4420b98d5b445167d379bec0ca54",
		Sign(testSecret, "", "", "1742505638683"))
	require.Equal(t, "ts=1742505638683,v1=a20c44820ab71562e89a7c9f64d5636efc8beba587b16c2f9bbbc3504892741a",
		Sign(testSecret, "ord01jq4s4ky8hwq6na5pxb65b3d3", "", "1742505638683"))
}

func TestNewVerifier_RefusesUnusableSecrets(t *testing.T) {
	t.Parallel()
	for name, secrets := range map[string][]string{
		"none": nil, "empty": {""}, "blank": {"good", " \t"}, "line end": {"good\n"}, "padded": {" good"},
	} {
		v, err := NewVerifier(secrets)
		require.Error(t, err, name)
		require.Nil(t, v)
		require.NotContains(t, err.Error(), "good")
	}
	_, err := NewVerifier([]string{"a"}, WithTolerance(-1))
	require.ErrorContains(t, err, "tolerance")
	_, err = NewVerifier([]string{"a"}, WithClock(nil))
	require.ErrorContains(t, err, "clock")
}

func TestVerifier_CannotPrintItsSecrets(t *testing.T) {
	t.Parallel()
	v := newVerifier(t)
	for _, format := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x"} {
		require.NotContains(t, fmt.Sprintf(format, v), testSecret)
		require.NotContains(t, fmt.Sprintf(format, *v), testSecret)
		require.NotContains(t, fmt.Sprintf(format, *v), hex.EncodeToString([]byte(testSecret)))
	}
}

func BenchmarkVerify(b *testing.B) {
	header := signed(testPaymentID, testRequestID, testTS)
	for name, secrets := range map[string][]string{
		"first_secret":  {testSecret},
		"second_secret": {"another-secret", testSecret},
		"forged":        {"another-secret"},
	} {
		b.Run(name, func(b *testing.B) {
			v, err := NewVerifier(secrets)
			require.NoError(b, err)
			b.ReportAllocs()
			for b.Loop() {
				_, _ = v.Verify(header, paymentQuery)
			}
			verify := b.Elapsed()
			// What can't be saved: the HMAC of the same text, as often.
			text := []byte(manifest(testPaymentID, testRequestID, testTS))
			start := time.Now()
			for range b.N {
				mac := hmac.New(sha256.New, []byte(testSecret))
				mac.Write(text)
				mac.Sum(nil)
			}
			b.ReportMetric(float64(verify)/float64(time.Since(start)), "x-bare-hmac")
		})
	}
}

func TestVerifier_TakesOtherSecretsWhileItWorks(t *testing.T) {
	t.Parallel()
	const ts = "1742505638"
	verifier, err := NewVerifier([]string{testSecret})
	require.NoError(t, err)
	accepts := func(secret string) bool {
		header := http.Header{"X-Signature": {Sign(secret, "77", "call-1", ts)}, "X-Request-Id": {"call-1"}}
		_, err := verifier.Verify(header, "data.id=77&type=payment")
		return err == nil
	}
	require.True(t, accepts(testSecret))
	require.NoError(t, verifier.UseSecrets([]string{"the next secret", testSecret}))
	require.True(t, accepts(testSecret) && accepts("the next secret"))
	require.Error(t, verifier.UseSecrets(nil))
	require.Error(t, verifier.UseSecrets([]string{" "}))
	require.NoError(t, verifier.UseSecrets([]string{"the next secret"}))
	require.True(t, accepts("the next secret"))
	require.False(t, accepts(testSecret))
}

func TestVerifier_AcceptsSellersOwnSecretsWhileTheyAreConfigured(t *testing.T) {
	t.Parallel()
	v := newVerifier(t)
	header := http.Header{headerSignature: {Sign("ana's secret", testPaymentID, testRequestID, testTS)}, headerRequestID: {testRequestID}}
	verify := func() error {
		_, err := v.Verify(header, paymentQuery)
		return err
	}
	requireRefusal(t, verify(), provider.Unauthenticated, ReasonSignatureMismatch)
	require.NoError(t, v.UseSellerSecrets([]string{"bruno's secret", "ana's secret"}))
	require.NoError(t, verify())
	require.Error(t, v.UseSellerSecrets([]string{" "}), "anyone can sign with a blank one")
	require.NoError(t, verify(), "the old ones stay")
	require.NoError(t, v.UseSellerSecrets(nil))
	requireRefusal(t, verify(), provider.Unauthenticated, ReasonSignatureMismatch)
}

// WithClock replaces the clock of the tolerance.
func WithClock(now func() time.Time) VerifierOption {
	return func(v *Verifier) { v.now = now }
}
