package mercadopago

// StatusDetails are the finer words for a payment's status that are documented
// (https://www.mercadopago.com.mx/developers/en/docs/checkout-api-payments/response-handling/query-results).
// Others come: they are shown as they are.
func StatusDetails() []string {
	return []string{
		"accredited", "partially_refunded", "pending_capture",
		"offline_process", "pending_contingency", "pending_review_manual", "deferred_retry",
		"pending_waiting_transfer", "pending_waiting_payment", "pending_challenge",
		"expired", "by_collector", "by_payer",
		"in_process", "settled", "reimbursed",
		"refunded", "by_admin",
		"bank_error", "cc_rejected_3ds_challenge", "cc_rejected_3ds_mandatory", "cc_rejected_bad_filled_card_number", "cc_rejected_bad_filled_date",
		"cc_rejected_bad_filled_other", "cc_rejected_bad_filled_security_code", "cc_rejected_blacklist", "cc_rejected_call_for_authorize",
		"cc_rejected_card_disabled", "cc_rejected_card_error", "cc_rejected_duplicated_payment", "cc_rejected_high_risk",
		"cc_rejected_insufficient_amount", "cc_rejected_invalid_installments", "cc_rejected_max_attempts", "cc_rejected_other_reason",
		"cc_rejected_time_out", "cc_rejected_card_type_not_allowed", "cc_amount_rate_limit_exceeded", "rejected_insufficient_data",
		"rejected_by_bank", "rejected_by_regulations", "insufficient_amount",
	}
}
