package mercadopago

import (
	"crypto/subtle"
	"encoding/hex"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/conciliar/conciliar/jobs/provider"
)

const (
	// triedAtMost bounds how many readings are shown.
	triedAtMost = 200
	// A hash that was cut must have this much left to prove anything.
	leastHash  = 16
	hashLength = 64
)

// Diagnose says why a delivery that arrived at the given time is refused, by
// the secrets and the tolerance that are configured now. It accepts nothing: a
// reading that matches shows what was changed on the way, and such a delivery
// stays refused. reason is the word that it was refused with; empty when
// nobody knows.
//
// Other headers that speak of an id or a trace count as places where a proxy
// may have kept the request id that it replaced.
func (r *Receiver) Diagnose(d provider.Delivery, arrived time.Time, reason string) provider.Diagnosis {
	// Records hold the values of several headers as one, which may look right.
	if reason == ReasonAmbiguousSignatureHeader || len(d.Header.Values(headerSignature)) > 1 {
		return verdict(VerdictSignatureAmbiguous, 0, nil)
	}
	q := parseQuery(d.RawQuery)
	ipn := q.isIPN()
	if d.Method != http.MethodPost && (d.Method != http.MethodGet || !ipn) {
		return verdict(VerdictMethod, 0, nil)
	}
	judge := *r.verifier
	judge.now = func() time.Time { return arrived }
	sig, refusal := judge.verify(d.Header, q)
	switch {
	case refusal == nil:
		return verdict(VerdictAccepted, sig.Secret+1, nil)
	case refusal.Reason == ReasonTimestampOutOfTolerance:
		return judge.late(d.Header, q)
	}
	h, missing := parseSignatureHeader(d.Header.Get(headerSignature))
	var tried []provider.Trial
	if missing == nil {
		found, ok := judge.readings(d, q, h)
		if ok {
			return found
		}
		tried = found.Tried
	}
	switch {
	case ipn:
		return verdict(VerdictUnsignedChannel, 0, tried)
	case missing == nil:
		return noMatch(d, tried)
	case missing.Reason == ReasonMissingSignatureHeader:
		return verdict(VerdictMissingSignature, 0, nil)
	}
	return verdict(VerdictMalformedSignature, 0, nil)
}

// noMatch is the diagnosis where nothing matched, with what is likely.
func noMatch(d provider.Delivery, tried []provider.Trial) provider.Diagnosis {
	word := VerdictNoMatch
	if strings.TrimSpace(d.Header.Get(headerRequestID)) == "" {
		word = VerdictRequestIDAbsent
	}
	found := verdict(word, 0, tried)
	if live := readHints(d.Body).liveMode; live != nil && !*live {
		found.WhatToDo += testHint
	}
	return found
}

// late is the diagnosis of a signature that holds, at the wrong time.
func (v *Verifier) late(header http.Header, q query) provider.Diagnosis {
	anytime := *v
	anytime.tolerance = 0
	sig, refusal := anytime.verify(header, q)
	if refusal != nil { // it held a moment ago
		return verdict(VerdictNoMatch, 0, nil)
	}
	d := verdict(VerdictOutsideTolerance, sig.Secret+1, nil)
	off := v.now().Sub(sig.Timestamp).Round(time.Second)
	word := "before"
	if off < 0 {
		word, off = "after", -off
	}
	d.Sentence = "The signature holds, but its ts is " + off.String() + " " + word + " this machine's time of arrival; SIGNATURE_TOLERANCE is " + v.tolerance.String() + "."
	return d
}

// A variant is one value that a part of the manifest may have had when it was
// signed. Its verdict is empty for the value as received.
type variant struct{ value, what, verdict string }

// A reading is an id, a request id and a timestamp that may have been signed.
type reading [3]variant

// changes are its differences from the delivery as received.
func (r reading) changes() (causes, what []string) {
	for _, part := range r {
		if part.verdict != "" {
			causes, what = append(causes, part.verdict), append(what, part.what)
		}
	}
	return causes, what
}

// readings holds every combination of the parts' variants against the hash,
// the least changed first.
func (v *Verifier) readings(d provider.Delivery, q query, h signatureHeader) (provider.Diagnosis, bool) {
	ids, requestIDs, times := idVariants(d, q), requestIDVariants(d.Header), timeVariants(h.ts)
	var all []reading
	for _, id := range ids {
		for _, requestID := range requestIDs {
			for _, ts := range times {
				all = append(all, reading{id, requestID, ts})
			}
		}
	}
	slices.SortStableFunc(all, func(a, b reading) int {
		changesA, _ := a.changes()
		changesB, _ := b.changes()
		return len(changesA) - len(changesB)
	})

	var tried []provider.Trial
	for _, r := range all {
		text := manifest(r[0].value, r[1].value, r[2].value)
		causes, what := r.changes()
		secret, damage := v.matches(text, h.hash)
		if damage != "" {
			causes, what = append(causes, damage), append(what, advices[damage].sentence)
		}
		if len(what) == 0 {
			what = []string{"as received"}
		}
		trial := provider.Trial{What: strings.Join(what, "; "), Manifest: printableManifest(text), Matched: secret > 0}
		if secret == 0 {
			if len(tried) < triedAtMost {
				tried = append(tried, trial)
			}
			continue
		}
		word := VerdictIDMalformed // as received it matches, and was not accepted
		switch {
		case len(causes) == 1:
			word = causes[0]
		case len(causes) > 1:
			word = VerdictSeveral
		}
		return verdict(word, secret, append(tried, trial)), true
	}
	return verdict("", 0, tried), false
}

