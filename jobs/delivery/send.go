package delivery

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode"

	"code.dny.dev/ssrf"
)

// A Message is what is sent to a receiver.
type Message struct {
	// ID is the same for every attempt and replay: what the receiver knows repeats by.
	ID string
	// Headers are added to ours, and may replace Content-Type alone.
	Headers map[string]string
	Body    []byte
	// At is when this attempt is made.
	At time.Time
}

// Failure classes: why an attempt did not arrive. They are stored.
const (
	// ClassRefused: a status that does not accept the message.
	ClassRefused = "refused"
	// ClassRedirected: 300 to 399; redirects are not followed.
	ClassRedirected = "redirected"
	// ClassRateLimited: 429.
	ClassRateLimited = "rate_limited"
	// ClassGone: 410, by which a receiver says that it wants nothing any more.
	ClassGone = "gone"
	// ClassTimeout: no answer in time.
	ClassTimeout = "timeout"
	// ClassUnreachable: no connection, a name that does not resolve, or a
	// connection that broke.
	ClassUnreachable = "unreachable"
	// ClassTLS: no secure connection, such as for an expired certificate.
	ClassTLS = "tls"
	// ClassPrivateAddress: the name resolves to an address that is refused.
	ClassPrivateAddress = "private_address"
	// ClassNotSendable: the message makes no HTTP request.
	ClassNotSendable = "not_sendable"
	// ClassExpired: what the message said is not kept any more, as for a payer who was
	// forgotten.
	ClassExpired = "expired"
	// ClassWorkerDied: the processes that made the attempts died.
	ClassWorkerDied = "worker_died"
	// ClassCancelled: an operator cancelled the delivery's job.
	ClassCancelled = "cancelled"
)

// Classes lists every failure class.
func Classes() []string {
	return []string{
		ClassRefused, ClassRedirected, ClassRateLimited, ClassGone, ClassTimeout, ClassUnreachable, ClassTLS,
		ClassPrivateAddress, ClassNotSendable, ClassExpired, ClassWorkerDied, ClassCancelled,
	}
}

// An Answer is what came of one attempt.
type Answer struct {
	// Status is the answer's; 0 when none came.
	Status int
	// Text is the beginning of the answer's body, in one printable line. It came
	// from outside.
	Text string
	// Class is why the message was not accepted; empty when it was. Err says more
	// where no answer came; it never names the URL.
	Class string
	Err   error
	// Wait is how long to wait for the next attempt; zero when there is none, since
	// this one was accepted or was the last.
	Wait time.Duration
	// Took is how long the attempt took.
	Took time.Duration
}

// Accepted reports whether the message arrived.
func (a Answer) Accepted() bool { return a.Class == "" }

// ErrUnknownReceiver means that no receiver of that name is in use here.
var ErrUnknownReceiver = errors.New("no such receiver is set up in this process")

// maxText is how much of an answer's body is kept, in bytes.
const maxText = 500

// Send makes one attempt: number n of the message, the first being 1. The error is
// ErrUnknownReceiver, or the context's: then the attempt says nothing about the
// receiver, and may have arrived.
func (e *Engine) Send(ctx context.Context, receiver string, n int, message Message) (Answer, error) {
	s := e.station(receiver)
	if s == nil {
		return Answer{}, fmt.Errorf("%w: %s", ErrUnknownReceiver, receiver)
	}
	if err := s.limiter.Wait(ctx); err != nil {
		if ctx.Err() != nil {
			return Answer{}, ctx.Err()
		}
		return Answer{}, fmt.Errorf("%s is not asked: %w", s.Receiver, context.DeadlineExceeded)
	}
	began := time.Now()
	answer, retryAfter := e.post(ctx, s, message)
	if ctx.Err() != nil && answer.Status == 0 {
		return Answer{}, ctx.Err()
	}
	answer.Took = time.Since(began)
	if answer.Status == http.StatusTooManyRequests && retryAfter > 0 {
		s.hold(e.now().Add(retryAfter))
	}
	if !answer.Accepted() && answer.Class != ClassGone {
		answer.Wait = s.wait(n, retryAfter)
	}
	return answer, nil
}

// Reach asks for the head of a receiver's address and sends it no message: any answer
// shows that it is reached. The error is ErrUnknownReceiver.
func (e *Engine) Reach(ctx context.Context, receiver string) (Answer, error) {
	s := e.station(receiver)
	if s == nil {
		return Answer{}, fmt.Errorf("%w: %s", ErrUnknownReceiver, receiver)
	}
	ctx, cancel := context.WithTimeout(ctx, s.Timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodHead, s.URL, nil)
	if err != nil {
		return Answer{Class: ClassNotSendable, Err: withoutURL(err)}, nil
	}
	req.Header.Set("User-Agent", e.userAgent)
	resp, err := e.clientOf(s).Do(req)
	if err != nil {
		return Answer{Class: classOf(err), Err: withoutURL(err)}, nil
	}
	_ = resp.Body.Close()
	return Answer{Status: resp.StatusCode}, nil
}

