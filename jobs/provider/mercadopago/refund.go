package mercadopago

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/shopspring/decimal"

	"github.com/conciliar/conciliar/jobs/provider"
)

const (
	operationRefund     operation = "refund"
	operationRefundList operation = "refund_list"

	// idempotencyKey makes a call one, however often it is sent.
	idempotencyKey = "X-Idempotency-Key"
	// showUnderWay has refunds that are under way shown as such: without it one of Pix
	// is answered 400 until it is made.
	showUnderWay = "X-Render-In-Process-Refunds"
)

// refusalCodes are causes of the refunds reference, by what they mean.
var refusalCodes = map[string]provider.RefundReason{
	"2024": provider.RefundTooOld, "15016": provider.RefundTooOld,
	"2063": provider.RefundWrongState, "4293": provider.RefundWrongState, "4296": provider.RefundWrongState,
	"2085": provider.RefundWrongAmount, "4040": provider.RefundWrongAmount, "4041": provider.RefundWrongAmount,
	"3024": provider.RefundWholeOnly, "4295": provider.RefundWholeOnly,
	"2000": provider.RefundNoPayment,
}

// Refund gives a payment's money back: POST /v1/payments/{id}/refunds. Without an amount
// Mercado Pago gives back all. What it refuses in words of its own is not an error.
func (c *Client) Refund(ctx context.Context, ask provider.RefundRequest) (refund provider.Refund, err error) {
	if !allDigits(ask.PaymentID) || ask.Key == "" || !ask.Whole && !ask.Amount.IsPositive() {
		return refund, &provider.Error{Kind: provider.Unexpected, NotAsked: true, Err: errors.New("not asked: this is not a refund of a payment")}
	}
	var body []byte
	if !ask.Whole {
		body = fmt.Appendf(nil, `{"amount":%s}`, ask.Amount)
	}
	refused := false
	answer, err := c.read(ctx, request{
		operation: operationRefund, method: http.MethodPost, url: c.refundsURL(ask.PaymentID), body: body,
		header: http.Header{idempotencyKey: {ask.Key}, showUnderWay: {"true"}},
		refused: func(statusCode int, body []byte) bool {
			refund, refused = readRefusal(statusCode, body)
			return refused
		},
	}, c.maxBody)
	if err != nil || refused {
		return refund, noPayment(err)
	}
	if refund, err = decodeRefund(answer.body); err != nil {
		return provider.Refund{}, notUnderstood(answer.statusCode, err)
	}
	return refund, nil
}

// Refunds lists a payment's refunds: GET /v1/payments/{id}/refunds.
func (c *Client) Refunds(ctx context.Context, paymentID string) ([]provider.Refund, error) {
	if !allDigits(paymentID) {
		return nil, &provider.Error{Kind: provider.Unexpected, NotAsked: true, Err: errors.New("not asked: this is not the id of a payment")}
	}
	answer, err := c.get(ctx, operationRefundList, c.refundsURL(paymentID), http.Header{showUnderWay: {"true"}}, pageBodies*c.maxBody)
	if err != nil {
		return nil, err
	}
	var entries []json.RawMessage
	if err := json.Unmarshal(bytes.TrimPrefix(answer.body, byteOrderMark), &entries); err != nil {
		if !json.Valid(answer.body) {
			return nil, notUnderstood(answer.statusCode, fmt.Errorf("refunds: %w", errNotJSON))
		}
		return nil, notUnderstood(answer.statusCode, errors.New("refunds: not a list"))
	}
	refunds := make([]provider.Refund, len(entries))
	for i, entry := range entries {
		if refunds[i], err = decodeRefund(entry); err != nil {
			return nil, notUnderstood(answer.statusCode, err)
		}
	}
	return refunds, nil
}

func (c *Client) refundsURL(paymentID string) *url.URL {
	return c.base.JoinPath("v1", "payments", paymentID, "refunds")
}

// decodeRefund reads a refund. One whose state is not known is an error: nobody could
// say whether the money went.
func decodeRefund(raw []byte) (provider.Refund, error) {
	o, err := readObject(raw)
	if err != nil {
		return provider.Refund{}, fmt.Errorf("refund: %w", err)
	}
	refund := provider.Refund{ID: o.id("id"), CreatedAt: readTime(o.text("date_created"))}
	if refund.ID == "" {
		return provider.Refund{}, errors.New("refund: id is missing or is not an id")
	}
	if refund.Amount, err = readAmount(o, "amount"); err != nil {
		return provider.Refund{}, fmt.Errorf("refund: amount %w", err)
	}
	switch status := strings.ToLower(o.text("status")); status {
	case "approved", "": // older answers have no status
		refund.State = provider.RefundMade
	case "in_process", "pending", "authorized":
		refund.State = provider.RefundUnderWay
	case "rejected", "cancelled", "canceled":
		refund.State, refund.Reason, refund.Amount = provider.RefundRefused, provider.RefundRejected, decimal.Zero
	default:
		return provider.Refund{}, errors.New("refund: a status that is not known")
	}
	return refund, nil
}

// readRefusal reads what Mercado Pago says in refusing a refund. It is false for what
// says nothing about the refund: credentials, limits, outages, a proxy's page, and a
// conflict with the same call under way.
func readRefusal(statusCode int, body []byte) (provider.Refund, bool) {
	if !slices.Contains([]int{http.StatusBadRequest, http.StatusPaymentRequired, http.StatusNotFound, http.StatusUnprocessableEntity}, statusCode) {
		return provider.Refund{}, false
	}
	o, err := readObject(body)
	if err != nil || o.empty("message") && o.empty("error") && o.empty("cause") {
		return provider.Refund{}, false
	}
	refusal := provider.Refund{State: provider.RefundRefused, Reason: provider.RefundRefusedOtherwise, Said: "HTTP " + strconv.Itoa(statusCode)}
	if statusCode == http.StatusNotFound {
		refusal.Reason = provider.RefundNoPayment
	}
	for _, code := range causeCodes(o) {
		if len(refusal.Said) < maxWord {
			refusal.Said += ", code " + code
		}
		if reason, known := refusalCodes[code]; known {
			refusal.Reason = reason
		}
	}
	return refusal, true
}

// causeCodes are the numbers that an error's causes have: a list, one object, or none.
func causeCodes(o object) []string {
	causes, err := o.list("cause")
	if err != nil {
		causes = []json.RawMessage{o.value("cause")}
	}
	var codes []string
	for _, raw := range causes {
		cause, err := readObject(raw)
		if code := cause.text("code"); err == nil && code != "" && len(code) <= 6 && allDigits(code) {
			codes = append(codes, code)
		}
	}
	return codes
}
