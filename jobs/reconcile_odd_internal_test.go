package jobs

import (
	"context"
	"log/slog"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/jobs/provider"
	"github.com/conciliar/conciliar/store"
	"github.com/conciliar/conciliar/store/storetest/fixture"
)

// A namelessSearch shows payments whose ids cannot be read, and one whose amount cannot.
type namelessSearch struct{}

func (namelessSearch) Account(context.Context) (string, error) { return "1", nil }

func (namelessSearch) SearchPayments(context.Context, provider.SearchQuery) (provider.SearchPage, error) {
	return provider.SearchPage{Total: 3, Limit: 50, Odd: []provider.OddPayment{{Problem: "first"}, {ID: "7", Problem: "amount"}, {Problem: "second"}}}, nil
}

func TestReconcile_WarnsOnceOfASearchWhoseIDsCannotBeRead(t *testing.T) {
	t.Parallel()
	logs := &fixture.Logs{}
	r := reconciler{
		accounts: accounts{searches: map[string]PaymentSearcher{"mercadopago": namelessSearch{}}},
		logger:   slog.New(slog.NewJSONHandler(logs, nil)),
	}
	found, err := r.next(t.Context(), store.Account{Source: "mercadopago"}, "A-1", "1", newSearchWalk(walkBegin, walkBegin, regularCalls))
	require.NoError(t, err)
	require.Len(t, found, 3)
	require.Equal(t, 1, strings.Count(logs.String(), "\n"))
	line := logs.Last(t)
	require.Equal(t, []any{"WARN", 2.0, "first"}, []any{line["level"], line["count"], line["error"]})
}
