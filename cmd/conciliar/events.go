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
	var filter store.EventFilter
	return listCommand(std, listSpec[store.Event, int64]{
		short:   "List events, newest first, including archived ones",
		example: "  conciliar events list --payment 123456789\n  conciliar events list --status failed --since 24h --json",
		flags: func(cmd *cobra.Command) {
			f := cmd.Flags()
			wordFlag(cmd, &filter.Status, "status", "only with this status", store.EventStatuses())
			f.StringVar(&filter.Topic, "topic", "", "only of this topic, for example payment")
			wordFlag(cmd, &filter.Origin, "origin", "only of this origin", store.EventOrigins())
			f.StringVar(&filter.ResourceID, "payment", "", "only about the payment, or other resource, with this id")
			f.StringVar(&filter.Order, "order", "", "only about payments of the order with this reference")
			f.StringVar(&filter.RequestID, "request-id", "", "only of the delivery with this x-request-id")
			timeFlags(cmd, &filter.Since, &filter.Until)
		},
		read: func(ctx context.Context, storage *store.Store, page store.Page) (store.List[store.Event], error) {
			return storage.Events(ctx, filter, page)
		},
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
	return showCommand(std, showSpec[store.EventDetail]{
		short:   "Show an event: its attempts, its effects, and what operators did",
		example: "  conciliar events show 42",
		read: func(ctx context.Context, storage *store.Store, id int64) (store.EventDetail, error) {
			return storage.Event(ctx, id)
		},
		display: printEvent,
	})
}

func printEvent(std stdio, e store.EventDetail) error {
	t := newTable(std.out)
	t.row("event", e.QueueID)
	t.row("status", e.Status)
	t.row("outcome", e.Outcome)
	t.row("topic", e.Topic)
	t.row("action", e.Action)
	t.row("resource", e.ResourceID)
	t.row("source", e.Source)
	t.row("origin", e.Origin)
	t.row("replay of", e.ReplayOf)
	t.row("received", e.ReceivedAt)
	t.row("completed", e.CompletedAt)
	t.row("attempts", e.Attempts)
	t.row("next retry", e.NextRetryAt)
	t.row("signed", e.Signed)
	t.row("request id", e.RequestID)
	t.row("sender", e.RemoteIP)
	t.row("query", e.Query)
	t.row("job", e.JobID)
	t.row("archived", e.Archived)
	if e.DeadLetter != nil {
		t.row("dead letter", fmt.Sprintf("%d, %s, %s", e.DeadLetter.ID, e.DeadLetter.State, e.DeadLetter.Reason))
	}
	if err := t.flush(); err != nil {
		return err
	}
	if err := printFailures(std, e.AttemptErrors); err != nil {
		return err
	}
	err := section(std.out, "applied payment states", "PAYMENT\tORDER\tSTATUS\tDETAIL\tAMOUNT\tREFUNDED\tCURRENCY\tCHANGED AT", e.PaymentLogs,
		func(p store.PaymentLog) []any {
			return []any{p.PaymentID, p.OrderReference, p.Status, p.StatusDetail, p.Amount, p.RefundedAmount, p.Currency, p.DateLastUpdated}
		})
	if err != nil {
		return err
	}
	err = section(std.out, "order changes", "ORDER\tSTATUS\tPAID\tREFUNDED\tCURRENCY\tAT", e.OrderChanges, func(o store.EventChange) []any {
		return []any{o.OrderReference, o.Status, o.PaidAmount, o.RefundedAmount, o.Currency, o.At}
	})
	if err != nil {
		return err
	}
	return printAftermath(std, e.Replays, e.Actions, e.Body)
}

func printFailures(std stdio, failures []store.AttemptFailure) error {
	return section(std.out, "failed attempts", "ATTEMPT\tAT\tCLASS\tERROR", failures, func(f store.AttemptFailure) []any {
		return []any{f.Attempt, f.At, f.ErrorClass, f.Error}
	})
}

// printAftermath prints what came of an event, and what it came from.
func printAftermath(std stdio, replays []store.ReplayedAs, actions []store.OperatorAction, body store.Body) error {
	err := section(std.out, "replays", "EVENT\tRECEIVED\tSTATUS\tOUTCOME", replays, func(r store.ReplayedAs) []any {
		return []any{r.QueueID, r.ReceivedAt, r.Status, r.Outcome}
	})
	if err != nil {
		return err
	}
	err = section(std.out, "operator actions", "AT\tWHO\tWHAT\tTO\tFROM\tNOTE", actions, func(a store.OperatorAction) []any {
		target := a.TargetKind
		if a.TargetID != nil {
			target = fmt.Sprintf("%s %d", target, *a.TargetID)
		}
		return []any{a.At, a.Actor, a.Action, target, a.RemoteIP, a.Note}
	})
	if err != nil {
		return err
	}
	if body.Resource != nil {
		if err := printContent(std.out, "provider's answer", *body.Resource); err != nil {
			return err
		}
	}
	return printContent(std.out, "payload", *body.Payload)
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
		id, err := recordID(args[0])
		if err != nil {
			return err
		}
		return replayOne(cmd.Context(), std, *asJSON, func(ctx context.Context, storage *store.Store) (store.Replay, error) {
			return storage.ReplayEvent(ctx, id, commandActor())
		})
	}
	return cmd
}

// replayOne replays one thing and tells as what.
func replayOne(ctx context.Context, std stdio, asJSON bool, replay func(ctx context.Context, storage *store.Store) (store.Replay, error)) error {
	return withApp(ctx, std, func(a *app, _ config.Config) error {
		made, err := replay(ctx, a.store)
		if err != nil {
			return err
		}
		if asJSON {
			return printJSON(std.out, made)
		}
		_, err = fmt.Fprintf(std.out, "event %d replays event %d\n", made.QueueID, made.ReplayOf)
		return err
	})
}
