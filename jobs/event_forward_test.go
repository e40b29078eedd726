package jobs_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/riverqueue/river/rivertype"
	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/jobs"
	"github.com/conciliar/conciliar/jobs/delivery"
	"github.com/conciliar/conciliar/jobs/provider"
	"github.com/conciliar/conciliar/jobs/source"
	"github.com/conciliar/conciliar/store"
	"github.com/conciliar/conciliar/store/storetest/fixture"
)

// A relay is a bundle whose workers forward events of a declared sender.
type relay struct {
	*bundle
	sources *jobs.Sources
	engine  *delivery.Engine
	got     chan *http.Request
	bodies  chan string
	status  atomic.Int64
}

// relaying starts workers that forward what github delivers, as the forward says; nil
// for a sender whose events are only kept.
func relaying(t *testing.T, forward *source.Forward) *relay {
	t.Helper()
	r := &relay{bundle: setup(t), sources: &jobs.Sources{}, engine: delivery.New(delivery.Options{}), got: make(chan *http.Request, 10), bodies: make(chan string, 10)}
	r.status.Store(http.StatusOK)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		body, _ := io.ReadAll(req.Body)
		r.got <- req
		r.bodies <- string(body)
		w.WriteHeader(int(r.status.Load()))
	}))
	t.Cleanup(server.Close)
	require.NoError(t, r.engine.Use(jobs.SourceReceivers, delivery.Receiver{
		Name: "source:github", URL: server.URL, AllowPrivate: true, Headers: map[string]string{"Authorization": "Bearer of the shop"},
		Waits: []time.Duration{time.Millisecond},
	}))
	r.declare(t, forward)
	runner, err := jobs.NewRunner(r.pool, r.config, jobs.Deps{
		Store: r.Store, Providers: map[string]jobs.Fetcher{"mercadopago": r.fake}, Sources: r.sources, Deliveries: r.engine,
	}.WithProbeEvery(probeEvery))
	require.NoError(t, err)
	require.NoError(t, runner.Start(t.Context()))
	t.Cleanup(func() { stop(t, runner) })
	return r
}

// declare declares the sender again.
func (r *relay) declare(t *testing.T, forward *source.Forward) {
	t.Helper()
	sender, err := source.New(source.Spec{Name: "github", Verify: source.Verify{Scheme: "github", Secrets: []string{"k"}}, Forward: forward})
	require.NoError(t, err)
	r.sources.Use(map[string]*source.Source{"github": sender})
}

// push accepts an event of the sender.
func (r *relay) push(t *testing.T, body string, change ...func(*store.NewEvent)) int64 {
	t.Helper()
	return r.accept(t, "d-1", append([]func(*store.NewEvent){func(e *store.NewEvent) {
		e.Source, e.Topic, e.Action, e.Work, e.Payload = "github", "push", "", store.WorkForward, []byte(body)
		e.NotifiedAt = time.Unix(1700000000, 0)
	}}, change...)...)
}

func (r *relay) awaitOutcome(t *testing.T, event int64, outcome string) {
	t.Helper()
	fixture.Await(t, func() bool {
		return r.count(t, `SELECT count(*) FROM webhook_queue WHERE id = $1 AND outcome = $2`, event, outcome) == 1
	})
}

func (r *relay) count(t *testing.T, query string, args ...any) int {
	t.Helper()
	return fixture.Count(t, r.pool, query, args...)
}

