package api

import (
	"net/http"
	"net/netip"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

var testProxies = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8")}

func TestClientIP_IsTheRightmostHopThatWeDoNotTrust(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		peer  string
		lines []string
		want  string
	}{
		"no proxy":                        {"203.0.113.7:41000", nil, "203.0.113.7"},
		"a stranger's word counts not":    {"203.0.113.7:41000", []string{"198.51.100.1"}, "203.0.113.7"},
		"one proxy":                       {"10.0.0.1:80", []string{"198.51.100.1"}, "198.51.100.1"},
		"the caller's own entries":        {"10.0.0.1:80", []string{"1.1.1.1, 10.9.9.9, 198.51.100.1"}, "198.51.100.1"},
		"two proxies":                     {"10.0.0.1:80", []string{"1.1.1.1,198.51.100.1,10.0.0.2"}, "198.51.100.1"},
		"two lines":                       {"10.0.0.1:80", []string{"1.1.1.1", "198.51.100.1, 10.0.0.2"}, "198.51.100.1"},
		"two lines, the hop in the first": {"10.0.0.1:80", []string{"1.1.1.1, 198.51.100.1", "10.0.0.2"}, "198.51.100.1"},
		"proxies only":                    {"10.0.0.1:80", []string{"10.0.0.3, 10.0.0.2"}, "10.0.0.3"},
		"a proxy that says nothing":       {"10.0.0.1:80", nil, "10.0.0.1"},
		"an empty line":                   {"10.0.0.1:80", []string{""}, "10.0.0.1"},
		"garbage":                         {"10.0.0.1:80", []string{"198.51.100.1, unknown"}, "10.0.0.1"},
		"garbage before a proxy":          {"10.0.0.1:80", []string{"198.51.100.1, _hidden, 10.0.0.2"}, "10.0.0.2"},
		"garbage left of the client":      {"10.0.0.1:80", []string{"'; DROP TABLE, 198.51.100.1"}, "198.51.100.1"},
		"with a port":                     {"10.0.0.1:80", []string{"198.51.100.1:443"}, "198.51.100.1"},
		"IPv6":                            {"[fd00::1]:80", []string{"2001:db8::1"}, "2001:db8::1"},
		"IPv6 in brackets":                {"[fd00::1]:80", []string{"[2001:db8::1]"}, "2001:db8::1"},
		"IPv6 with a port":                {"[fd00::1]:80", []string{"[2001:db8::1]:443"}, "2001:db8::1"},
		"IPv6 with a zone":                {"[fe80::1%eth0]:80", nil, "fe80::1"},
		"IPv4 as IPv6":                    {"[::ffff:10.0.0.1]:80", []string{"::ffff:198.51.100.1"}, "198.51.100.1"},
		"tabs":                            {"10.0.0.1:80", []string{"\t198.51.100.1\t,\t10.0.0.2 "}, "198.51.100.1"},
		"a socket without an address":     {"@", []string{"198.51.100.1"}, "invalid IP"},
	} {
		r := &http.Request{RemoteAddr: c.peer, Header: http.Header{"X-Forwarded-For": c.lines}}
		require.Equal(t, c.want, newSources(SourceIPOff, testProxies, nil).client(r).String(), name)
	}
	r := &http.Request{RemoteAddr: "10.0.0.1:80", Header: http.Header{"X-Forwarded-For": {"198.51.100.1"}}}
	require.Equal(t, "10.0.0.1", newSources(SourceIPOff, nil, nil).client(r).String(), "no proxy is trusted by itself")
}

func FuzzForwardedFor(f *testing.F) {
	for _, seed := range []string{
		"", "198.51.100.1", "1.1.1.1, 10.0.0.2", "[2001:db8::1]:443, fd00::2", "unknown", ",,,", "[", "]", "[]", "[::1", "::1]:80",
		"::ffff:10.0.0.1", "fe80::1%eth0, 10.0.0.1", "10.0.0.1\n198.51.100.1", "\xff\x00", strings.Repeat("10.0.0.1,", 100),
	} {
		f.Add("10.0.0.1:80", seed)
	}
	f.Fuzz(func(t *testing.T, peer, header string) {
		lines := strings.Split(header, "\n")
		from := parseHop(peer)
		got := forwardedFor(from, lines, testProxies)
		if !contains(testProxies, from) {
			require.Equal(t, from, got, "a stranger cannot speak for another")
			return
		}
		require.True(t, got.IsValid())
		require.False(t, got.Is4In6())
		require.Empty(t, got.Zone())
		// What the caller puts to the left of a hop that is not ours changes nothing.
		if !contains(testProxies, got) {
			require.Equal(t, got, forwardedFor(from, append([]string{"192.0.2.66, junk, "}, lines...), testProxies))
			lines[0] = "192.0.2.66, " + lines[0]
			require.Equal(t, got, forwardedFor(from, lines, testProxies))
		}
	})
}
