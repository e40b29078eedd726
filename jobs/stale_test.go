package jobs_test

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/riverqueue/river/rivertype"
	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/jobs"
	"github.com/conciliar/conciliar/jobs/provider"
	"github.com/conciliar/conciliar/store/storetest/fixture"
)

// outcomes tells the outcome of each attempt that was logged.
type outcomes struct {
	slog.Handler
	logged chan string
}

func newOutcomes() outcomes { return outcomes{slog.DiscardHandler, make(chan string, 1000)} }

func (o outcomes) Enabled(context.Context, slog.Level) bool { return true }

func (o outcomes) WithAttrs([]slog.Attr) slog.Handler { return o }

func (o outcomes) Handle(_ context.Context, record slog.Record) error {
	record.Attrs(func(attr slog.Attr) bool {
		if attr.Key == "outcome" {
			o.logged <- attr.Value.String()
		}
		return true
	})
	return nil
}

func (o outcomes) await(t *testing.T, outcome string) {
	t.Helper()
	select {
	case logged := <-o.logged:
		require.Equal(t, outcome, logged)
	case <-time.After(fixture.Patience):
		require.FailNow(t, "no attempt was logged", "want %s", outcome)
	}
}

// held makes the bank keep an answer back until it is released.
func (k *fakeProvider) held(paymentID string, answer func() (provider.Payment, error)) (asked, release chan struct{}) {
	asked, release = make(chan struct{}), make(chan struct{})
	k.says(paymentID, func(ctx context.Context, call int) (provider.Payment, error) {
		if call == 1 {
			close(asked)
			select {
			case <-release:
			case <-ctx.Done():
				return provider.Payment{}, &provider.Error{Kind: provider.Unavailable, Err: ctx.Err()}
			}
		}
		return answer()
	})
	return asked, release
}

func TestAttempt_AStaleOneChangesNothing(t *testing.T) {
	t.Parallel()
	answers := map[string]func(paymentID string) (provider.Payment, error){
		"a payment": func(id string) (provider.Payment, error) { return approved(id, "A-1", "150.05"), nil },
		"an unknown status": func(id string) (provider.Payment, error) {
			p := approved(id, "A-1", "150.05")
			p.Status = "levitating"
			return p, nil
		},
		"a failure": func(string) (provider.Payment, error) {
			return provider.Payment{}, &provider.Error{Kind: provider.NotFound}
		},
		"a permanent failure": func(string) (provider.Payment, error) {
			return provider.Payment{}, &provider.Error{Kind: provider.Forbidden}
		},
	}
	losses := map[string]string{
		"to a newer attempt": `UPDATE river_job SET attempt = 2, attempted_at = now() WHERE id = $1`,
		"to a restore":       `UPDATE river_job SET attempted_at = attempted_at - interval '1 second' WHERE id = $1`,
		"to a rescuer":       `UPDATE river_job SET state = 'retryable', scheduled_at = now() + interval '1 hour' WHERE id = $1`,
		"to a hold":          `UPDATE river_job SET state = 'scheduled', scheduled_at = now() + interval '1 hour', attempt = 0 WHERE id = $1`,
		"to an operator":     `UPDATE river_job SET state = 'cancelled', finalized_at = now() WHERE id = $1`,
		"to a deletion":      `DELETE FROM river_job WHERE id = $1`,
	}
	for what, answer := range answers {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			log := newOutcomes()
			b := setup(t, func(c *jobs.Config) { c.Logger, c.Workers = slog.New(log), len(losses)+1 })
			b.register(t, "A-1", "150.05")
			// rows are the jobs' rows as far as attempts go, and the dead letters.
			rows := func() string {
				return scan[string](t, b, `
					SELECT (SELECT coalesce(jsonb_agg(jsonb_build_array(id, state, attempt, errors, scheduled_at, finalized_at) ORDER BY id), '[]')
					        FROM river_job WHERE args ->> 'queue_id' = ANY (SELECT id::text FROM webhook_queue WHERE resource_id <> 'marker'))::text
					    || (SELECT coalesce(jsonb_agg(d ORDER BY id), '[]') FROM webhook_dead_letter d)::text`)
			}
			stolen := map[string]int64{}
			asked, release := map[string]chan struct{}{}, map[string]chan struct{}{}
			for loss := range losses {
				asked[loss], release[loss] = b.fake.held(loss, func() (provider.Payment, error) { return answer(loss) })
				stolen[loss] = b.jobID(t, b.accept(t, loss))
			}
			runner := b.start(t)
			for loss, statement := range losses {
				<-asked[loss]
				b.exec(t, statement, stolen[loss])
			}
			lost := rows()

			for loss := range losses {
				close(release[loss])
				log.await(t, "stale")
			}
			// What a stale attempt had River write would be written before the
			// end of an attempt that comes later.
			b.awaitJob(t, b.accept(t, "marker"), rivertype.JobStateRetryable)
			require.Equal(t, lost, rows())

			// The attempts that run end, and the stale ones may leave.
			for _, loss := range []string{"to a newer attempt", "to a restore"} {
				b.exec(t, losses["to a rescuer"], stolen[loss])
			}
			lost = rows()
			stop(t, runner)
			require.Equal(t, lost, rows())
			require.Zero(t, scan[int](t, b, `
				SELECT (SELECT count(*) FROM webhook_queue WHERE completed_at IS NOT NULL OR resource IS NOT NULL)
				     + (SELECT count(*) FROM payments) + (SELECT count(*) FROM payment_logs)
				     + (SELECT count(*) FROM orders WHERE status <> 'pending')`))
		})
	}
}

