package provider

import "time"

// A Field is a part of a payment that can't be left unread.
type Field string

// The fields that an OddPayment may name. They are stored, counted and shown:
// stable words.
const (
	FieldID        Field = "id"
	FieldStatus    Field = "status"
	FieldAmount    Field = "amount"
	FieldRefunded  Field = "refunded_amount"
	FieldCurrency  Field = "currency"
	FieldReference Field = "order_reference"
)

// Fields returns every field that an OddPayment may name. The slice is the
// caller's.
func Fields() []Field {
	return []Field{FieldID, FieldStatus, FieldAmount, FieldRefunded, FieldCurrency, FieldReference}
}

// An OddPayment is an answer about a payment that can't be booked: something in
// it that is needed is missing, or is nothing that we know. As an error its text
// is safe to store and log: it has the fields' names and never what stands in
// them.
type OddPayment struct {
	// ID is the payment's id, empty when even that can't be read.
	ID string
	// Reference and MerchantOrderID are as in a Payment, as far as they can be
	// read: a person finds the order by them.
	Reference, MerchantOrderID string
	// UpdatedAt is as in a Payment.
	UpdatedAt time.Time
	// Fields are what can't be read, each once and in the order of Fields.
	Fields []Field
	// Problem says what is wrong with them, in the provider's own names.
	Problem string
	// Raw is the body as received.
	Raw []byte `json:"-"`
}

func (o *OddPayment) Error() string { return o.Problem }
