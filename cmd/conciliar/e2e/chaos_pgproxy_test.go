//go:build chaos

package e2e

import (
	"bufio"
	"context"
	bigendian "encoding/binary"
	"io"
	"net"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// A pgProxy stands between the service and PostgreSQL and reads what passes. It
// knows enough of the protocol (PostgreSQL's documentation, "Message Formats")
// to stop exactly at a statement or at a commit, so that the service needs no
// failpoint to be killed there.
type pgProxy struct {
	ln       net.Listener
	upstream string

	mu    sync.Mutex
	holds []*hold
	conns map[net.Conn]struct{}
}

// newPGProxy starts a proxy in front of a database and returns it with the address
// of that database through it.
func newPGProxy(t *testing.T, databaseURL string) (*pgProxy, string) {
	t.Helper()
	address, err := url.Parse(databaseURL)
	require.NoError(t, err)
	ln, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	p := &pgProxy{ln: ln, upstream: address.Host, conns: map[net.Conn]struct{}{}}
	var serving sync.WaitGroup
	serving.Go(func() { p.serve(&serving) })
	t.Cleanup(func() {
		_ = ln.Close()
		p.cut()
		serving.Wait()
	})
	address.Host = ln.Addr().String()
	return p, address.String()
}

func (p *pgProxy) serve(serving *sync.WaitGroup) {
	for {
		client, err := p.ln.Accept()
		if err != nil {
			return
		}
		serving.Go(func() { p.link(client) })
	}
}

// link carries one session until either side ends it.
func (p *pgProxy) link(client net.Conn) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	server, err := (&net.Dialer{}).DialContext(ctx, "tcp", p.upstream)
	cancel()
	if err != nil {
		_ = client.Close()
		return
	}
	p.mu.Lock()
	p.conns[client], p.conns[server] = struct{}{}, struct{}{}
	p.mu.Unlock()
	hangUp := func() { _ = client.Close(); _ = server.Close() }
	s := &session{proxy: p, prepared: map[string]string{}}
	var sides sync.WaitGroup
	sides.Go(func() { defer hangUp(); s.carry(server, client, true) })
	sides.Go(func() { defer hangUp(); s.carry(client, server, false) })
	sides.Wait()
	p.mu.Lock()
	delete(p.conns, client)
	delete(p.conns, server)
	p.mu.Unlock()
}

// cut ends every session at once, and everything that is held.
func (p *pgProxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for conn := range p.conns {
		_ = conn.Close()
	}
	for _, h := range p.holds {
		h.end(false)
	}
	p.holds = nil
}

// A session is one connection of the service.
type session struct {
	proxy    *pgProxy
	mu       sync.Mutex
	prepared map[string]string
	// seen are the statements since the transaction began.
	seen []string
}

// A frame is one message on its way.
type frame struct {
	fromService bool
	kind        byte
	// sql is the statement that the message names, as far as it names one.
	sql string
	// tag is what the server says that it has completed.
	tag string
	// idle is true when the server says that no transaction is open any more.
	idle bool
	// seen are the statements of the transaction so far.
	seen []string
}

// did reports whether the transaction has executed a statement with these
// words in it.
func (f frame) did(words string) bool {
	return slices.ContainsFunc(f.seen, func(sql string) bool { return strings.Contains(sql, words) })
}

// commits reports that the service asks for the commit.
func (f frame) commits() bool {
	return f.fromService && f.kind == 'Q' && strings.EqualFold(f.sql, "commit")
}

// committed reports that the server answers that it has committed.
func (f frame) committed() bool { return !f.fromService && f.kind == 'C' && f.tag == "COMMIT" }

// carry passes messages from one side to the other.
func (s *session) carry(to io.Writer, from io.Reader, fromService bool) {
	in, out := bufio.NewReader(from), bufio.NewWriter(to)
	started := !fromService
	for {
		head := make([]byte, 0, 5)
		if started {
			kind, err := in.ReadByte()
			if err != nil {
				return
			}
			head = append(head, kind)
		}
		size := make([]byte, 4)
		if _, err := io.ReadFull(in, size); err != nil {
			return
		}
		length := bigendian.BigEndian.Uint32(size)
		if length < 4 || length > 1<<30 {
			return
		}
		body := make([]byte, length-4)
		if _, err := io.ReadFull(in, body); err != nil {
			return
		}
		if started && !s.pass(s.read(head[0], body, fromService)) {
			return
		}
		started = true
		for _, part := range [][]byte{head, size, body} {
			if _, err := out.Write(part); err != nil {
				return
			}
		}
		if in.Buffered() == 0 && out.Flush() != nil {
			return
		}
	}
}

