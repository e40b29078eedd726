package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"github.com/conciliar/conciliar/store"
)

// run serves on ln and works until ctx is done, then shuts down: it stops
// accepting, writes what was accepted, gives back or ends the attempts, and
// closes the pool.
func (a *app) run(ctx context.Context, ln net.Listener) (err error) {
	limit, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	defer func() { err = errors.Join(err, a.closeWithin(limit)) }()
	// The time runs on until everything is closed, which comes last.
	shutdown := func() error {
		time.AfterFunc(shutdownLimit, cancel)
		attempts, done := context.WithTimeout(limit, shutdownLimit-closeReserve)
		defer done()
		return a.shutdown(attempts)
	}
	if err := unlessStopped(ctx, a.start(ctx)); err != nil {
		return errors.Join(err, ln.Close(), shutdown())
	}
	// Load may begin at once: what it needs should not come on top of the start's pages.
	unmapProgram()
	serving, foreign := make(chan error, 1), make(chan error, 1)
	go func() { serving <- a.serve(ln) }()
	life, end := context.WithCancel(ctx)
	defer end()
	go a.market.keep(life, a.logger.Warn)
	go a.followFiles(life)
	if a.account != nil {
		go func() {
			if err := otherAccount(a.account.Run(life)); err != nil {
				foreign <- err
			}
		}()
	}
	var failed error
	select {
	case <-ctx.Done():
	case err := <-serving:
		failed = fmt.Errorf("http: %w", err)
	case failed = <-foreign:
	}
	end()
	a.logger.Info("stopping")
	return errors.Join(failed, shutdown())
}

// start starts what works beside the server.
func (a *app) start(ctx context.Context) error {
	if a.runner != nil {
		if err := a.runner.Start(ctx); err != nil {
			return err
		}
		a.working.Store(true)
	}
	if a.riverUI != nil {
		a.riverUI.Start(ctx)
	}
	return nil
}

// unlessStopped is err, or nil where it only says that the process was told to end.
func unlessStopped(ctx context.Context, err error) error {
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// serve answers calls on ln, by TLS when there is a certificate.
func (a *app) serve(ln net.Listener) error {
	if a.server.TLSConfig != nil {
		return a.server.ServeTLS(ln, "", "")
	}
	return a.server.Serve(ln)
}

// closeWithin closes what holds resources, and waits for that until ctx is done.
// A database that does not answer must not keep the process: what is under way
// then ends with it.
func (a *app) closeWithin(ctx context.Context) error {
	closed := make(chan struct{})
	go func() {
		a.close()
		close(closed)
	}()
	select {
	case <-closed:
		return nil
	case <-ctx.Done():
		return errors.New("not everything could be closed in time")
	}
}

// shutdown ends the calls and the attempts side by side: a caller who trickles
// must not take the time in which attempts end or are given back.
func (a *app) shutdown(ctx context.Context) error {
	stopped := make(chan error, 1)
	go func() {
		if a.working.CompareAndSwap(true, false) {
			stopped <- a.runner.Stop(ctx)
		}
		close(stopped)
	}()
	calls, cancel := context.WithTimeout(ctx, hangUpAfter)
	defer cancel()
	if err := a.server.Shutdown(calls); err != nil {
		a.logger.Warn("hanging up on calls under way", "error", err)
		_ = a.server.Close()
	}
	return <-stopped
}

// close ends what holds resources. It may be called more than once.
func (a *app) close() {
	closeOnce(&a.inbox, (*store.Inbox).Close)
	closeOnce(&a.refused, (*store.RefusedLog).Close)
	closeOnce(&a.heart, (*store.Heartbeat).Close)
	closeOnce(&a.sources, (*store.SourceLog).Close)
	if a.direct != a.pool {
		closeOnce(&a.direct, (*pgxpool.Pool).Close)
	}
	closeOnce(&a.pool, (*pgxpool.Pool).Close)
	closeOnce(&a.traces, func(traces *sdktrace.TracerProvider) {
		ctx, cancel := context.WithTimeout(context.Background(), flushLimit)
		defer cancel()
		if err := traces.Shutdown(ctx); err != nil {
			a.logger.Warn("the last traces are lost", "error", err)
		}
	})
}

// closeOnce closes a part that was made and not closed before.
func closeOnce[T any](part **T, end func(*T)) {
	if *part != nil {
		end(*part)
		*part = nil
	}
}
