package mercadopago

import (
	"compress/flate"
	"compress/gzip"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/conciliar/conciliar/jobs/provider"
)

const (
	// maxErrorBody is how much of an error's body is read, and thrown away.
	maxErrorBody = 16 << 10
	// maxRetryAfter is the longest that we let Mercado Pago put us off; more can
	// only be a mistake.
	maxRetryAfter = 24 * time.Hour
)

// answered is the error for an answer that is not a success.
func (c *Client) answered(resp *http.Response) *provider.Error {
	e := &provider.Error{
		Kind: provider.Unexpected, StatusCode: resp.StatusCode,
		RetryAfter: retryAfter(resp.Header.Get("Retry-After"), c.now()),
	}
	switch code := resp.StatusCode; {
	case code == http.StatusNotFound:
		e.Kind = provider.NotFound
	case code == http.StatusTooManyRequests:
		e.Kind = provider.RateLimited
	case code == http.StatusUnauthorized:
		e.Kind = provider.Unauthorized
	case code == http.StatusForbidden:
		e.Kind = provider.Forbidden
	case code >= 500:
		e.Kind = provider.Unavailable
	case code == http.StatusLocked:
		e.Kind = provider.Locked
	case code == http.StatusRequestTimeout:
		// A timeout, though the other side was the first to notice.
		e.Kind, e.Err = provider.Unavailable, errors.New("the request did not arrive in time")
	case code >= 300 && code < 400:
		e.Err = errors.New("a redirect, which is not followed")
	}
	return e
}

// noPayment takes NotFound, which is said of payments, from an error about
// something else.
func noPayment(err error) error {
	var e *provider.Error
	if errors.As(err, &e) && e.Kind == provider.NotFound {
		e.Kind = provider.Unexpected
	}
	return err
}

// notUnderstood is the error for a success whose body is not what was asked for:
// Unreadable when it is cut off or no JSON, and otherwise Odd for a payment that
// can't be booked, or Unexpected. What an answer says tells nothing about whether
// the API is there; that it says nothing at all does.
func notUnderstood(statusCode int, err error) *provider.Error {
	e := &provider.Error{Kind: provider.Unexpected, StatusCode: statusCode, Err: err}
	var odd *provider.OddPayment
	switch {
	case errors.Is(err, errNotJSON):
		e.Kind = provider.Unreadable
	case errors.As(err, &odd):
		e.Kind = provider.Odd
	}
	return e
}

// waitFailure is the error for a call that our own rate limit held back for as
// long as the caller could wait.
func (c *Client) waitFailure(ctx context.Context) *provider.Error {
	reason := ctx.Err()
	if reason == nil { // the limiter saw it coming
		reason = context.DeadlineExceeded
	}
	e := c.unavailable("not asked: our own rate limit left no time", reason, 0)
	e.NotAsked = true
	return e
}

// failure is the error for a call without an answer, or with part of one.
func (c *Client) failure(ctx context.Context, err error, statusCode int) *provider.Error {
	var netErr net.Error
	var corrupt flate.CorruptInputError
	switch {
	case ctx.Err() != nil:
		return c.unavailable("given up by the caller", ctx.Err(), statusCode)
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &netErr) && netErr.Timeout():
		return c.unavailable(fmt.Sprintf("no whole answer within %s", c.timeout), err, statusCode)
	case errors.Is(err, gzip.ErrHeader), errors.Is(err, gzip.ErrChecksum), errors.As(err, &corrupt):
		return &provider.Error{Kind: provider.Unreadable, StatusCode: statusCode, Err: errors.New("the answer's compression is broken")}
	}
	return c.unavailable(c.token.Load().redact(describeFailure(err)), err, statusCode)
}

func (c *Client) unavailable(text string, err error, statusCode int) *provider.Error {
	return &provider.Error{Kind: provider.Unavailable, StatusCode: statusCode,
		Err: &cause{text: text, is: func(target error) bool { return errors.Is(err, target) }}}
}

// A cause is a failure in words that can be stored. What net/http says may
// repeat the address asked or what came back, so the error itself stays behind:
// it answers to errors.Is and can't be printed.
type cause struct {
	text string
	is   func(error) bool
}

func (c *cause) Error() string        { return c.text }
func (c *cause) Is(target error) bool { return c.is(target) }

// describeFailure names a failure of the network. Their texts hold names,
// addresses and what the system said.
func describeFailure(err error) string {
	var op *net.OpError
	var dns *net.DNSError
	var certificate *tls.CertificateVerificationError
	switch {
	case errors.As(err, &dns):
		return dns.Error()
	case errors.As(err, &certificate):
		return certificate.Error()
	case errors.As(err, &op):
		return op.Error()
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
		return "the connection ended within the answer"
	}
	return "the exchange failed"
}

// retryAfter reads a Retry-After header: seconds, or a date to be held against
// now (RFC 9110, section 10.2.3). What can't be read asks for nothing.
func retryAfter(value string, now time.Time) time.Duration {
	value = strings.TrimSpace(value)
	var wait time.Duration
	if allDigits(value) {
		// More seconds than an int64 holds are too many anyway.
		seconds, err := strconv.ParseInt(value, 10, 64)
		if err != nil || seconds > int64(maxRetryAfter/time.Second) {
			return maxRetryAfter
		}
		wait = time.Duration(seconds) * time.Second
	} else if date, err := http.ParseTime(value); err == nil {
		wait = date.Sub(now)
	}
	return min(max(wait, 0), maxRetryAfter)
}