func TestForward_AnEventGoesWhereItsSourceSays(t *testing.T) {
	t.Parallel()
	r := relaying(t, &source.Forward{Headers: map[string]string{"X-Type": "{{.Type}}"}, Body: `{"of":{{json .Body.ref}},"at":"{{.Time}}"}`})
	event := r.push(t, `{"ref":"main"}`)
	req, body := <-r.got, <-r.bodies
	require.JSONEq(t, `{"of":"main","at":"2023-11-14T22:13:20Z"}`, body)
	require.Equal(t, []string{"push", "Bearer of the shop", "github-" + strconv.FormatInt(event, 10), "application/json"},
		[]string{req.Header.Get("X-Type"), req.Header.Get("Authorization"), req.Header.Get("webhook-id"), req.Header.Get("Content-Type")})
	r.awaitOutcome(t, event, store.OutcomeForwarded)
	fixture.Await(t, func() bool {
		return r.count(t, `SELECT count(*) FROM deliveries WHERE queue_id = $1 AND receiver = 'source:github' AND state = 'delivered'`, event) == 1
	})
	require.Zero(t, r.count(t, `SELECT count(*) FROM deliveries WHERE headers::text LIKE '%of the shop%'`), "the ledger has no credentials")

	// What the receiver does not accept is its delivery's matter, and no event's.
	r.status.Store(http.StatusInternalServerError)
	event = r.push(t, `{"ref":"next"}`)
	r.awaitOutcome(t, event, store.OutcomeForwarded)
	fixture.Await(t, func() bool {
		return r.count(t, `SELECT count(*) FROM deliveries WHERE queue_id = $1 AND state = 'dead' AND attempts = 2`, event) == 1
	})
	require.Nil(t, r.letter(t, event))
}

func TestForward_WhatTheTemplateDoesNotFitIsADeadLetter(t *testing.T) {
	t.Parallel()
	r := relaying(t, &source.Forward{Body: "{{json .Body.ref}}"})
	event := r.push(t, `{"secret":"hunter2"}`)
	r.awaitJob(t, event, rivertype.JobStateCancelled)
	letter := r.letter(t, event)
	require.Equal(t, []string{"permanent_failure", "template_failed"}, []string{letter.Reason, letter.Class})
	require.NotContains(t, letter.Error, "hunter2")
	require.Zero(t, r.count(t, `SELECT count(*) FROM deliveries`))

	r.declare(t, &source.Forward{})
	replay, err := r.ReplayEvent(t.Context(), event, store.Actor{Name: "cli:ana"})
	require.NoError(t, err)
	require.JSONEq(t, `{"secret":"hunter2"}`, func() string { <-r.got; return <-r.bodies }())
	r.awaitOutcome(t, replay.QueueID, store.OutcomeForwarded)
}

func TestForward_ASourceThatForwardsNothingKeepsItsEvents(t *testing.T) {
	t.Parallel()
	r := relaying(t, nil)
	r.awaitOutcome(t, r.push(t, `{}`), store.OutcomeKept)
	r.sources.Use(nil)
	event := r.push(t, `{}`)
	r.awaitJob(t, event, rivertype.JobStateRetryable)
	require.Contains(t, r.job(t, event).Errors[0].Error, "unknown_source: no source \"github\" is declared")
}

func TestForward_IsNotHeldByAnOutageOfTheProvider(t *testing.T) {
	t.Parallel()
	r := relaying(t, &source.Forward{})
	r.fake.goesDown(&provider.Error{Kind: provider.Unavailable})
	for i := range 8 {
		r.accept(t, strconv.Itoa(1000+i))
	}
	fixture.Await(t, func() bool {
		return r.count(t, `SELECT count(*) FROM provider_state WHERE circuit = 'open'`) == 1
	})
	event := r.push(t, `{"ref":"main"}`)
	<-r.got
	r.awaitOutcome(t, event, store.OutcomeForwarded)
}

func TestForward_ABodyThatWasEmptiedIsNotReplayed(t *testing.T) {
	t.Parallel()
	r := relaying(t, &source.Forward{})
	event := r.push(t, `{"ref":"main"}`)
	r.awaitOutcome(t, event, store.OutcomeForwarded)
	r.exec(t, `UPDATE webhook_queue SET payload = '', remote_ip = NULL, emptied_at = now() WHERE id = $1`, event)
	_, err := r.ReplayEvent(t.Context(), event, store.Actor{Name: "cli:ana"})
	var expired *store.PayloadExpiredError
	require.ErrorAs(t, err, &expired)
	require.Equal(t, "payload_expired", store.ProblemOf(err).Code)
}

// A command that works beside the service may not know its senders.
func TestForward_AProcessWithoutSendersLeavesItToOneThatHasThem(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.start(t)
	event := b.accept(t, "d-1", func(e *store.NewEvent) { e.Source, e.Topic, e.Work = "github", "push", store.WorkForward })
	b.awaitJob(t, b.accept(t, "77"), rivertype.JobStateRetryable) // fetched after it
	require.Equal(t, rivertype.JobStateAvailable, b.job(t, event).State)
}
