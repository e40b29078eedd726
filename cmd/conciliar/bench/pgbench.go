package bench

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"time"
)

// ceilingScript is what one event costs the database when it has a
// transaction to itself: its row and its job. The values have the size of a
// real payment notification; a colon before a letter or a digit would be a
// variable of pgbench's.
const ceilingScript = `
BEGIN;
INSERT INTO webhook_queue (source, topic, action, resource_id, request_id, query, remote_ip, live_mode, signed, signature, payload)
VALUES ('pgbench', 'payment', 'payment.updated', '132646402927', '2066ca19-c6f1-498a-be75-1923005edd06',
        'data.id=132646402927&type=payment', '203.0.113.9', true, true, decode(md5(random()::text) || md5(random()::text), 'hex'),
        convert_to('{"action":"payment.updated","api_version":"v1","data":{"id":"132646402927"},"date_created":"2025-11-10T13.38.25Z","id": 126271778864,"live_mode": true,"type":"payment","user_id":"1538952955"}', 'UTF8'));
INSERT INTO river_job (args, kind, max_attempts, metadata, priority, queue, state, tags)
VALUES ('{"queue_id": 1}', 'webhook_payment', 7, '{}', 1, 'webhooks', 'available', '{}');
COMMIT;
`

// settleScript is what the settlement of one event costs the database when it has a
// transaction to itself: its five writes, and nothing that is read or locked for them.
// :rows are the orders and the events that are there.
const settleScript = `
\set n random(1, :rows)
\set p random(1, 8999999999999)
BEGIN;
INSERT INTO payments (source, payment_id, order_reference, status, status_detail, amount, currency, collector_id, live_mode, date_last_updated, fetched_at, raw)
VALUES ('pgbench', :p::text, 'bench-' || :n, 'approved', 'accredited', 150, 'ARS', '1', true, now(), now(), decode(repeat('7b', 1000), 'hex')) ON CONFLICT DO NOTHING;
INSERT INTO payment_logs (source, payment_id, order_reference, status, status_detail, amount, refunded_amount, currency, date_last_updated, queue_id)
VALUES ('pgbench', :p::text, 'bench-' || :n, 'approved', 'accredited', 150, 0, 'ARS', now(), :n) ON CONFLICT DO NOTHING;
UPDATE orders SET status = 'paid', paid_amount = 150, updated_at = now() WHERE reference = 'bench-' || :n;
INSERT INTO order_logs (order_reference, cause, queue_id, status, paid_amount, refunded_amount) VALUES ('bench-' || :n, 'payment', :n, 'paid', 150, 0);
UPDATE webhook_queue SET completed_at = now(), outcome = 'settled', attempts = 1 WHERE id = :n;
COMMIT;
`

var pgbenchRate = regexp.MustCompile(`(?m)^tps = ([0-9.]+)`)

// pgbench runs PostgreSQL's own load generator and returns its transactions a second.
func pgbench(ctx context.Context, databaseURL, transaction string, rows, clients int, length time.Duration) (float64, error) {
	program, err := findPgbench()
	if err != nil {
		return 0, err
	}
	u, err := url.Parse(databaseURL)
	if err != nil {
		return 0, errors.New("pgbench: the database's address cannot be read")
	}
	script, err := os.CreateTemp("", "conciliar-bench-*.sql")
	if err != nil {
		return 0, fmt.Errorf("pgbench: %w", err)
	}
	defer func() { _ = os.Remove(script.Name()) }()
	if _, err := script.WriteString(transaction); err != nil {
		return 0, fmt.Errorf("pgbench: %w", err)
	}
	if err := script.Close(); err != nil {
		return 0, fmt.Errorf("pgbench: %w", err)
	}
	cmd := exec.CommandContext(ctx, program, //nolint:gosec // found by its name where PostgreSQL lives
		"--no-vacuum", "--protocol=prepared", "--client="+strconv.Itoa(clients), "--jobs="+strconv.Itoa(min(clients, 2)),
		"--time="+strconv.Itoa(max(1, int(length.Seconds()))), "--file="+script.Name(), "--define=rows="+strconv.Itoa(rows),
		"--host="+u.Hostname(), "--port="+u.Port(), "--username="+u.User.Username(), u.Path[1:])
	password, _ := u.User.Password()
	cmd.Env = append(os.Environ(), "PGPASSWORD="+password)
	out, err := cmd.CombinedOutput()
	if err != nil {
		return 0, fmt.Errorf("pgbench: %w: %s", err, out)
	}
	found := pgbenchRate.FindSubmatch(out)
	if found == nil {
		return 0, fmt.Errorf("pgbench: no rate in its output: %s", out)
	}
	return strconv.ParseFloat(string(found[1]), 64)
}

// findPgbench looks on the PATH and beside the server's binaries, where Debian
// keeps it.
func findPgbench() (string, error) {
	if program, err := exec.LookPath("pgbench"); err == nil {
		return program, nil
	}
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/pgbench")
	if err == nil && len(found) > 0 {
		return found[len(found)-1], nil
	}
	return "", errors.New("pgbench is needed to measure the database's ceiling: install it (Debian: apt-get install postgresql-contrib or postgresql)")
}
