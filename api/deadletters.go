package api

import (
	"net/http"

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
		name: "dead-letters", places: byID, filter: deadLetterFilter, read: a.deps.Storage.DeadLetters, show: as[store.DeadLetter],
	})
}

// showDeadLetter answers a dead letter with all attempts' errors and its body.
func (a *api) showDeadLetter(c *gin.Context, ev *requestEvent) error {
	id, err := deadLetterID(c)
	if err != nil {
		return err
	}
	return a.answerDeadLetter(c, ev, id)
}

func deadLetterID(c *gin.Context) (int64, error) {
	return idOf(c, "id", problemDeadLetterNotFound, "a dead letter")
}

func (a *api) answerDeadLetter(c *gin.Context, ev *requestEvent, id int64) error {
	ctx, cancel := bounded(c)
	defer cancel()
	letter, err := a.deps.Storage.DeadLetter(ctx, id)
	if err != nil {
		return err
	}
	ev.queueID = letter.QueueID
	if !ev.seesContent() {
		letter = letter.WithoutContent()
	}
	return answerJSON(c, http.StatusOK, letter)
}

// replayDeadLetter makes a new event of the dead letter's delivery: 202, or 409
// when somebody dealt with it before.
func (a *api) replayDeadLetter(c *gin.Context, ev *requestEvent) error {
	id, err := deadLetterID(c)
	if err != nil {
		return err
	}
	ctx, cancel := bounded(c)
	defer cancel()
	replay, err := a.deps.Storage.ReplayDeadLetter(ctx, id, actorOf(ev))
	if err != nil {
		return err
	}
	return answerReplay(c, ev, replay)
}

// dismissDeadLetter files a dead letter away: nothing is to be done about it.
func (a *api) dismissDeadLetter(c *gin.Context, ev *requestEvent) error {
	id, err := deadLetterID(c)
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
	return a.answerDeadLetter(c, ev, id)
}
