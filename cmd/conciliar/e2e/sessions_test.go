package e2e

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// A session is what was typed while a test played a page, and what was printed. The page
// shows it below a remark that readers don't see, whose name tells those of one page
// apart:
//
//	<!-- session: NAME -->
var sessionBlock = regexp.MustCompile("(?s)<!-- session: ([^\n]*) -->\n```console\n(.*?)```")

const (
	// longestPrinted and widestPrinted cut what is printed: a page needs its beginning.
	longestPrinted, widestPrinted = 12, 160
	// widestCompared is what is compared of a line that was cut: where it is cut depends on
	// how many digits there are before.
	widestCompared = 100
	// commandEnd stands in what a shell prints between two commands' outputs.
	commandEnd = "\x1e"
)

// momentary are commands that say how things are at the moment: what they print is shown
// and not compared. That of make is what the compiler is called with, and not shown.
var momentary = regexp.MustCompile(`^\$ (make |conciliar (status|doctor)\b|curl .*/api/webhooks/status)`)

// unstable are what a session has of its own that differs from run to run, besides the
// placeholders of all transcripts: versions and times of log lines.
var unstable = []placeholder{
	{regexp.MustCompile(`\b(conciliar |version=)(v[0-9][^ ]*|[0-9a-f]{7,40}|dev)(-dirty)?\b`), "${1}1d7cb72"},
	{regexp.MustCompile(`\bgo1\.[0-9.]+`), "go1.26"},
	{regexp.MustCompile(`(?m)^\d\d:\d\d:\d\d ([A-Z]{3}) `), "12:00:00 $1 "},
	{regexp.MustCompile(`\bPostgreSQL \d+\.\d+ \([^)]*\)`), "PostgreSQL 15.18"},
}

// steady is a session without what is another in every run.
func steady(session string) []string {
	var kept strings.Builder
	skipped := false
	for line := range strings.Lines(session) {
		isCommand := strings.HasPrefix(line, "$ ")
		if isCommand {
			skipped = momentary.MatchString(line)
		}
		if printed, cut := strings.CutSuffix(line, "…\n"); cut {
			letters := []rune(digits.ReplaceAllString(printed, "0"))
			line = string(letters[:min(len(letters), widestCompared)]) + "\n"
		}
		if isCommand || !skipped || strings.HasPrefix(line, "# ") {
			kept.WriteString(line)
		}
	}
	return fields(kept.String())
}

// hereDocument is where a command's input begins, up to a line with the name.
var hereDocument = regexp.MustCompile(`<<'?(\w+)'?`)

