//go:build chaos

package e2e

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// A matrix gathers what every run of every scenario came to.
type matrix struct {
	mu    sync.Mutex
	first time.Time
	rows  map[string]*matrixRow
}

type matrixRow struct {
	times, events, lost, doubled int
	recoveries                   []time.Duration
}

// began is when the first scenario ended.
func (m *matrix) began() time.Time {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.first
}

// add counts one run.
func (m *matrix) add(sc scenario, o outcomes) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.rows == nil {
		m.rows, m.first = map[string]*matrixRow{}, time.Now()
	}
	row := m.rows[sc.name]
	if row == nil {
		row = &matrixRow{}
		m.rows[sc.name] = row
	}
	row.times++
	row.events += o.events
	row.lost += len(o.lost)
	row.doubled += len(o.doubled)
	row.recoveries = append(row.recoveries, o.recovery)
}

// table is the matrix as the documentation shows it.
func (m *matrix) table() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	var b strings.Builder
	b.WriteString("| fault | step | times run | events | lost | doubled | recovery: median, worst |\n|---|---|--:|--:|--:|--:|--:|\n")
	for _, sc := range scenarios() {
		row := m.rows[sc.name]
		if row == nil {
			continue
		}
		slices.Sort(row.recoveries)
		median, worst := row.recoveries[len(row.recoveries)/2], row.recoveries[len(row.recoveries)-1]
		_, _ = fmt.Fprintf(&b, "| %s | %s | %d | %d | %d | %d | %s, %s |\n",
			sc.fault, sc.step, row.times, row.events, row.lost, row.doubled, inSeconds(median), inSeconds(worst))
	}
	return b.String()
}

func inSeconds(d time.Duration) string { return fmt.Sprintf("%.1f s", d.Seconds()) }

// The generated part of the documentation stands between these.
const (
	tableBegins = "<!-- written by make chaos WRITE=1: begin -->\n"
	tableEnds   = "<!-- end -->\n"
)

// write puts the table into a document.
func (m *matrix) write(path string) error {
	document, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	before, rest, begins := strings.Cut(string(document), tableBegins)
	_, after, ends := strings.Cut(rest, tableEnds)
	if !begins || !ends {
		return fmt.Errorf("%s has no place for the table", path)
	}
	return os.WriteFile(path, []byte(before+tableBegins+"\n"+m.table()+"\n"+tableEnds+after), 0o644)
}

// Every row of the documentation is a scenario of today.
func TestChaosReport_TheTableIsOfTheseScenarios(t *testing.T) {
	t.Parallel()
	if os.Getenv(writeEnv) != "" {
		return // it is being written
	}
	document, err := os.ReadFile("../../../docs/reliability.md")
	require.NoError(t, err)
	_, rest, begins := strings.Cut(string(document), tableBegins)
	table, _, ends := strings.Cut(rest, tableEnds)
	require.True(t, begins && ends)
	for _, sc := range scenarios() {
		require.Contains(t, table, "| "+sc.fault+" | "+sc.step+" |", "run make chaos WRITE=1")
	}
	require.Equal(t, len(scenarios())+2, strings.Count(strings.TrimSpace(table), "\n")+1, "run make chaos WRITE=1")
}
