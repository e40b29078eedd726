package jobs

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
	"unicode"

	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"

	"github.com/conciliar/conciliar/jobs/health"
	"github.com/conciliar/conciliar/store"
)

const (
	// alertTimeout bounds sending one message.
	alertTimeout = 10 * time.Second
	// alertAnswer is how much of an answer is read.
	alertAnswer = 200
	// alertPatience is the longest that a receiver may ask to wait, and how old
	// a message may become by such waiting.
	alertPatience = time.Hour
)

// ErrNoAlertWebhook means that messages about alerts have nowhere to go.
var ErrNoAlertWebhook = errors.New("ALERT_WEBHOOK_URL is empty")

// An AlertAnswer is what the receiver of a message said.
type AlertAnswer struct {
	// Status is the HTTP status.
	Status int
	// Text is the start of the answer's body. It came from outside.
	Text string
	// RetryAfter is how long the receiver asked to wait, 0 when it did not.
	RetryAfter time.Duration
}

// Accepted reports whether the message arrived.
func (a AlertAnswer) Accepted() bool { return a.Status >= 200 && a.Status < 300 }

// An AlertSender posts messages to a webhook. Its errors never name the
// webhook's URL, which holds a token.
type AlertSender struct {
	url    atomic.Pointer[string]
	client *http.Client
}

