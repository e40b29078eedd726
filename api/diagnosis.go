package api

import (
	"context"
	"encoding/base64"
	"fmt"
	"net/http"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/conciliar/conciliar/jobs/provider"
	"github.com/conciliar/conciliar/store"
)

// diagnoser says why a delivery is refused.
type diagnoser interface {
	Diagnose(d provider.Delivery, arrived time.Time, reason string) provider.Diagnosis
}

// Verdicts of deliveries that were refused for what no signature covers.
const (
	verdictBodyTooLarge     = "body_too_large"
	verdictSourceNotAllowed = "source_not_allowed"
)

// DiagnosisOf says why a recorded delivery was refused, by what d accepts now.
// Of the delivery's headers the record has the two that matter.
func DiagnosisOf(d diagnoser, r store.RefusedDetail) (provider.Diagnosis, error) {
	body := []byte(r.Body.Data)
	if r.Body.Encoding == store.EncodingBase64 {
		var err error
		if body, err = base64.StdEncoding.DecodeString(r.Body.Data); err != nil {
			return provider.Diagnosis{}, fmt.Errorf("refused delivery %d: body: %w", r.ID, err)
		}
	}
	header := http.Header{}
	for name, value := range map[string]string{"X-Signature": r.XSignature.Reveal(), requestIDHeader: r.XRequestID} {
		if value != "" {
			header[name] = []string{value}
		}
	}
	found := d.Diagnose(provider.Delivery{Method: r.Method, RawQuery: r.Query, Header: header, Body: body}, r.RefusedAt, r.Reason)
	switch r.Reason {
	case reasonBodyTooLarge:
		found.Verdict, found.WhatToDo = verdictBodyTooLarge, "Nothing: no provider sends such a body, unless a proxy adds to it."
		found.Sentence = "The body is larger than 1 MiB, regardless of its signature."
	case reasonSourceNotAllowed:
		found.Verdict, found.WhatToDo = verdictSourceNotAllowed, "If its signature is valid, add the address to SOURCE_IP_CIDRS; behind a proxy, set TRUSTED_PROXIES."
		found.Sentence = "SOURCE_IP_MODE is enforce and the sender's address is in none of SOURCE_IP_CIDRS. Its signature is invalid, too."
		if found.Secret > 0 {
			found.Sentence = "SOURCE_IP_MODE is enforce and the sender's address is in none of SOURCE_IP_CIDRS. Its signature is valid."
		}
	}
	return found, nil
}

// diagnoseRefused answers what a recorded delivery was refused for.
func (a *api) diagnoseRefused() handler {
	return about(aRefusal, func(ctx context.Context, c *gin.Context, _ *requestEvent, id int64) error {
		refused, err := a.deps.Storage.RefusedDelivery(ctx, id)
		if err != nil {
			return err
		}
		if w := a.webhookOf(refused.Source); w != nil {
			found, err := DiagnosisOf(w.Receiver, refused)
			if err != nil {
				return err
			}
			return answerJSON(c, http.StatusOK, found)
		}
		return newProblem(problemRefusedNotFound, "The source of this delivery is no longer configured.")
	})
}
