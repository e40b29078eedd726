package migrations_test

import (
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/store/storetest"
)

// Whoever acted cannot make it look otherwise afterwards, not even with SQL.
func TestOperatorActions_AreAppendOnly(t *testing.T) {
	t.Parallel()
	pool := storetest.Pool(t)
	exec(t, pool, insertion("operator_actions", "", ""))
	for _, statement := range []string{
		`UPDATE operator_actions SET actor = 'somebody else'`,
		`DELETE FROM operator_actions`,
		`TRUNCATE operator_actions`,
	} {
		_, err := pool.Exec(t.Context(), statement)
		var refused *pgconn.PgError
		require.ErrorAs(t, err, &refused, statement)
		require.Equal(t, "23001", refused.Code)
	}
	require.Equal(t, "cli:ana", scan[string](t, pool, `SELECT actor FROM operator_actions`))
}
