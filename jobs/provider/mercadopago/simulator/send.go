package simulator

import (
	"cmp"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"time"
)

// answerSize is how much of an answer is read.
const answerSize = 64 << 10

// sendMade sends a request that could be made.
func (s *Simulator) sendMade(req *http.Request, err error) Result {
	if err != nil {
		return Result{Err: err}
	}
	return s.send(req)
}

// send sends a request and reads its answer.
func (s *Simulator) send(req *http.Request) Result {
	resp, err := s.client.Do(req)
	if err != nil {
		// The URL in a url.Error may hold a credential of the target.
		if wrapped := (*url.Error)(nil); errors.As(err, &wrapped) {
			err = wrapped.Err
		}
		return Result{Err: fmt.Errorf("sending a notification: %w", err)}
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(resp.Body, answerSize))
	if err != nil {
		return Result{Err: fmt.Errorf("reading the answer to a notification: %w", err)}
	}
	result := Result{StatusCode: resp.StatusCode}
	var said struct {
		QueueID   int64 `json:"queue_id"`
		Duplicate bool  `json:"duplicate"`
	}
	// Mercado Pago looks at the status alone: a body of another kind says
	// nothing and is not an error.
	if json.Unmarshal(body, &said) == nil {
		result.QueueID, result.Duplicate = said.QueueID, said.Duplicate
	}
	return result
}

// sendAndCut writes a request on a connection of its own and cuts it: at once,
// or when the answer begins to arrive. An error says that the request was not
// written.
func (s *Simulator) sendAndCut(req *http.Request, answered bool) error {
	host, port := req.URL.Hostname(), req.URL.Port()
	var dialer interface {
		DialContext(ctx context.Context, network, address string) (net.Conn, error)
	} = &net.Dialer{}
	if req.URL.Scheme == "https" {
		dialer = &tls.Dialer{Config: s.tlsConfig()}
		port = cmp.Or(port, "443")
	}
	ctx, cancel := context.WithTimeout(req.Context(), answerLimit)
	defer cancel()
	conn, err := dialer.DialContext(ctx, "tcp", net.JoinHostPort(host, cmp.Or(port, "80")))
	if err != nil {
		return fmt.Errorf("connecting to the target: %w", err)
	}
	defer func() { _ = conn.Close() }()
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(0, 1)) })
	defer stop()
	if err := req.Write(conn); err != nil {
		return fmt.Errorf("writing a notification: %w", err)
	}
	if answered {
		// Whatever comes, or an error: the answer is lost either way.
		_, _ = conn.Read(make([]byte, 1))
	}
	return nil
}

// tlsConfig is how the client verifies the target.
func (s *Simulator) tlsConfig() *tls.Config {
	if transport, ok := s.client.Transport.(*http.Transport); ok && transport.TLSClientConfig != nil {
		return transport.TLSClientConfig.Clone()
	}
	return &tls.Config{MinVersion: tls.VersionTLS12}
}
