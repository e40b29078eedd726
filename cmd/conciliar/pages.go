package main

import (
	"context"
	"log/slog"

	"github.com/jackc/pgx/v5"
	"riverqueue.com/riverui"
	"riverqueue.com/riverui/uiendpoints"

	"github.com/conciliar/conciliar/api"
	"github.com/conciliar/conciliar/api/dashboard"
	"github.com/conciliar/conciliar/config"
	"github.com/conciliar/conciliar/jobs"
	"github.com/conciliar/conciliar/jobs/provider"
	"github.com/conciliar/conciliar/jobs/provider/mercadopago"
	"github.com/conciliar/conciliar/store"
)

// wirePages adds to deps what an operator sees in a browser.
func (a *app) wirePages(cfg config.Config, receiver *mercadopago.Receiver, operator *jobs.Operator, deps *api.Deps) error {
	pages, err := dashboard.New(dashboard.Deps{
		Storage: a.store, Operator: operator, Provider: mercadopago.DisplayName, Version: version, Logger: a.logger,
		WebhookPath: api.WebhookPath, AlertsSent: a.secrets.alerts.Sends, Refunds: cfg.Refunds.On(),
		Zone: cfg.TimeZone.Location,
		Schedule: func() dashboard.Schedule {
			next := extras(cfg.ReconcileSchedule)
			return dashboard.Schedule{Next: next.NextRunAt, Every: next.RunEvery}
		},
		Diagnose: func(refused store.RefusedDetail) (provider.Diagnosis, error) {
			if sender := a.senders.sender(refused.Source); sender != nil {
				return api.DiagnosisOf(sender, refused)
			}
			if refused.Source != mercadopago.Source {
				return provider.Diagnosis{}, nil // its sender is not set up any more
			}
			return api.DiagnosisOf(receiver, refused)
		},
	})
	if err != nil {
		return err
	}
	if a.riverUI, err = newRiverUI(a.store, operator, a.logger); err != nil {
		return err
	}
	deps.Dashboard, deps.RiverUI, deps.Provider, deps.Version = pages, a.riverUI, mercadopago.DisplayName, version
	return nil
}

// newRiverUI wires River UI: what only looks has a client of its own, and what
// acts a transaction, in which the store records it.
func newRiverUI(storage *store.Store, operator *jobs.Operator, logger *slog.Logger) (*api.RiverUI, error) {
	client := operator.Client()
	return api.NewRiverUI(api.RiverUIOptions{
		Endpoints: riverui.NewEndpoints(client, nil),
		Act: func(ctx context.Context, action store.JobAction, do func(uiendpoints.Bundle) error) error {
			return storage.ActOnJobs(ctx, action, func(tx pgx.Tx) error {
				return do(riverui.NewEndpoints(client, &riverui.EndpointsOpts[pgx.Tx]{Tx: &tx}))
			})
		},
		Logger: atLeast(logger, slog.LevelWarn),
	})
}
