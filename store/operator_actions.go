package store

import (
	"context"
	"errors"
	"net/netip"
	"time"

	"github.com/jackc/pgx/v5"
)

// What operators do.
const (
	ActionReplay  = "replay"
	ActionDismiss = "dismiss"
	ActionResolve = "resolve"
	// ActionReopen takes back a dismissal or a resolution.
	ActionReopen           = "reopen"
	ActionProcessQueue     = "process_queue"
	ActionReconcile        = "reconcile"
	ActionBulkReplay       = "bulk_replay"
	ActionBulkReplayStep   = "bulk_replay_step"
	ActionCancelBulkReplay = "cancel_bulk_replay"
	ActionAmendOrder       = "amend_order"
	ActionCancelOrder      = "cancel_order"
	ActionRefund           = "refund"
	ActionForget           = "forget"
	ActionStopReceiver     = "stop_receiver"
	ActionStartReceiver    = "start_receiver"
	// ActionRestored is what is done after a backup was restored.
	ActionRestored = "restored"
	ActionLogin    = "login"
	ActionLogout   = "logout"
	// ActionLoginFailed is a try with a wrong password, by whom it claimed to be.
	ActionLoginFailed = "login_failed"
	// ActionEndLogin ends somebody's login; the note says whose.
	ActionEndLogin = "end_login"
	// What they do in River UI.
	ActionRetryJobs   = "retry_jobs"
	ActionCancelJobs  = "cancel_jobs"
	ActionDeleteJobs  = "delete_jobs"
	ActionPauseQueue  = "pause_queue"
	ActionResumeQueue = "resume_queue"
	ActionChangeQueue = "change_queue"
)

// What they do it to.
const (
	TargetEvent      = "event"
	TargetDeadLetter = "dead_letter"
	TargetAnomaly    = "anomaly"
	// TargetQueue is all that waits; it has no id.
	TargetQueue      = "queue"
	TargetRun        = "run"
	TargetBulkReplay = "bulk_replay"
	TargetSession    = "session"
	TargetJob        = "job"
	// TargetJobQueue is one of River's queues; the note names it.
	TargetJobQueue = "job_queue"
	// TargetPayer is somebody who paid; nothing kept says who.
	TargetPayer = "payer"
	// TargetDelivery is a message on its way; TargetReceiver whom messages go to, named
	// by the note.
	TargetDelivery = "delivery"
	TargetReceiver = "receiver"
	// TargetDatabase is all that is kept; it has no id.
	TargetDatabase = "database"
	// TargetOrder is an order; its reference is kept beside.
	TargetOrder = "order"
)

// An Actor is who does something, as the audit trail names them.
type Actor struct {
	// Name is a token's name, an operator's, or "cli:" and the user's name.
	// Required.
	Name string
	// RemoteIP is where the call came from; the zero Addr for a command.
	RemoteIP netip.Addr
	// RequestID is the call's; empty for a command.
	RequestID string
}

// An OperatorAction is one row of the audit trail.
type OperatorAction struct {
	ID         int64     `json:"id"`
	At         time.Time `json:"at"`
	Actor      string    `json:"actor"`
	Action     string    `json:"action"`
	TargetKind string    `json:"target_kind"`
	// TargetID is nil for an action on no single thing.
	TargetID *int64 `json:"target_id"`
	// Count is how many things it touched.
	Count     int64   `json:"count"`
	RemoteIP  *string `json:"remote_ip"`
	RequestID string  `json:"request_id"`
	Note      string  `json:"note"`
	// Reference is that of the order it was done to.
	Reference string `json:"order_reference,omitempty"`
}

// WithoutContent is the action without the address that it came from.
func (a OperatorAction) WithoutContent() OperatorAction {
	a.RemoteIP = nil
	return a
}

// act is an action that is about to be recorded.
type act struct {
	by     Actor
	action string
	kind   string
	// target is 0 for an action on no single thing.
	target int64
	// events are those that it touched or made, jobs River's that it touched.
	events []int64
	jobs   []int64
	count  int
	note   string
	// order is the reference of an order that is the target.
	order string
}

var errNoActor = errors.New("an action needs the name of who acts")

