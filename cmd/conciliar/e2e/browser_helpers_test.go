package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	devlog "github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"
)

// browserPrograms are the names that Chromium goes by.
var browserPrograms = []string{
	"chromium", "chromium-browser", "google-chrome", "google-chrome-stable",
	"/Applications/Google Chrome.app/Contents/MacOS/Google Chrome", "/Applications/Chromium.app/Contents/MacOS/Chromium",
}

func findBrowser() (string, error) {
	for _, name := range browserPrograms {
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	return "", errors.New("these tests need Chromium: run .ci/prepare as root on Debian, or install it (apt-get install chromium, brew install --cask chromium)")
}

// closeChromium ends what chromium has started, if it has.
var closeChromium = func() {}

// chromium is the headless Chromium of all tests, which starts when one needs it: to start
// takes more than most tests do with it.
var chromium = sync.OnceValues(func() (context.Context, error) {
	path, err := findBrowser()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "conciliar-chromium-*")
	if err != nil {
		return nil, err
	}
	alloc, stop := chromedp.NewExecAllocator(context.Background(),
		chromedp.ExecPath(path), chromedp.Headless, chromedp.NoSandbox, chromedp.DisableGPU, chromedp.NoFirstRun,
		chromedp.NoDefaultBrowserCheck, chromedp.UserDataDir(dir), chromedp.WindowSize(1280, 900),
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-background-networking", true),
		chromedp.Flag("disable-component-update", true), chromedp.Flag("disable-sync", true), chromedp.Flag("disable-dev-shm-usage", true),
		// A test's window stays as awake as if it were the only one.
		chromedp.Flag("disable-background-timer-throttling", true), chromedp.Flag("disable-backgrounding-occluded-windows", true),
		chromedp.Flag("disable-renderer-backgrounding", true),
	)
	first, closeFirst := chromedp.NewContext(alloc)
	closeChromium = func() {
		closeFirst()
		stop()
		_ = os.RemoveAll(dir)
	}
	return first, chromedp.Do(first)
})

// A browser is one test's own window, on the pages of one service: what it stores is
// apart from what others do, as in a private window.
// The test fails when a page logs an error, breaks, or asks another host for
// anything.
type browser struct {
	service string
	ctx     context.Context //nolint:containedctx // chromedp keeps the tab in it

	mu       sync.Mutex
	found    []string
	expected []*regexp.Regexp
}

// newBrowser opens one whose reader prefers the language, for example "en-US".
func newBrowser(t *testing.T, service, language string) *browser {
	t.Helper()
	first, err := chromium()
	require.NoError(t, err)
	b := &browser{service: service}
	tab, closeTab := chromedp.NewContext(first, chromedp.WithNewBrowserContext(), chromedp.WithListener(b.observe))
	t.Cleanup(closeTab)
	var done context.CancelFunc
	b.ctx, done = context.WithTimeout(tab, 5*patience)
	t.Cleanup(done)
	agent, err := chromedp.Run(b.ctx, chromedp.Evaluate[string]("navigator.userAgent"))
	require.NoError(t, err)
	require.NoError(t, chromedp.Do(b.ctx, chromedp.Func(func(ctx context.Context, target *chromedp.Target) error {
		_, err := cdp.Call(ctx, target, emulation.SetUserAgentOverride, emulation.SetUserAgentOverrideParams{UserAgent: agent, AcceptLanguage: language})
		if err == nil {
			_, err = cdp.Call(ctx, target, emulation.SetFocusEmulationEnabled, emulation.SetFocusEmulationEnabledParams{Enabled: true})
		}
		return err
	})))
	// After everything that the test itself does, while the tab still lives.
	t.Cleanup(func() {
		if t.Failed() {
			text, err := chromedp.Run(b.ctx, chromedp.Evaluate[string](`location.href + "\n" + document.body.innerText`))
			t.Logf("the browser shows (%v): %s", err, text)
		}
		require.Empty(t, b.problems(), "what the browser complained of")
	})
	return b
}

// observe collects what must not happen. It runs where the browser's messages
// are read.
func (b *browser) observe(ev any) {
	switch ev := ev.(type) {
	case *runtime.EventExceptionThrown:
		b.note("exception: %s", ev.ExceptionDetails.Text)
	case *runtime.EventConsoleAPICalled:
		if ev.Type == runtime.ConsoleAPICalledTypeError || ev.Type == runtime.ConsoleAPICalledTypeAssert {
			args, _ := json.Marshal(ev.Args)
			b.note("console.%s: %s", ev.Type, args)
		}
	case *devlog.EventEntryAdded:
		if ev.Entry.Level == devlog.EntryLevelError {
			b.note("%s: %s (%s)", ev.Entry.Source, ev.Entry.Text, ev.Entry.URL)
		}
	case *network.EventRequestWillBeSent:
		if url := ev.Request.URL; !strings.HasPrefix(url, b.service+"/") && !strings.HasPrefix(url, "data:") && url != "about:blank" {
			b.note("request to another host: %s", url)
		}
	}
}

func (b *browser) note(format string, args ...any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.found = append(b.found, fmt.Sprintf(format, args...))
}

// expect says that a complaint which matches is what the test is about, such as
// the answer to a wrong password.
func (b *browser) expect(pattern string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.expected = append(b.expected, regexp.MustCompile(pattern))
}

func (b *browser) problems() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(b.found), func(problem string) bool {
		return slices.ContainsFunc(b.expected, func(re *regexp.Regexp) bool { return re.MatchString(problem) })
	})
}

// open goes to a path of the service and waits until it is loaded.
func (b *browser) open(t *testing.T, path string) {
	t.Helper()
	require.NoError(t, chromedp.Do(b.ctx, chromedp.Navigate(b.service+path)))
}

// fill types into the field that the CSS selector finds, and press clicks.
func (b *browser) fill(t *testing.T, selector, text string) {
	t.Helper()
	require.NoError(t, chromedp.Do(b.ctx, chromedp.SendKeys(chromedp.CSS(selector), text)))
}

func (b *browser) press(t *testing.T, selector string) {
	t.Helper()
	require.NoError(t, chromedp.Do(b.ctx, chromedp.Click(chromedp.CSS(selector))))
}

// await waits until a JavaScript condition holds, across navigations.
func (b *browser) await(t *testing.T, condition string) {
	t.Helper()
	eventually(t, func() bool {
		holds, err := chromedp.Run(b.ctx, chromedp.Evaluate[bool]("!!("+condition+")"))
		return err == nil && holds // while a page is left there is nothing to ask
	}, condition)
}

// awaitPath waits until the browser is at the path, query included, with its
// page loaded.
func (b *browser) awaitPath(t *testing.T, path string) {
	t.Helper()
	b.await(t, fmt.Sprintf(`location.pathname + location.search === %q && document.readyState === "complete"`, path))
}

// awaitText waits until the page shows the text.
func (b *browser) awaitText(t *testing.T, text string) {
	t.Helper()
	b.await(t, fmt.Sprintf(`document.body.innerText.includes(%q)`, text))
}

// logIn goes through the login's form to the dashboard.
func (b *browser) logIn(t *testing.T) {
	t.Helper()
	b.open(t, "/dashboard/login")
	b.fill(t, `input[name=password]`, operatorPassword+"\r")
	b.awaitPath(t, "/dashboard")
}
