package e2e

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/api"
	"github.com/conciliar/conciliar/jobs/provider/mercadopago"
	"github.com/conciliar/conciliar/store/storetest"
)

// secretFiles are a service's secrets, each in a file of its own.
type secretFiles struct{ dir string }

// environ names every secret by its file.
func (f secretFiles) environ(t *testing.T, values map[string]string) map[string]string {
	t.Helper()
	changes := map[string]string{"OPERATOR_PASSWORD": ""}
	for name, value := range values {
		f.write(t, name, value)
		changes[name], changes[strings.TrimSuffix(name, "_FILE")+"_FILE"] = "", filepath.Join(f.dir, name)
	}
	return changes
}

// write replaces a file whole, as the page on rotation says.
func (f secretFiles) write(t *testing.T, name, value string) {
	t.Helper()
	beside := filepath.Join(f.dir, "."+name)
	require.NoError(t, os.WriteFile(beside, []byte(value+"\n"), 0o600))
	require.NoError(t, os.Rename(beside, filepath.Join(f.dir, name)))
}

// rotationLoad sends webhooks and asks for the status without a pause, with what is
// valid at each moment.
type rotationLoad struct {
	service string
	// mu is held for reading while something is sent with secret and token.
	mu            sync.RWMutex
	secret, token string
	sent, refused atomic.Int64
	said          atomic.Value
	number        atomic.Int64
}

// deliver sends one signed webhook and returns the answer's status.
func (l *rotationLoad) deliver(ctx context.Context, secret string) (int, error) {
	id, requestID := strconv.FormatInt(900_000_000+l.number.Add(1), 10), fmt.Sprintf("rotation-%d", l.number.Add(1))
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, l.service+api.WebhookPath+"?type=payment&data.id="+id, strings.NewReader(`{"type":"payment","data":{"id":"`+id+`"}}`))
	if err != nil {
		return 0, err
	}
	r.Header.Set("x-request-id", requestID)
	r.Header.Set("x-signature", mercadopago.Sign(secret, id, requestID, strconv.FormatInt(time.Now().Unix(), 10)))
	return statusOf(r)
}

func (l *rotationLoad) ask(ctx context.Context, token string) (int, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, l.service+"/api/webhooks/status", nil)
	if err != nil {
		return 0, err
	}
	r.Header.Set("Authorization", "Bearer "+token)
	return statusOf(r)
}

func statusOf(r *http.Request) (int, error) {
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return 0, err
	}
	_, err = io.Copy(io.Discard, resp.Body)
	_ = resp.Body.Close()
	return resp.StatusCode, err
}

// run sends until ctx is done, at a pace that leaves something of the machine to others.
func (l *rotationLoad) run(ctx context.Context) {
	pace := time.NewTicker(50 * time.Millisecond)
	defer pace.Stop()
	for ; ctx.Err() == nil; <-pace.C {
		l.mu.RLock()
		for _, send := range []func() (int, error){
			func() (int, error) { return l.deliver(context.WithoutCancel(ctx), l.secret) },
			func() (int, error) { return l.ask(context.WithoutCancel(ctx), l.token) },
		} {
			l.sent.Add(1)
			if status, err := send(); err != nil || status != http.StatusOK {
				l.refused.Add(1)
				l.said.Store(fmt.Sprint(status, " ", err))
			}
		}
		l.mu.RUnlock()
	}
}

// change waits for what is under way, and has what comes use something else.
func (l *rotationLoad) change(do func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	do()
}

// operatorLine is a line of OPERATORS_FILE, as the command makes it.
func operatorLine(t *testing.T, name, role, password string) string {
	t.Helper()
	cmd := command(t, nil, "operators", "hash", "--name", name, "--role", role)
	cmd.Stdin = strings.NewReader(password + "\n")
	got := outcomeOf(t, cmd)
	require.Equal(t, exitDone, got.code, got.err)
	require.Empty(t, got.err)
	return strings.TrimSpace(got.out)
}

