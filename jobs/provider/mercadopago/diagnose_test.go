package mercadopago

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/jobs/provider"
)

var arrival = time.Unix(1742505640, 0)

// diagnose diagnoses what the second of three secrets may have signed.
func diagnose(t testing.TB, header http.Header, query, body string, opts ...VerifierOption) provider.Diagnosis {
	t.Helper()
	verifier, err := NewVerifier([]string{"first-secret-of-three", testSecret, "third-secret-of-three"}, opts...)
	require.NoError(t, err)
	d := NewReceiver(verifier, false).Diagnose(
		provider.Delivery{Method: http.MethodPost, RawQuery: query, Header: header, Body: []byte(body)}, arrival, "")
	requireKeepsSecrets(t, d, header)
	return d
}

// requireKeepsSecrets fails when a diagnosis holds a secret, or a hash that
// could be sent again.
func requireKeepsSecrets(t testing.TB, d provider.Diagnosis, header http.Header) {
	t.Helper()
	text, err := json.Marshal(d)
	require.NoError(t, err)
	for _, secret := range []string{"first-secret-of-three", testSecret, "third-secret-of-three"} {
		require.NotContains(t, string(text), secret)
	}
	h, refusal := parseSignatureHeader(header.Get("x-signature"))
	if refusal == nil && len(h.hash) >= leastHash {
		require.NotContains(t, strings.ToLower(string(text)), strings.ToLower(h.hash))
	}
	require.NotEmpty(t, d.Verdict)
	require.NotEmpty(t, d.Sentence)
	require.NotEmpty(t, d.WhatToDo)
	require.NotNil(t, d.Tried)
}

func TestDiagnose_NamesTheCause(t *testing.T) {
	t.Parallel()
	const order = "ORD01JQ4S4KY8HWQ6NA5PXB65B3D3"
	with := func(header http.Header, name, value string) http.Header {
		header = header.Clone()
		if value == "" {
			header.Del(name)
		} else {
			header.Set(name, value)
		}
		return header
	}
	plain := signed(testPaymentID, testRequestID, testTS)
	hash := plain.Get("x-signature")
	ts, sum, _ := strings.Cut(hash, ",v1=")
	for name, c := range map[string]struct {
		header      http.Header
		query, body string
		verdict     string
		secret      int
	}{
		"accepted":                     {plain, paymentQuery, "", VerdictAccepted, 2},
		"lower case":                   {signed(strings.ToLower(order), testRequestID, testTS), "data.id=" + order, "", VerdictAccepted, 2},
		"upper case":                   {signed(order, testRequestID, testTS), "data.id=" + strings.ToLower(order), "", VerdictIDCasing, 2},
		"replaced by nothing known":    {with(plain, "x-request-id", "0123456789abcdef"), paymentQuery, "", VerdictNoMatch, 0},
		"added by a proxy":             {with(signed(testPaymentID, "", testTS), "x-request-id", "0123456789abcdef"), paymentQuery, "", VerdictRequestIDReplaced, 2},
		"kept in another header":       {with(with(plain, "x-request-id", "0123"), "X-Original-Request-Id", testRequestID), paymentQuery, "", VerdictRequestIDReplaced, 2},
		"the trace's id":               {with(with(signed(testPaymentID, "0af7651916cd43dd8448eb211c80319c", testTS), "x-request-id", "0123"), "Traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"), paymentQuery, "", VerdictRequestIDReplaced, 2},
		"two as one":                   {with(plain, "x-request-id", "0123, "+testRequestID), paymentQuery, "", VerdictRequestIDReplaced, 2},
		"dropped":                      {with(plain, "x-request-id", ""), paymentQuery, "", VerdictRequestIDAbsent, 0},
		"the body's id":                {plain, "data.id=marker&type=payment", `{"data":{"id":` + testPaymentID + `}}`, VerdictIDFromBody, 2},
		"the body's id, none in query": {plain, "type=payment", `{"data":{"id":"` + testPaymentID + `"}}`, VerdictIDFromBody, 2},
		"id for data.id":               {plain, "id=" + testPaymentID + "&type=payment", "", VerdictIDParameter, 2},
		"data_id for data.id":          {plain, "data_id=" + testPaymentID + "&type=payment", "", VerdictIDParameter, 2},
		"escaped twice":                {plain, "data.id=%2531" + testPaymentID[1:], "", VerdictIDEncoding, 2},
		"signed as escaped":            {signed("a%20b", testRequestID, testTS), "data.id=a%20b", "", VerdictIDEncoding, 2},
		"several":                      {plain, paymentQuery + "&data.id=2", "", VerdictIDAmbiguous, 2},
		"an id that is none":           {signed("a/b", testRequestID, testTS), "data.id=a/b", "", VerdictIDMalformed, 2},
		"no id signed":                 {signed("", testRequestID, testTS), "data.id=mine", "", VerdictIDNotSigned, 2},
		"milliseconds":                 {with(plain, "x-signature", "ts="+testTS+"000,v1="+sum), paymentQuery, "", VerdictTimestampUnit, 2},
		"seconds":                      {with(signed(testPaymentID, testRequestID, testTS+"000"), "x-signature", "ts="+testTS+",v1="+Sign(testSecret, testPaymentID, testRequestID, testTS+"000")[len("ts=,v1=")+13:]), paymentQuery, "", VerdictTimestampUnit, 2},
		"upper-case hash":              {with(plain, "x-signature", ts+",v1="+strings.ToUpper(sum)), paymentQuery, "", VerdictHashCase, 2},
		"truncated hash":               {with(plain, "x-signature", ts+",v1="+sum[:40]), paymentQuery, "", VerdictHashTruncated, 2},
		"too little left":              {with(plain, "x-signature", ts+",v1="+sum[:15]), paymentQuery, "", VerdictNoMatch, 0},
		"two causes":                   {with(plain, "x-signature", ts+",v1="+strings.ToUpper(sum)), "data.id=marker", `{"data":{"id":"` + testPaymentID + `"}}`, VerdictSeveral, 2},
		"another secret":               {http.Header{"X-Signature": {Sign("unknown", testPaymentID, testRequestID, testTS)}, "X-Request-Id": {testRequestID}}, paymentQuery, "", VerdictNoMatch, 0},
		"third secret":                 {http.Header{"X-Signature": {Sign("third-secret-of-three", testPaymentID, testRequestID, testTS)}, "X-Request-Id": {testRequestID}}, paymentQuery, "", VerdictAccepted, 3},
		"IPN":                          {http.Header{"X-Signature": {Sign("unknown", "1", testRequestID, testTS)}}, "topic=payment&id=1", "", VerdictUnsignedChannel, 0},
		"QR":                           {http.Header{}, paymentQuery, "", VerdictMissingSignature, 0},
		"no hash":                      {with(plain, "x-signature", "ts=1"), paymentQuery, "", VerdictMalformedSignature, 0},
		"no ts":                        {with(plain, "x-signature", "v1="+sum), paymentQuery, "", VerdictMalformedSignature, 0},
		"two headers":                  {http.Header{"X-Signature": {hash, hash}, "X-Request-Id": {testRequestID}}, paymentQuery, "", VerdictSignatureAmbiguous, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := diagnose(t, c.header, c.query, c.body)
			require.Equal(t, c.verdict, d.Verdict, "%+v", d)
			require.Equal(t, c.secret, d.Secret)
			for i, trial := range d.Tried {
				require.Equal(t, d.Secret > 0 && i == len(d.Tried)-1, trial.Matched)
				require.NotEmpty(t, trial.What)
			}
			switch c.verdict {
			case VerdictNoMatch, VerdictRequestIDAbsent:
				require.NotEmpty(t, d.Tried)
			}
		})
	}
}

