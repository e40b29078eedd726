package store_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/store/storetest"
)

func TestCheckAbilities_FindsThemInPostgreSQL(t *testing.T) {
	t.Parallel()
	require.NoError(t, setup(t).CheckAbilities(t.Context()))
}

// Each case is a server that answers every statement and lacks one thing.
func TestCheckAbilities_SaysWhatADatabaseLacks(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		replaced []string
		lacks    string
	}{
		"locks of a session":     {[]string{"pg_advisory_lock(", "abs("}, "advisory locks of a session hold nobody off"},
		"locks of a transaction": {[]string{"pg_advisory_xact_lock(", "abs("}, "advisory locks of a transaction hold nobody off"},
		"notifications":          {[]string{"LISTEN ", "SELECT 1 AS "}, "what is sent by NOTIFY does not reach who listens"},
		"locked rows":            {[]string{"FOR UPDATE SKIP LOCKED", ""}, "FOR UPDATE SKIP LOCKED gives one row to two transactions"},
		"isolation":              {[]string{"ISOLATION LEVEL READ COMMITTED", "ISOLATION LEVEL SERIALIZABLE"}, "transactions are not of the isolation that they ask for"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			address := storetest.Impostor(t, storetest.URL(t), strings.NewReplacer(c.replaced...).Replace)
			require.ErrorContains(t, onPool(t, storetest.Open(t, address)).CheckAbilities(t.Context()), "not PostgreSQL in what the service rests on: "+c.lacks)
		})
	}
}