func TestServe_RotatesEverySecretUnderLoad(t *testing.T) {
	t.Parallel()
	sim, _ := newProvider(t)
	var foreign atomic.Int64
	var credential atomic.Value
	provider := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") == "Bearer TEST-of-another-account" {
			if r.URL.Path != "/users/me" {
				foreign.Add(1)
			}
			_, _ = io.WriteString(w, `{"id":700100299}`)
			return
		}
		credential.Store(r.Header.Get("Authorization"))
		r.Header.Set("Authorization", "Bearer "+testAccess)
		sim.Handler().ServeHTTP(w, r)
	}))
	t.Cleanup(provider.Close)
	databaseURL := storetest.URL(t)
	pool := storetest.Open(t, databaseURL)

	const password, newPassword = "ana's first passphrase", "ana's other passphrase"
	files := secretFiles{t.TempDir()}
	now := map[string]string{
		"DATABASE_URL": databaseURL, "MERCADOPAGO_ACCESS_TOKEN": testAccess, "MERCADOPAGO_WEBHOOK_SECRETS": testSecret,
		"STATUS_TOKENS": statusToken, "PROCESS_QUEUE_TOKENS": processToken, "RECONCILE_TOKENS": reconcileToken, "ORDERS_TOKENS": ordersToken,
		"ALERT_WEBHOOK_URL": "http://127.0.0.1:9/first",
		"OPERATORS_FILE":    operatorLine(t, "ana", "admin", password) + "\n" + operatorLine(t, "bea", "viewer", "bea's own passphrase"),
	}
	service, address := serve(t, environment(databaseURL, provider.URL, files.environ(t, now)))
	load := &rotationLoad{service: address, secret: testSecret, token: statusToken}
	ctx, stopLoad := context.WithCancel(t.Context())
	var sending sync.WaitGroup
	t.Cleanup(func() { stopLoad(); sending.Wait() })
	for range 4 {
		sending.Go(func() { load.run(ctx) })
	}
	becomes := func(want int, call func() (int, error)) {
		t.Helper()
		eventually(t, func() bool { status, err := call(); return err == nil && status == want })
	}
	hangUp := func() { require.NoError(t, service.cmd.Process.Signal(syscall.SIGHUP)) }

	const newSecret = "the-next-signing-secret"
	at := openTerminal(t, strings.TrimPrefix(address, "http://"), "", "NEW="+newSecret, "OLD="+testSecret).withProgram(t)
	at.stand("127.0.0.1:8080", strings.TrimPrefix(address, "http://"), "/run/conciliar", files.dir,
		"systemctl reload conciliar", fmt.Sprintf("kill -HUP %d", service.cmd.Process.Pid))
	page := readDoc(t, "docs/rotate.md")
	signedBy := func(secret string) {
		at.types(t, `conciliar simulate sign --id 1 --secret "$`+secret+`" --url http://127.0.0.1:8080/api/checkout/webhook | sh`)
	}
	at.pasted(t, page, `"$NEW" "$OLD"`)
	becomes(http.StatusOK, func() (int, error) { return load.deliver(ctx, newSecret) })
	signedBy("OLD")
	signedBy("NEW")
	load.change(func() { load.secret = newSecret })
	at.remark("Mercado Pago signs with the new one, and what it had signed with the old one is delivered")
	at.pasted(t, page, `'%s\n' "$NEW"`)
	becomes(http.StatusUnauthorized, func() (int, error) { return load.deliver(ctx, testSecret) })
	signedBy("OLD")
	signedBy("NEW")

	tokens := map[string]func(token string) (int, error){
		"STATUS_TOKENS": func(token string) (int, error) { return load.ask(ctx, token) },
		"PROCESS_QUEUE_TOKENS": func(token string) (int, error) {
			return call(ctx, http.MethodPost, address+"/api/webhooks/process-queue?wait=1ms", token)
		},
		"RECONCILE_TOKENS": func(token string) (int, error) {
			return call(ctx, http.MethodPost, address+"/api/webhooks/reconcile?wait=10s", token)
		},
		"ORDERS_TOKENS": func(token string) (int, error) { return call(ctx, http.MethodGet, address+"/api/orders", token) },
	}
	for name, use := range tokens {
		next := "the-next-token-of-" + name
		files.write(t, name, next+","+now[name])
		hangUp()
		becomes(http.StatusOK, func() (int, error) { return use(next) })
		if name == "STATUS_TOKENS" {
			load.change(func() { load.token = next })
		}
		files.write(t, name, next)
		hangUp()
		becomes(http.StatusUnauthorized, func() (int, error) { return use(now[name]) })
	}

	ana, bea := newOperator(t, address), newOperator(t, address)
	require.Equal(t, http.StatusOK, ana.logInAs(t, "ana", password).StatusCode)
	require.Equal(t, http.StatusOK, bea.logInAs(t, "bea", "bea's own passphrase").StatusCode)
	require.True(t, ana.isIn(t) && bea.isIn(t))
	files.write(t, "OPERATORS_FILE", "no line at all")
	hangUp()
	service.err.await(t, `settings cannot be used as they are now.*OPERATORS_FILE: line 1 is not name:role:hash`)
	require.True(t, ana.isIn(t), "what can't be used changes nothing")
	files.write(t, "OPERATORS_FILE", operatorLine(t, "ana", "admin", newPassword)+"\n"+strings.Split(now["OPERATORS_FILE"], "\n")[1])
	hangUp()
	eventually(t, func() bool { return !ana.isIn(t) })
	require.True(t, bea.isIn(t), "the others' logins go on")
	require.Equal(t, http.StatusUnauthorized, ana.logInAs(t, "ana", password).StatusCode)
	require.Equal(t, http.StatusOK, ana.logInAs(t, "ana", newPassword).StatusCode)

	files.write(t, "MERCADOPAGO_ACCESS_TOKEN", "TEST-the-next-access-token")
	eventually(t, func() bool { return credential.Load() == "Bearer TEST-the-next-access-token" })
	files.write(t, "MERCADOPAGO_ACCESS_TOKEN", "TEST-of-another-account")
	hangUp()
	service.err.await(t, `settings were not taken over whole.*MERCADOPAGO_ACCESS_TOKEN: is of account 700100299`)
	files.write(t, "ALERT_WEBHOOK_URL", "http://127.0.0.1:9/second")
	hangUp()
	service.err.await(t, `settings taken over","variables":\["ALERT_WEBHOOK_URL"\]`)

	role := "rotated_" + strconv.FormatInt(time.Now().UnixNano(), 36)
	_, err := pool.Exec(t.Context(), `CREATE ROLE `+role+` LOGIN SUPERUSER PASSWORD 'next'`)
	require.NoError(t, err)
	next, err := url.Parse(databaseURL)
	require.NoError(t, err)
	next.User = url.UserPassword(role, "next")
	files.write(t, "DATABASE_URL", next.String())
	service.err.await(t, `settings taken over","variables":\["DATABASE_URL"\]`)

	stopLoad()
	sending.Wait()
	require.Positive(t, load.sent.Load())
	require.Zero(t, load.refused.Load(), "of %d calls; one was answered %v", load.sent.Load(), load.said.Load())
	require.Zero(t, foreign.Load(), "a token of another account is asked whose it is, and no more")
	require.Equal(t, exitDone, service.stop())
	for _, secret := range []string{newSecret, testSecret, password, newPassword, "the-next-token-of", "TEST-the-next-access-token", "/second"} {
		require.NotContains(t, service.err.String(), secret)
	}
	at.remark("meanwhile, with every other secret rotated as well: %d calls, %d refused", load.sent.Load(), load.refused.Load())
	at.shows(t, "webhook secret", "docs/rotate.md")
}

// call makes a call with a token and returns the answer's status.
func call(ctx context.Context, method, target, token string) (int, error) {
	r, err := http.NewRequestWithContext(ctx, method, target, nil)
	if err != nil {
		return 0, err
	}
	r.Header.Set("Authorization", "Bearer "+token)
	return statusOf(r)
}
