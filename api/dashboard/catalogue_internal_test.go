package dashboard

import (
	"io/fs"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/shopspring/decimal"
	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/jobs"
	"github.com/conciliar/conciliar/jobs/delivery"
	"github.com/conciliar/conciliar/jobs/health"
	"github.com/conciliar/conciliar/jobs/provider/mercadopago"
	"github.com/conciliar/conciliar/jobs/verdict"
	"github.com/conciliar/conciliar/store"
	"github.com/conciliar/conciliar/store/order"
	"github.com/conciliar/conciliar/store/payout"
)

var placeholder = regexp.MustCompile(`\{[a-z]+\}`)

// placeholders are what a page fills in. A language names the provider as often as it
// likes.
func placeholders(text string) []string {
	return slices.DeleteFunc(placeholder.FindAllString(text, -1), func(p string) bool { return p == "{provider}" })
}

func TestCatalogue_EveryTextIsThereInAllLanguages(t *testing.T) {
	t.Parallel()
	catalogues, err := loadCatalogues()
	require.NoError(t, err)
	for _, c := range catalogues[1:] {
		for key, text := range catalogues[0].text {
			require.NotEmpty(t, c.text[key], "%s has no %s", c.code, key)
			require.ElementsMatch(t, placeholders(text), placeholders(c.text[key]), "%s of %s", key, c.code)
			require.Equal(t, strings.Contains(text, "{provider}"), strings.Contains(c.text[key], "{provider}"), "%s of %s", key, c.code)
		}
		require.Len(t, c.text, len(catalogues[0].text))
	}
}

// families are the words that are looked up by what the database says, with all
// that they can say.
func families(t *testing.T) map[string][]string {
	t.Helper()
	require.Equal(t, mercadopago.PaymentTypes(), paymentTypes)
	return map[string][]string{
		"language":       languageCodes,
		"month":          {"1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11", "12"},
		"unit":           {"day", "hour", "minute", "second", "millisecond"},
		"nav":            sectionNames(),
		"login.problem":  {LoginWrongPassword, LoginTooMany, LoginExpired},
		"role":           texts(Roles()),
		"working":        {string(health.Healthy), string(health.Degraded), string(health.Unhealthy), string(levelUnknown)},
		"headline":       headlines(t),
		"condition":      conditionCodes(),
		"condition.do":   conditionCodes(),
		"circuit":        {string(store.CircuitClosed), string(store.CircuitOpen), string(store.CircuitHalfOpen)},
		"circuit.reason": {store.ReasonUnavailable, store.ReasonCredentialsRejected},
		"order_status":   texts(order.Statuses()),
		"reason":         store.DeadLetterReasons(),
		"error_class":    errorClasses(),
		"series":         {"received", "settled", "failed", "p50", "p90", "p99"},
		"span":           spanNames(),
		"event_status":   store.EventStatuses(),
		"outcome":        outcomes(), "outcome.long": outcomes(),
		"origin":            store.EventOrigins(),
		"payment_status":    texts(order.PaymentStatuses()),
		"release":           mercadopago.ReleaseStatuses(),
		"payment_type":      paymentTypes,
		"payment_method":    mercadopago.PaymentMethods(),
		"cost":              costKinds(),
		"dead_letter_state": store.DeadLetterStates(),
		"action":            store.OperatorActions(),
		"target":            store.OperatorTargets(),
		"moment":            momentKinds(),
		"cause":             {"registered", "amended", "cancelled", "payment", "repair", "upgrade"},
		"reason.do":         store.DeadLetterReasons(), "error_class.do": errorClasses(),
		"bulk_replay_state": {store.BulkReplayRunning, store.BulkReplayDone, store.BulkReplayCancelled, store.BulkReplayStalled},
		"run_status":        {store.RunRunning, store.RunSucceeded, store.RunFailed, store.RunStoppedByCap},
		"run_status.do":     {store.RunFailed, store.RunStoppedByCap},
		"finding":           store.FindingKinds(),
		"finding_state":     store.FindingStates(),
		"difference":        differences(),
		"against":           {"search", "orders", "log", "payments"},
		"unseen":            store.UnseenReasons(),
		"trigger":           {store.TriggerSchedule, store.TriggerStart, store.TriggerManual, store.TriggerCron, store.TriggerCLI},
		"scope":             {store.ScopeBackfill},
		"phase":             phaseNames(),
		"error": {
			"title", "advice", "request_id", "back", "no_note", "none_chosen", "terms", "many_days", "look",
			"unavailable_title", "since", "still_works", "retries", "sent", "rate_limited", "cross_origin",
			// The store's classes, and those of its codes that have a text of their own.
			string(store.Internal), string(store.Unavailable), string(store.Invalid), string(store.Unauthenticated),
			string(store.NotFound), string(store.Conflict),
			"role", "event_not_found", "dead_letter_not_found", "bulk_replay_not_found", "anomaly_not_found", "payout_not_found", "refund_not_found", "refund_exceeds", "refund_changed", "refused_not_found", "run_not_found",
			"state_conflict", "replay_waits", "payload_expired", "order_cancelled", "amount_again", "currency_unknown", "amount_too_fine",
		},
		"refusal": refusedReasons,

		"delivery_state": store.DeliveryStates(), "delivery_class": delivery.Classes(),
		"receiver_stop": {store.StoppedGone, store.StoppedByOperator},
		"verdict":       verdicts(), "verdict.do": verdicts(),
		"why": verdict.Sentences(), "why.do": verdict.Acts(), "why.link": texts(verdict.LinkKinds()),
		"status_detail": append(mercadopago.StatusDetails(), "none"), "status_detail.do": advisedDetails(t),
		"anomaly_state": store.AnomalyStates(),
		"refund_state":  store.RefundStates(), "refund_reason": refundReasons(),
		"payout_state": texts(payout.States()), "payout_state.means": texts(payout.States()),
		"movement_class": {"payment", "refund", "dispute", "reserve", "withdrawal", "payout", "other"},
		"release_reason": {payout.ReasonDispute, payout.ReasonBlock},
		"anomaly":        append(texts(order.AnomalyKinds()), "name", "resolve", "resolve_hint"),
		"anomaly.means":  texts(order.AnomalyKinds()), "anomaly.do": texts(order.AnomalyKinds()),
		"detail": {
			"amount", "paid", "refunded", "missing", "surplus", "payment_ids", "near_orders", "order_terms", "status", "order_currency", "collector_id",
			"expected_collector_id", "mode", "allowed_mode", "detail", "net", "released", "difference", "release_date", "reason", "release_status",
		},
	}
}