// matches returns the place of the secret whose hash over text is the given
// one, 0 for none, and what was done to the hash.
func (v *Verifier) matches(text, given string) (secret int, damage string) {
	for i, keyed := range v.accepted() {
		mac := keyed()
		mac.Write([]byte(text))
		sum := hex.EncodeToString(mac.Sum(nil))
		lower := strings.ToLower(given)
		switch {
		case subtle.ConstantTimeCompare([]byte(sum), []byte(given)) == 1:
			return i + 1, ""
		case sum == lower:
			return i + 1, VerdictHashCase
		case len(given) >= leastHash && len(given) < hashLength && strings.HasPrefix(sum, lower):
			return i + 1, VerdictHashTruncated
		}
	}
	return 0, ""
}

// idVariants are the ids that may have been signed.
func idVariants(d provider.Delivery, q query) []variant {
	var found []variant
	add := func(value, what, word string) {
		if len(value) <= maxHintID && !slices.ContainsFunc(found, func(v variant) bool { return v.value == value }) {
			found = append(found, variant{value, what, word})
		}
	}
	received := q.dataID.value
	if q.dataID.distinct <= 1 {
		add(received, "", "")
		add(strings.ToLower(received), "", "")
	}
	add(strings.ToUpper(received), "data.id in upper case", VerdictIDCasing)
	for _, raw := range rawValues(d.RawQuery, "data.id") {
		if value, err := url.QueryUnescape(raw); err == nil {
			if q.dataID.distinct > 1 {
				add(value, "one data.id of several", VerdictIDAmbiguous)
				add(strings.ToLower(value), "one data.id of several, in lower case", VerdictIDAmbiguous)
			}
			add(value, "data.id with the white space around it", VerdictIDEncoding)
			if twice, err := url.QueryUnescape(value); err == nil {
				add(twice, "data.id unescaped twice", VerdictIDEncoding)
				add(strings.ToLower(twice), "data.id unescaped twice, in lower case", VerdictIDEncoding)
			}
			add(url.QueryEscape(value), "data.id escaped", VerdictIDEncoding)
		}
		add(raw, "data.id not unescaped", VerdictIDEncoding)
	}
	for _, name := range []string{"id", "data_id", "data[id]", "dataId"} {
		for _, raw := range rawValues(d.RawQuery, name) {
			if value, err := url.QueryUnescape(raw); err == nil {
				add(value, "the query's "+name, VerdictIDParameter)
				add(strings.ToLower(value), "the query's "+name+" in lower case", VerdictIDParameter)
			}
		}
	}
	for _, id := range bodyIDs(d.Body) {
		add(id, "an id of the body", VerdictIDFromBody)
		add(strings.ToLower(id), "an id of the body in lower case", VerdictIDFromBody)
	}
	add("", "without an id", VerdictIDNotSigned)
	return found
}

// maxHintID bounds what is tried as an id.
const maxHintID = 512

// bodyIDs are the ids that a body names, its resource's first.
func bodyIDs(body []byte) []string {
	if len(body) == 0 || len(body) > maxHintBody {
		return nil
	}
	o, err := readObject(body)
	if err != nil {
		return nil
	}
	data := o.child("data")
	return slices.DeleteFunc([]string{
		data.id("id"), data.id("payment_id"), o.id("id"), resourceID(o.scalar("resource")),
	}, func(id string) bool { return id == "" })
}

// rawValues are a parameter's values as they stand in the query.
func rawValues(raw, name string) []string {
	var found []string
	for pair := range strings.SplitSeq(raw, "&") {
		key, value, _ := strings.Cut(pair, "=")
		if key, err := url.QueryUnescape(key); err == nil && key == name {
			found = append(found, value)
		}
	}
	return found
}

// requestIDVariants are the request ids that may have been signed. A proxy that
// sets its own x-request-id may keep the caller's in another header.
func requestIDVariants(header http.Header) []variant {
	received := header.Values(headerRequestID)
	var found []variant
	add := func(value, what, word string) {
		value = strings.TrimSpace(value)
		if validRequestID(value) && !slices.ContainsFunc(found, func(v variant) bool { return v.value == value }) {
			found = append(found, variant{value, what, word})
		}
	}
	if len(received) <= 1 {
		add(header.Get(headerRequestID), "", "")
	}
	for _, value := range received {
		for part := range strings.SplitSeq(value, ",") {
			add(part, "one x-request-id of several", VerdictRequestIDReplaced)
		}
	}
	add("", "without x-request-id", VerdictRequestIDReplaced)
	names := make([]string, 0, len(header))
	for name := range header {
		// Others hold no ids, and some hold what must not be shown.
		if lower := strings.ToLower(name); name != headerRequestID && (strings.Contains(lower, "id") || strings.Contains(lower, "trace")) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	for _, name := range names[:min(len(names), maxOtherHeaders)] {
		for _, value := range header[name] {
			what := strings.ToLower(name) + " as x-request-id"
			add(value, what, VerdictRequestIDReplaced)
			if parts := strings.Split(value, "-"); strings.EqualFold(name, "Traceparent") && len(parts) == 4 {
				add(parts[1], "the trace id of traceparent as x-request-id", VerdictRequestIDReplaced)
			}
		}
	}
	return found
}

// maxOtherHeaders bounds how many headers are tried as x-request-id.
const maxOtherHeaders = 32

// timeVariants are the timestamps that may have been signed.
func timeVariants(ts string) []variant {
	found := []variant{{value: ts}}
	n, err := strconv.ParseInt(ts, 10, 64)
	if err != nil {
		return found
	}
	if n >= millisecondsFrom {
		return append(found, variant{strconv.FormatInt(n/1000, 10), "ts in seconds", VerdictTimestampUnit})
	}
	return append(found, variant{ts + "000", "ts in milliseconds", VerdictTimestampUnit})
}

// printableManifest is a manifest that can be shown and stored.
func printableManifest(text string) string { return storable(text, 2*maxHintID) }
