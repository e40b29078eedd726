package delivery

import (
	"net"
	"net/netip"
	"testing"

	"code.dny.dev/ssrf"
	"github.com/stretchr/testify/require"
)

// refused are ranges that no message goes to, each with the start and the end.
var refused = map[string][]string{
	"this network":            {"0.0.0.0", "0.255.255.255"},
	"private, 10":             {"10.0.0.0", "10.255.255.255"},
	"shared by carriers":      {"100.64.0.0", "100.127.255.255"},
	"Alibaba's metadata":      {"100.100.100.200"},
	"loopback":                {"127.0.0.0", "127.0.0.1", "127.255.255.255"},
	"link-local":              {"169.254.0.0", "169.254.255.255"},
	"metadata":                {"169.254.169.254", "169.254.170.2", "192.0.0.192", "168.63.129.16", "fd00:ec2::254"},
	"private, 172.16":         {"172.16.0.0", "172.31.255.255"},
	"protocol assignments":    {"192.0.0.0", "192.0.0.255"},
	"documentation":           {"192.0.2.0", "198.51.100.255", "203.0.113.1", "2001:db8::", "2001:db8:ffff::1", "3fff::1"},
	"6to4 relays":             {"192.88.99.0", "192.88.99.255"},
	"private, 192.168":        {"192.168.0.0", "192.168.255.255"},
	"benchmarks":              {"198.18.0.0", "198.19.255.255"},
	"multicast":               {"224.0.0.0", "239.255.255.255", "ff00::", "ff02::1", "ffff::1"},
	"reserved":                {"240.0.0.0", "255.255.255.254"},
	"broadcast":               {"255.255.255.255"},
	"unspecified":             {"::"},
	"loopback of IPv6":        {"::1"},
	"IPv4 compatible":         {"::127.0.0.1", "::10.0.0.1"},
	"IPv4 mapped":             {"::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254", "::ffff:8.8.8.8"},
	"IPv4 translated":         {"::ffff:0:127.0.0.1"},
	"NAT64":                   {"64:ff9b::127.0.0.1", "64:ff9b::10.0.0.1", "64:ff9b::ffff:ffff", "64:ff9b:1::10.0.0.1"},
	"discarded":               {"100::1"},
	"Teredo":                  {"2001::", "2001:0:ffff::1"},
	"ORCHID":                  {"2001:20::1"},
	"6to4":                    {"2002:7f00:1::", "2002:a00:1::1", "2002:ffff::"},
	"unique local":            {"fc00::", "fd12:3456::1", "fdff:ffff::1"},
	"link-local of IPv6":      {"fe80::", "fe80::1", "febf::1"},
	"site-local, which ended": {"fec0::1"},
}

func TestPublicOnly_RefusesEveryRangeThatIsNotPublic(t *testing.T) {
	t.Parallel()
	for name, addresses := range refused {
		for _, address := range addresses {
			require.ErrorIs(t, dialled(t, address), ssrf.ErrProhibitedIP, "%s: %s", name, address)
		}
	}
}

func TestPublicOnly_PermitsThePublicInternet(t *testing.T) {
	t.Parallel()
	for _, address := range []string{
		"1.1.1.1", "8.8.8.8", "9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0", "126.255.255.255", "128.0.0.0",
		"168.63.129.15", "168.63.129.17", "169.253.255.255", "169.255.0.0", "172.15.255.255", "172.32.0.0", "192.167.255.255",
		"192.169.0.0", "198.17.255.255", "198.20.0.0", "223.255.255.255", "2606:4700:4700::1111", "2a00::1", "2003::1",
	} {
		require.NoError(t, dialled(t, address), address)
	}
}

// A zone would name an interface of this machine.
func TestPublicOnly_RefusesAZone(t *testing.T) {
	t.Parallel()
	require.Error(t, publicOnly("tcp6", "[fe80::1%eth0]:443", nil))
	require.Error(t, publicOnly("tcp6", "[2606:4700:4700::1111%eth0]:443", nil))
	require.Error(t, publicOnly("udp4", "8.8.8.8:53", nil))
	require.Error(t, publicOnly("tcp4", "shop.example.com:443", nil))
}

// dialled is what becomes of connecting to an address, before a packet is sent.
func dialled(t *testing.T, address string) error {
	t.Helper()
	parsed, err := netip.ParseAddr(address)
	require.NoError(t, err)
	network := "tcp4"
	if parsed.Is6() {
		network = "tcp6"
	}
	return publicOnly(network, net.JoinHostPort(address, "8443"), nil)
}
