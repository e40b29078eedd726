// Command conciliar receives Mercado Pago's webhooks and keeps a merchant's
// orders equal to what was paid.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	_ "golang.org/x/crypto/x509roots/fallback" // for images that bring no certificates
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// A second signal is not ours: it ends a process whose end takes too long.
	context.AfterFunc(ctx, stop)
	code := run(ctx, os.Args[1:], stdio{in: os.Stdin, out: os.Stdout, err: os.Stderr, environ: os.Environ(), program: os.Args[0]})
	stop()
	os.Exit(code)
}
