package source

import (
	"time"

	"github.com/conciliar/conciliar/jobs/provider"
)

// explanations are what a reason means and what to do about it.
var explanations = map[string]struct{ sentence, whatToDo string }{
	ReasonMissingSignatureHeader:   {"The delivery has no signature in the header of its scheme.", "Have the sender sign its webhooks; check verify.scheme and verify.header."},
	ReasonAmbiguousSignatureHeader: {"The header with the signature is there more than once, with different values.", "Look for a proxy in between that adds headers."},
	ReasonMalformedSignatureHeader: {"The signature's header can't be read as the scheme says.", "Check verify.prefix and verify.encoding, and that the scheme is the sender's."},
	ReasonSignatureMismatch:        {"None of the secrets has signed what was received.", "Compare the secret with the sender's; check verify.manifest, and that no proxy changes the body."},
	ReasonMissingTimestamp:         {"The delivery has no time that can be read, and a tolerance is set.", "Check time, or set tolerance to 0s."},
	ReasonTimestampOutOfTolerance:  {"The delivery is signed, and its time is too far from now.", "Check the clock of this machine; where the sender repeats old deliveries unchanged, raise tolerance."},
	ReasonMissingAuthorization:     {"The delivery has no token or password where the scheme expects it.", "Have the sender send it; check verify.header and verify.prefix."},
	ReasonWrongAuthorization:       {"The token, or the user with the password, is not one of those accepted.", "Compare it with the sender's."},
	ReasonAmbiguousHeader:          {"A header that id, type or time is read from is there more than once, with different values.", "Look for a proxy in between that adds headers."},
}

// Diagnose says why a delivery was refused, by the reason for it: of the headers that
// some schemes sign not all are recorded.
func (s *Source) Diagnose(_ provider.Delivery, _ time.Time, reason string) provider.Diagnosis {
	found := explanations[reason]
	return provider.Diagnosis{Verdict: reason, Sentence: found.sentence, WhatToDo: found.whatToDo, Tried: []provider.Trial{}}
}