// read learns what a message says and keeps the transaction's statements.
func (s *session) read(kind byte, body []byte, fromService bool) frame {
	s.mu.Lock()
	defer s.mu.Unlock()
	f := frame{fromService: fromService, kind: kind}
	texts := strings.SplitN(string(body), "\x00", 3)
	switch {
	case fromService && kind == 'Q':
		f.sql = texts[0]
		if strings.HasPrefix(strings.ToLower(f.sql), "begin") {
			s.seen = nil
		}
	case fromService && kind == 'P' && len(texts) > 1:
		s.prepared[texts[0]] = texts[1]
		f.sql = texts[1]
	case fromService && kind == 'B' && len(texts) > 1:
		f.sql = s.prepared[texts[1]]
		s.seen = append(s.seen, f.sql)
	case !fromService && kind == 'C':
		f.tag = texts[0]
	case !fromService && kind == 'Z' && string(body) == "I":
		f.idle, f.seen, s.seen = true, s.seen, nil
		return f
	}
	f.seen = s.seen
	return f
}

// pass stops at a hold that waits for this message and reports whether it goes
// on its way.
func (s *session) pass(f frame) bool {
	s.proxy.mu.Lock()
	var stops *hold
	for i, h := range s.proxy.holds {
		if !h.at(f) {
			continue
		}
		if h.skip--; h.skip < 0 {
			stops = h
			s.proxy.holds = slices.Delete(s.proxy.holds, i, i+1)
		}
		break
	}
	s.proxy.mu.Unlock()
	if stops == nil {
		return true
	}
	close(stops.reached)
	return <-stops.resume
}

// A hold is a point at which one message waits.
type hold struct {
	at      func(frame) bool
	skip    int
	reached chan struct{}
	resume  chan bool
	once    sync.Once
}

// hold stops the first message at a point, after it has let skip others pass.
func (p *pgProxy) hold(skip int, at func(frame) bool) *hold {
	h := &hold{at: at, skip: skip, reached: make(chan struct{}), resume: make(chan bool, 1)}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.holds = append(p.holds, h)
	return h
}

// await waits until a message is held.
func (h *hold) await(t *testing.T) {
	t.Helper()
	select {
	case <-h.reached:
	case <-time.After(chaosPatience()):
		t.Fatal("the service never came to the point at which it was to be stopped")
	}
}

// release lets the message go on.
func (h *hold) release() { h.end(true) }

// drop ends the session and the message with it.
func (h *hold) drop() { h.end(false) }

func (h *hold) end(passes bool) { h.once.Do(func() { h.resume <- passes }) }

// The points at which the service is stopped.
var (
	// atAcceptance: the event is durable and the service doesn't know it yet. Its
	// statement is a transaction of its own, over when the session is idle.
	atAcceptance = func(f frame) bool { return f.idle && f.did("INSERT INTO webhook_queue") }
	// atSettling: payments were fetched, and their settlement begins, in a group or alone.
	atSettling = func(f frame) bool {
		return f.fromService && strings.Contains(f.sql, "FROM river_job WHERE id = ") && strings.Contains(f.sql, "FOR UPDATE")
	}
	// atSettlement: all of the settlement is written, and not committed.
	atSettlement = func(f frame) bool { return f.commits() && f.did("INSERT INTO payment_logs") }
	// afterSettlement: the settlement is committed and the service doesn't know.
	afterSettlement = func(f frame) bool { return f.committed() && f.did("INSERT INTO payment_logs") }
	// atFinding: a reconciliation has found what was missing, not committed.
	atFinding = func(f frame) bool { return f.commits() && f.did("INTO webhook_reconciliation_findings") }
	// afterFinding: what was missing is in the inbox and the service doesn't know.
	afterFinding = func(f frame) bool { return f.committed() && f.did("INTO webhook_reconciliation_findings") }
	// atArchiving: events are moved to the archive, not committed.
	atArchiving = func(f frame) bool { return f.commits() && f.did("INSERT INTO webhook_archive") }
	// afterArchiving: they are moved and the service doesn't know.
	afterArchiving = func(f frame) bool { return f.committed() && f.did("INSERT INTO webhook_archive") }
)
