package api

import (
	"errors"
	"io"
	"net/http"
	"os"
	"time"
)

const (
	// maxBody is the most that is read of any call.
	maxBody = 1 << 20
	// smallBody is what webhooks stay below by far. Larger bodies are read too,
	// but only largeBodies of them at once, so that many of them cannot take
	// all of the memory.
	smallBody   = 64 << 10
	largeBodies = 64
	// firstRead is what is allocated before a byte has come, whatever length
	// the caller claims.
	firstRead = 4 << 10
)

// A bodyReader reads bodies into bounded memory.
type bodyReader struct {
	large chan struct{}
}

func newBodyReader() *bodyReader {
	return &bodyReader{large: make(chan struct{}, largeBodies)}
}

func bodyTooLarge() *problem {
	p := newProblem(problemBodyTooLarge, "The body is larger than 1 MiB.")
	p.closes = true
	return p
}

// read returns the whole body as received, whatever its encoding. The caller
// must call release when it is done with a body, also after an error; what was
// read until the error is returned beside it.
func (b *bodyReader) read(r *http.Request) (body []byte, release func(), err error) {
	release = func() {}
	if r.ContentLength > maxBody {
		return nil, release, bodyTooLarge()
	}
	if r.Body == nil || r.Body == http.NoBody {
		return nil, release, nil
	}
	size := firstRead
	if r.ContentLength >= 0 && r.ContentLength < firstRead {
		// One more byte, so that the end is seen without growing.
		size = int(r.ContentLength) + 1
	}
	body = make([]byte, 0, size)
	for {
		n, err := r.Body.Read(body[len(body):cap(body)])
		body = body[:len(body)+n]
		switch {
		case len(body) > maxBody:
			return body[:maxBody], release, bodyTooLarge()
		case errors.Is(err, io.EOF):
			return body, release, nil
		case err != nil:
			return body, release, unreadable(err)
		}
		if len(body) < cap(body) {
			continue
		}
		if cap(body) == smallBody {
			select {
			case b.large <- struct{}{}:
				release = func() { <-b.large }
			default:
				return body, release, newProblem(problemOverloaded, "Too many large bodies are being received.").after(5 * time.Second)
			}
		}
		grown := make([]byte, len(body), nextSize(cap(body)))
		copy(grown, body)
		body = grown
	}
}

// nextSize doubles, and stops at smallBody and at one byte more than maxBody.
func nextSize(size int) int {
	next := 2 * size
	if size < smallBody && next > smallBody {
		return smallBody
	}
	return min(next, maxBody+1)
}

func unreadable(err error) *problem {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		p := newProblem(problemTimeout, "The body did not arrive in time.").because(err)
		p.closes = true
		return p
	}
	p := newProblem(problemUnreadableBody, "The body ended before its announced length, or its chunks are malformed.").because(err)
	p.closes = true
	return p
}
