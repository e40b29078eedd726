package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/config"
	"github.com/conciliar/conciliar/jobs/provider"
	"github.com/conciliar/conciliar/store"
)

func TestDoctor_ComparesClocks(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		ahead, slack time.Duration
		state        string
	}{
		{0, 0, stateOK},
		{-4 * time.Second, 0, stateOK},
		{6 * time.Second, 0, stateWarn},
		{-6 * time.Second, 0, stateWarn},
		{6 * time.Second, 2 * time.Second, stateOK},
		{2 * time.Minute, time.Second, stateFail},
		{-2 * time.Minute, time.Second, stateFail},
	} {
		require.Equal(t, c.state, clockFinding("clock", "its", c.ahead, c.slack).State, c)
	}
}

func TestDoctor_NeedsAConfiguration(t *testing.T) {
	t.Parallel()
	got := execute(t, []string{"WORKERS=hunter2", "MERCADOPAGO_COLECTOR_ID=hunter2"}, "doctor", "--json")
	require.Equal(t, exitUsage, got.code)
	require.NotContains(t, got.out+got.err, "hunter2")
	var report checkup
	require.NoError(t, json.Unmarshal([]byte(got.out), &report))
	require.False(t, report.OK)
	require.Contains(t, report.Checks[0].Do, "DATABASE_URL")
	require.Contains(t, report.Checks[0].Do, "did you mean MERCADOPAGO_COLLECTOR_ID?")
	for _, args := range []string{
		"--signature 0", "--signature x", "--data-id 1", "--signature 1 --x-signature a", "--x-signature a --data-id 1 --query b",
	} {
		got := execute(t, nil, append([]string{"doctor"}, strings.Fields(args)...)...)
		require.Equal(t, exitUsage, got.code, args)
	}
}

func TestDurabilityFinding_WarnsOfEachSetting(t *testing.T) {
	t.Parallel()
	for set, state := range map[store.Server]string{
		{Durability: store.Durability{Fsync: "on", FullPageWrites: "on", SynchronousCommit: "on"}}:                      stateOK,
		{Durability: store.Durability{Fsync: "on", FullPageWrites: "on", SynchronousCommit: "remote_apply"}}:            stateOK,
		{Durability: store.Durability{Fsync: "on", FullPageWrites: "on", SynchronousCommit: "local"}}:                   stateOK,
		{Durability: store.Durability{Fsync: "on", FullPageWrites: "on", SynchronousCommit: "local"}, HasStandby: true}: stateWarn,
		{Durability: store.Durability{Fsync: "on", FullPageWrites: "on", SynchronousCommit: "off"}}:                     stateWarn,
		{Durability: store.Durability{Fsync: "off", FullPageWrites: "on", SynchronousCommit: "on"}}:                     stateWarn,
		{Durability: store.Durability{Fsync: "on", FullPageWrites: "off", SynchronousCommit: "on"}}:                     stateWarn,
		{Durability: store.Durability{Fsync: "off", FullPageWrites: "off", SynchronousCommit: "off"}}:                   stateWarn,
	} {
		found := durabilityFinding(set)
		require.Equal(t, state, found.State, set)
		require.Equal(t, state == stateWarn, found.Do != "", set)
		for name, value := range map[string]string{"fsync": set.Fsync, "full_page_writes": set.FullPageWrites, "synchronous_commit": set.SynchronousCommit} {
			if value == "off" {
				require.Contains(t, found.Says, name+" is off")
			}
		}
	}
}

func TestDoctor_TriesTheShopsEndpoint(t *testing.T) {
	t.Parallel()
	environ := func(changes ...string) []string {
		return append([]string{
			"DATABASE_URL=postgres://localhost/x", "MERCADOPAGO_ACCESS_TOKEN=APP_USR-1", "MERCADOPAGO_WEBHOOK_SECRETS=signing-secret-0001",
			"STATUS_TOKENS=status-token-0001", "PROCESS_QUEUE_TOKENS=process-token-0001", "RECONCILE_TOKENS=reconcile-token-01",
			"ORDERS_TOKENS=orders-token-00001", "OPERATOR_PASSWORD=correct horse battery", "ORDER_EVENTS_SECRETS=whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
		}, changes...)
	}
	shop := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(shop.Close)
	for state, changes := range map[string][]string{
		"":        nil,
		stateOK:   {"ORDER_EVENTS_URL=" + shop.URL + "/?token=hidden", "ORDER_EVENTS_ALLOW_PRIVATE=true"},
		stateFail: {"ORDER_EVENTS_URL=https://localhost:1/?token=hidden"},
	} {
		cfg, err := config.Load(environ(changes...))
		require.NoError(t, err)
		found := checkReceiver(t.Context(), cfg.OrderEvents)
		if state == "" {
			require.Empty(t, found)
			continue
		}
		require.Len(t, found, 1)
		require.Equal(t, state, found[0].State, "%v", found)
		require.NotContains(t, fmt.Sprint(found), "hidden")
	}
}

func TestDoctor_SaysWhyTheProviderCannotBeReachedInNoWordOfOurs(t *testing.T) {
	t.Parallel()
	refused := &provider.Error{Kind: provider.Unavailable, Err: errors.New("dial tcp 127.0.0.1:9090: connect: connection refused")}
	require.Equal(t, "Mercado Pago cannot be reached: dial tcp 127.0.0.1:9090: connect: connection refused.", credentialsFailed(refused).Says)
}