// differences are the fields that a finding names.
func differences() []string {
	return []string{
		"against", "status", "status_detail", "amount", "refunded_amount", "paid_amount", "shipping", "currency", "order_reference", "collector_id", "live_mode",
		"date_last_updated", "provider_order_id", "unreadable", "error",
	}
}

func sectionNames() []string {
	names := []string{"river"}
	for _, s := range slices.Concat(firstSections, moreSections) {
		names = append(names, s.Name)
	}
	return names
}

func conditionCodes() []string {
	var codes []string
	for _, c := range health.Conditions() {
		codes = append(codes, c.Code)
	}
	return codes
}

// headlines are the conditions whose headline says more than their sentence, each with
// its forms.
func headlines(t *testing.T) []string {
	t.Helper()
	catalogues, err := loadCatalogues()
	require.NoError(t, err)
	var words []string
	for _, code := range conditionCodes() {
		for _, word := range []string{code, code + ".one", code + ".other"} {
			if _, has := catalogues[0].text["headline."+word]; has {
				words = append(words, word)
			}
		}
	}
	return words
}

func outcomes() []string {
	return []string{
		store.OutcomeSettled, store.OutcomeUnchanged, store.OutcomeCovered, store.OutcomeFollowed, store.OutcomeProvisional, store.OutcomeKept, store.OutcomeUnhandled,
		store.OutcomeDiscarded, store.OutcomeTest, store.OutcomeForwarded,
	}
}

func phaseNames() []string {
	var names []string
	for _, p := range jobs.Phases() {
		names = append(names, p.Name)
	}
	return names
}

func momentKinds() []string {
	kinds := []string{"attempt_failed", "payment_applied", "order_changed", "completed", "died", "action", "replayed"}
	for _, origin := range store.EventOrigins() {
		kinds = append(kinds, "received_"+origin)
	}
	return kinds
}

func spanNames() []string {
	var names []string
	for _, s := range spans {
		names = append(names, s.Name)
	}
	return names
}

// errorClasses are those of attempts and dead letters.
func errorClasses() []string {
	var classes []string
	for _, c := range jobs.FailureClasses() {
		if c.Action != jobs.ActionDone {
			classes = append(classes, c.Class)
		}
	}
	return classes
}

// costKinds are those of a payment that has all of them.
func costKinds() (kinds []string) {
	one := decimal.NewNullDecimal(decimal.NewFromInt(1))
	for _, k := range (store.PaymentCost{Fee: one, ApplicationFee: one, FinancingFee: one, ShippingFee: one, Taxes: one}).Kinds() {
		kinds = append(kinds, k.Kind)
	}
	return kinds
}

