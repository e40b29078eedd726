package circuit

import (
	"context"
	"errors"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// Those who come while a question is under way share the next answer: the one
// under way began before what they saw.
func TestSharedCall_AnswersWithWhatBeganAfter(t *testing.T) {
	t.Parallel()
	first, second := errors.New("first"), errors.New("second")
	began, goOn := make(chan struct{}, 1), make(chan error)
	c := &sharedCall[error]{ask: func(context.Context) error {
		began <- struct{}{}
		return <-goOn
	}}
	answers := make(chan error, 1)
	go func() {
		answer, err := c.do(t.Context())
		answers <- errors.Join(answer, err)
	}()
	<-began
	const crowd = 50
	late := make([]error, crowd)
	var all, joined sync.WaitGroup
	joined.Add(crowd)
	for i := range late {
		all.Go(func() {
			r := c.join(t.Context())
			joined.Done()
			<-r.done
			late[i] = r.answer
		})
	}
	joined.Wait()

	goOn <- first
	require.ErrorIs(t, <-answers, first)
	<-began
	goOn <- second
	all.Wait()

	for _, err := range late {
		require.Equal(t, second, err, "one round for all of them")
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := c.do(gone)
	require.ErrorIs(t, err, context.Canceled)
	<-began
	goOn <- nil
}
