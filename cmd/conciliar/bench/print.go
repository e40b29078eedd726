package bench

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
)

// figureTitles are the columns of a scenario's table.
var figureTitles = []string{"what", "median (least to most)", "p50 / p99 / p99.9 ms", "beside", "ratio", "CPU ms, service + PostgreSQL", "WAL B", "peak MiB", "bar"}

// statementTitles are the columns of the table of statements, counts and times for one
// call.
var statementTitles = []string{"when", "statement", "calls", "rows read", "rows of its own", "buffers", "ms (most)", "indexes", "read from end to end"}

// preface says what was measured on what.
func (r Report) preface() string {
	return fmt.Sprintf("%s; PostgreSQL %s, fsync on; load generator and provider on the same cores; %d rounds of %.0f s", r.Machine, r.PostgreSQL, r.Rounds, r.Seconds)
}

// Print writes the report, a table for each scenario.
func (r Report) Print(w io.Writer) error {
	_, _ = fmt.Fprintln(w, r.preface())
	return r.tables(func(scenario string, titles []string, rows [][]string) error {
		_, _ = fmt.Fprintf(w, "\n%s\n", scenario)
		table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
		for _, row := range slices.Insert(rows, 0, upper(titles)) {
			for i := range row {
				row[i] = cmp.Or(row[i], "-")
			}
			_, _ = fmt.Fprintln(table, strings.Join(row, "\t"))
		}
		return table.Flush()
	})
}

// PrintMarkdown writes the report as tables of Markdown, without columns that are empty.
func (r Report) PrintMarkdown(w io.Writer) error {
	_, err := fmt.Fprintf(w, "`%s`: %s\n", r.Command, r.preface())
	if err != nil {
		return err
	}
	return r.tables(func(scenario string, titles []string, rows [][]string) error {
		var used []int
		for i := range titles {
			if slices.ContainsFunc(rows, func(row []string) bool { return row[i] != "" }) {
				used = append(used, i)
			}
		}
		line := func(cells []string) string {
			var b strings.Builder
			for _, i := range used {
				b.WriteString("| " + strings.ReplaceAll(cells[i], "|", "\\|") + " ")
			}
			return b.String() + "|\n"
		}
		ruler := slices.Repeat([]string{"---"}, len(titles))
		text := "\n### " + scenario + "\n\n" + line(titles) + line(ruler)
		for _, row := range rows {
			text += line(row)
		}
		_, err := io.WriteString(w, text)
		return err
	})
}

// tables writes a table for each scenario, and one of the statements.
func (r Report) tables(write func(scenario string, titles []string, rows [][]string) error) error {
	for _, figures := range byScenario(r.Figures) {
		rows := make([][]string, len(figures))
		for i, f := range figures {
			rows[i] = f.columns()
		}
		if err := write(figures[0].Scenario, figureTitles, rows); err != nil {
			return err
		}
	}
	if len(r.Statements) == 0 {
		return nil
	}
	rows := make([][]string, len(r.Statements))
	for i, s := range r.Statements {
		rows[i] = s.columns()
	}
	return write("statements", statementTitles, rows)
}

func (f Figure) columns() []string {
	columns := make([]string, len(figureTitles))
	columns[0], columns[1] = f.What, spread(f.Value)+" "+f.Unit
	if l := f.Latency; l != nil {
		p99 := number(l.P99)
		if l.Rounds != nil && l.Rounds.Min != l.Rounds.Max {
			p99 = fmt.Sprintf("%s (%s to %s)", p99, number(l.Rounds.Min), number(l.Rounds.Max))
		}
		columns[2] = number(l.P50) + " / " + p99 + " / " + number(l.P999)
	}
	if f.Reference != nil {
		columns[3], columns[4] = f.Beside+": "+spread(*f.Reference), fmt.Sprintf("%.2f", f.Ratio)
	}
	if c := f.Cost; c != nil {
		columns[5] = fmt.Sprintf("%.2f + %.2f", c.ServiceMillis, c.DatabaseMillis)
		columns[6], columns[7] = fmt.Sprintf("%.0f", c.WALBytes), fmt.Sprintf("%.0f", c.PeakMB)
	}
	bars := make([]string, len(f.Bars))
	for i, b := range f.Bars {
		bars[i] = b.String()
	}
	columns[8] = strings.Join(bars, ", ")
	return columns
}

// byScenario parts figures where their scenario changes.
func byScenario(figures []Figure) (parts [][]Figure) {
	for i, f := range figures {
		if i == 0 || f.Scenario != figures[i-1].Scenario {
			parts = append(parts, nil)
		}
		parts[len(parts)-1] = append(parts[len(parts)-1], f)
	}
	return parts
}

func upper(texts []string) []string {
	all := make([]string, len(texts))
	for i, text := range texts {
		all[i] = strings.ToUpper(text)
	}
	return all
}

func spread(s Spread) string {
	if s.Min == s.Max {
		return number(s.Median)
	}
	return fmt.Sprintf("%s (%s to %s)", number(s.Median), number(s.Min), number(s.Max))
}

// number writes three figures of what is small, and parts the thousands of what is large.
func number(v float64) string {
	switch {
	case v >= 100 || v == float64(int64(v)):
		digits := strconv.FormatInt(int64(v+0.5), 10)
		for i := len(digits) - 3; i > 0; i -= 3 {
			digits = digits[:i] + "," + digits[i:]
		}
		return digits
	case v >= 10:
		return fmt.Sprintf("%.1f", v)
	}
	return fmt.Sprintf("%.2f", v)
}
