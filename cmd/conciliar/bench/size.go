package bench

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// sizeBar is the least ratio of what is there already to nothing.
const sizeBar = 0.9

// A sized database is one with so many events, and what was measured on it.
type sized struct {
	name         string
	events       int
	acknowledged []loadResult
	settled      []settling
	paid         []Figure
}

// size measures acknowledging and settling beside rows that are there already: databases
// of all sizes are made first, then measured in turns.
func (b *harness) size(ctx context.Context) (figures []Figure, err error) {
	all := []*sized{{name: "bench"}}
	for _, rows := range b.options.Rows {
		d := &sized{name: fmt.Sprintf("bench_%d", rows), events: rows + rows/10}
		if err := b.use(ctx, d.name); err != nil {
			return nil, err
		}
		if _, err := Seed(ctx, b.pool, Size{Archived: rows, Completed: rows / 10}, b.say); err != nil {
			return nil, err
		}
		storage, err := openStore(b.pool)
		if err != nil {
			return nil, err
		}
		// Else the first minutes of each process would count 90 days.
		if _, err := b.countHistory(ctx, storage); err != nil {
			return nil, err
		}
		all = append(all, d)
	}
	b.say("seeded")
	for round := range b.options.Rounds {
		for _, d := range all {
			if err := b.use(ctx, d.name); err != nil {
				return nil, err
			}
			if err := b.atSize(ctx, d); err != nil {
				return nil, err
			}
			b.say("round %d, %d events there: %.0f acknowledged a second, %.0f settled a second, paid within %.0f ms (p99)", round+1, d.events,
				d.acknowledged[round].PerSecond, d.settled[round].perSecond, d.paid[round].Latency.P99)
		}
	}
	empty := all[0].figures()
	for _, d := range all {
		for i, f := range d.figures() {
			f.What = fmt.Sprintf("%s, %d events there", f.What, d.events)
			if d.events > 0 {
				f = f.beside("empty", empty[i].Value)
				if f.Unit != "ms" {
					f.Bars = []Bar{atLeast("ratio", sizeBar, f.Ratio)}
				}
			}
			figures = append(figures, f)
		}
	}
	return figures, nil
}

func (d *sized) figures() []Figure {
	return []Figure{loadFigure("64 connections", d.acknowledged), settlingFigure("a backlog", d.settled), paidFigure(d.paid)}
}

// atSize measures once without emptying the tables.
func (b *harness) atSize(ctx context.Context, d *sized) error {
	service, err := b.startService(ctx, "api")
	if err != nil {
		return err
	}
	received, err := b.metered(ctx, service, b.webhooks(service), loadShape{connections: 64, length: b.options.Length, warmUp: warmUp})
	service.stop()
	if err != nil {
		return err
	}
	if err := b.forgetUnsettled(ctx); err != nil {
		return err
	}
	if err := b.backlog(ctx, b.options.Settle, 1); err != nil {
		return err
	}
	done, err := b.drain(ctx, 1)
	if err != nil {
		return err
	}
	paid, err := b.paidOnce(ctx, steady)
	if err != nil {
		return err
	}
	d.acknowledged, d.settled, d.paid = append(d.acknowledged, received), append(d.settled, done), append(d.paid, paid)
	return nil
}

// forgetUnsettled takes out what was only acknowledged: workers would settle it with the
// backlog. A deleted job makes a dead letter of its event, which this goes past.
func (b *harness) forgetUnsettled(ctx context.Context) error {
	err := pgx.BeginFunc(ctx, b.pool, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, `SET LOCAL session_replication_role = replica; DELETE FROM river_job WHERE state = 'available'; DELETE FROM webhook_queue WHERE completed_at IS NULL; DELETE FROM webhook_open`)
		return err
	})
	if err == nil {
		_, err = b.pool.Exec(ctx, `CHECKPOINT`)
	}
	return err
}
