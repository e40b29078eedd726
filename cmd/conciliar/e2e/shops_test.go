package e2e

import (
	"context"
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/shopspring/decimal"
	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/jobs/provider/mercadopago/simulator"
)

// Secrets of order events. During the rotation in these tests the service signs with
// the first two, and a shop knows the last two.
const (
	eventsSecretOld    = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	eventsSecretShared = "whsec_c2hhcmVkLXNlY3JldC1vZi10aGUtc2hvcC10ZXN0cw=="
	eventsSecretNew    = "whsec_bmV3LXNlY3JldC1vZi10aGUtdGVzdHMtb2Ytc2hvcHM="
)

// A sampleShop is a program of docs/shops.
type sampleShop struct {
	// serve listens on an address, and catchUp reads the feed; empty where serve does.
	serve   func(address string) []string
	catchUp []string
}

func sampleShops(t *testing.T) map[string]sampleShop {
	t.Helper()
	file := func(name string) string {
		path, err := filepath.Abs(repositoryPath("docs/shops/" + name))
		require.NoError(t, err)
		return path
	}
	built := filepath.Join(t.TempDir(), "shop")
	said, err := exec.CommandContext(t.Context(), "go", "build", "-o", built, file("shop.go")).CombinedOutput()
	require.NoError(t, err, string(said))
	always := func(args ...string) func(string) []string { return func(string) []string { return args } }
	return map[string]sampleShop{
		"PHP": {
			serve:   func(address string) []string { return []string{"php", "-S", address, file("shop.php")} },
			catchUp: []string{"php", file("shop.php")},
		},
		"Node":   {serve: always("node", file("shop.mjs"))},
		"Python": {serve: always("python3", file("shop.py"))},
		"Go":     {serve: always(built)},
	}
}

// A shopStage is a sample shop, and a service that tells it of its orders.
type shopStage struct {
	*shop
	*terminal

	sample  sampleShop
	address string
	environ []string
	running *process
}

func setShopStage(t *testing.T, sample sampleShop) *shopStage {
	t.Helper()
	address := addressToKeep(t)
	s := newShop(t, simulator.Faults{}, map[string]string{
		"ORDER_EVENTS_URL": "http://" + address + "/conciliar", "ORDER_EVENTS_SECRETS": eventsSecretOld + "," + eventsSecretShared,
		"ORDER_EVENTS_ALLOW_PRIVATE": "true",
	})
	s.hasReconciled()
	st := &shopStage{shop: s, sample: sample, address: address, environ: []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir(), "SERVICE=http://" + s.addr, "ORDERS_TOKEN=" + ordersToken,
		"ORDER_EVENTS_SECRETS=" + eventsSecretShared + ", " + eventsSecretNew,
		"SHOP_ADDR=" + address, "SHOP_DATA=" + filepath.Join(t.TempDir(), "data"),
	}}
	s.launch()
	samples, err := filepath.Abs(repositoryPath("docs/shops"))
	require.NoError(t, err)
	st.terminal = openTerminal(t, s.addr, "", "SIMULATOR="+valueOf(s.environ, "MERCADOPAGO_BASE_URL")).withProgram(t)
	pairs := []string{"127.0.0.1:8090", address, "docs/shops/", samples + "/"}
	if program := sample.serve("")[0]; filepath.IsAbs(program) {
		pairs = append(pairs, "./shop", program)
	}
	st.stand(pairs...)
	st.open()
	return st
}

// open starts the shop and returns when it answers.
func (st *shopStage) open(changes ...string) {
	st.t.Helper()
	environ := append(st.environ[:len(st.environ):len(st.environ)], changes...)
	program := func(args []string) *exec.Cmd {
		path, err := exec.LookPath(args[0])
		require.NoError(st.t, err, "%s is missing; .ci/prepare says what to install", args[0])
		cmd := exec.Command(path, args[1:]...) //nolint:noctx // the tests end it themselves
		cmd.Env = environ
		return cmd
	}
	st.started(st.sample.serve(st.address))
	st.running = launch(st.t, program(st.sample.serve(st.address)))
	if len(st.sample.catchUp) > 0 {
		got := outcomeOf(st.t, program(st.sample.catchUp))
		require.Equal(st.t, exitDone, got.code, got.out+got.err)
		st.started(st.sample.catchUp)
	}
	eventually(st.t, func() bool {
		req, err := http.NewRequestWithContext(st.t.Context(), http.MethodGet, "http://"+st.address+"/orders/none", nil)
		require.NoError(st.t, err)
		status, _, err := answerTo(req)
		return err == nil && status == http.StatusNotFound
	}, "the shop never listened")
}

