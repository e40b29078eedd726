package main

import (
	"net/netip"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/config"
	"github.com/conciliar/conciliar/store/storetest"
)

func TestWeakSettings_WarnOfEachOpenDoor(t *testing.T) {
	t.Parallel()
	sound := func() config.Config {
		var cfg config.Config
		cfg.DatabaseURL = config.NewSecret("postgres://app@db.example/conciliar?sslmode=verify-full")
		cfg.HTTPAddr = "127.0.0.1:8080"
		return cfg
	}
	database := func(address string) func(*config.Config) {
		return func(cfg *config.Config) { cfg.DatabaseURL = config.NewSecret(address) }
	}
	listen := func(address config.ListenAddr, proxies ...string) func(*config.Config) {
		return func(cfg *config.Config) {
			cfg.HTTPAddr = address
			for _, p := range proxies {
				cfg.TrustedProxies = append(cfg.TrustedProxies, netip.MustParsePrefix(p))
			}
		}
	}
	for name, c := range map[string]struct {
		change func(*config.Config)
		warns  []string
	}{
		"all is well":                   {func(*config.Config) {}, nil},
		"a database without TLS":        {database("postgres://app@db.example/conciliar?sslmode=disable"), []string{"database transport"}},
		"one that may go without":       {database("postgres://app@db.example/conciliar?sslmode=prefer"), []string{"database transport"}},
		"one whose name is not checked": {database("postgres://app@db.example/conciliar?sslmode=require"), []string{"database transport"}},
		"the second of two":             {database("postgres://app@127.0.0.1,db.example/conciliar?sslmode=disable"), []string{"database transport"}},
		"one on this machine":           {database("postgres://app@127.0.0.1/conciliar?sslmode=disable"), nil},
		"one at a socket":               {database("postgres:///conciliar?host=/run/postgresql"), nil},
		"everybody is a proxy":          {listen("127.0.0.1:8080", "0.0.0.0/0"), []string{"proxies"}},
		"half the world is one":         {listen("127.0.0.1:8080", "10.0.0.0/8", "0.0.0.0/1"), []string{"proxies"}},
		"everybody is one, by IPv6":     {listen("127.0.0.1:8080", "::/0"), []string{"proxies"}},
		"a private network is one":      {listen(":8080", "10.0.0.0/8", "fd00::/16"), nil},
		"plain HTTP on a network":       {listen(":8080"), []string{"transport"}},
		"plain HTTP on an address":      {listen("192.0.2.7:80"), []string{"transport"}},
		"on this machine's own":         {listen("[::1]:8080"), nil},
		"by name":                       {listen("localhost:8080"), nil},
	} {
		cfg := sound()
		c.change(&cfg)
		var warns []string
		for _, f := range weakSettings(cfg, time.Now()) {
			require.Equal(t, stateWarn, f.State)
			require.NotEmpty(t, f.Do)
			warns = append(warns, f.Check)
		}
		require.Equal(t, c.warns, warns, name)
	}
}

func TestWithCredentials_ANewConnectionLogsInWithWhatStandsNow(t *testing.T) {
	t.Parallel()
	address := storetest.URL(t)
	first := config.Database{DatabaseURL: config.NewSecret(address)}
	current := first
	pool, err := openPool(t.Context(), first, 2, nil, withCredentials(func() config.Secret { return current.DatabaseURL }))
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	role := "rotated_" + userOf(t, pool) + "_" + time.Now().Format("150405000000000")
	_, err = pool.Exec(t.Context(), `CREATE ROLE `+role+` LOGIN PASSWORD 'next'`)
	require.NoError(t, err)
	parsed, err := pgxpool.ParseConfig(address)
	require.NoError(t, err)
	current = config.Database{DatabaseURL: config.NewSecret("postgres://" + role + ":next@elsewhere.example/" + parsed.ConnConfig.Database)}
	require.NotEqual(t, role, userOf(t, pool), "an open connection goes on")
	pool.Reset()
	require.Equal(t, role, userOf(t, pool), "and where the database is stays")
	_, err = pool.Exec(t.Context(), `ALTER ROLE `+role+` PASSWORD 'changed'`)
	require.NoError(t, err)
	current = config.Database{DatabaseURL: config.NewSecret("postgres://" + role + ":changed@elsewhere.example/x")}
	pool.Reset()
	require.Equal(t, role, userOf(t, pool), "a password that was changed")
}

func userOf(t *testing.T, pool *pgxpool.Pool) (user string) {
	t.Helper()
	require.NoError(t, pool.QueryRow(t.Context(), `SELECT current_user`).Scan(&user))
	return user
}
