package jobs

import (
	"context"
	"log/slog"
	"time"

	"github.com/riverqueue/river"

	"github.com/conciliar/conciliar/jobs/provider"
	"github.com/conciliar/conciliar/store"
)

const (
	// foldEvery is how often it is looked whether the ledger was settled under the
	// rules of an earlier release. It is at the start as well.
	foldEvery = time.Hour
	// foldBudget is how long one job folds, and foldPause how long it then leaves
	// the database to what is more urgent. foldBatch is how many rows are read at a
	// time.
	foldBudget = 5 * time.Second
	foldPause  = 2 * time.Second
	foldBatch  = 200
)

// FoldArgs are the arguments of the job that settles again, after an upgrade, what
// was settled under the rules of an earlier release. They are stored data: fields
// are added, never renamed.
type FoldArgs struct{}

// Kind is the job's name in the database.
func (FoldArgs) Kind() string { return "fold" }

// InsertOpts makes the job the only one of its kind that is not over.
func (FoldArgs) InsertOpts() river.InsertOpts { return onlyOne() }

// A PaymentReader reads a provider's answer that was kept.
type PaymentReader interface {
	// ReadPayment reads an answer as it was received.
	ReadPayment(raw []byte) (provider.Payment, error)
}

// foldWorker settles again what was settled under earlier rules.
type foldWorker struct {
	river.WorkerDefaults[FoldArgs]

	store     *store.Store
	providers map[string]Fetcher
	budget    time.Duration
	logger    *slog.Logger
}

// Work folds as long as there is time, payments before orders, then reads what
// payments cost, what they were made with and by which address they are found, and comes
// back for the rest.
func (w *foldWorker) Work(ctx context.Context, _ *river.Job[FoldArgs]) error {
	ends := time.Now().Add(w.budget)
	behind, err := w.store.BeginFold(ctx)
	if err != nil {
		return err
	}
	if behind {
		done, err := w.fold(ctx, ends)
		if err != nil {
			return err
		}
		if !done {
			return river.JobSnooze(foldPause)
		}
	}
	for _, read := range []func() (done bool, err error){
		func() (bool, error) { return w.store.ReadAnswers(ctx, foldBatch, w.readAnswer) },
		func() (bool, error) { return w.store.ReadPayerEmails(ctx, foldBatch) },
	} {
		for done := false; !done; {
			if done, err = read(); err != nil {
				return err
			}
			if !done && time.Now().After(ends) {
				return river.JobSnooze(foldPause)
			}
		}
	}
	return nil
}

// fold folds until then, and reports whether it got to the end.
func (w *foldWorker) fold(ctx context.Context, ends time.Time) (done bool, err error) {
	var at store.FoldPosition
	for !done {
		if done, err = w.store.FoldPayments(ctx, &at, foldBatch, w.read); err != nil {
			return false, err
		}
		if !done && time.Now().After(ends) {
			return false, nil
		}
	}
	for done = false; !done; {
		if done, err = w.store.FoldOrders(ctx, &at, foldBatch); err != nil {
			w.logger.ErrorContext(ctx, "orders not brought under the rules of this release", "error", err)
		}
		if !done && time.Now().After(ends) {
			return false, nil
		}
	}
	w.logger.InfoContext(ctx, "the ledger is under the rules of this release")
	return true, nil
}

// readPayment reads an answer that was kept; false where it can't be read.
func (w *foldWorker) readPayment(source string, raw []byte) (provider.Payment, bool) {
	reader, ok := w.providers[source].(PaymentReader)
	if !ok {
		return provider.Payment{}, false
	}
	p, err := reader.ReadPayment(raw)
	return p, err == nil
}

// read reads what earlier rules did not look at.
func (w *foldWorker) read(source string, raw []byte) (store.PaymentExtra, bool) {
	p, ok := w.readPayment(source, raw)
	return store.PaymentExtra{Shipping: p.Shipping, SubscriptionID: p.SubscriptionID, SubscriptionNumber: p.SubscriptionNumber, CreatedAt: p.CreatedAt}, ok
}

// readAnswer reads what a payment costs and what it was made with.
func (w *foldWorker) readAnswer(source string, raw []byte) (store.PaymentCost, store.PaymentMethod, bool) {
	p, ok := w.readPayment(source, raw)
	return store.PaymentCost(p.Cost), store.PaymentMethod(p.Method), ok
}
