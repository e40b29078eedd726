package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/conciliar/conciliar/config"
	"github.com/conciliar/conciliar/store"
)

const (
	// widestIPv4 and widestIPv6 are the widest ranges that a person's own proxies
	// stand in: 10.0.0.0/8 is the widest private one.
	widestIPv4, widestIPv6 = 8, 16
	// renewWithin is how long before its end a certificate should have been renewed.
	renewWithin = 14 * 24 * time.Hour
)

// weakSettings warns of settings that are valid and yet unsafe.
func weakSettings(cfg config.Config, now time.Time) []finding {
	var found []finding
	warn := func(check, says, do string) { found = append(found, finding{check, stateWarn, says, do}) }
	if host, verified := databaseTransport(cfg.DatabaseURL.Reveal()); !verified {
		warn("database transport", "The database "+host+" is reached over a network, and who it is isn't verified.",
			"Add sslmode=verify-full to DATABASE_URL, with sslrootcert where its certificate is not a public one.")
	}
	for _, p := range cfg.TrustedProxies {
		if widest := widestOf(p); p.Bits() < widest {
			warn("proxies", fmt.Sprintf("TRUSTED_PROXIES has %s: every caller in it names an address of its own choice, and limits by address mean nothing.", p),
				"List only the addresses of your proxies.")
			break
		}
	}
	if cfg.TLSCert.Reveal() == "" && len(cfg.TrustedProxies) == 0 && !loopback(string(cfg.HTTPAddr)) {
		warn("transport", "HTTP_ADDR listens for plain HTTP on a network: tokens, passwords and payments pass it readably.",
			"Set TLS_CERT_FILE and TLS_KEY_FILE, or listen on 127.0.0.1 behind a proxy that speaks TLS, and name it in TRUSTED_PROXIES.")
	}
	if says := certificateEnd(cfg, now); says != "" {
		warn("certificate", says, "Renew it; a running service takes it over from its files.")
	}
	return found
}

func widestOf(p netip.Prefix) int {
	if p.Addr().Is4() {
		return widestIPv4
	}
	return widestIPv6
}

// databaseTransport says where the database is, and whether nobody else can pose as
// it: it is on this machine, or every way to it verifies its certificate.
func databaseTransport(address string) (host string, verified bool) {
	cfg, err := pgconn.ParseConfig(address)
	if err != nil {
		return "", true // checked elsewhere
	}
	judge := func(host string, t *tls.Config) bool {
		// verify-ca turns the library's own check off, and checks in its place.
		return strings.HasPrefix(host, "/") || loopback(net.JoinHostPort(host, "0")) || t != nil && (!t.InsecureSkipVerify || t.VerifyPeerCertificate != nil)
	}
	verified = judge(cfg.Host, cfg.TLSConfig) && !slices.ContainsFunc(cfg.Fallbacks, func(f *pgconn.FallbackConfig) bool { return !judge(f.Host, f.TLSConfig) })
	return cfg.Host, verified
}

// loopback reports whether an address is this machine's alone.
func loopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.IsLoopback()
}

// certificateEnd says that the listener's certificate has ended or is about to.
func certificateEnd(cfg config.Config, now time.Time) string {
	if cfg.TLSCert.Reveal() == "" {
		return ""
	}
	pair, err := tls.X509KeyPair([]byte(cfg.TLSCert.Reveal()), []byte(cfg.TLSKey.Reveal()))
	if err != nil {
		return "" // checked elsewhere
	}
	leaf, err := x509.ParseCertificate(pair.Certificate[0])
	if err != nil || leaf.NotAfter.Sub(now) > renewWithin {
		return ""
	}
	return "TLS_CERT ends at " + leaf.NotAfter.UTC().Format(time.RFC3339) + "."
}

// liveModeFinding warns that test payments may pay orders once live ones do.
func liveModeFinding(ctx context.Context, storage *store.Store, mode config.LiveMode) []finding {
	if mode != "any" {
		return nil
	}
	seen, err := storage.LivePaymentSeen(ctx)
	if err != nil {
		return []finding{{"live mode", stateFail, "Payments cannot be read: " + err.Error() + ".", "Check that the database's user may read every table."}}
	}
	if !seen {
		return nil
	}
	return []finding{{"live mode", stateWarn, "MERCADOPAGO_LIVE_MODE is any, and live payments have come: a test payment pays an order as well.",
		"Set MERCADOPAGO_LIVE_MODE=live."}}
}

// warnOfSettings logs at start what the doctor would warn of.
func (a *app) warnOfSettings(ctx context.Context, cfg config.Config, logger *slog.Logger) {
	for _, f := range append(weakSettings(cfg, time.Now()), liveModeFinding(ctx, a.store, cfg.LiveMode)...) {
		logger.WarnContext(ctx, f.Says, "do", f.Do)
	}
}
