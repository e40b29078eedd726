package provider

// A Diagnosis says why a delivery was refused and what would have been
// accepted. It holds no secret and no signature.
type Diagnosis struct {
	// Verdict is the cause's stable word, for example "request_id_replaced".
	Verdict string `json:"verdict"`
	// Sentence says what happened, WhatToDo what a merchant can do about it.
	Sentence string `json:"sentence"`
	WhatToDo string `json:"what_to_do"`
	// Secret is the place of the accepted secret that made the signature, 1 for
	// the first; 0 when none did.
	Secret int `json:"secret"`
	// Tried are the readings that were tried, the one that matched last.
	Tried []Trial `json:"tried"`
}

// A Trial is one reading of a delivery that was held against its signature.
type Trial struct {
	// What says how it differs from the delivery as received.
	What string `json:"what"`
	// Manifest is the text that would have been signed.
	Manifest string `json:"manifest"`
	Matched  bool   `json:"matched"`
}
