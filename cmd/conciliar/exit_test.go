package main

import (
	"context"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/shopspring/decimal"
	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/api"
	"github.com/conciliar/conciliar/config"
	"github.com/conciliar/conciliar/store"
	"github.com/conciliar/conciliar/store/order"
)

// A meaning is what an error of the store comes to at each of its ends.
type meaning struct {
	err    error
	class  store.ProblemClass
	code   string
	status int
	exit   int
	// says is what a command says; empty for the error's own text.
	says string
}

func price(amount string) order.Terms {
	return order.Terms{Amount: decimal.RequireFromString(amount), Currency: "ARS"}
}

// meanings has a row for each exported error of the store and of its orders, by
// name.
func meanings() map[string]meaning {
	missing := func(err *store.NotFoundError, id any, code, says string) meaning {
		return meaning{err.With(id), store.NotFound, code, http.StatusNotFound, exitFailed, says}
	}
	internal := func(err error) meaning {
		return meaning{err, store.Internal, "internal", http.StatusInternalServerError, exitFailed, ""}
	}
	_, badNote := store.ParseNote(" ")
	_, badEmail := new(store.Store).PayerKeyOf(context.Background(), "ana")
	_, badReason := store.ParseReason("")
	return map[string]meaning{
		"ErrEventNotFound":      missing(store.ErrEventNotFound, 999, "event_not_found", "There is no event 999."),
		"ErrDeadLetterNotFound": missing(store.ErrDeadLetterNotFound, 7, "dead_letter_not_found", "There is no dead letter 7."),
		"ErrBulkReplayNotFound": missing(store.ErrBulkReplayNotFound, 3, "bulk_replay_not_found", "There is no bulk replay 3."),
		"ErrAnomalyNotFound":    missing(store.ErrAnomalyNotFound, 12, "anomaly_not_found", "There is no anomaly 12."),
		"ErrRefusedNotFound":    missing(store.ErrRefusedNotFound, 5, "refused_not_found", "There is no refused delivery 5."),
		"ErrRunNotFound":        missing(store.ErrRunNotFound, 4, "run_not_found", "There is no run 4."),
		"ErrMessageNotFound":    missing(store.ErrMessageNotFound, 2, "not_found", "There is no message about alerts 2."),
		"ErrOrderNotFound":      missing(store.ErrOrderNotFound, "A-1", "order_not_found", `There is no order "A-1".`),
		"ErrSessionNotFound":    missing(store.ErrSessionNotFound, 8, "not_found", "There is no login 8."),
		"ErrPaymentNotFound":    missing(store.ErrPaymentNotFound, "99", "not_found", `There is no payment "99".`),
		"ErrDeliveryNotFound":   missing(store.ErrDeliveryNotFound, 6, "not_found", "There is no delivery 6."),
		"ErrReceiverNotFound":   missing(store.ErrReceiverNotFound, "order_events", "not_found", `There is no receiver "order_events".`),
		"ErrOrderEventNotFound": missing(store.ErrOrderEventNotFound, 9, "not_found", "There is no order event 9."),
		"NotFoundError":         missing(store.ErrEventNotFound, nil, "event_not_found", "There is no such event."),
		"StateError": {
			&store.StateError{What: "dead letter", ID: 7, State: "dismissed"}, store.Conflict, "state_conflict",
			http.StatusConflict, exitFailed, "Dead letter 7 is already dismissed.",
		},
		"ReplayWaitsError": {
			&store.ReplayWaitsError{QueueID: 5, Replay: 9}, store.Conflict, "replay_waits", http.StatusConflict, exitFailed,
			"Event 5 is being replayed as event 9, which has not ended yet.",
		},
		"ErrPayoutNotFound": missing(store.ErrPayoutNotFound, "900", "payout_not_found", `There is no payout "900".`),
		"ErrRefundNotFound": missing(store.ErrRefundNotFound, "9d1c3cf8", "refund_not_found", `There is no refund "9d1c3cf8".`),
		"ErrRefundChanged": {
			store.ErrRefundChanged, store.Conflict, "refund_changed", http.StatusConflict, exitFailed,
			"What can be refunded of the payment has changed since it was shown.",
		},
		"RefundLimitError": {
			&store.RefundLimitError{PaymentID: "7", Left: decimal.NewFromInt(60), Currency: "ARS"}, store.Conflict, "refund_exceeds",
			http.StatusConflict, exitFailed, "At most 60.00 ARS of payment 7 can be refunded.",
		},
		"ErrReportMoved": {
			store.ErrReportMoved, store.Conflict, "state_conflict", http.StatusConflict, exitFailed, "Somebody else is importing the same file.",
		},
		"CursorExpiredError": {
			store.CursorExpiredError{}, store.Conflict, "cursor_expired", http.StatusGone, exitFailed,
			"The cursor is from before a restore, or what follows it is no longer kept.",
		},
		"OpenEventsError": {
			&store.OpenEventsError{Events: []int64{5, 9}}, store.Conflict, "state_conflict", http.StatusConflict, exitFailed,
			"Nothing was forgotten: these events of the payer's have not ended, or have an open dead letter: 5 9.",
		},
		"LiveProcessesError": {
			&store.LiveProcessesError{Signs: []string{"a (all) on host-1"}}, store.Conflict, "state_conflict", http.StatusConflict, exitFailed,
			"A process of the service works with this database; stop it (after a crash, try again a minute later): a (all) on host-1.",
		},
		"PayloadExpiredError": {
			&store.PayloadExpiredError{QueueID: 5}, store.Conflict, "payload_expired", http.StatusConflict, exitFailed,
			"The body of event 5 is no longer kept, and the event names nothing to fetch.",
		},
		"MessageExpiredError": {
			&store.MessageExpiredError{What: "delivery", ID: 5}, store.Conflict, "payload_expired", http.StatusConflict, exitFailed,
			"The body of delivery 5 is no longer kept.",
		},
		"OrderConflictError": {
			&store.OrderConflictError{Reference: "A-1", Known: price("80.00"), Asked: price("100")}, store.Conflict, "order_conflict",
			http.StatusConflict, exitFailed, "The order is registered with 80.00 ARS; this call says 100.00 ARS.",
		},
		"InvalidError": {
			&store.InvalidError{What: "the window", Why: "ends before it begins"}, store.Invalid, "", http.StatusInternalServerError, exitUsage,
			"The window ends before it begins.",
		},
		"ErrNote":   {badNote, store.Invalid, "invalid_field", http.StatusBadRequest, exitUsage, "The note must have 1 to 2,000 characters."},
		"ErrReason": {badReason, store.Invalid, "invalid_field", http.StatusBadRequest, exitUsage, "The reason must have 1 to 2,000 characters."},
		"OrderCancelledError": {
			&store.OrderCancelledError{Reference: "A-1"}, store.Conflict, "order_cancelled", http.StatusConflict, exitFailed,
			"The order is cancelled; its terms can't be amended.",
		},
		"ErrExportLocale": {
			store.ErrExportLocale, store.Invalid, "invalid_parameter", http.StatusBadRequest, exitUsage, "The locale cannot be taken.",
		},
		"ErrRunWindow": {
			store.ErrRunWindow, store.Invalid, "invalid_parameter", http.StatusBadRequest, exitUsage, "The window cannot be taken.",
		},
		"ErrPayerEmail": {badEmail, store.Invalid, "invalid_field", http.StatusBadRequest, exitUsage, "The payer's e-mail address must look like name@host."},
		"ErrCollector": {
			store.ErrCollector, store.Invalid, "invalid_field", http.StatusBadRequest, exitUsage, "The collector_id cannot be taken.",
		},
		"ErrSpan": {store.ErrSpan, store.Invalid, "invalid_parameter", http.StatusBadRequest, exitUsage, "The span cannot be taken."},
		"SchemaError": {
			&store.SchemaError{What: "order", Err: &pgconn.PgError{Code: "23514", Message: "inside"}}, store.Invalid, "refused_by_schema",
			http.StatusUnprocessableEntity, exitUsage, "A rule of the database refuses the order.",
		},
		"ErrNoSession": {
			store.ErrNoSession, store.Unauthenticated, "not_logged_in", http.StatusUnauthorized, exitFailed, "This needs the operator's login.",
		},
		"ErrInboxFull":   {store.ErrInboxFull, store.Unavailable, "overloaded", http.StatusServiceUnavailable, exitFailed, ""},
		"ErrInboxClosed": {store.ErrInboxClosed, store.Unavailable, "shutting_down", http.StatusServiceUnavailable, exitFailed, ""},
		"NewerLedgerError": {
			&store.NewerLedgerError{Ledger: 9}, store.Unavailable, "storage_unavailable", http.StatusServiceUnavailable, exitFailed, "",
		},

		"OtherAccountError": {
			&store.OtherAccountError{Ledger: "1", Ours: "2"}, store.Conflict, "state_conflict", http.StatusConflict, exitFailed,
			"The records belong to another account than the access token.",
		},

		// These are for the jobs alone: a caller who meets one has met a bug.
		"ErrStaleAttempt": internal(store.ErrStaleAttempt),

		"ErrDeliverySuperseded": internal(store.ErrDeliverySuperseded),
		"ErrRunEnded":           internal(store.ErrRunEnded),
		"ErrEvaluatedLately":    internal(store.ErrEvaluatedLately),
		"ErrAnswerOlder":        internal(store.ErrAnswerOlder),

		"order.ErrUnknownStatus": internal(order.ErrUnknownStatus),
		"order.ErrInvalidTerms":  internal(order.ErrInvalidTerms),
		"order.ErrUnknownMode":   internal(order.ErrUnknownMode),
		// The caller's terms are checked before the store sees them.
		"order.ErrUnknownCurrency": internal(order.ErrUnknownCurrency),
		"order.ErrAmountTooFine":   internal(order.ErrAmountTooFine),
		"order.TermsError":         internal(&order.TermsError{Field: "amount", Why: "must be digits"}),
		"order.ErrInvalidPayment":  internal(order.ErrInvalidPayment),
	}
}

