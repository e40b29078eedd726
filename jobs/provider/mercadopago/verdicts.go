package mercadopago

import (
	"maps"
	"slices"

	"github.com/conciliar/conciliar/jobs/provider"
)

// Verdicts of a diagnosis: stable words.
const (
	// VerdictAccepted: nothing is wrong with it by what is configured now.
	VerdictAccepted = "accepted_now"
	// VerdictOutsideTolerance: rightly signed, too far from the time of arrival.
	VerdictOutsideTolerance = "outside_tolerance"
	// VerdictUnsignedChannel: IPN, which nobody can verify.
	VerdictUnsignedChannel = "unsigned_channel"
	// VerdictMissingSignature: no x-signature came with it.
	VerdictMissingSignature = "missing_signature"
	// VerdictMalformedSignature: x-signature is not ts=…,v1=….
	VerdictMalformedSignature = "malformed_signature"
	// VerdictSignatureAmbiguous: more than one x-signature header.
	VerdictSignatureAmbiguous = "signature_ambiguous"
	// VerdictIDMalformed: what was signed as the id cannot be one.
	VerdictIDMalformed = "id_malformed"
	// VerdictMethod: neither POST nor the IPN form's GET.
	VerdictMethod = "unexpected_method"
	// VerdictHashCase and VerdictHashTruncated: the hash was changed on its way.
	VerdictHashCase      = "hash_in_upper_case"
	VerdictHashTruncated = "hash_truncated"
	// VerdictIDCasing: the id's casing was changed on its way.
	VerdictIDCasing = "id_casing"
	// VerdictIDEncoding: the id was encoded or decoded once too often.
	VerdictIDEncoding = "id_encoding"
	// VerdictIDParameter: the signed id stands in id, not in data.id.
	VerdictIDParameter = "id_parameter"
	// VerdictIDFromBody: the body's id was signed, not the query's.
	VerdictIDFromBody = "id_from_body"
	// VerdictIDAmbiguous: one of several data.id was signed.
	VerdictIDAmbiguous = "id_ambiguous"
	// VerdictIDNotSigned: no id was signed.
	VerdictIDNotSigned = "id_not_signed"
	// VerdictRequestIDReplaced: x-request-id is not what was signed.
	VerdictRequestIDReplaced = "request_id_replaced"
	// VerdictTimestampUnit: ts was signed in seconds and sent in milliseconds,
	// or the reverse.
	VerdictTimestampUnit = "timestamp_unit"
	// VerdictSeveral: more than one of these at once.
	VerdictSeveral = "several_causes"
	// VerdictRequestIDAbsent: nothing matched, and x-request-id did not come.
	VerdictRequestIDAbsent = "request_id_absent"
	// VerdictNoMatch: nothing that was tried matched.
	VerdictNoMatch = "no_match"
)

// An advice is what a verdict means.
type advice struct{ sentence, whatToDo string }

const restoreQuery = "Find what rewrites the query between Mercado Pago and here (a proxy, a framework, a redirect) and let it pass unchanged."

