package config

import (
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	_ "time/tzdata" // zones, also where the system knows none

	cron "github.com/netresearch/go-cron"
)

// LiveMode says which payments may move an order: live, test or any.
type LiveMode string

// UnmarshalText implements encoding.TextUnmarshaler.
func (m *LiveMode) UnmarshalText(text []byte) error {
	return oneOf((*string)(m), text, "any", "live", "test")
}

// SourceIPMode says what the address of a webhook's sender decides: off,
// observe or enforce.
type SourceIPMode string

// UnmarshalText implements encoding.TextUnmarshaler.
func (m *SourceIPMode) UnmarshalText(text []byte) error {
	return oneOf((*string)(m), text, "off", "observe", "enforce")
}

// UnknownOrder says what becomes of a payment whose order is not known: wait,
// create or ignore.
type UnknownOrder string

// UnmarshalText implements encoding.TextUnmarshaler.
func (u *UnknownOrder) UnmarshalText(text []byte) error {
	return oneOf((*string)(u), text, "wait", "create", "ignore")
}

// MoneyReports says which money reports are fetched: off, read or request.
type MoneyReports string

// UnmarshalText implements encoding.TextUnmarshaler.
func (m *MoneyReports) UnmarshalText(text []byte) error {
	return oneOf((*string)(m), text, "off", "read", "request")
}

// A Switch is disabled or enabled.
type Switch string

// UnmarshalText implements encoding.TextUnmarshaler.
func (s *Switch) UnmarshalText(text []byte) error {
	return oneOf((*string)(s), text, "disabled", "enabled")
}

// On reports whether it is enabled.
func (s Switch) On() bool { return s == "enabled" }

// A TimeZone is one of the IANA's; UTC when it is zero.
type TimeZone struct{ *time.Location }

// UnmarshalText implements encoding.TextUnmarshaler.
func (z *TimeZone) UnmarshalText(text []byte) (err error) {
	name := string(text)
	if z.Location, err = time.LoadLocation(name); err != nil || name == "" || name == "Local" {
		return errors.New("must be an IANA name such as America/Sao_Paulo")
	}
	return nil
}

// LogFormat says how log lines are written: auto, tint or json.
type LogFormat string

// UnmarshalText implements encoding.TextUnmarshaler.
func (f *LogFormat) UnmarshalText(text []byte) error {
	return oneOf((*string)(f), text, "auto", "tint", "json")
}

func oneOf(to *string, text []byte, allowed ...string) error {
	if !slices.Contains(allowed, string(text)) {
		last := len(allowed) - 1
		return errors.New("must be " + strings.Join(allowed[:last], ", ") + " or " + allowed[last])
	}
	*to = string(text)
	return nil
}

// LogLevel is the least level that is logged.
type LogLevel struct{ slog.Level }

// UnmarshalText implements encoding.TextUnmarshaler.
func (l *LogLevel) UnmarshalText(text []byte) error {
	var name string
	if err := oneOf(&name, text, "debug", "info", "warn", "error"); err != nil {
		return err
	}
	return l.Level.UnmarshalText(text)
}

// A ListenAddr is where a server listens: host:port, or :port for every address
// of the machine. Port 0 takes a free one.
type ListenAddr string

// UnmarshalText implements encoding.TextUnmarshaler.
func (a *ListenAddr) UnmarshalText(text []byte) error {
	_, port, err := net.SplitHostPort(string(text))
	if _, bad := strconv.ParseUint(port, 10, 16); err != nil || bad != nil {
		return errors.New("must be an address such as :8080 or 127.0.0.1:8080")
	}
	*a = ListenAddr(text)
	return nil
}

// ServiceURL is the base URL of a service, without a slash at its end: https,
// or http on a loopback address, and no credentials, query or fragment.
type ServiceURL struct{ text string }

func (u ServiceURL) String() string { return u.text }

// UnmarshalText implements encoding.TextUnmarshaler.
func (u *ServiceURL) UnmarshalText(text []byte) error {
	parsed, err := url.Parse(string(text))
	switch {
	case err != nil || parsed.Host == "" || (parsed.Scheme != "https" && parsed.Scheme != "http"):
		return errors.New("must be a URL such as https://api.example.com")
	case parsed.User != nil || parsed.RawQuery != "" || parsed.Fragment != "":
		return errors.New("must be a URL without credentials, query or fragment")
	case parsed.Scheme == "http" && !isLoopback(parsed.Hostname()):
		return errors.New("must be https: the access token goes with every request (http is for loopback addresses only)")
	}
	u.text = strings.TrimRight(parsed.String(), "/")
	return nil
}

// A CollectorURL is the base URL of an OpenTelemetry collector, without a slash
// at its end; empty for none. A collector often stands beside the service, so
// plain http will do.
type CollectorURL struct{ text string }

func (u CollectorURL) String() string { return u.text }

// UnmarshalText implements encoding.TextUnmarshaler.
func (u *CollectorURL) UnmarshalText(text []byte) error {
	parsed, err := url.Parse(string(text))
	switch {
	case err != nil || parsed.Host == "" || (parsed.Scheme != "https" && parsed.Scheme != "http"):
		return errors.New("must be a URL such as http://localhost:4318")
	case parsed.User != nil || parsed.RawQuery != "" || parsed.Fragment != "":
		return errors.New("must be a URL without credentials, query or fragment")
	}
	u.text = strings.TrimRight(parsed.String(), "/")
	return nil
}

// A WebhookURL is where messages are posted: https, or http on a loopback
// address. It is a Secret, because anyone who knows it can post there.
type WebhookURL struct{ Secret }

// UnmarshalText implements encoding.TextUnmarshaler.
func (u *WebhookURL) UnmarshalText(text []byte) error {
	parsed, err := url.Parse(string(text))
	switch {
	case err != nil || parsed.Host == "" || (parsed.Scheme != "https" && parsed.Scheme != "http"):
		return errors.New("must be a URL such as https://hooks.example.com/services/…")
	case parsed.Scheme == "http" && !isLoopback(parsed.Hostname()):
		return errors.New("must be https: the URL is a secret (http is for loopback addresses only)")
	}
	u.Secret = NewSecret(string(text))
	return nil
}

func isLoopback(host string) bool {
	if host == "localhost" {
		return true
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.IsLoopback()
}

// A Schedule is a cron expression of five fields, in UTC.
type Schedule struct {
	cron.Schedule
	text string
}

func (s Schedule) String() string { return s.text }

// UnmarshalText implements encoding.TextUnmarshaler.
func (s *Schedule) UnmarshalText(text []byte) error {
	parsed, err := cron.ParseStandard("CRON_TZ=UTC " + string(text))
	if err != nil {
		return errors.New("must be a cron expression of five fields such as 0 * * * *")
	}
	if parsed.Next(time.Unix(0, 0)).IsZero() {
		return errors.New("must be a cron expression for a time that exists")
	}
	s.Schedule, s.text = parsed, string(text)
	return nil
}
