package storetest

import (
	"encoding/binary"
	"io"
	"net"
	"net/url"
	"strings"
	"sync"
	"testing"
)

// Impostor starts a server that speaks PostgreSQL's protocol and is none: statements
// reach the database changed, and so succeed without the effect that they ask for. It
// returns the address of the database through it, and ends with the test.
func Impostor(tb testing.TB, address string, change func(sql string) string) string {
	tb.Helper()
	target, err := url.Parse(address)
	if err != nil {
		tb.Fatalf("storetest: %v", err)
	}
	ln, err := (&net.ListenConfig{}).Listen(tb.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatalf("storetest: %v", err)
	}
	upstream := target.Host
	var links sync.WaitGroup
	var mu sync.Mutex
	var open []net.Conn
	links.Go(func() {
		for {
			client, err := ln.Accept()
			if err != nil {
				return
			}
			server, err := net.Dial("tcp", upstream) //nolint:noctx // on this machine
			if err != nil {
				_ = client.Close()
				continue
			}
			mu.Lock()
			open = append(open, client, server)
			mu.Unlock()
			links.Go(func() { passStatements(server, client, change); _ = server.Close() })
			links.Go(func() { _, _ = io.Copy(client, server); _ = client.Close() })
		}
	})
	tb.Cleanup(func() {
		_ = ln.Close()
		mu.Lock()
		for _, conn := range open {
			_ = conn.Close()
		}
		mu.Unlock()
		links.Wait()
	})
	target.Host = ln.Addr().String()
	return target.String()
}

// passStatements passes messages on until the connection ends. Each but the first
// begins with its kind, and holds its length before its body (PostgreSQL documentation,
// 55.7, message formats).
func passStatements(to io.Writer, from io.Reader, change func(string) string) {
	const lengthOfLength = 4
	for kind := []byte{}; ; kind = make([]byte, 1) {
		length := make([]byte, lengthOfLength)
		if _, err := io.ReadFull(from, kind); err != nil {
			return
		}
		if _, err := io.ReadFull(from, length); err != nil {
			return
		}
		body := make([]byte, binary.BigEndian.Uint32(length)-lengthOfLength)
		if _, err := io.ReadFull(from, body); err != nil {
			return
		}
		switch string(kind) {
		case "Q": // the statement
			body = []byte(change(string(body)))
		case "P": // its name, then the statement
			name, rest, _ := strings.Cut(string(body), "\x00")
			sql, types, _ := strings.Cut(rest, "\x00")
			body = []byte(name + "\x00" + change(sql) + "\x00" + types)
		}
		message := binary.BigEndian.AppendUint32(kind, uint32(len(body)+lengthOfLength)) //nolint:gosec // of a test's statement
		if _, err := to.Write(append(message, body...)); err != nil {
			return
		}
	}
}
