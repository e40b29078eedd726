package config

import (
	"errors"
	"strings"
	"time"
)

// errDuration has no value in its text: a duration may be a misplaced secret.
var errDuration = errors.New("not a duration")

// ParseDuration is time.ParseDuration with days of 24 hours, which come first:
// 7d, 1d12h.
func ParseDuration(text string) (time.Duration, error) {
	number, rest, hasDays := strings.Cut(text, "d")
	if !hasDays {
		d, err := time.ParseDuration(text)
		if err != nil {
			return 0, errDuration
		}
		return d, nil
	}
	unsigned := strings.TrimLeft(number, "+-")
	days, err := time.ParseDuration(unsigned + "h")
	if err != nil || len(number)-len(unsigned) > 1 || strings.ContainsFunc(unsigned, isNotDecimal) {
		return 0, errDuration
	}
	var hours time.Duration
	if rest != "" {
		if hours, err = time.ParseDuration(rest); err != nil || strings.ContainsAny(rest[:1], "+-") {
			return 0, errDuration
		}
	}
	d := 24*days + hours
	if d/24 < days || d < hours {
		return 0, errDuration // more than fits
	}
	if strings.HasPrefix(number, "-") {
		d = -d
	}
	return d, nil
}

func isNotDecimal(r rune) bool { return (r < '0' || r > '9') && r != '.' }
