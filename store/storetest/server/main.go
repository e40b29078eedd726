// Command server runs a command with a private PostgreSQL for tests in its
// environment, and ends the server with it:
//
//	go run ./store/storetest/server go test ./...
//
// So the packages of one run share a server and its migrated template. A
// server that the environment names already is used as it is.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
	"time"

	"github.com/conciliar/conciliar/store/storetest"
)

func main() {
	code, err := run(os.Getenv(storetest.ServerEnv), os.Stdout, os.Args[1:])
	if err != nil {
		fmt.Fprintln(os.Stderr, "server:", err)
	}
	os.Exit(code)
}

// run returns the command's exit code, or an error of our own with another.
// An empty url asks for a private server.
func run(url string, stdout io.Writer, args []string) (code int, err error) {
	if len(args) == 0 {
		return 2, errors.New("usage: server COMMAND [ARGUMENT…]")
	}
	// The command shares our terminal and hears a Ctrl-C itself; we wait for
	// it, so that its database outlives it.
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer cancel()
	if url == "" {
		logger := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{ReplaceAttr: withoutTime}))
		pg, err := storetest.StartServer(ctx, logger)
		if err != nil {
			return 1, err
		}
		defer func() {
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
			defer cancel()
			if stopErr := pg.Stop(ctx); stopErr != nil {
				code, err = max(code, 1), errors.Join(err, stopErr)
			}
		}()
		url = pg.URL("postgres")
	}
	cmd := exec.CommandContext(ctx, args[0], args[1:]...) //nolint:gosec // running what it is told is its purpose
	cmd.Env = append(os.Environ(), storetest.ServerEnv+"="+url)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, stdout, os.Stderr
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	err = cmd.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.ExitCode() >= 0 {
		return exit.ExitCode(), nil
	}
	if err != nil {
		return 1, err
	}
	return 0, nil
}

func withoutTime(groups []string, a slog.Attr) slog.Attr {
	if len(groups) == 0 && a.Key == slog.TimeKey {
		return slog.Attr{}
	}
	return a
}
