package bench

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

const (
	// behindBar is the most seconds that a live webhook may wait behind what an
	// outage's end released, or what is replayed.
	behindBar = 2
	// liveRate is how many live webhooks come a second, for liveFor.
	liveRate = 5
	liveFor  = 10 * time.Second
)

// behind measures how long live webhooks take behind many events that an outage held,
// once it ends, and behind as many dead ones that are replayed.
func (b *harness) behind(ctx context.Context) (figures []Figure, err error) {
	for _, what := range []struct {
		name string
		wait func(context.Context, *service) error
		make func(context.Context) (*service, error)
	}{
		{"released at an outage's end", b.outageEnds, b.heldInOutage},
		{"replayed after they died", b.replayDead, b.deadLetters},
	} {
		if err := b.empty(ctx); err != nil {
			return nil, err
		}
		service, err := what.make(ctx)
		if err != nil {
			return nil, err
		}
		figure, err := b.overtake(ctx, service, func() error { return what.wait(ctx, service) })
		service.stop()
		if err != nil {
			return nil, err
		}
		figure.What = fmt.Sprintf("live webhooks, %d others %s, %s", b.options.Behind, what.name, figure.What)
		b.say("%s: %.2f s at most", figure.What, figure.Value.Max)
		figures = append(figures, figure)
	}
	return figures, nil
}

// heldInOutage starts a service, which receives webhooks in an outage.
func (b *harness) heldInOutage(ctx context.Context) (*service, error) {
	held, err := b.makeOrders(ctx, b.options.Behind)
	if err != nil {
		return nil, err
	}
	if err := b.noRunDue(ctx); err != nil {
		return nil, err
	}
	b.sim.SetOutage(true)
	service, err := b.startService(ctx, "")
	if err != nil {
		return nil, err
	}
	b.say("receiving %d webhooks in an outage …", len(held))
	if _, err := b.about(service, held).run(ctx, loadShape{connections: 64, length: settleLimit, atMost: int64(len(held))}); err != nil {
		service.stop()
		return nil, err
	}
	return service, nil
}

func (b *harness) outageEnds(ctx context.Context, _ *service) error {
	b.sim.SetOutage(false)
	b.say("the outage ends …")
	return b.await(ctx, settleLimit, `SELECT EXISTS (SELECT FROM webhook_completed)`)
}

// deadLetters starts a service on events that all died.
func (b *harness) deadLetters(ctx context.Context) (*service, error) {
	if err := b.backlog(ctx, b.options.Behind, 1); err != nil {
		return nil, err
	}
	b.say("all of them die …")
	if _, err := b.pool.Exec(ctx, `UPDATE river_job SET state = 'discarded', attempt = max_attempts, finalized_at = now()`); err != nil {
		return nil, err
	}
	return b.startService(ctx, "")
}

func (b *harness) replayDead(ctx context.Context, s *service) error {
	if err := s.post(ctx, "/api/webhooks/dead-letters/replay", s.processToken, `{"filter": {}}`); err != nil {
		return err
	}
	return b.await(ctx, settleLimit, `SELECT EXISTS (SELECT FROM webhook_queue WHERE replay_of IS NOT NULL)`)
}

// overtake lets others begin, and measures webhooks that come then.
func (b *harness) overtake(ctx context.Context, s *service, begin func() error) (Figure, error) {
	shape := loadShape{connections: 16, rate: liveRate, length: liveFor}
	due, _ := shape.deliveries()
	live, err := b.makeOrders(ctx, int(due))
	if err != nil {
		return Figure{}, err
	}
	if err := begin(); err != nil {
		return Figure{}, err
	}
	began := time.Now()
	if _, err := b.about(s, live).run(ctx, shape); err != nil {
		return Figure{}, err
	}
	const open = `SELECT count(*) FROM webhook_open o JOIN webhook_queue q ON q.id = o.queue_id LEFT JOIN webhook_dead_letter d ON d.queue_id = q.id AND d.state <> 'open' WHERE d.id IS NULL AND q.resource_id <> ALL ($1)`
	var waiting int
	if err := b.pool.QueryRow(ctx, open, live).Scan(&waiting); err != nil {
		return Figure{}, err
	}
	if err := b.await(ctx, settleLimit, `SELECT NOT EXISTS (SELECT FROM webhook_queue WHERE resource_id = ANY ($1) AND completed_at IS NULL)`, live); err != nil {
		return Figure{}, err
	}
	rows, err := b.pool.Query(ctx, `SELECT extract(epoch FROM completed_at - received_at)::float8 FROM webhook_queue WHERE resource_id = ANY ($1)`, live)
	if err != nil {
		return Figure{}, err
	}
	took, err := pgx.CollectRows(rows, pgx.RowTo[float64])
	if err != nil {
		return Figure{}, err
	}
	f := Figure{What: fmt.Sprintf("%d of them waiting after %.0f s", waiting, time.Since(began).Seconds()), Unit: "s", Value: spreadOf(took...)}
	f.Bars = []Bar{atMost("s", behindBar, f.Value.Max)}
	return f, nil
}
