package provider

import (
	"time"

	"github.com/shopspring/decimal"
)

// A MoneyReport is a kind of report on an account's money.
type MoneyReport string

const (
	// ReleaseReport: when money becomes available. It has the payouts.
	ReleaseReport MoneyReport = "release"
	// SettlementReport: each transaction from gross to net.
	SettlementReport MoneyReport = "settlement"
)

// A RowKind says what a row of a money report is.
type RowKind uint8

const (
	// MovementRow: money that came or went.
	MovementRow RowKind = iota + 1
	// InitialBalanceRow: what was available before the report's first movement.
	InitialBalanceRow
	// SubtotalRow: the sum of some of the movements.
	SubtotalRow
	// TotalRow: the sum of all movements with the initial balance.
	TotalRow
	// AvailableBalanceRow: what was available before or after a payout, for
	// information.
	AvailableBalanceRow
)

// A MovementClass says in our words what a movement is. Classes are stored.
type MovementClass string

const (
	// PaymentMovement: a payment's money becomes available.
	PaymentMovement MovementClass = "payment"
	// RefundMovement: a payment's money goes back to its payer.
	RefundMovement MovementClass = "refund"
	// DisputeMovement: a chargeback or a mediation takes money, or gives it back.
	DisputeMovement MovementClass = "dispute"
	// ReserveMovement: money is held back, or no longer.
	ReserveMovement MovementClass = "reserve"
	// WithdrawalMovement: the owner took money out of the balance, or it came back.
	WithdrawalMovement MovementClass = "withdrawal"
	// PayoutMovement: a payout to the owner's bank account.
	PayoutMovement MovementClass = "payout"
	// OtherMovement: anything else. The provider's words for it are kept.
	OtherMovement MovementClass = "other"
)

// A Movement is a row of a money report. The amounts are in units of Currency.
type Movement struct {
	// Kind says what the row is; only a MovementRow is money.
	Kind RowKind
	// Class says what kind of movement it is; empty for a row of another kind.
	Class MovementClass
	// Row is the row's place in its file: 1 is the first after the header.
	Row int
	// CollectorID is the account, as the reader of the file was told.
	CollectorID string
	// SourceID is the id of what moved the money: a payment's for its release, the
	// payout's own for a payout; empty when the report names none.
	SourceID string
	// Reference is the merchant's reference; empty when the report names none.
	Reference string
	// RecordType and Description are the provider's words, as they stand.
	RecordType, Description string
	// HappenedAt is when, in UTC; zero where a row that isn't a movement has no date.
	HappenedAt time.Time
	// Credit and Debit are what came and what went, after all deductions. Neither is
	// negative. For a row of a balance or a sum, Credit less Debit is that.
	Credit, Debit decimal.Decimal
	// Gross is the amount before deductions, negative where money went; invalid when
	// the report has no such column.
	Gross decimal.NullDecimal
	// Fee, FinancingFee, ShippingFee, Taxes and Coupon are the deductions, signed as
	// what they add to Gross: a cost is negative. Invalid as Gross.
	Fee, FinancingFee, ShippingFee, Taxes, Coupon decimal.NullDecimal
	// Explained is true when Gross with the deductions is Credit less Debit. Where it
	// is false the deductions are signed as in the file.
	Explained bool
	// Currency is the ISO 4217 code.
	Currency string
	// Balance is what was available after the row; invalid when not said.
	Balance decimal.NullDecimal
}

// Net is what the row adds to the balance.
func (m *Movement) Net() decimal.Decimal { return m.Credit.Sub(m.Debit) }