func (m meaning) require(t *testing.T, name string) {
	t.Helper()
	wrapped := fmt.Errorf("a place inside: %w", m.err)
	told := store.ProblemOf(wrapped)
	require.Equal(t, m.class, told.Class, name)
	require.Equal(t, m.code, told.Code, name)
	require.Equal(t, m.status, api.ProblemOf(wrapped).Status, name)
	if m.status != http.StatusInternalServerError {
		require.Equal(t, m.code, api.ProblemOf(wrapped).Code, name)
	}
	require.NotContains(t, told.Text, "inside", name)
	code, text := exitOf(wrapped)
	require.Equal(t, m.exit, code, name)
	if m.says == "" {
		m.says = wrapped.Error()
	}
	require.Equal(t, m.says, text, name)
}

func TestExit_EveryErrorOfTheStoreHasItsMeaning(t *testing.T) {
	t.Parallel()
	known := meanings()
	for _, name := range exportedErrors(t) {
		require.Contains(t, known, name, "a new error needs a row")
		known[name].require(t, name)
		delete(known, name)
	}
	require.Empty(t, known, "rows of errors that are gone")
}

func TestExit_WhatTheDatabaseMetPassesOrIsOurs(t *testing.T) {
	t.Parallel()
	answered := func(code string) error { return &pgconn.PgError{Code: code} }
	for _, err := range []error{
		answered("57P01"), answered("53300"), answered("57014"), answered("40001"), answered("53100"), context.DeadlineExceeded,
	} {
		meaning{err, store.Unavailable, "storage_unavailable", http.StatusServiceUnavailable, exitFailed, ""}.require(t, err.Error())
	}
	// A value that the schema refuses is the caller's only where the store says so.
	for _, err := range []error{answered("23514"), answered("22003"), answered("42P01"), errors.New("odd")} {
		meaning{err, store.Internal, "internal", http.StatusInternalServerError, exitFailed, ""}.require(t, err.Error())
	}
	meaning{
		context.Canceled, store.Unavailable, "shutting_down", http.StatusServiceUnavailable, exitFailed, "",
	}.require(t, "cancelled")
}

