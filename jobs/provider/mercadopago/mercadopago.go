// Package mercadopago is everything that would change if Mercado Pago changed:
// how its notifications are signed and shaped, which topics it knows, and how
// its API is asked and answers. Its words end here; what leaves is in the words
// of package provider.
//
// "The webhooks page" in these comments is Mercado Pago's "Webhooks" page under
// "Your integrations > Notifications", "the IPN page" its neighbour, and "the
// payments reference" the page of GET /v1/payments in its API reference.
package mercadopago

import "github.com/conciliar/conciliar/jobs/provider"

// Source is the name of this provider in every event.
const Source = "mercadopago"

// DisplayName is what people call it.
const DisplayName = "Mercado Pago"

// Reasons for which a delivery is refused. They are stored, counted and shown:
// stable words.
const (
	// ReasonMissingSignatureHeader: no x-signature, or a blank one.
	ReasonMissingSignatureHeader = "missing_signature_header"
	// ReasonMalformedSignatureHeader: neither ts nor a hash in it, or a ts that
	// is not a number.
	ReasonMalformedSignatureHeader = "malformed_signature_header"
	// ReasonMissingTimestamp: a hash, and no ts.
	ReasonMissingTimestamp = "missing_timestamp"
	// ReasonMissingHash: a ts, and no v1.
	ReasonMissingHash = "missing_hash"
	// ReasonSignatureMismatch: signed with another secret, or not what was signed.
	ReasonSignatureMismatch = "signature_mismatch"
	// ReasonTimestampOutOfTolerance: rightly signed, but too long ago or ahead.
	ReasonTimestampOutOfTolerance = "timestamp_out_of_tolerance"
	// ReasonAmbiguousDataID: data.id stands more than once in the query.
	ReasonAmbiguousDataID = "ambiguous_data_id"
	// ReasonMalformedDataID: data.id is not a plain id.
	ReasonMalformedDataID = "malformed_data_id"
	// ReasonAmbiguousID: the IPN form's id stands more than once in the query.
	ReasonAmbiguousID = "ambiguous_id"
	// ReasonMalformedID: the IPN form's id is not a plain id.
	ReasonMalformedID = "malformed_id"
	// ReasonAmbiguousSignatureHeader: more than one x-signature header.
	ReasonAmbiguousSignatureHeader = "ambiguous_signature_header"
	// ReasonAmbiguousRequestID: more than one x-request-id header.
	ReasonAmbiguousRequestID = "ambiguous_request_id"
	// ReasonMalformedRequestID: x-request-id has bytes that no request id has.
	ReasonMalformedRequestID = "malformed_request_id"
	// ReasonUnexpectedMethod: not POST, nor GET in the IPN form.
	ReasonUnexpectedMethod = "unexpected_method"
)

func malformed(reason string) *provider.Refusal {
	return &provider.Refusal{Kind: provider.Malformed, Reason: reason}
}

func unauthenticated(reason string) *provider.Refusal {
	return &provider.Refusal{Kind: provider.Unauthenticated, Reason: reason}
}

// maxID bounds an id. The longest that Mercado Pago documents has 36 characters.
const maxID = 128

// validID tells whether s can be an id: letters, digits, _ and -. That is what
// keeps a signature's manifest unambiguous and an id from leaving its place in
// a path.
func validID(s string) bool {
	if s == "" || len(s) > maxID {
		return false
	}
	for i := range len(s) {
		c := s[i]
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '_' && c != '-' {
			return false
		}
	}
	return true
}

// allDigits tells whether s is one or more ASCII digits.
func allDigits(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return s != ""
}
