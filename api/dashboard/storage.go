package dashboard

import (
	"context"
	"time"

	"github.com/conciliar/conciliar/store"
	"github.com/conciliar/conciliar/store/order"
)

// storage is what the pages show, and what an operator does that the database alone
// can do.
type storage interface {
	Status(ctx context.Context) (store.Status, error)
	OpenAlerts(ctx context.Context) ([]store.Alert, error)
	analytics

	Events(ctx context.Context, filter store.EventFilter, page store.Page) (store.List[store.Event], error)
	Event(ctx context.Context, queueID int64) (store.EventDetail, error)
	ReplayEvent(ctx context.Context, queueID int64, by store.Actor) (store.Replay, error)

	Order(ctx context.Context, reference string) (store.Order, error)
	AmendOrder(ctx context.Context, act store.OrderAct, terms order.Terms) (store.Order, error)
	CancelOrder(ctx context.Context, act store.OrderAct) (store.Order, error)
	Orders(ctx context.Context, filter store.OrderFilter, page store.PageOf[store.OrderPlace]) (store.ListOf[store.OrderSummary, store.OrderPlace], error)
	OrderPaymentLogs(ctx context.Context, reference string, limit int) ([]store.LoggedPayment, error)
	Payment(ctx context.Context, source, paymentID string) (store.KnownPayment, error)

	DeadLetters(ctx context.Context, filter store.DeadLetterFilter, page store.Page) (store.List[store.DeadLetter], error)
	DeadLetter(ctx context.Context, id int64) (store.DeadLetterDetail, error)
	ReplayDeadLetter(ctx context.Context, id int64, by store.Actor) (store.Replay, error)
	DismissDeadLetter(ctx context.Context, id int64, note store.Note, by store.Actor) error
	CountReplayable(ctx context.Context, filter store.DeadLetterFilter) (int64, error)
	OpenDeadLetters(ctx context.Context) ([]store.DeadLetterGroup, error)
	BulkReplay(ctx context.Context, id int64) (store.BulkReplay, error)
	CancelBulkReplay(ctx context.Context, id int64, by store.Actor) (store.BulkReplay, error)

	Anomalies(ctx context.Context, filter store.AnomalyFilter, page store.Page) (store.List[store.Anomaly], error)
	ResolveAnomaly(ctx context.Context, id int64, note store.Note, by store.Actor) (store.Anomaly, error)

	Run(ctx context.Context, id int64) (store.Run, error)
	Runs(ctx context.Context, before int64, limit int) ([]store.Run, error)
	StartRun(ctx context.Context, req store.RunRequest) (run store.Run, joined bool, err error)

	RefusedDeliveries(ctx context.Context, filter store.RefusedFilter, page store.Page) (store.List[store.RefusedDelivery], error)
	RefusedDelivery(ctx context.Context, id int64) (store.RefusedDetail, error)
}

// analytics are what happened over time.
type analytics interface {
	Activity(ctx context.Context, span store.Span) ([]store.ActivityPoint, error)
	Latency(ctx context.Context, since, until time.Time) (store.Latency, error)
	LatencyOver(ctx context.Context, span store.Span) ([]store.LatencyPoint, error)
	MoneyByDay(ctx context.Context, since, until time.Time, zone *time.Location) ([]store.MoneyDay, error)
	TopReasons(ctx context.Context, since, until time.Time) ([]store.DeathReason, error)
	Healed(ctx context.Context, since, until time.Time) ([]store.HealedRun, error)
	Outages(ctx context.Context, since, until time.Time) ([]store.Outage, error)
}

// operator does what people ask of jobs.
type operator interface {
	ReplayDeadLetters(ctx context.Context, filter store.DeadLetterFilter, limit int64, by store.Actor) (store.BulkReplay, error)
}
