package main

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/conciliar/conciliar/api"
	"github.com/conciliar/conciliar/config"
	"github.com/conciliar/conciliar/jobs/provider"
	"github.com/conciliar/conciliar/jobs/provider/mercadopago"
	"github.com/conciliar/conciliar/store"
)

// A givenDelivery is a delivery as flags give it, or the id of a recorded one.
type givenDelivery struct {
	id                             int64
	xSignature, xRequestID, dataID string
	query, body                    string
	headers                        []string
}

// explain prints why a delivery was refused.
func explain(ctx context.Context, std stdio, cfg config.Config, given givenDelivery, byID, asJSON bool) error {
	verifier, err := mercadopago.NewVerifier(config.Reveal(cfg.WebhookSecrets), mercadopago.WithTolerance(cfg.SignatureTolerance))
	if err != nil {
		return err
	}
	receiver := mercadopago.NewReceiver(verifier, cfg.AllowUnsigned)
	var found provider.Diagnosis
	if byID {
		err = withStore(ctx, std, func(storage *store.Store) error {
			refused, err := storage.RefusedDelivery(ctx, given.id)
			if err != nil {
				return err
			}
			if refused.Source == mercadopago.Source {
				found, err = api.DiagnosisOf(receiver, refused)
				return err
			}
			declared, err := newSenders(cfg.Sources)
			if err != nil {
				return err
			}
			sender := declared.sender(refused.Source)
			if sender == nil {
				return fmt.Errorf("no source %q is declared", refused.Source)
			}
			found, err = api.DiagnosisOf(sender, refused)
			return err
		})
	} else {
		var d provider.Delivery
		if d, err = given.delivery(); err == nil {
			found = receiver.Diagnose(d, time.Now(), "")
		}
	}
	if err != nil {
		return err
	}
	return printVerdict(std, asJSON, found.Verdict == mercadopago.VerdictAccepted, found, func(r *printout) { showDiagnosis(r, found) })
}

func (g givenDelivery) delivery() (provider.Delivery, error) {
	header := http.Header{}
	for _, line := range g.headers {
		name, value, found := strings.Cut(line, ":")
		if !found || strings.TrimSpace(name) == "" {
			return provider.Delivery{}, usagef("--header takes 'Name: value'")
		}
		header.Add(strings.TrimSpace(name), strings.TrimSpace(value))
	}
	header.Set("X-Signature", g.xSignature)
	if g.xRequestID != "" {
		header.Set("X-Request-Id", g.xRequestID)
	}
	query := strings.TrimPrefix(g.query, "?")
	if g.dataID != "" {
		query = "data.id=" + url.QueryEscape(g.dataID)
	}
	return provider.Delivery{Method: http.MethodPost, RawQuery: query, Header: header, Body: []byte(g.body)}, nil
}

func showDiagnosis(r *printout, d provider.Diagnosis) {
	r.row("verdict", d.Verdict)
	r.row("why", d.Sentence)
	r.row("do", d.WhatToDo)
	if d.Secret > 0 {
		r.row("secret", d.Secret)
	}
	section(r, "tried", "MATCHED\tWHAT\tMANIFEST", d.Tried, func(trial provider.Trial) []any {
		return []any{trial.Matched, trial.What, trial.Manifest}
	})
}