// verdicts are those of the signature doctor, and of what no signature covers.
func verdicts() []string {
	return []string{
		mercadopago.VerdictAccepted, mercadopago.VerdictOutsideTolerance, mercadopago.VerdictUnsignedChannel,
		mercadopago.VerdictMissingSignature, mercadopago.VerdictMalformedSignature, mercadopago.VerdictSignatureAmbiguous,
		mercadopago.VerdictIDMalformed, mercadopago.VerdictMethod, mercadopago.VerdictHashCase, mercadopago.VerdictHashTruncated,
		mercadopago.VerdictIDCasing, mercadopago.VerdictIDEncoding, mercadopago.VerdictIDParameter, mercadopago.VerdictIDFromBody,
		mercadopago.VerdictIDAmbiguous, mercadopago.VerdictIDNotSigned, mercadopago.VerdictRequestIDReplaced,
		mercadopago.VerdictTimestampUnit, mercadopago.VerdictSeveral, mercadopago.VerdictRequestIDAbsent, mercadopago.VerdictNoMatch,
		"body_too_large", "source_not_allowed",
	}
}

// advisedDetails are the details of payments for which there is more to say to a buyer
// than to try again.
func advisedDetails(t *testing.T) []string {
	t.Helper()
	catalogues, err := loadCatalogues()
	require.NoError(t, err)
	return slices.DeleteFunc(mercadopago.StatusDetails(), func(word string) bool { return catalogues[0].text["status_detail.do."+word] == "" })
}

func texts[S ~string](words []S) []string {
	out := make([]string, len(words))
	for i, w := range words {
		out[i] = string(w)
	}
	return out
}

func TestCatalogue_EveryWordOfOursIsTranslated(t *testing.T) {
	t.Parallel()
	catalogues, err := loadCatalogues()
	require.NoError(t, err)
	known := families(t)
	for family, words := range known {
		for _, w := range words {
			if _, plural := catalogues[0].text[family+"."+w+".other"]; plural {
				require.Contains(t, catalogues[0].text, family+"."+w+".one")
				continue
			}
			require.Contains(t, catalogues[0].text, family+"."+w)
		}
	}
	for key := range catalogues[0].text {
		family, word := familyOf(known, key)
		if family != "" {
			if bare := strings.TrimSuffix(strings.TrimSuffix(word, ".one"), ".other"); slices.Contains(known[family], bare) {
				word = bare
			}
			require.Contains(t, known[family], word, "%s translates a word that nobody says", key)
		}
	}
}

// familyOf is the longest family that the key belongs to.
func familyOf(known map[string][]string, key string) (family, word string) {
	for f := range known {
		if rest, ok := strings.CutPrefix(key, f+"."); ok && len(f) > len(family) {
			family, word = f, rest
		}
	}
	return family, word
}

// literal is a text in quotes, in templates and in Go alike.
var literal = regexp.MustCompile(`"([a-z_]+(?:\.[A-Za-z0-9_-]+)*)"`)

func TestCatalogue_EveryTextIsUsedAndEveryUsedTextIsThere(t *testing.T) {
	t.Parallel()
	catalogues, err := loadCatalogues()
	require.NoError(t, err)
	known := families(t)
	said := map[string]bool{}
	for _, source := range sources(t) {
		for _, m := range literal.FindAllStringSubmatch(source, -1) {
			said[m[1]] = true
		}
		for _, m := range regexp.MustCompile(`\.T "([^"]+)"`).FindAllStringSubmatch(source, -1) {
			key := m[1]
			_, whole := catalogues[0].text[key]
			_, plural := catalogues[0].text[key+".other"]
			require.True(t, whole || plural, "there is no text %s", key)
		}
	}
	for key := range catalogues[0].text {
		if family, _ := familyOf(known, key); family != "" {
			continue
		}
		base := strings.TrimSuffix(strings.TrimSuffix(key, ".one"), ".other")
		// Those of notices are said without their family.
		word, isNotice := strings.CutPrefix(base, "notice.")
		inFamily := isNotice && said[word]
		require.True(t, said[base] || inFamily, "nobody says %s", key)
	}
}

// sources are the templates and the Go files that are not tests.
func sources(t *testing.T) []string {
	t.Helper()
	var all []string
	for _, pattern := range []string{"*.go", "pages/*.html"} {
		names, err := fs.Glob(os.DirFS("."), pattern)
		require.NoError(t, err)
		names = slices.DeleteFunc(names, func(n string) bool { return strings.HasSuffix(n, "_test.go") })
		require.NotEmpty(t, names)
		for _, n := range names {
			raw, err := os.ReadFile(n)
			require.NoError(t, err)
			all = append(all, string(raw))
		}
	}
	return all
}
