package migrations_test

import (
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/migrations"
)

func TestFraudAlerts_StepKeepsWhatIsThereAndCanBeRunAgain(t *testing.T) {
	t.Parallel()
	pool := empty(t)
	upTo(t, pool, 18)
	exec(t, pool, insertOfBefore)
	exec(t, pool, `INSERT INTO anomalies (kind, source, order_reference, payment_id, detail) VALUES ('no_reference', 'mercadopago', NULL, '77', '{}')`)
	before := works(t, pool)
	upTo(t, pool, 21)
	exec(t, pool, `DELETE FROM conciliar_migrations WHERE version_id = 21`)

	require.NoError(t, migrations.Up(t.Context(), pool, silent))

	require.Equal(t, before, works(t, pool))
	require.Equal(t, 1, scan[int](t, pool, `SELECT count(*) FROM anomalies`))
	require.Zero(t, scan[int](t, pool, `SELECT count(*) FROM pg_index WHERE NOT indisvalid`))
	exec(t, pool, `INSERT INTO webhook_queue (source, topic, payload, work) VALUES ('mercadopago', 'stop_delivery_op_wh', '', 'fraud_alert')`)
	alert := func(payment string) error {
		_, err := pool.Exec(t.Context(), `INSERT INTO anomalies (kind, source, order_reference, payment_id, detail, closed_at, closed_by, note)
			VALUES ('fraud_alert', 'mercadopago', 'A-1', $1, '{}', now(), 'ana', 'why')`, payment)
		return err
	}
	require.NoError(t, alert("77"))
	require.NoError(t, alert("78"))
	var refused *pgconn.PgError
	require.ErrorAs(t, alert("77"), &refused, "one for each payment, resolved or not")
	require.Equal(t, "anomalies_fraud_alert_key", refused.ConstraintName)
}
