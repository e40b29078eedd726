package main

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/spf13/cobra"

	"github.com/conciliar/conciliar/config"
)

// readyBytes bounds what is read of an answer.
const readyBytes = 64 << 10

func newReady(std stdio) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "ready",
		Short: "Ask a running service whether it is ready",
		Long: `Asks /readyz of the service on this machine, at HTTP_ADDR, or of another by --url.
For containers, which have no curl: exits 0 when the service would take a webhook now,
1 when it would not or doesn't answer. Reads HTTP_ADDR and TLS_CERT alone.`,
		Example: "  conciliar ready\n  conciliar ready --url https://shop.example",
		Args:    noArgs,
	}
	base := cmd.Flags().String("url", "", "the service's address; that of HTTP_ADDR on this machine unless given")
	timeout := cmd.Flags().Duration("timeout", 5*time.Second, "how long to wait for the answer")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if *timeout <= 0 {
			return usagef("--timeout takes a duration above zero")
		}
		ctx, cancel := context.WithTimeout(cmd.Context(), *timeout)
		defer cancel()
		client, address := http.DefaultClient, *base
		if address == "" {
			listener, err := config.LoadListener(std.environ)
			if err != nil {
				return err
			}
			client, address = ownListener(listener)
		}
		if err := askReady(ctx, client, address); err != nil {
			return err
		}
		_, err := fmt.Fprintln(std.out, "ready")
		return err
	}
	return cmd
}

// ownListener is the service on this machine, and a client for it.
func ownListener(l config.Listener) (client *http.Client, address string) {
	host, port, _ := net.SplitHostPort(string(l.HTTPAddr)) // checked when it was read
	if ip := net.ParseIP(host); ip == nil || ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	if l.TLSCert.Reveal() == "" {
		return http.DefaultClient, "http://" + net.JoinHostPort(host, port)
	}
	// The certificate is for the public name. This asks the machine's own listener,
	// and sends nothing that is secret.
	unverified := &tls.Config{InsecureSkipVerify: true} //nolint:gosec // said above
	return &http.Client{Transport: &http.Transport{TLSClientConfig: unverified}}, "https://" + net.JoinHostPort(host, port)
}

// askReady fails when the service doesn't say that it is ready.
func askReady(ctx context.Context, client *http.Client, address string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address+"/readyz", http.NoBody)
	if err != nil {
		return usagef("--url takes an address such as https://shop.example")
	}
	resp, err := client.Do(req)
	if err != nil {
		return fmt.Errorf("not ready: %w", err)
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode == http.StatusOK {
		return nil
	}
	var problem struct {
		Detail string `json:"detail"`
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, readyBytes))
	if err == nil {
		err = json.Unmarshal(body, &problem)
	}
	if err != nil || problem.Detail == "" {
		return fmt.Errorf("not ready: %s answers %d", address, resp.StatusCode)
	}
	return fmt.Errorf("not ready: %s", problem.Detail)
}
