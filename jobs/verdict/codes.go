package verdict

import "github.com/conciliar/conciliar/store/order"

// LinkKinds lists every kind of link.
func LinkKinds() []LinkKind {
	return []LinkKind{
		LinkEvent, LinkDeadLetter, LinkDeadLetters, LinkAnomaly, LinkRefused, LinkRefusals, LinkHeld, LinkQueue, LinkOrder,
	}
}

// Sentences are the codes of all that is said.
func Sentences() []string {
	codes := []string{
		"unregistered", "unregistered_paid", "terms", "not_known", "fraud_alert", "paid_after_cancel", "duplicate_payment", "overpaid", "paid",
		"paid_provisionally", "foreign_collector", "currency_mismatch", "wrong_mode", "misfit_resolved", "misfit_returned", "payment_moved",
		"near_miss", "refunded", "partially_refunded", "underpaid", "underpaid_rest_pending", "authorized", "in_process", "cancelled_by_shop",
		"expired", "pending", "rejected", "no_payment", "card_check_only", "charged_back", "charged_back_lost", "in_mediation",
		// What qualifies them.
		"resolved", "others_cover", "claim_about_payment", "claim_about_order", newsDead, "news_dead_new", newsOdd, newsRefused, newsHeld,
		newsRetrying, newsWaiting, newsDismissed, "named_dead", "named_waiting", "named_dismissed", "unread", "unread_failed", "refused", "provider_silent",
		"credentials_rejected", "queue_paused", "queue_paused_unknown", "no_worker", "ambiguous_payment", "unsettled_difference",
		"released_differs", "not_released", "not_released_dispute", "not_released_block", "released_unknown",
		// What a payment is to the order.
		"payment_foreign_collector", "payment_currency_mismatch", "payment_wrong_mode", "payment_moneyless", "payment_part_refunded",
		"payment_reimbursed", "payment_charged_back_lost", "provisional", "provisional_unclear",
	}
	for _, status := range order.PaymentStatuses() {
		codes = append(codes, "payment_"+string(status))
	}
	return codes
}

// Acts are the codes of all that there is to do.
func Acts() []string {
	return []string{
		"unregistered", "unregistered_paid", "unregistered_near", "terms", "fraud_alert", "paid_after_cancel", "duplicate_payment", "overpaid",
		"foreign_collector", "currency_mismatch", "money_beside", "wrong_mode", "misfit_returned", "payment_moved", "near_miss",
		"partially_refunded", "underpaid", "underpaid_rest_pending", "authorized", "in_process", "expired", "pending", "rejected", "no_payment",
		"chargeback_proof", "chargeback_documents", "chargeback_documents_undated", "chargeback_review", "in_mediation",
		newsDead, newsOdd, newsRefused, newsRetrying, "unread_failed", "refused", "provider_silent", "credentials_rejected", "queue_paused",
		"queue_paused_unknown", "no_worker", "ambiguous_payment", "unsettled_difference", "released_differs", "not_released", "not_released_dispute", "not_released_block", "released_unknown",
		"provisional_unclear",
	}
}
