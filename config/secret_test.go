package config_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/config"
)

const hidden = "hunter2-hunter2-hunter2"

func TestSecret_ShowsOnlyWhenItIsRevealed(t *testing.T) {
	t.Parallel()
	s := config.NewSecret(hidden)
	require.Equal(t, hidden, s.Reveal())
	require.Equal(t, []string{hidden, hidden}, config.Reveal([]config.Secret{s, s}))
	require.Empty(t, config.Secret{}.Reveal())
}

func TestSecret_NoVerbPrintsIt(t *testing.T) {
	t.Parallel()
	s := config.NewSecret(hidden)
	type unexported struct{ s config.Secret }
	for what, value := range map[string]any{
		"itself": s, "a pointer": &s, "a list": []config.Secret{s}, "a map": map[string]config.Secret{"k": s},
		"a struct": struct{ S config.Secret }{s}, "an unexported field": unexported{s}, "a pointer to one": &unexported{s},
	} {
		for _, flags := range []string{"", "+", "#", "-40", "040", " "} {
			for verb := '!'; verb <= '~'; verb++ {
				text := fmt.Sprintf("%"+flags+string(verb), value)
				require.NotContains(t, text, hidden, "%%%s%c of %s", flags, verb, what)
				require.NotContains(t, text, fmt.Sprintf("%x", hidden), "%%%s%c of %s", flags, verb, what)
				require.NotContains(t, text, fmt.Sprintf("%X", hidden), "%%%s%c of %s", flags, verb, what)
			}
		}
	}
}

func TestSecret_NoEncoderAndNoLoggerPrintsIt(t *testing.T) {
	t.Parallel()
	cfg, err := config.Load(environ(map[string]string{"MERCADOPAGO_ACCESS_TOKEN": hidden, "STATUS_TOKENS": hidden}))
	require.NoError(t, err)

	var out bytes.Buffer
	for _, logger := range []*slog.Logger{
		slog.New(slog.NewTextHandler(&out, nil)), slog.New(slog.NewJSONHandler(&out, nil)),
	} {
		logger.Info("started", "config", cfg, "pointer", &cfg, "token", cfg.AccessToken, "tokens", cfg.StatusTokens)
	}
	require.NoError(t, json.NewEncoder(&out).Encode(cfg))
	fmt.Fprintf(&out, "%v %+v %#v", cfg, cfg, cfg)

	require.NotContains(t, out.String(), hidden)
	require.NotContains(t, out.String(), "db-password")
	require.Contains(t, out.String(), "[secret]")
}