// started records how a program of the shop's was called, which is closed again unseen.
func (st *shopStage) started(args []string) {
	if st.terminal != nil {
		st.session += "$ " + st.shown.Replace(strings.Join(args, " ")) + "\n"
	}
}

// orders posts an order to the shop, as its shoppers do.
func (st *shopStage) orders(reference, amount string) (status int, body string) {
	st.t.Helper()
	return st.post("/orders", nil, `{"reference":"`+reference+`","amount":"`+amount+`","currency":"ARS"}`)
}

func (st *shopStage) post(path string, header http.Header, body string) (status int, answer string) {
	st.t.Helper()
	req, err := http.NewRequestWithContext(st.t.Context(), http.MethodPost, "http://"+st.address+path, strings.NewReader(body))
	require.NoError(st.t, err)
	if header != nil {
		req.Header = header
	}
	status, answer, err = answerTo(req)
	require.NoError(st.t, err)
	return status, answer
}

// pay lets somebody do so at the simulator, as a shop's developer does.
func (st *shopStage) pay(reference string, flags ...string) {
	st.t.Helper()
	got := execute(st.t, nil, append([]string{"simulate", "pay", reference, "--url", valueOf(st.shop.environ, "MERCADOPAGO_BASE_URL")}, flags...)...)
	require.Equal(st.t, exitDone, got.code, got.err)
}

// awaitOrder waits until the shop shows the facts of an order.
func (st *shopStage) awaitOrder(reference, status, paid, refunded string) {
	st.t.Helper()
	var last shopOrder
	eventually(st.t, func() bool {
		last = st.order(reference)
		return last.Status == status && last.PaidAmount == paid && last.RefundedAmount == refunded
	}, "%s never was %s; last %+v", reference, status, last)
}

// A shopOrder is an order as every sample shop shows it.
type shopOrder struct {
	Amount         string `json:"amount"`
	Status         string `json:"status"`
	PaidAmount     string `json:"paid_amount"`
	RefundedAmount string `json:"refunded_amount"`
	Flagged        bool   `json:"flagged"`
	EventID        int64  `json:"event_id"`
}

func (st *shopStage) order(reference string) (o shopOrder) {
	st.t.Helper()
	status, body := get(st.t, "http://"+st.address+"/orders/"+reference, "")
	require.Equal(st.t, http.StatusOK, status, body)
	require.NoError(st.t, json.Unmarshal([]byte(body), &o), body)
	return o
}

// message is an event of an order as it is sent: the headers, and the body.
func (st *shopStage) message(reference, eventType, secret string, at time.Time) (http.Header, string) {
	st.t.Helper()
	var id int64
	var body string
	require.NoError(st.t, st.pool.QueryRow(st.t.Context(),
		`SELECT id, body FROM order_events WHERE order_reference = $1 AND type = $2`, reference, eventType).Scan(&id, &body))
	signer, err := standardwebhooks.NewWebhook(secret)
	require.NoError(st.t, err)
	signature, err := signer.Sign(strconv.FormatInt(id, 10), at, []byte(body))
	require.NoError(st.t, err)
	header := http.Header{}
	header.Set(standardwebhooks.HeaderWebhookID, strconv.FormatInt(id, 10))
	header.Set(standardwebhooks.HeaderWebhookTimestamp, strconv.FormatInt(at.Unix(), 10))
	header.Set(standardwebhooks.HeaderWebhookSignature, signature)
	return header, body
}

// valueOf is the value of a variable of an environment.
func valueOf(environ []string, name string) string {
	for _, pair := range environ {
		if value, found := strings.CutPrefix(pair, name+"="); found {
			return value
		}
	}
	return ""
}