func TestDiagnose_KnowsTheTimeOfArrival(t *testing.T) {
	t.Parallel()
	header := signed(testPaymentID, testRequestID, "1742505000")
	d := diagnose(t, header, paymentQuery, "", WithTolerance(time.Minute))
	require.Equal(t, VerdictOutsideTolerance, d.Verdict)
	require.Equal(t, 2, d.Secret)
	require.Contains(t, d.Sentence, "10m40s before")
	d = diagnose(t, header, paymentQuery, "", WithTolerance(time.Hour))
	require.Equal(t, VerdictAccepted, d.Verdict, "whatever the clock says now")
}

func TestDiagnose_KnowsTheMethodAndTheReason(t *testing.T) {
	t.Parallel()
	r := NewReceiver(newVerifier(t), false)
	d := r.Diagnose(provider.Delivery{Method: http.MethodGet, RawQuery: paymentQuery}, arrival, "")
	require.Equal(t, VerdictMethod, d.Verdict)
	// What stands in a record as one header may have been two.
	d = r.Diagnose(provider.Delivery{Method: http.MethodPost, RawQuery: paymentQuery, Header: signed(testPaymentID, testRequestID, testTS)}, arrival, ReasonAmbiguousSignatureHeader)
	require.Equal(t, VerdictSignatureAmbiguous, d.Verdict)
}

func TestDiagnose_ATestsBodyPointsToTheSecretForTests(t *testing.T) {
	t.Parallel()
	header := http.Header{"X-Signature": {Sign("unknown", "1", testRequestID, testTS)}, "X-Request-Id": {testRequestID}}
	require.Contains(t, diagnose(t, header, "data.id=1", `{"live_mode":false}`).WhatToDo, "secret for tests may be the one that is missing")
	require.NotContains(t, diagnose(t, header, "data.id=1", `{"live_mode":true}`).WhatToDo, "may be the one that is missing")
}

// What the verifier accepts is diagnosed as accepted, and nothing else is.
func TestDiagnose_AgreesWithTheVerifier(t *testing.T) {
	t.Parallel()
	for _, v := range loadVectors(t) {
		t.Run(v.ID, func(t *testing.T) {
			t.Parallel()
			verifier, err := NewVerifier(append([]string{v.Secret}, v.ExtraSecrets...), WithTolerance(time.Duration(v.ToleranceS)*time.Second))
			require.NoError(t, err)
			delivery := provider.Delivery{Method: http.MethodPost, RawQuery: v.Query, Header: v.header(), Body: []byte(v.Body)}
			d := NewReceiver(verifier, false).Diagnose(delivery, time.UnixMilli(v.NowUnixMs), v.Reason)
			require.Equal(t, v.Expected == "valid", d.Verdict == VerdictAccepted, "%s: %+v", v.Reason, d)
		})
	}
}

func TestDiagnose_EveryVerdictHasItsAdvice(t *testing.T) {
	t.Parallel()
	for word, a := range advices {
		require.Regexp(t, `^[a-z]+(_[a-z]+)*$`, word)
		require.Regexp(t, `\.$`, a.sentence, word)
		require.Regexp(t, `\.$`, a.whatToDo, word)
	}
}
