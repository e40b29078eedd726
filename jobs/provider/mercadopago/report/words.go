package report

import (
	"strings"

	"github.com/conciliar/conciliar/jobs/provider"
)

// rowKinds are the record types that are no movements, from the release report's
// glossary; every other one is a movement, known or not.
var rowKinds = map[string]provider.RowKind{
	"initial_available_balance": provider.InitialBalanceRow,
	"subtotal":                  provider.SubtotalRow,
	"total":                     provider.TotalRow,
	"available_balance":         provider.AvailableBalanceRow,
}

// recordTypes are the API's record types for the words of files with translated
// values: such a file must not make other movements of rows that another one has.
var recordTypes = keyed(map[string]string{
	"Dinero disponible del período anterior":   "initial_available_balance",
	"Dinheiro disponível do período anterior":  "initial_available_balance",
	"Available balance of the previous period": "initial_available_balance",
	"Dinero liberado":                          "release",
	"Dinero liquidado":                         "release",
	"Dinheiro liberado":                        "release",
	"Released money":                           "release",
	"Dinero bloqueado":                         "block",
	"Dinheiro bloqueado":                       "block",
	"Blocked money":                            "block",
	"Dinero desbloqueado":                      "unblock",
	"Dinheiro desbloqueado":                    "unblock",
	"Unblocked money":                          "unblock",
	"Subtotal":                                 "subtotal",
	"Total":                                    "total",
	"Saldo disponible":                         "available_balance",
	"Saldo disponível":                         "available_balance",
	"Available balance":                        "available_balance",
})

// descriptions are the API's descriptions for the words of such files.
var descriptions = keyed(map[string]string{
	"Pago": "payment", "Pagamento": "payment", "Payment": "payment",
	"Devolución de dinero": "refund", "Devolução de dinheiro": "refund", "Money refund": "refund", "Refund": "refund",
	"Contracargo": "chargeback", "Contestação": "chargeback", "Chargeback": "chargeback",
	"Mediación": "mediation", "Mediação": "mediation", "Mediation": "mediation",
	"Reclamo": "dispute", "Disputa": "dispute", "Dispute": "dispute",
	"Retiro de dinero": "payout", "Extracción de efectivo": "payout", "Saque de dinheiro": "payout", "Payout": "payout",
	"Transferencia": "withdrawal", "Withdrawal": "withdrawal",
	"Reserva para pago": "reserve_for_payment", "Reserva para pagamento": "reserve_for_payment",
	"Reserva para reembolso": "reserve_for_refund",
	"Costo de envío":         "shipping", "Frete": "shipping", "Shipping fee": "shipping",
})

// keyed is a table of words by their titleKey.
func keyed[V any](words map[string]V) map[string]V {
	byKey := make(map[string]V, len(words))
	for word, value := range words {
		byKey[titleKey(word)] = value
	}
	return byKey
}

// translated are the API's words for a row's record type and description. What is
// the API's already stays, known or not: it grows. ok is false for a translated row
// whose description we don't know.
func translated(record, description string) (recordType, apiDescription string, ok bool) {
	if apiWord(record) {
		return record, description, true
	}
	recordType, known := recordTypes[titleKey(record)]
	if !known {
		return record, description, true
	}
	if apiWord(description) || rowKind(recordType) != provider.MovementRow {
		return recordType, description, true
	}
	apiDescription, ok = descriptions[titleKey(description)]
	return recordType, apiDescription, ok
}

// apiWord tells whether a word is written as the API writes its own.
func apiWord(s string) bool {
	for i := range len(s) {
		if c := s[i]; (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '_' && c != '-' {
			return false
		}
	}
	return true
}

// rowKind says what a row of the record type is.
func rowKind(recordType string) provider.RowKind {
	if kind, ok := rowKinds[recordType]; ok {
		return kind
	}
	return provider.MovementRow
}

// classes are those of descriptions, from the glossaries of both reports, and of the
// settlement report's transaction types. A reserve's description begins with
// reserve_for_.
var classes = map[string]provider.MovementClass{
	"payment": provider.PaymentMovement, "settlement": provider.PaymentMovement,
	"refund": provider.RefundMovement, "shipping_refund": provider.RefundMovement,
	"chargeback": provider.DisputeMovement, "chargeback_cancel": provider.DisputeMovement, "cancel_chargeback": provider.DisputeMovement,
	"mediation": provider.DisputeMovement, "mediation_cancel": provider.DisputeMovement,
	"dispute": provider.DisputeMovement, "dispute_cancel": provider.DisputeMovement, "cancel_dispute": provider.DisputeMovement,
	"payout": provider.PayoutMovement, "withdrawal": provider.WithdrawalMovement,
}

// class says what a movement is. Money that is blocked, or no longer, is a reserve
// whatever for; a payout that comes back is not a payout.
func class(recordType, description string, debit bool) provider.MovementClass {
	description = strings.ToLower(description)
	if strings.HasPrefix(description, "reserve_for_") || strings.HasSuffix(strings.ToLower(recordType), "block") {
		return provider.ReserveMovement
	}
	found, ok := classes[description]
	if !ok || found == provider.PayoutMovement && !debit {
		return provider.OtherMovement
	}
	return found
}