// record writes the action into the audit trail, in the transaction that does it.
func record(ctx context.Context, tx pgx.Tx, a act) error {
	if a.by.Name == "" {
		return errNoActor
	}
	return execute(ctx, tx, `
		INSERT INTO operator_actions (actor, action, target_kind, target_id, queue_ids, job_ids, count, remote_ip, request_id, note, order_reference)
		VALUES ($1, $2, $3, nullif($4::bigint, 0), coalesce($5::bigint[], '{}'), coalesce($6::bigint[], '{}'), $7, $8::inet, $9, $10, nullif($11, ''))`,
		text(a.by.Name), a.action, a.kind, a.target, a.events, a.jobs, a.count, addressOrNil(a.by.RemoteIP), text(a.by.RequestID), text(a.note), a.order)
}

func addressOrNil(ip netip.Addr) *string {
	if !ip.IsValid() {
		return nil
	}
	address := ip.WithZone("").String()
	return &address
}

const actionColumns = `id, acted_at, actor, action, target_kind, target_id, count, host(remote_ip), request_id, note, coalesce(order_reference, '')`

// OperatorActions lists every action of an operator.
func OperatorActions() []string {
	return []string{
		ActionReplay, ActionDismiss, ActionResolve, ActionReopen, ActionBulkReplay, ActionBulkReplayStep, ActionCancelBulkReplay, ActionProcessQueue, ActionReconcile,
		ActionAmendOrder, ActionCancelOrder, ActionRefund, ActionStopReceiver, ActionStartReceiver, ActionForget, ActionRestored,
		ActionLogin, ActionLogout, ActionLoginFailed, ActionEndLogin,
		ActionRetryJobs, ActionCancelJobs, ActionDeleteJobs, ActionPauseQueue, ActionResumeQueue, ActionChangeQueue,
	}
}

// OperatorTargets lists every kind of target of an action.
func OperatorTargets() []string {
	return []string{
		TargetEvent, TargetDeadLetter, TargetAnomaly, TargetOrder, TargetRun, TargetBulkReplay, TargetDelivery, TargetReceiver,
		TargetQueue, TargetSession, TargetJob, TargetJobQueue, TargetPayer, TargetDatabase,
	}
}

// An ActionFilter selects operators' actions; an empty field selects all.
type ActionFilter struct {
	Action, Actor, TargetKind string
	// Since and Until bound the time of the action: [Since, Until).
	Since, Until time.Time
}

// LastAction returns what was done last to a thing of a kind, nil when nothing was. What
// was done to many dead letters at once is among it.
func (s *Store) LastAction(ctx context.Context, kind string, id int64) (*OperatorAction, error) {
	found, err := readAll[OperatorAction](ctx, s.pool, `
		SELECT `+actionColumns+` FROM operator_actions
		WHERE target_kind = $1 AND (target_id = $2 OR $1 = 'dead_letter' AND target_id IS NULL
		      AND queue_ids @> ARRAY(SELECT queue_id FROM webhook_dead_letter WHERE id = $2 AND $1 = 'dead_letter'))
		ORDER BY id DESC LIMIT 1`, kind, id)
	if err != nil || len(found) == 0 {
		return nil, wrap(err, "last action on %s %d", kind, id)
	}
	return &found[0], nil
}

// Actions returns one page of the operators' actions that the filter selects.
func (s *Store) Actions(ctx context.Context, filter ActionFilter, page Page) (List[OperatorAction], error) {
	var c conditions
	c.equal("action", filter.Action)
	c.equal("actor", filter.Actor)
	c.equal("target_kind", filter.TargetKind)
	c.between("acted_at", filter.Since, filter.Until)
	return readPage(ctx, s, "operators' actions", `SELECT `+actionColumns+` FROM operator_actions`, "id", c, page,
		rowTo[OperatorAction], func(a OperatorAction) int64 { return a.ID })
}

// actionsOnEvent are the actions that touched the event, oldest first.
func actionsOnEvent(ctx context.Context, tx pgx.Tx, queueID int64) ([]OperatorAction, error) {
	return readAll[OperatorAction](ctx, tx, `SELECT `+actionColumns+` FROM operator_actions WHERE queue_ids @> ARRAY[$1::bigint] ORDER BY id`, queueID)
}
