package config

import (
	"fmt"
	"log/slog"
	"net/netip"
	"reflect"
	"strings"
	"time"
)

// Effective is what each variable comes to, under its name and in the order of the
// documentation. Of what is or may hold a secret, and of files, it only says whether
// there is one: set or unset.
func Effective(c Config) []slog.Attr {
	var settings []slog.Attr
	all := reflect.ValueOf(c)
	for _, v := range Variables() {
		settings = append(settings, slog.String(v.Name, shown(all.FieldByName(v.field))))
	}
	return settings
}

// shown is a value as a person may read it. A kind that is not named here may hold a
// secret.
func shown(value reflect.Value) string {
	var text string
	switch v := value.Interface().(type) {
	case ServiceURL, CollectorURL, Schedule, TimeZone, LogLevel, time.Duration, bool, int:
		text = fmt.Sprint(v)
	case []time.Duration:
		text = list(v)
	case []netip.Prefix:
		text = list(v)
	case interface{ Reveal() string }:
		return whether(v.Reveal() != "")
	default:
		if value.Kind() != reflect.String {
			return whether(!value.IsZero())
		}
		text = value.String()
	}
	if text == "" {
		return whether(false)
	}
	return text
}

func list[T fmt.Stringer](values []T) string {
	texts := make([]string, len(values))
	for i, v := range values {
		texts[i] = v.String()
	}
	return strings.Join(texts, ",")
}

func whether(set bool) string {
	if set {
		return "set"
	}
	return "unset"
}
