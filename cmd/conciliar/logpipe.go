package main

import (
	"bytes"
	"io"
	"sync/atomic"
	"time"
)

const (
	// logLines is how many lines wait for their reader: some megabytes.
	logLines = 8192
	// logFlush is how long the end of a process waits for the last of them.
	logFlush = time.Second
)

// A logPipe is between the log and where it is written. Nothing that we promise may
// wait for the reader of the log: a line that finds the queue full is dropped and
// counted, and the reader is told once it reads again.
type logPipe struct {
	out     io.Writer
	lines   chan []byte
	dropped atomic.Int64
	// tell writes to out how many lines were dropped.
	tell func(lines int64)
	done chan struct{}
}

// newLogPipe starts a pipe to out. Close stops it.
func newLogPipe(out io.Writer, tell func(lines int64)) *logPipe {
	p := &logPipe{out: out, lines: make(chan []byte, logLines), tell: tell, done: make(chan struct{})}
	go p.run()
	return p
}

// Write implements io.Writer. It never waits and never fails.
func (p *logPipe) Write(line []byte) (int, error) {
	select {
	case p.lines <- bytes.Clone(line):
	default:
		p.dropped.Add(1)
	}
	return len(line), nil
}

// Dropped is how many lines were dropped so far.
func (p *logPipe) Dropped() int64 { return p.dropped.Load() }

// Close writes what waits, as far as that takes no longer than a second. What is
// written to the pipe afterwards may be lost.
func (p *logPipe) Close() {
	over := time.NewTimer(logFlush)
	defer over.Stop()
	select {
	case p.lines <- nil:
	case <-over.C:
		return
	}
	select {
	case <-p.done:
	case <-over.C:
	}
}

func (p *logPipe) run() {
	defer close(p.done)
	var told int64
	for line := range p.lines {
		if line == nil {
			return
		}
		if _, err := p.out.Write(line); err != nil {
			p.dropped.Add(1)
			continue
		}
		if dropped := p.dropped.Load(); dropped > told {
			p.tell(dropped - told)
			told = dropped
		}
	}
}