func TestShops_EachLearnsWhatBecameOfItsOrders(t *testing.T) {
	t.Parallel()
	for language, sample := range sampleShops(t) {
		t.Run(language, func(t *testing.T) {
			t.Parallel()
			st := setShopStage(t, sample)

			// Pushed: paid, and given back.
			st.types(t, `curl -s -o /dev/null -w '%{http_code}\n' -X POST http://127.0.0.1:8090/orders -d '{"reference":"order-1","amount":"150.00","currency":"ARS"}'`)
			st.types(t, `conciliar simulate pay order-1 --amount 150.00 --url "$SIMULATOR" | grep status`)
			st.awaitOrder("order-1", "paid", "150.00", "0.00")
			st.types(t, "curl -s http://127.0.0.1:8090/orders/order-1")
			st.requireForgeriesRefused("order-1")
			st.types(t, `conciliar simulate pay order-1 --refund=50.00 --url "$SIMULATOR" | grep refunded`)
			st.awaitOrder("order-1", "partially_refunded", "150.00", "50.00")
			st.types(t, "curl -s http://127.0.0.1:8090/orders/order-1")
			st.requireRepeatsChangeNothing("order-1")
			st.pay("order-1", "--refund")
			st.awaitOrder("order-1", "refunded", "150.00", "150.00")
			st.pay("order-1", "--amount", "200.00")
			st.awaitOrder("order-1", "paid", "350.00", "150.00")
			eventually(t, func() bool { return st.order("order-1").Flagged }, "it is overpaid")

			// The same again is the same, and another's order is not this shop's.
			status, body := st.orders("order-1", "150.00")
			require.Equal(t, http.StatusOK, status, body)
			require.NoError(t, register(t.Context(), "http://"+st.addr, "other-1", decimal.RequireFromString("10.00"), "ARS"))
			status, body = st.orders("other-1", "150.00")
			require.Equal(t, http.StatusBadGateway, status, body)

			// By the feed: what came while it was closed, and no push could bring.
			status, body = st.orders("order/2", "80.00")
			require.Equal(t, http.StatusOK, status, body)
			st.running.stop()
			st.pay("order/2", "--amount", "80.00")
			st.pay("other-1", "--amount", "10.00")
			st.awaitCount(2, `SELECT count(*) FROM order_events WHERE type = 'order.paid' AND position IS NOT NULL AND order_reference IN ('order/2', 'other-1')`)
			st.remark("the shop was closed while order/2 was paid; it is opened again, and reads the feed")
			st.open("ORDER_EVENTS_SECRETS=" + eventsSecretNew)
			st.awaitOrder("order%2F2", "paid", "80.00", "0.00")
			st.types(t, "curl -s http://127.0.0.1:8090/orders/order%2F2")
			st.shows(t, language, "docs/shops/README.md")
			st.awaitOrder("other-1", "other_terms", "10.00", "0.00")
			require.Equal(t, "paid", st.order("order-1").Status, "kept")

			// After a restore of the service's database, when cursors are of no use.
			st.running.stop()
			st.pay("order/2", "--refund")
			st.awaitCount(1, `SELECT count(*) FROM order_events WHERE type = 'order.refunded' AND position IS NOT NULL AND order_reference = 'order/2'`)
			execSQL(t, st.databaseURL, `UPDATE order_feed SET epoch = 'another'`)
			st.open("ORDER_EVENTS_SECRETS=" + eventsSecretNew)
			st.awaitOrder("order%2F2", "refunded", "80.00", "80.00")
		})
	}
}