// River files the end of a job by its id alone. After a restore under the running service
// that may be another job's by now.
func TestAttempt_WhoseJobAnotherEndedIsMadeAgain(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.register(t, "A-1", "150.05")
	asked, release := b.fake.held("77", func() (provider.Payment, error) { return approved("77", "A-1", "150.05"), nil })
	event := b.accept(t, "77")
	b.start(t)
	<-asked
	b.exec(t, `UPDATE river_job SET state = 'completed', finalized_at = now() WHERE id = $1`, b.jobID(t, event))
	close(release)

	b.awaitStatus(t, event, "completed")
	require.Equal(t, 1, scan[int](t, b, `SELECT count(*) FROM orders WHERE status = 'paid'`))
}

// A process that stops gives its attempts back, whatever they return on being
// cancelled, and the next one does them.
func TestAttempt_IsGivenBackByAStop(t *testing.T) {
	t.Parallel()
	b := setup(t)
	asked := make(chan struct{}, 2)
	hold := func(paymentID string, failure func(context.Context) error) int64 {
		b.fake.says(paymentID, func(ctx context.Context, call int) (provider.Payment, error) {
			if call == 1 {
				asked <- struct{}{}
				<-ctx.Done()
				return provider.Payment{}, failure(ctx)
			}
			return approved(paymentID, "A-1", "150.05"), nil
		})
		return b.accept(t, paymentID)
	}
	events := []int64{
		hold("77", func(ctx context.Context) error { return &provider.Error{Kind: provider.Unavailable, Err: ctx.Err()} }),
		hold("78", func(context.Context) error { return &provider.Error{Kind: provider.Forbidden} }),
	}
	runner := b.start(t)
	<-asked
	<-asked

	stop(t, runner)

	for _, event := range events {
		job := b.job(t, event)
		require.Equal(t, rivertype.JobStateAvailable, job.State)
		require.Zero(t, job.Attempt)
		require.Empty(t, job.Errors)
		require.Equal(t, "pending", b.status(t, event))
		require.Nil(t, b.letter(t, event))
	}
	b.start(t)
	for _, event := range events {
		b.awaitStatus(t, event, "completed")
		require.Equal(t, 1, scan[int](t, b, `SELECT attempts FROM webhook_queue WHERE id = $1`, event))
	}
}

func TestAttempt_ThatTakesTooLongFails(t *testing.T) {
	t.Parallel()
	b := setup(t, func(c *jobs.Config) { c.JobTimeout = time.Second })
	b.fake.says("77", func(ctx context.Context, _ int) (provider.Payment, error) {
		<-ctx.Done()
		return provider.Payment{}, ctx.Err()
	})
	event := b.accept(t, "77")
	b.start(t)

	job := b.awaitJob(t, event, rivertype.JobStateRetryable)

	require.Equal(t, 1, job.Attempt)
	require.Contains(t, job.Errors[0].Error, "timeout: ")
}
