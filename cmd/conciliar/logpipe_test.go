package main

import (
	"bytes"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"
)

// A stuckReader reads nothing until it is let go, and then everything.
type stuckReader struct {
	bytes.Buffer
	letGo chan struct{}
	gone  bool
}

func (r *stuckReader) Write(p []byte) (int, error) {
	<-r.letGo
	if r.gone {
		return 0, errors.New("broken pipe")
	}
	return r.Buffer.Write(p)
}

func TestLogPipe_DropsWhatNobodyReadsAndTells(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		reader := &stuckReader{letGo: make(chan struct{})}
		p := newLogPipe(reader, func(n int64) { _, _ = fmt.Fprintf(reader, "%d dropped\n", n) })
		for range logLines + 11 {
			_, err := p.Write([]byte("line\n"))
			require.NoError(t, err)
			synctest.Wait() // one line is in the reader's hands
		}
		require.EqualValues(t, 10, p.Dropped())
		p.Close() // gives up after a second of the bubble's clock

		close(reader.letGo)
		synctest.Wait()
		require.Equal(t, logLines+1, bytes.Count(reader.Bytes(), []byte("line\n")))
		require.Equal(t, 1, bytes.Count(reader.Bytes(), []byte("10 dropped\n")))
		p.Close()
	})
}

func TestLogPipe_OutlivesItsReader(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		reader := &stuckReader{letGo: make(chan struct{}), gone: true}
		close(reader.letGo)
		p := newLogPipe(reader, func(int64) { t.Error("nobody can be told") })
		_, err := p.Write([]byte("line\n"))
		require.NoError(t, err)
		p.Close()
		require.EqualValues(t, 1, p.Dropped())
	})
}

func TestLogPipe_WritesTheLastLines(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	p := newLogPipe(&out, func(int64) {})
	for range 100 {
		_, _ = p.Write([]byte("line\n"))
	}
	p.Close()
	require.Equal(t, 100, bytes.Count(out.Bytes(), []byte("line\n")))
}
