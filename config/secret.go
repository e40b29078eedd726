package config

import (
	"fmt"
	"io"
	"log/slog"
)

// A Secret is a value that cannot print itself. Whatever formats, logs or
// encodes it shows that there is one and nothing of it.
type Secret struct {
	// value is behind a pointer because fmt goes past our methods where it may
	// not call them: for %p, and for a Secret in somebody's unexported field.
	// There it prints the address.
	value *string
}

const redacted = "[secret]"

// NewSecret keeps value.
func NewSecret(value string) Secret { return Secret{value: &value} }

// Reveal returns the value, which is empty for the zero Secret. Call it where
// the value is used and nowhere else.
func (s Secret) Reveal() string {
	if s.value == nil {
		return ""
	}
	return *s.value
}

func (Secret) String() string { return redacted }

// Format implements fmt.Formatter, for every verb.
func (Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) }

// LogValue implements slog.LogValuer.
func (Secret) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText implements encoding.TextMarshaler, and so JSON.
func (Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (s *Secret) UnmarshalText(text []byte) error {
	*s = NewSecret(string(text))
	return nil
}

// Reveal returns the values of several secrets.
func Reveal(secrets []Secret) []string {
	values := make([]string, len(secrets))
	for i, s := range secrets {
		values[i] = s.Reveal()
	}
	return values
}

// First is the first of several secrets; empty where there is none.
func First(secrets []Secret) string {
	if len(secrets) == 0 {
		return ""
	}
	return secrets[0].Reveal()
}
