package bench

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// A service is the service under test: this binary, as a process.
type service struct {
	cmd         *exec.Cmd
	addr        string
	statusToken string
	// processToken and reconcileToken are for what changes something.
	processToken, reconcileToken string
	password                     string
	log                          *bytes.Buffer
}

// startService starts a process: only is "api" or "worker", or empty for both.
func (b *harness) startService(ctx context.Context, only string, settings ...string) (*service, error) {
	program, err := os.Executable()
	if err != nil {
		return nil, err
	}
	addr, err := freeAddress(ctx)
	if err != nil {
		return nil, err
	}
	s := &service{addr: addr, statusToken: rand.Text(), processToken: rand.Text(), reconcileToken: rand.Text(), password: rand.Text(), log: &bytes.Buffer{}}
	args := []string{"serve"}
	if only != "" {
		args = append(args, "--only", only)
	}
	s.cmd = exec.CommandContext(ctx, program, args...) //nolint:gosec // this very program
	s.cmd.Cancel = func() error { return s.cmd.Process.Signal(syscall.SIGTERM) }
	s.cmd.WaitDelay = b.options.ShutdownLimit
	s.cmd.Env = append(b.environ(s.statusToken, s.password), "HTTP_ADDR="+addr, "PROCESS_QUEUE_TOKENS="+s.processToken, "RECONCILE_TOKENS="+s.reconcileToken)
	s.cmd.Env = append(s.cmd.Env, settings...)
	s.cmd.Stdout, s.cmd.Stderr = s.log, s.log
	if err := s.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start the service: %w", err)
	}
	if err := s.awaitReady(ctx); err != nil {
		s.stop()
		return nil, fmt.Errorf("%w: %s", err, s.log)
	}
	return s, nil
}

// environ is the environment of a process of this binary.
func (b *harness) environ(statusToken, password string) []string {
	return append(os.Environ(),
		"DATABASE_URL="+b.databaseURL, "LOG_LEVEL=warn",
		"MERCADOPAGO_ACCESS_TOKEN="+accessToken, "MERCADOPAGO_WEBHOOK_SECRETS="+webhookSecret, "MERCADOPAGO_BASE_URL="+b.simURL,
		"PROVIDER_RATE_LIMIT=1000000",
		"STATUS_TOKENS="+statusToken, "PROCESS_QUEUE_TOKENS="+rand.Text(), "RECONCILE_TOKENS="+rand.Text(), "ORDERS_TOKENS="+rand.Text(),
		"OPERATOR_PASSWORD="+password)
}

func (s *service) stop() {
	_ = s.cmd.Process.Signal(syscall.SIGTERM)
	_ = s.cmd.Wait()
}

func (s *service) awaitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	tick := time.Tick(20 * time.Millisecond)
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+s.addr+"/readyz", nil)
		if err != nil {
			return err
		}
		if resp, err := http.DefaultClient.Do(req); err == nil {
			_ = resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return nil
			}
		}
		select {
		case <-tick:
		case <-ctx.Done():
			return errors.New("the service does not answer")
		}
	}
}

// post makes a call that changes something.
func (s *service) post(ctx context.Context, path, token, body string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+s.addr+path, strings.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+token)
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusAccepted && resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answers %d", path, resp.StatusCode)
	}
	return nil
}

// freeAddress finds a loopback address that nobody listens on.
func freeAddress(ctx context.Context) (string, error) {
	ln, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return ln.Addr().String(), ln.Close()
}