// requireForgeriesRefused sends what the service did not sign, or long ago.
func (st *shopStage) requireForgeriesRefused(reference string) {
	st.t.Helper()
	before := st.order(reference)
	now := time.Now()
	for forgery, change := range map[string]func(http.Header, string) string{
		"nothing signed": func(h http.Header, body string) string { h.Del("webhook-signature"); return body },
		"no id":          func(h http.Header, body string) string { h.Del("webhook-id"); return body },
		"another id":     func(h http.Header, body string) string { h.Set("webhook-id", "99999999"); return body },
		"no time":        func(h http.Header, body string) string { h.Del("webhook-timestamp"); return body },
		"a later time": func(h http.Header, body string) string {
			h.Set("webhook-timestamp", strconv.FormatInt(now.Unix()+1, 10))
			return body
		},
		"another body": func(_ http.Header, body string) string { return strings.Replace(body, "pending", "refunded", 1) + " " },
		"a version that is not 1": func(h http.Header, body string) string {
			h.Set("webhook-signature", "v2"+h.Get("webhook-signature")[2:])
			return body
		},
		"an empty signature": func(h http.Header, body string) string { h.Set("webhook-signature", "v1,"); return body },
	} {
		header, body := st.message(reference, "order.paid", eventsSecretShared, now)
		status, answer := st.post("/conciliar", header, change(header, body))
		require.Equal(st.t, http.StatusUnauthorized, status, "%s: %s", forgery, answer)
	}
	for forgery, message := range map[string]struct {
		secret string
		at     time.Time
	}{
		"another's secret": {eventsSecretOld, now},
		"long ago":         {eventsSecretShared, now.Add(-10 * time.Minute)},
		"far ahead":        {eventsSecretShared, now.Add(10 * time.Minute)},
	} {
		header, body := st.message(reference, "order.paid", message.secret, message.at)
		status, answer := st.post("/conciliar", header, body)
		require.Equal(st.t, http.StatusUnauthorized, status, "%s: %s", forgery, answer)
	}
	require.Equal(st.t, before, st.order(reference))
}

// requireRepeatsChangeNothing sends earlier events again, with a new time and any
// secret that the shop knows.
func (st *shopStage) requireRepeatsChangeNothing(reference string) {
	st.t.Helper()
	before := st.order(reference)
	for _, repeat := range []struct{ eventType, secret string }{
		{"order.partially_refunded", eventsSecretShared},
		{"order.partially_refunded", eventsSecretNew},
		{"order.paid", eventsSecretShared},
		{"order.registered", eventsSecretShared},
	} {
		header, body := st.message(reference, repeat.eventType, repeat.secret, time.Now())
		status, answer := st.post("/conciliar", header, body)
		require.Equal(st.t, http.StatusOK, status, answer)
		require.JSONEq(st.t, `{"changed":false}`, answer)
	}
	require.Equal(st.t, before, st.order(reference))
}

func TestShops_OneInTheSameDatabaseLearnsBySQL(t *testing.T) {
	t.Parallel()
	_, owner, as := serverWithRoles(t)
	sim, provider := newProvider(t)
	require.Equal(t, exitDone, execute(t, environment(as("conciliar_migrate"), provider, nil), "migrate").code)
	execSQL(t, owner, readDoc(t, "deploy/postgresql/roles.sql"))
	execSQL(t, owner, `CREATE ROLE shop LOGIN IN ROLE conciliar_read PASSWORD 'shop-password'; CREATE SCHEMA shop AUTHORIZATION shop`)
	execSQL(t, as("shop"), readDoc(t, "docs/shops/shop.sql"))
	_, service := serve(t, environment(as("conciliar_serve"), provider, nil))

	conn, err := pgx.Connect(t.Context(), as("shop"))
	require.NoError(t, err)
	defer func() { _ = conn.Close(context.WithoutCancel(t.Context())) }()
	_, err = conn.Exec(t.Context(), `LISTEN conciliar_orders`)
	require.NoError(t, err)
	_, err = conn.Exec(t.Context(), `INSERT INTO shop.orders VALUES ('order-1', 150, 'ARS'), ('order-2', 80, 'ARS')`)
	require.NoError(t, err)
	changed := func() (changed []string) {
		rows, err := conn.Query(t.Context(), `SELECT reference || ' ' || status || ' ' || paid_amount FROM shop.catch_up()`)
		require.NoError(t, err)
		changed, err = pgx.CollectRows(rows, pgx.RowTo[string])
		require.NoError(t, err)
		return changed
	}
	// A change is found after each notification, until it is what was wanted.
	awaitChange := func(want string) {
		t.Helper()
		for !slices.Contains(changed(), want) {
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			_, err := conn.WaitForNotification(ctx)
			cancel()
			require.NoError(t, err, "%s never came", want)
		}
	}

	buy(t, sim, service, "order-1")
	buy(t, sim, service, "another-shops")
	awaitChange("order-1 paid 150")
	require.Empty(t, changed())
	buy(t, sim, service, "order-2") // for 150.00
	awaitChange("order-2 other_terms 150")
	require.Empty(t, changed())
}
