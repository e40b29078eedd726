package api

import (
	"github.com/gin-gonic/gin"

	"github.com/conciliar/conciliar/store"
)

const deadLettersPath = "/api/webhooks/dead-letters"

// deadLetterQuery are the parameters of the list of dead letters.
var deadLetterQuery = []string{"state", "reason", "error_class", "topic", "since", "until", "limit", "cursor"}

func deadLetterFilter(q *filters) store.DeadLetterFilter {
	return store.DeadLetterFilter{
		State:      q.word("state", store.DeadLetterStates()),
		Reason:     q.word("reason", store.DeadLetterReasons()),
		ErrorClass: q.text("error_class"),
		Topic:      q.text("topic"),
		Since:      q.time("since"),
		Until:      q.time("until"),
	}
}

// listDeadLetters answers dead letters, newest first, whatever their state.
func (a *api) listDeadLetters() handler {
	return list(listSpec[store.DeadLetterFilter, store.DeadLetter, store.DeadLetter, int64]{
		name: "dead-letters", places: byID, filter: deadLetterFilter, read: a.deps.Storage.DeadLetters, show: whole[store.DeadLetter],
	})
}

// showDeadLetter answers a dead letter with all attempts' errors and its body.
func (a *api) showDeadLetter() handler {
	return show(aDeadLetter, a.deps.Storage.DeadLetter, func(ev *requestEvent, d store.DeadLetterDetail) store.DeadLetterDetail {
		ev.queueID = d.QueueID
		return permitted(ev, d)
	})
}

// dismissDeadLetter dismisses a dead letter that needs no action.
func (a *api) dismissDeadLetter(c *gin.Context, ev *requestEvent) error {
	id, err := idOf(c, ev, aDeadLetter)
	if err != nil {
		return err
	}
	note, err := a.note(c)
	if err != nil {
		return err
	}
	ctx, cancel := bounded(c)
	defer cancel()
	if err := a.deps.Storage.DismissDeadLetter(ctx, id, note, actorOf(ev)); err != nil {
		return err
	}
	ev.outcome = "dismissed"
	return a.showDeadLetter()(c, ev)
}
