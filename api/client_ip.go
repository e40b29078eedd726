package api

import (
	"net/http"
	"net/netip"
	"strings"
)

// What the log says about a sender's address.
const (
	sourceListed   = "listed"
	sourceUnlisted = "unlisted"
)

// sources finds and judges callers' addresses.
type sources struct {
	mode    SourceIPMode
	proxies []netip.Prefix
	allowed []netip.Prefix
}

func newSources(mode SourceIPMode, proxies, allowed []netip.Prefix) *sources {
	return &sources{mode: mode, proxies: proxies, allowed: allowed}
}

// judge says whether addr is in the list, empty when nobody asks, and whether
// a webhook from it may be accepted.
func (s *sources) judge(addr netip.Addr) (word string, allowed bool) {
	if s.mode == SourceIPOff || len(s.allowed) == 0 {
		return "", true
	}
	if contains(s.allowed, addr) {
		return sourceListed, true
	}
	return sourceUnlisted, s.mode != SourceIPEnforce
}

// client returns the caller's address, the zero Addr when the connection has
// none.
func (s *sources) client(r *http.Request) netip.Addr {
	peer := parseHop(r.RemoteAddr)
	if len(s.proxies) == 0 {
		return peer
	}
	return forwardedFor(peer, r.Header["X-Forwarded-For"], s.proxies)
}

// forwardedFor walks X-Forwarded-For from its right end, where each proxy has
// put the address that called it, for as long as the one who says so is a
// proxy of ours. The first address that is none is the caller's: whatever
// stands left of it is the caller's own word. An entry that is not an address ends
// the walk at the proxy that let it through.
func forwardedFor(peer netip.Addr, lines []string, proxies []netip.Prefix) netip.Addr {
	client := peer
	for i := len(lines) - 1; i >= 0; i-- {
		rest := lines[i]
		for {
			if !contains(proxies, client) {
				return client
			}
			comma := strings.LastIndexByte(rest, ',')
			hop := parseHop(strings.Trim(rest[comma+1:], " \t"))
			if !hop.IsValid() {
				return client
			}
			client = hop
			if comma < 0 {
				break
			}
			rest = rest[:comma]
		}
	}
	return client
}

// parseHop reads an address with or without a port, IPv6 with or without
// brackets. The zone is dropped: it means something on the proxy only. An
// IPv4-mapped IPv6 address is that IPv4 address.
func parseHop(s string) netip.Addr {
	if addr, err := netip.ParseAddr(s); err == nil {
		return addr.Unmap().WithZone("")
	}
	if withPort, err := netip.ParseAddrPort(s); err == nil {
		return withPort.Addr().Unmap().WithZone("")
	}
	if inner, ok := strings.CutPrefix(s, "["); ok {
		if inner, ok = strings.CutSuffix(inner, "]"); ok {
			if addr, err := netip.ParseAddr(inner); err == nil && addr.Is6() {
				return addr.Unmap().WithZone("")
			}
		}
	}
	return netip.Addr{}
}

func contains(prefixes []netip.Prefix, addr netip.Addr) bool {
	for _, p := range prefixes {
		if p.Contains(addr) {
			return true
		}
	}
	return false
}
