package jobs_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/riverqueue/river/rivertype"
	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/jobs"
	"github.com/conciliar/conciliar/jobs/provider"
	"github.com/conciliar/conciliar/store"
	"github.com/conciliar/conciliar/store/storetest/fixture"
)

// neverAnswers are the ways in which the question who we are may fail for ever.
var neverAnswers = map[string]error{
	"not there":  &provider.Error{Kind: provider.Unexpected, StatusCode: 404},
	"forbidden":  barred,
	"refused":    shutOut,
	"down":       down,
	"no account": &provider.Error{Kind: provider.Unexpected, StatusCode: 200},
}

// quietWaits are payments that can never be read, by their ids.
var quietWaits = map[string]error{
	"71": &provider.Error{Kind: provider.Odd, StatusCode: 200},
	"72": down,
	"73": barred,
	"74": shutOut,
	"75": &provider.Error{Kind: provider.Unexpected, StatusCode: 400},
	"76": &provider.Error{Kind: provider.Locked, StatusCode: 423},
}

// Who we are is a side question: a payment that can be read is the proof.
func TestCircuit_TheAccountQuestionAloneDecidesNothing(t *testing.T) {
	t.Parallel()
	for name, answer := range neverAnswers {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, func(c *jobs.Config) { c.Backoff.Waits = []time.Duration{time.Millisecond} })
			b.fake.refuses = answer
			b.start(t)
			known := b.sales(t, 1)[0]
			b.awaitStatus(t, known, store.StatusCompleted)

			// A payment of somebody else's is that payment's matter.
			b.fake.fails("foreign", barred)
			foreign := b.accept(t, "foreign")
			b.awaitStatus(t, foreign, store.StatusDeadLetter)
			require.Equal(t, "forbidden", b.letter(t, foreign).Class)
			require.Empty(t, b.outages(t))

			// An outage begins, and ends although the question is not answered.
			b.fake.goesDown(down)
			events := b.sales(t, 10)
			b.awaitOutage(t)
			b.fake.comesBack()
			for _, e := range events {
				b.awaitStatus(t, e, store.StatusCompleted)
			}
			require.Equal(t, store.ReasonUnavailable, b.awaitReleased(t).Reason)
		})
	}
}

// In a quiet shop the only payment that waits may be one that can never be read.
// When what stood in the way is over, the circuit closes all the same. What waits takes
// turns with one database and its workers.
func TestCircuit_ClosesInAQuietShop(t *testing.T) {
	t.Parallel()
	const shown = "what the search shows"
	for proof, prepare := range map[string]func(t *testing.T, b *bundle){
		"a known payment": func(t *testing.T, b *bundle) {
			t.Helper()
			b.fake.searchFails = &provider.Error{Kind: provider.Unexpected, StatusCode: 400}
			b.awaitStatus(t, b.sales(t, 1)[0], store.StatusCompleted)
		},
		"the search": func(*testing.T, *bundle) {},
		shown: func(_ *testing.T, b *bundle) {
			b.fake.isPaid("88", "", "10")
			b.fake.shows("88")
		},
	} {
		t.Run(proof, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			b.fake.refuses = &provider.Error{Kind: provider.Unexpected, StatusCode: 404}
			b.start(t)
			prepare(t, b)
			for id, waits := range quietWaits {
				t.Run(waits.Error(), func(t *testing.T) {
					if proof == shown {
						b.fake.shows(id)
						defer b.fake.hides(id)
					}
					b.fake.goesDown(down)
					_, _, err := b.OpenCircuit(t.Context(), mainAccount, store.ReasonUnavailable, 0, 0)
					require.NoError(t, err)
					event := b.accept(t, id)
					b.awaitStatus(t, event, store.StatusHeld)
					b.awaitProbes(t, 2)
					b.fake.fails(id, waits)

					b.fake.comesBack()

					b.awaitCircuit(t, store.CircuitClosed)
					fixture.Await(t, func() bool { return b.status(t, event) != store.StatusHeld })
				})
			}
		})
	}
}

// Odd and ordinary payments in any order: the ordinary ones are settled by their
// first attempt, and nothing is taken for an outage.
func TestCircuit_StaysClosedWhateverAnswersSay(t *testing.T) {
	t.Parallel()
	kinds := []provider.ErrorKind{
		provider.Odd, provider.Unexpected, provider.Locked, provider.NotFound, provider.RateLimited, provider.Forbidden, provider.Unauthorized,
	}
	for seed := range uint64(2) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			b := setup(t, func(c *jobs.Config) { c.Backoff.Waits = []time.Duration{time.Millisecond} })
			b.fake.refuses = &provider.Error{Kind: provider.Unexpected, StatusCode: 404}
			var ids []string
			for i := range 20 {
				id, reference := fmt.Sprint(1000+i), fmt.Sprintf("A-%d", i)
				b.register(t, reference, "10")
				b.fake.isPaid(id, reference, "10")
				ids = append(ids, id)
			}
			for i := range 35 {
				id := fmt.Sprint(2000 + i)
				b.fake.fails(id, &provider.Error{Kind: kinds[i%len(kinds)]})
				ids = append(ids, id)
			}
			random := rand.New(rand.NewPCG(seed, 0))
			random.Shuffle(len(ids), func(i, j int) { ids[i], ids[j] = ids[j], ids[i] })
			b.start(t)

			for _, id := range ids {
				b.accept(t, id)
			}

			fixture.Await(t, func() bool { return scan[int](t, b, `SELECT count(*) FROM orders WHERE status = 'paid'`) == 20 })
			fixture.Await(t, func() bool {
				return scan[int](t, b, `SELECT count(*) FROM webhook_queue_status WHERE status NOT IN ('completed', 'dead_letter')`) == 0
			})
			require.Equal(t, 1, scan[int](t, b, `SELECT max(attempts) FROM webhook_queue WHERE completed_at IS NOT NULL`))
			require.Empty(t, b.outages(t))
		})
	}
}

// Anybody may send an unsigned hint, where these are accepted.
func TestCircuit_HintsDecideNothing(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.fake.searchFails = down
	b.fake.refuses = down
	hint := func(ev *store.NewEvent) { ev.Signed = false }
	for i := range 12 {
		b.fake.fails(fmt.Sprint(i), down)
	}
	runner := b.start(t)
	for i := range 12 {
		b.awaitJob(t, b.accept(t, fmt.Sprint(i), hint), rivertype.JobStateRetryable)
	}
	require.Empty(t, b.outages(t))
	require.Zero(t, b.fake.credentialChecks())
	stop(t, runner)

	// In an outage they wait like all others, and no probe asks for them.
	_, _, err := b.OpenCircuit(t.Context(), mainAccount, store.ReasonUnavailable, 0, 0)
	require.NoError(t, err)
	b.start(t)
	waits := b.accept(t, "99", hint)
	b.awaitStatus(t, waits, store.StatusHeld)
	b.awaitProbes(t, 3)
	require.Zero(t, b.fake.calls("99"))
	b.awaitOutage(t)
}