func TestExit_UsageAndConfigurationAreTwo(t *testing.T) {
	t.Parallel()
	for _, err := range []error{usagef("odd"), config.Problems{{Variable: "X", Text: "is odd"}}} {
		code, text := exitOf(err)
		require.Equal(t, exitUsage, code)
		require.Contains(t, text, "odd")
	}
	code, text := exitOf(errSilent)
	require.Equal(t, exitFailed, code)
	require.Empty(t, text)
}

// exportedErrors are the names of the exported errors of package store, and of
// package order with its name before them: variables ErrX and types XError.
func exportedErrors(t *testing.T) []string {
	t.Helper()
	var names []string
	add := func(prefix, name string) {
		if ast.IsExported(name) && (strings.HasPrefix(name, "Err") || strings.HasSuffix(name, "Error")) && name != "DatabaseError" {
			names = append(names, prefix+name)
		}
	}
	for dir, prefix := range map[string]string{"../../store": "", "../../store/order": "order."} {
		paths, err := fs.Glob(os.DirFS(dir), "*.go")
		require.NoError(t, err)
		require.NotEmpty(t, paths)
		for _, path := range paths {
			if strings.HasSuffix(path, "_test.go") {
				continue
			}
			file, err := parser.ParseFile(token.NewFileSet(), filepath.Join(dir, path), nil, parser.SkipObjectResolution)
			require.NoError(t, err)
			for _, d := range file.Decls {
				gen, ok := d.(*ast.GenDecl)
				if !ok {
					continue
				}
				for _, spec := range gen.Specs {
					switch s := spec.(type) {
					case *ast.TypeSpec:
						add(prefix, s.Name.Name)
					case *ast.ValueSpec:
						for _, n := range s.Names {
							add(prefix, n.Name)
						}
					}
				}
			}
		}
	}
	return names
}
