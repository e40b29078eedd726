package bench

import (
	"bytes"
	"cmp"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A Statement is what PostgreSQL did for one statement of the service. Counts and times
// are the mean of its calls.
type Statement struct {
	When string `json:"when"`
	// What names the tables that it writes and reads, SQL is its text.
	What  string `json:"what"`
	SQL   string `json:"sql"`
	Calls int    `json:"calls"`
	// RowsRead are rows that were looked at, RowsOut those that it returned or wrote.
	RowsRead float64 `json:"rows_read"`
	RowsOut  float64 `json:"rows_out"`
	// Buffers are pages of 8 KiB, whether in memory or not.
	Buffers    float64 `json:"buffers"`
	Millis     float64 `json:"ms"`
	MostMillis float64 `json:"most_ms"`
	// Indexes are those that it used, FullScans the tables of more than fullScanRows rows
	// that it read from end to end.
	Indexes   []string `json:"indexes,omitempty"`
	FullScans []string `json:"full_scans,omitempty"`
}

// fullScanRows is how many rows a table has that is not read from end to end unnoticed.
const fullScanRows = 1000

func (s Statement) columns() []string {
	return []string{
		s.When, s.What, number(float64(s.Calls)), number(s.RowsRead), number(s.RowsOut), number(s.Buffers),
		number(s.Millis) + " (" + number(s.MostMillis) + ")", strings.Join(s.Indexes, ", "), strings.Join(s.FullScans, ", "),
	}
}

// A planLog reads what auto_explain writes, in PostgreSQL's CSV log.
type planLog struct {
	file string
	at   int64
}

// The columns of the CSV log that are read (PostgreSQL's documentation, "Using CSV-Format
// Log Output"), counted from 0.
const (
	csvMessage     = 13
	csvApplication = 22
)

// harnessName is the name of the benchmark's own sessions, whose statements are not told.
const harnessName = "conciliar-bench"

// skip goes to the end of the log.
func (l *planLog) skip(ctx context.Context, b *harness) error {
	_, err := l.read(ctx, b)
	return err
}

// read returns the statements since the last time, one for each text. A statement of its
// own marks the end; it is made until it is written down, because settings and the log
// come later than what they are about.
func (l *planLog) read(ctx context.Context, b *harness) ([]Statement, error) {
	b.runs++
	marker := "the log up to mark " + strconv.Itoa(b.runs) + "."
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	tick := time.Tick(100 * time.Millisecond)
	for {
		if _, err := b.pool.Exec(ctx, `SELECT '`+marker+`'`); err != nil {
			return nil, err
		}
		text, err := l.since()
		if err != nil {
			return nil, err
		}
		if bytes.Contains(text, []byte(marker)) && bytes.HasSuffix(text, []byte("\n")) {
			l.at += int64(len(text))
			return statementsOf(text)
		}
		select {
		case <-tick:
		case <-ctx.Done():
			return nil, errors.New("PostgreSQL's log does not come to its end")
		}
	}
}

// since is the log's text from where it was read to.
func (l *planLog) since() ([]byte, error) {
	file, err := os.Open(l.file)
	if err != nil {
		return nil, err
	}
	text, err := io.ReadAll(io.NewSectionReader(file, l.at, 1<<62))
	return text, errors.Join(err, file.Close())
}

// A plan is a node of a plan, as EXPLAIN writes it.
type plan struct {
	NodeType  string  `json:"Node Type"`
	Operation string  `json:"Operation"`
	Relation  string  `json:"Relation Name"`
	Index     string  `json:"Index Name"`
	Rows      float64 `json:"Actual Rows"`
	Loops     float64 `json:"Actual Loops"`
	Filtered  float64 `json:"Rows Removed by Filter"`
	Rechecked float64 `json:"Rows Removed by Index Recheck"`
	Hit       float64 `json:"Shared Hit Blocks"`
	Read      float64 `json:"Shared Read Blocks"`
	Plans     []plan  `json:"Plans"`
}

var planMessage = regexp.MustCompile(`(?s)^duration: ([0-9.]+) ms  plan:\s*(.*)$`)

// statementsOf are the statements in a piece of the log.
func statementsOf(text []byte) ([]Statement, error) {
	byText := map[string]*Statement{}
	in := csv.NewReader(bytes.NewReader(text))
	in.FieldsPerRecord = -1
	for {
		record, err := in.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("PostgreSQL's log: %w", err)
		}
		if len(record) <= csvApplication || record[csvApplication] == harnessName {
			continue
		}
		found := planMessage.FindStringSubmatch(record[csvMessage])
		if found == nil {
			continue
		}
		var told struct {
			Text string `json:"Query Text"`
			Plan plan   `json:"Plan"`
		}
		if err := json.Unmarshal([]byte(found[2]), &told); err != nil {
			return nil, fmt.Errorf("a plan in PostgreSQL's log: %w", err)
		}
		var took float64
		if _, err := fmt.Sscan(found[1], &took); err != nil {
			return nil, fmt.Errorf("a time in PostgreSQL's log: %w", err)
		}
		sql := strings.Join(strings.Fields(told.Text), " ")
		s := byText[sql]
		if s == nil {
			s = &Statement{SQL: sql}
			byText[sql] = s
		}
		s.add(told.Plan, took)
	}
	statements := make([]Statement, 0, len(byText))
	for _, text := range slices.Sorted(maps.Keys(byText)) {
		s := byText[text]
		n := float64(s.Calls)
		s.RowsRead, s.RowsOut, s.Buffers, s.Millis = s.RowsRead/n, s.RowsOut/n, s.Buffers/n, s.Millis/n
		statements = append(statements, *s)
	}
	return statements, nil
}