// NewAlertSender returns a sender to the URL; one without a URL sends nothing.
func NewAlertSender(webhookURL string) (*AlertSender, error) {
	s := &AlertSender{client: &http.Client{
		Timeout: alertTimeout,
		// A redirect would carry the message to somebody else.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
	if err := s.UseURL(webhookURL); err != nil {
		return nil, err
	}
	return s, nil
}

// UseURL replaces the URL. On an error the old one stays.
func (s *AlertSender) UseURL(webhookURL string) error {
	if _, err := url.Parse(webhookURL); err != nil {
		return errors.New("the webhook for alerts is not a URL")
	}
	s.url.Store(&webhookURL)
	return nil
}

// Sends reports whether messages have somewhere to go.
func (s *AlertSender) Sends() bool { return *s.url.Load() != "" }

// Send posts the message. The error is ErrNoAlertWebhook, or why no answer came;
// an answer that refuses the message is none.
func (s *AlertSender) Send(ctx context.Context, message health.Message) (AlertAnswer, error) {
	if !s.Sends() {
		return AlertAnswer{}, ErrNoAlertWebhook
	}
	body, err := json.Marshal(message)
	if err != nil {
		return AlertAnswer{}, fmt.Errorf("message about alerts: %w", err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, *s.url.Load(), bytes.NewReader(body))
	if err != nil {
		return AlertAnswer{}, errors.New("the webhook for alerts is not a URL")
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "conciliar")
	resp, err := s.client.Do(req)
	if err != nil {
		// The client's own error repeats the URL.
		if wrapped, ok := errors.AsType[*url.Error](err); ok {
			err = wrapped.Err
		}
		return AlertAnswer{}, fmt.Errorf("no answer: %w", err)
	}
	defer func() { _ = resp.Body.Close() }()
	text, _ := io.ReadAll(io.LimitReader(resp.Body, alertAnswer)) // the status decides
	return AlertAnswer{Status: resp.StatusCode, Text: oneLine(string(text)), RetryAfter: retryAfter(resp.Header.Get("Retry-After"))}, nil
}

// oneLine keeps what can be printed.
func oneLine(text string) string {
	return strings.TrimSpace(strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return ' '
	}, text))
}

// retryAfter reads the header's seconds; a receiver that gives a date, or
// nothing, is asked again by the backoff.
func retryAfter(header string) time.Duration {
	seconds, err := strconv.ParseUint(header, 10, 31)
	if err != nil {
		return 0
	}
	return time.Duration(seconds) * time.Second
}

// AlertSendArgs are the arguments of the job that sends one message. They are
// stored data: fields are added, never renamed.
type AlertSendArgs struct {
	MessageID int64 `json:"message_id"`

	preset preset
}

// Kind is the job's name in the database. It must not begin like those of
// events, whose ends become dead letters.
func (AlertSendArgs) Kind() string { return "alert_send" }

func (a AlertSendArgs) presetOf() (preset, error) {
	if a.preset.at.IsZero() {
		return preset{}, errors.New("a message's job is inserted with its time only")
	}
	return a.preset, nil
}

// InsertOpts puts the job beside what operators asked for.
func (AlertSendArgs) InsertOpts() river.InsertOpts {
	return river.InsertOpts{Queue: QueueOperations}
}

// insertAlertSend inserts the job of a message with the client. The time is
// PostgreSQL's.
func insertAlertSend(client *river.Client[pgx.Tx]) store.SendMessage {
	return func(ctx context.Context, tx pgx.Tx, messageID int64, at time.Time) (int64, error) {
		inserted, err := client.InsertTx(ctx, tx, AlertSendArgs{MessageID: messageID, preset: preset{at: at}}, nil)
		if err != nil {
			return 0, fmt.Errorf("insert message %d: %w", messageID, err)
		}
		return inserted.Job.ID, nil
	}
}

// alertSendWorker sends messages about alerts.
type alertSendWorker struct {
	river.WorkerDefaults[AlertSendArgs]

	store  *store.Store
	sender *AlertSender
	policy *RetryPolicy
	logger *slog.Logger
}

// Timeout leaves time to note what came of it.
func (w *alertSendWorker) Timeout(*river.Job[AlertSendArgs]) time.Duration { return 2 * alertTimeout }

// NextRetry follows the backoff.
func (w *alertSendWorker) NextRetry(job *river.Job[AlertSendArgs]) time.Time {
	return w.policy.NextRetry(job.JobRow)
}

// Work sends the message, unless it arrived before. One whose arrival could not
// be noted is sent again, with the same id.
func (w *alertSendWorker) Work(ctx context.Context, job *river.Job[AlertSendArgs]) error {
	stored, err := w.store.AlertMessage(ctx, job.Args.MessageID)
	if err != nil {
		return err
	}
	if stored.DeliveredAt != nil {
		return nil
	}
	var message health.Message
	if err := json.Unmarshal(stored.Body, &message); err != nil {
		return river.JobCancel(fmt.Errorf("message %d cannot be read: %w", stored.ID, err))
	}
	message.MessageID = stored.ID
	answer, err := w.sender.Send(ctx, message)
	switch {
	case err == nil && answer.Accepted():
		w.logger.InfoContext(ctx, "alert message delivered", "message_id", stored.ID, "job_id", job.ID, "attempt", job.Attempt)
		return w.store.AlertDelivered(ctx, stored.ID, func(ctx context.Context, tx pgx.Tx) error { return completeJob(ctx, tx, job) })
	case err != nil && errors.Is(ctx.Err(), context.Canceled):
		// The process is stopping: River gives the attempt back.
		return errors.Join(context.Canceled, err)
	case err == nil:
		err = fmt.Errorf("the receiver answered HTTP %d", answer.Status)
	}
	return w.failed(ctx, job, stored, answer, err)
}

// failed notes that the message did not arrive, and says what is next.
func (w *alertSendWorker) failed(ctx context.Context, job *river.Job[AlertSendArgs], stored store.AlertMessage, answer AlertAnswer, cause error) error {
	if wait := answer.RetryAfter; answer.Status == http.StatusTooManyRequests && wait > 0 && wait <= alertPatience &&
		time.Since(stored.CreatedAt) < alertPatience {
		w.logger.WarnContext(ctx, "alert message delayed: the receiver asked to wait", "message_id", stored.ID, "job_id", job.ID, "wait", wait)
		return river.JobSnooze(wait)
	}
	nowhere := errors.Is(cause, ErrNoAlertWebhook)
	last := nowhere || job.Attempt >= job.MaxAttempts
	w.logger.WarnContext(ctx, "alert message not delivered", "message_id", stored.ID, "job_id", job.ID, "attempt", job.Attempt, "last", last, "error", cause)
	// What came of it is noted also when the attempt's own time is up.
	noting, cancel := context.WithTimeout(context.WithoutCancel(ctx), fenceTimeout)
	defer cancel()
	if err := w.store.AlertNotDelivered(noting, stored.ID, cause.Error(), last); err != nil {
		return errors.Join(cause, err)
	}
	if nowhere {
		return river.JobCancel(cause)
	}
	return cause
}
