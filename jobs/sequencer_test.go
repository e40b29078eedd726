package jobs_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/store/storetest/fixture"
)

func TestSequencer_BringsWhatIsCommittedIntoTheFeed(t *testing.T) {
	t.Parallel()
	w := newWorld(t, worldSpec{})
	w.start(t)
	w.settled(t, "order", false)
	// Another process, that has no workers, commits one too.
	w.exec(t, `
		INSERT INTO order_events (type, order_reference, cause, body, created_at) VALUES ('order.pending', 'order', 'payment', '{}', now())`)
	fixture.Await(t, func() bool { return look[int](t, w, `SELECT count(*) FROM order_events WHERE position IS NULL`) == 0 })
	require.Equal(t, []string{"order.registered", "order.paid", "order.pending"},
		look[[]string](t, w, `SELECT array_agg(type ORDER BY position) FROM order_events`))
}
