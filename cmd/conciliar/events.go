package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/conciliar/conciliar/config"
	"github.com/conciliar/conciliar/store"
)

func newEvents(std stdio) *cobra.Command {
	return group("events", "Look up events with their history, and replay them",
		newEventsList(std), newEventsShow(std), newEventsReplay(std))
}

func newEventsList(std stdio) *cobra.Command {
	return listCommand(std, listSpec[store.EventFilter, store.Event, store.Event, int64]{
		short:   "List events, newest first, including archived ones",
		example: "  conciliar events list --payment 123456789\n  conciliar events list --status failed --since 24h --json",
		flags: func(cmd *cobra.Command, filter *store.EventFilter) {
			f := cmd.Flags()
			wordFlag(cmd, &filter.Status, "status", "only with this status", store.EventStatuses())
			f.StringVar(&filter.Topic, "topic", "", "only of this topic, for example payment")
			wordFlag(cmd, &filter.Origin, "origin", "only of this origin", store.EventOrigins())
			f.StringVar(&filter.ResourceID, "payment", "", "only about the payment, or other resource, with this id")
			f.StringVar(&filter.Order, "order", "", "only about payments of the order with this reference")
			f.StringVar(&filter.RequestID, "request-id", "", "only of the delivery with this x-request-id")
			timeFlags(std, cmd, &filter.Since, &filter.Until)
		},
		read: (*store.Store).Events, document: same[store.Event],
		header: "EVENT\tRECEIVED\tTOPIC\tRESOURCE\tORIGIN\tSTATUS\tATTEMPTS\tOUTCOME\tLAST ERROR",
		row: func(e store.Event) []any {
			return []any{e.QueueID, e.ReceivedAt, e.Topic, e.ResourceID, e.Origin, e.Status, e.Attempts, e.Outcome, shorten(e.LastError)}
		},
	})
}

// shorten cuts what would make a row of a table too long.
func shorten(text *string) string {
	const most = 60
	if text == nil {
		return ""
	}
	runes := []rune(*text)
	if len(runes) <= most {
		return *text
	}
	return string(runes[:most]) + "…"
}

func newEventsShow(std stdio) *cobra.Command {
	return byID(std, &cobra.Command{
		Use: "show ID", Short: "Show an event: its attempts, its effects, and what operators did", Example: "  conciliar events show 42",
	}, (*store.Store).Event, showEvent)
}

func showEvent(r *printout, e store.EventDetail) {
	r.row("event", e.QueueID)
	r.row("status", e.Status)
	r.row("outcome", e.Outcome)
	r.row("topic", e.Topic)
	r.row("action", e.Action)
	r.row("resource", e.ResourceID)
	r.row("source", e.Source)
	r.row("origin", e.Origin)
	r.row("replay of", e.ReplayOf)
	r.row("received", e.ReceivedAt)
	r.row("completed", e.CompletedAt)
	r.row("attempts", e.Attempts)
	r.row("next retry", e.NextRetryAt)
	r.row("signed", e.Signed)
	r.row("request id", e.RequestID)
	r.row("sender", e.RemoteIP)
	r.row("query", e.Query)
	r.row("job", e.JobID)
	r.row("archived", e.Archived)
	if e.DeadLetter != nil {
		r.row("dead letter", fmt.Sprintf("%d, %s, %s", e.DeadLetter.ID, e.DeadLetter.State, e.DeadLetter.Reason))
	}
	showFailures(r, e.AttemptErrors)
	section(r, "applied payment states", "PAYMENT\tORDER\tSTATUS\tDETAIL\tAMOUNT\tREFUNDED\tCURRENCY\tCHANGED AT", e.PaymentLogs,
		func(p store.PaymentLog) []any {
			return []any{p.PaymentID, p.OrderReference, p.Status, p.StatusDetail, p.Amount, p.RefundedAmount, p.Currency, p.DateLastUpdated}
		})
	section(r, "order changes", "ORDER\tSTATUS\tPAID\tREFUNDED\tCURRENCY\tAT", e.OrderChanges, func(o store.EventChange) []any {
		return []any{o.OrderReference, o.Status, o.PaidAmount, o.RefundedAmount, o.Currency, o.At}
	})
	showAftermath(r, e.Replays, e.Actions, e.Body)
}

func showFailures(r *printout, failures []store.AttemptFailure) {
	section(r, "failed attempts", "ATTEMPT\tAT\tCLASS\tERROR", failures, func(f store.AttemptFailure) []any {
		return []any{f.Attempt, f.At, f.ErrorClass, f.Error}
	})
}

// showAftermath shows what came of an event, and what it came from.
func showAftermath(r *printout, replays []store.ReplayedAs, actions []store.OperatorAction, body store.Body) {
	section(r, "replays", "EVENT\tRECEIVED\tSTATUS\tOUTCOME", replays, func(e store.ReplayedAs) []any {
		return []any{e.QueueID, e.ReceivedAt, e.Status, e.Outcome}
	})
	section(r, "operator actions", "AT\tWHO\tWHAT\tTO\tFROM\tNOTE", actions, func(a store.OperatorAction) []any {
		target := a.TargetKind
		if a.TargetID != nil {
			target = fmt.Sprintf("%s %d", target, *a.TargetID)
		}
		return []any{a.At, a.Actor, a.Action, target, a.RemoteIP, a.Note}
	})
	if body.Resource != nil {
		r.content("provider's answer", *body.Resource)
	}
	r.content("payload", *body.Payload)
}

func newEventsReplay(std stdio) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "replay ID",
		Short: "Replay an event as a new one",
		Long: `Makes a new event of the same delivery, for a running service to process. Any
event can be replayed, including an archived one. A replay never breaks what is
right: the payment is fetched, and the order follows from what was fetched.`,
		Example: "  conciliar events replay 42",
		Args:    oneID,
	}
	asJSON := jsonFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return replayOne(cmd.Context(), std, *asJSON, args[0], (*store.Store).ReplayEvent)
	}
	return cmd
}

// replayOne replays one thing and tells as what.
func replayOne(ctx context.Context, std stdio, asJSON bool, thing string,
	replay func(storage *store.Store, ctx context.Context, id int64, by store.Actor) (store.Replay, error),
) error {
	id, err := recordID(thing)
	if err != nil {
		return err
	}
	return withApp(ctx, std, func(a *app, _ config.Config) error {
		made, err := replay(a.store, ctx, id, commandActor())
		if err != nil {
			return err
		}
		return printResult(std, asJSON, made, func(r *printout) { r.printf("event %d replays event %d\n", made.QueueID, made.ReplayOf) })
	})
}