// commandsOf are a block's, each with all its lines.
func commandsOf(block string) []string {
	var commands []string
	open, ends := "", ""
	for line := range strings.Lines(strings.TrimRight(block, " \n") + "\n") {
		open += line
		text := strings.TrimRight(line, " \n")
		if found := hereDocument.FindStringSubmatch(text); found != nil && ends == "" {
			ends = found[1]
			continue
		}
		switch {
		case ends != "" && text == ends:
			ends = ""
		case ends != "" || strings.HasSuffix(text, `\`) || strings.HasSuffix(text, "|") || strings.HasSuffix(text, "&&") || strings.Count(open, "'")%2 == 1:
			continue
		}
		if text != "" && !strings.HasPrefix(open, "#") {
			commands = append(commands, open)
		}
		open = ""
	}
	return commands
}

// separated is a block whose commands' outputs can be told apart.
func separated(block string) string {
	var script strings.Builder
	for _, command := range commandsOf(block) {
		script.WriteString(command + `printf '\036'` + "\n")
	}
	return script.String()
}

// record keeps what a block's commands printed.
func (s *terminal) record(block, printed string) {
	outputs := strings.Split(printed, commandEnd)
	for i, command := range commandsOf(block) {
		output := ""
		if i < len(outputs) {
			output = outputs[i]
		}
		s.session += "$ " + command + s.printed(command, output)
	}
}

// until is what was printed up to the line with a text, and of the command that runs on
// that line alone.
func until(printed, text string) string {
	before, rest, _ := strings.Cut(printed, text)
	line, _, _ := strings.Cut(text+rest, "\n")
	last := before
	if i := strings.LastIndexAny(before, "\n"+commandEnd); i >= 0 {
		last = before[i+1:]
	}
	ended := strings.LastIndex(before, commandEnd) + 1
	if strings.TrimSpace(before[ended:len(before)-len(last)]) != "" {
		last = "…\n" + last
	}
	return before[:ended] + last + line
}

// remark says in the session what happens beside it.
func (s *terminal) remark(format string, args ...any) {
	s.session += "# " + fmt.Sprintf(format, args...) + "\n"
}

// types runs a command that must succeed, and records it.
func (s *terminal) types(t *testing.T, command string) outcome {
	t.Helper()
	got := s.run(t, command+"\n")
	require.Equal(t, exitDone, got.code, "%s\n%s%s", command, got.out, got.err)
	s.record(command+"\n", got.printed)
	return got
}

// pasted runs the block of a page that has a text in it, which must succeed, and records
// it.
func (s *terminal) pasted(t *testing.T, page, text string) outcome {
	t.Helper()
	block := blockWith(t, page, text)
	got := s.run(t, block)
	require.Equal(t, exitDone, got.code, "%s\n%s%s", block, got.out, got.err)
	s.record(block, got.printed)
	return got
}

// blockWith is the first block to paste of a page that has a text in it.
func blockWith(t *testing.T, page, text string) string {
	t.Helper()
	for _, found := range pageBlock.FindAllStringSubmatch(page, -1) {
		if found[3] == "sh" && strings.Contains(found[4], text) {
			return indented.ReplaceAllString(found[4], "")
		}
	}
	t.Fatalf("the page has no block with %q", text)
	return ""
}

// indented is what stands before the lines of a block that belongs to a step.
var indented = regexp.MustCompile(`(?m)^ {3}`)

// printed is what a person sees whom a command has answered, with placeholders for what
// is another in every run.
func (s *terminal) printed(command, text string) string {
	if strings.HasPrefix(command, "make ") {
		return "…\n" // what the compiler is called with
	}
	text = s.shown.Replace(text)
	for _, p := range slices.Concat(unstable, placeholders) {
		text = p.found.ReplaceAllString(text, p.in)
	}
	var lines []string
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, " \n")
		if letters := []rune(line); len(letters) > widestPrinted {
			line = string(letters[:widestPrinted]) + "…"
		}
		if line != "" {
			lines = append(lines, line)
		}
	}
	if len(lines) > longestPrinted {
		lines = append(lines[:longestPrinted:longestPrinted], "…")
	}
	if len(lines) == 0 {
		return ""
	}
	return strings.Join(lines, "\n") + "\n"
}

// writingPages is held by who writes into pages: sessions of one page may end at once.
var writingPages sync.Mutex

// shows requires that pages show the session under a name; `make docs` writes it.
func (s *terminal) shows(t *testing.T, name string, pages ...string) {
	t.Helper()
	writingPages.Lock()
	defer writingPages.Unlock()
	for _, page := range pages {
		text := readDoc(t, page)
		all := sessionBlock.FindAllStringSubmatch(text, -1)
		i := slices.IndexFunc(all, func(found []string) bool { return found[1] == name })
		require.GreaterOrEqual(t, i, 0, "%s has no session %q", page, name)
		if slices.Equal(steady(all[i][2]), steady(s.session)) {
			continue // nothing but what is another in every run
		}
		if !*updateDocs {
			require.Equal(t, steady(all[i][2]), steady(s.session), "%s\n`make docs` writes it into %s", s.session, page)
		}
		written := strings.Replace(text, all[i][0], "<!-- session: "+name+" -->\n```console\n"+s.session+"```", 1)
		require.NoError(t, os.WriteFile(repositoryPath(page), []byte(written), 0o644))
	}
}
