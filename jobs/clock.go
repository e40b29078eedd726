package jobs

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/riverqueue/river/rivertype"

	"github.com/conciliar/conciliar/store"
)

const (
	// clockEvery is how often PostgreSQL's clock is asked for, and clockTimeout
	// bounds each question.
	clockEvery   = 30 * time.Second
	clockTimeout = 5 * time.Second
	// clockTook is the longest that an answer may take to say anything: the time
	// is somewhere within it.
	clockTook = time.Second
	// ClockWarn is how far this machine's clock may be off until that is told of.
	ClockWarn = 5 * time.Second
)

// A clock is PostgreSQL's as this process knows it: asked for now and then, and
// carried on in between by how much time has passed. Jobs are due by PostgreSQL's
// time, and River counts retries from the time of the process that failed: with
// this one as River's, a machine whose own clock is wrong delays nothing. Until
// PostgreSQL has answered once it is the machine's.
type clock struct {
	ask    func(context.Context) (store.Server, error)
	logger *slog.Logger

	mu sync.Mutex
	// told is PostgreSQL's time of the moment at. That has a monotonic reading, so
	// that setting the machine's clock changes nothing.
	told, at time.Time
	// off is whether the machine's clock was too far off when last asked.
	off bool
}

// The field of River's configuration that takes it is among those for tests, and
// the interface speaks of production all the same.
var _ rivertype.TimeGenerator = (*clock)(nil)

// Now is PostgreSQL's time.
func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.at.IsZero() {
		return time.Now()
	}
	return c.told.Add(time.Since(c.at))
}

// NowOrNil leaves it to PostgreSQL to put its own time into statements.
func (*clock) NowOrNil() *time.Time { return nil }

// set asks PostgreSQL.
func (c *clock) set(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, clockTimeout)
	defer cancel()
	began := time.Now()
	server, err := c.ask(ctx)
	if err != nil {
		return err
	}
	c.take(server.Now, began, time.Since(began))
	return nil
}

// take takes an answer to a question that was asked at began.
func (c *clock) take(told, began time.Time, took time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if took > clockTook && !c.at.IsZero() {
		return
	}
	c.told, c.at = told, began.Add(took/2)
	// Without its monotonic reading, because this is about the machine's clock.
	ahead := c.at.Round(0).Sub(told)
	off := ahead.Abs() > ClockWarn
	if off && !c.off {
		c.logger.Warn("this machine's clock is not PostgreSQL's; PostgreSQL's counts", "ahead_seconds", ahead.Seconds())
	}
	c.off = off
}

// keep asks PostgreSQL until ctx is done. While it does not answer, time goes on.
func (c *clock) keep(ctx context.Context) {
	tick := time.Tick(clockEvery)
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick:
			if err := c.set(ctx); err != nil && ctx.Err() == nil {
				c.logger.WarnContext(ctx, "PostgreSQL's clock not read", "error", err)
			}
		}
	}
}
