//go:build chaos

package e2e

import (
	"context"
	"net/url"
	"strings"
	"testing"

	"github.com/Shopify/toxiproxy/v2"
	"github.com/rs/zerolog"
	"github.com/stretchr/testify/require"
)

// A faultProxy stands between the service and one of those it speaks with, and
// breaks the network between them.
type faultProxy struct {
	t     *testing.T
	proxy *toxiproxy.Proxy
}

func newFaultProxy(t *testing.T, upstream string) *faultProxy {
	t.Helper()
	server := toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.Nop())
	f := &faultProxy{t: t, proxy: toxiproxy.NewProxy(server, t.Name(), "127.0.0.1:0", upstream)}
	require.NoError(t, f.proxy.Start())
	t.Cleanup(f.cut)
	return f
}

// through is a URL whose host is reached through the proxy.
func (f *faultProxy) through(address string) string {
	f.t.Helper()
	u, err := url.Parse(address)
	require.NoError(f.t, err)
	u.Host = f.proxy.Listen
	return u.String()
}

// hostOf is the host and port of a URL.
func hostOf(t *testing.T, address string) string {
	t.Helper()
	u, err := url.Parse(address)
	require.NoError(t, err)
	return u.Host
}

// cut ends every connection and lets none be made.
func (f *faultProxy) cut() { f.proxy.Stop() }

// mend lets connections be made again, at the same address.
func (f *faultProxy) mend() {
	f.t.Helper()
	require.NoError(f.t, f.proxy.Start())
}

// poison adds a toxic, by toxiproxy's own description of it; the returned
// function takes it away.
func (f *faultProxy) poison(name, toxic string) (cure func()) {
	f.t.Helper()
	_, err := f.proxy.Toxics.AddToxicJson(strings.NewReader(toxic))
	require.NoError(f.t, err)
	return func() { require.NoError(f.t, f.proxy.Toxics.RemoveToxic(context.WithoutCancel(f.t.Context()), name)) }
}
