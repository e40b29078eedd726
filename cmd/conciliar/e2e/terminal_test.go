package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// pageBlock is a block of a page that is pasted or was copied from a terminal,
// with the remark for tests before it, which readers don't see:
//
//	<!-- test: stays until TEXT -->  it runs on; the page goes on at TEXT
//	<!-- test: says TEXT -->         it says TEXT, sooner or later
var pageBlock = regexp.MustCompile("(?s)(?:<!-- test: (stays until|says) ([^\n]*) -->\n)?```(sh|console)\n(.*?)```")

// exportLine is what a program prints for people to paste.
var exportLine = regexp.MustCompile(`(?m)^  (export .*)$`)

// A terminal is where a person pastes what a page shows. What is exported in one
// block is there in the next, until a block runs on: then the person needs another
// terminal, where nothing of it is known: only what programs that run on have
// printed for pasting is pasted.
type terminal struct {
	// clone is where blocks run that are about the repository, if the page has
	// any, and home where the others do.
	clone, home string
	environ     []string
	// addresses are those of pages, and what they are in this test; shown turns them
	// back.
	addresses, shown *strings.Replacer
	running          []*process
	exported         string
	// session is what was typed and what was printed, as a page shows it.
	session string
}

// openTerminal opens a terminal in a folder of its own. The service's and the
// simulator's addresses stand for those that pages name.
func openTerminal(t *testing.T, service, simulator string, environ ...string) *terminal {
	t.Helper()
	home := t.TempDir()
	path := filepath.Join(home, "profile")
	require.NoError(t, os.WriteFile(path, nil, 0o600))
	s := &terminal{
		home: home, exported: path,
		environ: append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + home, "EXPORTED=" + path, "GORACE=atexit_sleep_ms=0"}, environ...),
	}
	s.stand("https://your.host", "http://"+service, "127.0.0.1:8080", service, "127.0.0.1:9090", simulator)
	return s
}

// stand lets what this test has stand for what pages name, in pairs.
func (s *terminal) stand(pairs ...string) {
	s.addresses = strings.NewReplacer(pairs...)
	back := []string{s.home, "/home/ana"}
	if s.clone != "" {
		back = append(back, s.clone, "/home/ana/conciliar")
	}
	for i := 0; i < len(pairs); i += 2 {
		if named, here := pairs[i], pairs[i+1]; here != "" && !strings.HasPrefix(named, "https:") {
			back = append(back, here, named)
		}
	}
	s.shown = strings.NewReplacer(back...)
}

// withProgram puts the program that is tested into the terminal's PATH.
func (s *terminal) withProgram(t *testing.T) *terminal {
	t.Helper()
	path, err := binary()
	require.NoError(t, err)
	bin := t.TempDir()
	require.NoError(t, os.Symlink(path, filepath.Join(bin, "conciliar")))
	s.environ[0] = "PATH=" + bin + string(os.PathListSeparator) + os.Getenv("PATH")
	return s
}

// command is a block, as a shell runs it after setup.
func (s *terminal) command(block, setup string) *exec.Cmd {
	script := `. "$EXPORTED"` + "\n" + `trap 'export -p >"$EXPORTED"' EXIT` + "\n" + setup + s.addresses.Replace(separated(block))
	cmd := exec.Command("sh", "-ec", script) //nolint:noctx // the tests end it themselves
	cmd.Env, cmd.Dir = s.environ, s.home
	if s.clone != "" && (strings.Contains(block, "make ") || strings.Contains(block, "bin/conciliar ") || strings.Contains(block, "docs/shops/")) {
		cmd.Dir = s.clone
	}
	return cmd
}

// run is what a person sees who pastes a block.
func (s *terminal) run(t *testing.T, block string) outcome {
	t.Helper()
	got := outcomeOf(t, s.command(block, ""))
	got.printed, got.out = got.out, strings.ReplaceAll(got.out, commandEnd, "")
	return got
}

// leave runs a block that runs on, goes on when it says text, and opens another
// terminal.
func (s *terminal) leave(t *testing.T, block, text string) {
	t.Helper()
	cmd := s.command(block, "exec 2>&1\n")
	// A person's Ctrl-C reaches all that the shell has started.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	p := launch(t, cmd)
	s.running = append(s.running, p)
	p.out.await(t, regexp.QuoteMeta(text))
	s.record(block, until(p.out.String(), text))
	s.remark("terminal %d", len(s.running)+1)
	var profile string
	for _, p := range s.running {
		for _, found := range exportLine.FindAllStringSubmatch(p.out.String(), -1) {
			profile += found[1] + "\n"
		}
	}
	require.NoError(t, os.WriteFile(s.exported, []byte(profile), 0o600))
}

// paste does what a page asks for, block by block.
func (s *terminal) paste(t *testing.T, page string) {
	t.Helper()
	for _, found := range pageBlock.FindAllStringSubmatch(page, -1) {
		if found[3] == "sh" {
			s.pasteBlock(t, found[1], found[2], found[4])
		}
	}
	for _, p := range s.running {
		p.stop()
	}
}

func (s *terminal) pasteBlock(t *testing.T, remark, text, block string) {
	t.Helper()
	if remark == "stays until" {
		s.leave(t, block, text)
		return
	}
	succeeded := func(got outcome) bool {
		// curl succeeds whatever it is answered.
		return got.code == exitDone && !strings.Contains(got.out, "problems.md#")
	}
	got := s.run(t, block)
	if remark == "says" {
		eventually(t, func() bool {
			if !succeeded(got) || !strings.Contains(got.out, text) {
				got = s.run(t, block)
				return false
			}
			return true
		}, "%s\nnever said %s", block, text)
	}
	require.True(t, succeeded(got), "%s\nanswered\n%s%s", block, got.out, got.err)
	s.record(block, got.printed)
}