var advices = map[string]advice{
	VerdictAccepted: {
		"By what is configured now the signature holds.",
		"Nothing, when MERCADOPAGO_WEBHOOK_SECRETS was changed since. If it was not, a process runs with another configuration: restart all of them. Mercado Pago delivers again, and the reconciliation finds what was missed.",
	},
	VerdictOutsideTolerance: {
		"The signature holds, but its ts was too far from this machine's clock when it arrived.",
		"Set this machine's clock (NTP), or raise SIGNATURE_TOLERANCE; 0s checks no time.",
	},
	VerdictUnsignedChannel: {
		"This is an IPN. Mercado Pago gives those an x-signature that cannot be verified with the application's secret.",
		"Use Webhooks in \"Your integrations\" (add source_news=webhooks to a notification_url of your own), or set ALLOW_UNSIGNED=true to take IPN as a hint to fetch.",
	},
	VerdictMissingSignature: {
		"There is no x-signature header. Mercado Pago sends none with the notifications of the older QR codes; a proxy may have dropped it; or it is not from Mercado Pago.",
		"If others are accepted: these are QR notifications, and ALLOW_UNSIGNED=true takes them as a hint to fetch, or strangers. If none is accepted: let the proxy pass x-signature and x-request-id.",
	},
	VerdictMalformedSignature: {
		"The x-signature header is not one ts=<digits>,v1=<hash>.",
		"Let the proxy pass x-signature unchanged and once. If nothing stands in between, it is not from Mercado Pago.",
	},
	VerdictSignatureAmbiguous: {
		"More than one x-signature header came with it, so it cannot be read in one way only.",
		"Find what adds a second x-signature header on the way.",
	},
	VerdictIDMalformed: {
		"The signature holds, but what was signed as the id has characters that no id has.",
		"Take the parameter apart from the merchant's own: an id has letters, digits, _ and - only. Such a delivery stays refused.",
	},
	VerdictMethod: {
		"Mercado Pago delivers by POST, and IPN by GET with ?topic=…&id=….",
		"If it was a person's browser or a monitor, nothing. A redirect turns a POST into a GET: give Mercado Pago the final address.",
	},
	VerdictHashCase: {
		"The hash is right but in upper case; Mercado Pago sends lower case.",
		"Find what changes the x-signature header on its way, or correct the program that signs.",
	},
	VerdictHashTruncated: {
		"The hash is the beginning of the right one.",
		"Find what cuts the x-signature header on its way (a limit on headers, a copy by hand).",
	},
	VerdictIDCasing: {
		"The id was signed in another casing than the one that arrived, which is neither as received nor lower case.",
		restoreQuery,
	},
	VerdictIDEncoding: {
		"The id was signed in another encoding than the one that arrived: an escape was added or taken away once too often.",
		restoreQuery,
	},
	VerdictIDParameter: {
		"The signed id stands in the parameter id, and not in data.id as Mercado Pago sends it.",
		"Find what renames data.id (PHP and some frameworks do) and let the query pass unchanged.",
	},
	VerdictIDFromBody: {
		"The id of the body was signed and not the one in the query. Mercado Pago's simulator has been seen to do so.",
		"Nothing, when it was a test from the panel. Otherwise test with a real payment; the body is not covered by what Mercado Pago documents, so this stays refused.",
	},
	VerdictIDAmbiguous: {
		"data.id stands more than once in the query, and one of them was signed.",
		"Take data.id out of your notification_url: Mercado Pago adds its own.",
	},
	VerdictIDNotSigned: {
		"No id was signed, but one arrived.",
		"Take data.id out of your notification_url, and find what adds it on the way.",
	},
	VerdictRequestIDReplaced: {
		"The x-request-id that arrived is not the one that was signed: something in between set its own.",
		"Let the proxy pass x-request-id of this path unchanged; nginx, ingress controllers and tracing replace it by default.",
	},
	VerdictTimestampUnit: {
		"ts was signed in another unit than the one that arrived (seconds or milliseconds).",
		"Find what rewrites the x-signature header; Mercado Pago signs ts as it sends it.",
	},
	VerdictSeveral: {
		"The signature holds for a delivery that differs in more than one way; what was tried says in which.",
		"Let the proxy pass the query, x-signature and x-request-id unchanged.",
	},
	VerdictRequestIDAbsent: {
		"No reading matches, and x-request-id is missing: Mercado Pago always sends and signs one, so the signature cannot be checked without it.",
		"Let the proxy pass x-request-id unchanged.",
	},
	VerdictNoMatch: {
		"No reading of this delivery matches any accepted secret. It was signed with another secret, its x-request-id was replaced by one that tells nothing, or it is forged.",
		"Compare MERCADOPAGO_WEBHOOK_SECRETS with \"Your integrations > Webhooks\": each application has one secret for production and one for tests, and a marketplace's deliveries are signed with the marketplace's. If the secret is right, look at x-request-id. If you don't expect it, it is a stranger's.",
	},
}

// testHint is added where a body says that it is about a test.
const testHint = " The body says live_mode false: the secret for tests may be the one that is missing."

func verdict(word string, secret int, tried []provider.Trial) provider.Diagnosis {
	if tried == nil {
		tried = []provider.Trial{}
	}
	a := advices[word]
	return provider.Diagnosis{Verdict: word, Sentence: a.sentence, WhatToDo: a.whatToDo, Secret: secret, Tried: tried}
}

// Verdicts lists every verdict.
func Verdicts() []string { return slices.Sorted(maps.Keys(advices)) }