// clientOf connects where the receiver may be.
func (e *Engine) clientOf(s *station) *http.Client {
	if s.AllowPrivate {
		return e.private
	}
	return e.public
}

// post sends the message once, and says what came of it and how long the receiver
// asks to wait.
func (e *Engine) post(ctx context.Context, s *station, message Message) (Answer, time.Duration) {
	timed, cancel := context.WithTimeout(ctx, s.Timeout)
	defer cancel()
	req, err := e.request(timed, s, message)
	if err != nil {
		return Answer{Class: ClassNotSendable, Err: err}, 0
	}
	resp, err := e.clientOf(s).Do(req)
	if err != nil {
		class := classOf(err)
		return Answer{Class: class, Err: withoutURL(err)}, 0
	}
	defer func() { _ = resp.Body.Close() }()
	// The status has come, and decides. The rest may hang.
	hangUp := time.AfterFunc(bodyPatience, cancel)
	defer hangUp.Stop()
	body, _ := io.ReadAll(io.LimitReader(resp.Body, maxAnswer)) // for people alone
	answer := Answer{Status: resp.StatusCode, Text: oneLine(body), Class: s.judge(resp.StatusCode)}
	return answer, retryAfter(resp.Header.Get("Retry-After"), e.now())
}

func (e *Engine) request(ctx context.Context, s *station, message Message) (*http.Request, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.URL, bytes.NewReader(message.Body))
	if err != nil {
		return nil, withoutURL(err)
	}
	req.Header.Set("Content-Type", "application/json")
	for _, headers := range []map[string]string{message.Headers, s.Headers} {
		for name, value := range headers {
			if err := CheckHeader(name); err != nil {
				return nil, err
			}
			req.Header.Set(name, value)
		}
	}
	req.Header.Set("User-Agent", e.userAgent)
	req.Header.Set("Webhook-Id", message.ID) // by which repeats are known, signed or not
	if s.Signer != nil {
		if err := s.Signer.addTo(req.Header, message); err != nil {
			return nil, fmt.Errorf("the message was not signed: %w", err)
		}
	}
	return req, nil
}

// CheckHeader says why a message may not have a header of that name: what the
// connection depends on, and what we say of ourselves, is not the message's.
func CheckHeader(name string) error {
	canonical := http.CanonicalHeaderKey(name)
	switch canonical {
	case "Host", "Content-Length", "Transfer-Encoding", "Connection", "Upgrade", "Te", "Trailer", "Keep-Alive", "Expect",
		"Proxy-Authorization", "Proxy-Connection", "User-Agent":
		return fmt.Errorf("the header %s is not a message's to set", canonical)
	}
	if strings.HasPrefix(canonical, "Webhook-") {
		return fmt.Errorf("the header %s belongs to the signature", canonical)
	}
	return nil
}

// judge is the class of an answer's status; empty for one that accepts.
func (r Receiver) judge(status int) string {
	for _, accepted := range r.Accept {
		if status >= accepted.From && status <= accepted.To {
			return ""
		}
	}
	switch {
	case status == http.StatusGone:
		return ClassGone
	case status == http.StatusTooManyRequests:
		return ClassRateLimited
	case status >= 300 && status < 400:
		return ClassRedirected
	}
	return ClassRefused
}

// classOf is the class of an attempt that had no answer.
func classOf(err error) string {
	var timeout interface{ Timeout() bool }
	var certificate *tls.CertificateVerificationError
	var record tls.RecordHeaderError
	var alert tls.AlertError
	var name *net.DNSError
	switch {
	case errors.Is(err, ssrf.ErrProhibitedIP) || errors.Is(err, ssrf.ErrProhibitedNetwork):
		return ClassPrivateAddress
	case errors.As(err, &certificate), errors.As(err, &record), errors.As(err, &alert), errors.Is(err, http.ErrSchemeMismatch):
		return ClassTLS
	case errors.As(err, &name):
		return ClassUnreachable
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		return ClassTimeout
	}
	return ClassUnreachable
}

// withoutURL is the error without what the client says around it: it repeats the URL.
func withoutURL(err error) error {
	var wrapped *url.Error
	if errors.As(err, &wrapped) {
		return wrapped.Err
	}
	return err
}

// oneLine keeps of a body's beginning what can be printed.
func oneLine(body []byte) string {
	text := strings.ToValidUTF8(string(body[:min(len(body), maxText)]), "")
	return strings.TrimSpace(strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return ' '
	}, text))
}

// retryAfter reads the header's seconds or date; 0 when it says neither.
func retryAfter(header string, now time.Time) time.Duration {
	if seconds, err := strconv.ParseUint(header, 10, 31); err == nil {
		return min(time.Duration(seconds)*time.Second, maxWait)
	}
	if at, err := http.ParseTime(header); err == nil {
		return min(max(at.Sub(now), 0), maxWait)
	}
	return 0
}
