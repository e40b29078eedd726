package api_test

import (
	"fmt"
	"net/http"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/api"
)

// The tries of docs/security.md: what a network has at once, and what all strangers
// together have on top.
const (
	triesOfANetwork   = 5
	triesOfAll        = 20
	triesOfADevice    = 10
	attackersPatience = 40
)

// processes are several on the one database.
func (b *bundle) processes(t *testing.T, n int) []http.Handler {
	t.Helper()
	all := []http.Handler{b.Handler}
	for range n - 1 {
		other, err := api.New(b.deps)
		require.NoError(t, err)
		all = append(all, other)
	}
	return all
}

// attack guesses from every address until it is refused for good, at all processes
// by turns, and returns how many guesses were judged.
func attack(t *testing.T, b *bundle, at []http.Handler, addresses int) (judged int) {
	t.Helper()
	for i := range addresses {
		refused := 0
		for try := range attackersPatience {
			v := b.visitor()
			v.peer = fmt.Sprintf("198.51.%d.%d:1", i/250, i%250+1)
			v.bundle = &bundle{Handler: at[(i+try)%len(at)]}
			switch code := v.submit(t, "a guess", "").Code; code {
			case http.StatusUnauthorized:
				judged++
			case http.StatusTooManyRequests:
				refused++
			default:
				require.Fail(t, "a guess is wrong or too many", "%d", code)
			}
			if refused == len(at) {
				break
			}
		}
	}
	return judged
}

func TestOperatorLogin_AnAttackerHasTheTriesThatAreWrittenDown(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ addresses, processes int }{{1, 1}, {1, 2}, {250, 1}, {250, 2}} {
		t.Run(fmt.Sprintf("%d addresses at %d processes", c.addresses, c.processes), func(t *testing.T) {
			t.Parallel()
			b := setup(t, setupOptions{deps: func(d *api.Deps) { d.APIRate = 100_000 }})
			known := b.visitor()
			known.peer = "198.51.0.1:2" // behind the attacker's own address
			known.logIn(t)
			require.Equal(t, http.StatusSeeOther, known.visit(t, http.MethodPost, "/dashboard/logout", "").Code)

			at := b.processes(t, c.processes)
			began := time.Now()
			judged := attack(t, b, at, c.addresses)
			written := c.addresses*triesOfANetwork + triesOfAll
			// What comes back while the attack lasts: one for all together each minute.
			written += int(time.Since(began) / time.Minute)
			require.LessOrEqual(t, judged, written)
			require.Greater(t, judged, c.addresses*triesOfANetwork*9/10, "each network has its own tries, but for a few that share them")
			require.Equal(t, judged, b.count(t, `SELECT count(*) FROM operator_actions WHERE action = 'login_failed'`), "each is in the audit")

			// Where he logged in before, the operator mistypes and gets in, at any process.
			for _, process := range at {
				known.bundle = &bundle{Handler: process}
				require.Equal(t, http.StatusUnauthorized, known.submit(t, "mistyped", "").Code)
				known.logIn(t)
				require.Equal(t, http.StatusSeeOther, known.visit(t, http.MethodPost, "/dashboard/logout", "").Code)
			}
			// A new device gets in from an address that is not an attacker's.
			fresh := b.visitor()
			fresh.peer = "203.0.113.200:1"
			require.Equal(t, http.StatusUnauthorized, fresh.submit(t, "mistyped", "").Code)
			fresh.logIn(t)
		})
	}
}

func TestOperatorLogin_AStolenDeviceHasItsOwnTriesAndNoMore(t *testing.T) {
	t.Parallel()
	b := setup(t, setupOptions{})
	v := b.visitor()
	v.logIn(t)
	began := time.Now()
	codes := map[int]int{}
	for range triesOfADevice + 3 {
		codes[v.submit(t, "a guess", "").Code]++
	}
	require.Equal(t, map[int]int{http.StatusUnauthorized: triesOfADevice, http.StatusTooManyRequests: 3}, codes)
	w := v.submit(t, operatorPassword, "/riverui/")
	require.Equal(t, http.StatusTooManyRequests, w.Code, "the right password waits like any other")
	wait, err := strconv.Atoi(w.Header().Get("Retry-After"))
	require.NoError(t, err)
	require.LessOrEqual(t, wait, 30, "a try comes back each half a minute")
	require.GreaterOrEqual(t, wait, 30-int(time.Since(began)/time.Second)-1, "from the first guess on")
	require.Contains(t, w.Body.String(), `value="/riverui/"`)
}
