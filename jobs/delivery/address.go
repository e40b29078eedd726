package delivery

import (
	"net"
	"net/http"
	"net/netip"
	"syscall"
	"time"

	"code.dny.dev/ssrf"
)

// azureHost is where a machine in Azure finds the services of its host. It is the
// one address of this kind in a public range (Microsoft, "What is IP address
// 168.63.129.16?").
var azureHost = netip.MustParsePrefix("168.63.129.16/32")

// publicOnly refuses every address that is not on the public internet: what IANA
// keeps for special purposes, IPv6 outside of global unicast (so also IPv4 that is
// mapped into it, or translated by NAT64), and multicast. It sees the very address
// that is about to be connected to, after the name was resolved: a name that
// resolves to another address the next time has no way around it.
var publicOnly = ssrf.New(ssrf.WithAnyPort(), ssrf.WithDeniedV4Prefixes(azureHost)).Safe

// newClient returns a client that connects only where control permits; nil permits
// everything.
func newClient(control func(network, address string, _ syscall.RawConn) error) *http.Client {
	dialer := &net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second, Control: control}
	return &http.Client{
		Transport: &http.Transport{
			// Through a proxy the address that is checked would be the proxy's.
			Proxy:                  nil,
			DialContext:            dialer.DialContext,
			ForceAttemptHTTP2:      true,
			TLSHandshakeTimeout:    10 * time.Second,
			MaxIdleConns:           64,
			MaxIdleConnsPerHost:    Concurrency,
			IdleConnTimeout:        30 * time.Second,
			MaxResponseHeaderBytes: maxAnswerHeader,
			// An answer is bounded as it comes, so it must not grow afterwards.
			DisableCompression: true,
		},
		// A redirect would carry the message, and its signature, to somebody else.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}
