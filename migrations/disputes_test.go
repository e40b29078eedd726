package migrations_test

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestDisputes_TheReleaseBeforeGoesOnRefusing(t *testing.T) {
	t.Parallel()
	pool := empty(t)
	upTo(t, pool, 22)
	const refusal = `INSERT INTO webhook_refused (source, reason, method, query) VALUES ('mercadopago', 'signature_mismatch', 'POST', 'type=order')`
	exec(t, pool, refusal)
	upTo(t, pool, 26)

	exec(t, pool, refusal)

	require.Equal(t, 2, scan[int](t, pool, `SELECT count(*) FROM webhook_refused WHERE topic = '' AND channel = ''`))
}