// add adds a call to the sums.
func (s *Statement) add(root plan, took float64) {
	s.Calls++
	s.Millis += took
	s.MostMillis = max(s.MostMillis, took)
	s.Buffers += root.Hit + root.Read
	s.RowsOut += root.Rows * root.Loops
	if root.Operation != "" && root.Rows == 0 && len(root.Plans) > 0 {
		// What only writes returns nothing: its rows are those that it was given.
		s.RowsOut += root.Plans[0].Rows * root.Plans[0].Loops
	}
	writes, reads := map[string][]string{}, []string{}
	s.walk(root, writes, &reads)
	what := make([]string, 0, len(writes)+1)
	for _, operation := range slices.Sorted(maps.Keys(writes)) {
		what = append(what, strings.ToLower(operation)+" "+strings.Join(writes[operation], ", "))
	}
	if len(reads) > 0 {
		what = append(what, "read "+strings.Join(reads, ", "))
	}
	if text := cmp.Or(strings.Join(what, "; "), fmt.Sprintf("%.60s", s.SQL)); len(text) > len(s.What) {
		s.What = text
	}
}

func (s *Statement) walk(p plan, writes map[string][]string, reads *[]string) {
	addTo := func(list []string, name string) []string {
		if slices.Contains(list, name) {
			return list
		}
		return append(list, name)
	}
	rows := (p.Rows + p.Filtered + p.Rechecked) * p.Loops
	switch {
	case p.Operation != "" && p.Relation != "":
		writes[p.Operation] = addTo(writes[p.Operation], p.Relation)
	case p.Relation != "":
		*reads = addTo(*reads, p.Relation)
		s.RowsRead += rows
		if strings.HasSuffix(p.NodeType, "Seq Scan") && p.Rows+p.Filtered > fullScanRows {
			s.FullScans = addTo(s.FullScans, p.Relation)
		}
	}
	if p.Index != "" && p.Loops > 0 {
		s.Indexes = addTo(s.Indexes, p.Index)
	}
	for _, below := range p.Plans {
		s.walk(below, writes, reads)
	}
}
