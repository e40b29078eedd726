package e2e

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/shopspring/decimal"
	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/jobs/compare"
	"github.com/conciliar/conciliar/jobs/provider/mercadopago/simulator"
)

// An adoption is a shop with a naive handler behind nginx, to which Conciliar comes.
type adoption struct {
	*shop
	*terminal

	page                       string
	naive, proxy, proxyAddress string
	nginx                      *process
}

func setAdoption(t *testing.T) *adoption {
	t.Helper()
	s := newShop(t, simulator.Faults{Duplicates: 1, Disorder: true}, map[string]string{"TRUSTED_PROXIES": "127.0.0.1/32"})
	s.hasReconciled()
	a := &adoption{shop: s, page: readDoc(t, "docs/adopting.md"), naive: addressToKeep(t), proxyAddress: addressToKeep(t), proxy: t.TempDir()}
	require.NoError(t, s.sim.SetTarget("http://"+a.proxyAddress+"/webhooks/mercadopago"))
	site := copied(t, a.proxy, "nginx/shadow.conf", "127.0.0.1:8090", a.naive, "127.0.0.1:8080", s.addr)
	a.terminal = openTerminal(t, s.addr, "", append(s.environ, "LOG_FORMAT=tint", "NO_COLOR=1", "ORDERS_TOKEN="+ordersToken)...).withProgram(t)
	a.stand("127.0.0.1:8080", s.addr, "127.0.0.1:8090", a.naive, "/etc/nginx/snippets/conciliar.conf", site,
		// The test starts nginx again instead: a reload may let an old worker take one more.
		"nginx -t && nginx -s reload", "")
	var config strings.Builder
	fmt.Fprintf(&config, "daemon off;\nmaster_process off;\npid %s/nginx.pid;\nerror_log stderr;\nevents {}\nhttp {\naccess_log off;\n", a.proxy)
	for _, kind := range []string{"client_body", "proxy", "fastcgi", "uwsgi", "scgi"} {
		fmt.Fprintf(&config, "%s_temp_path %s/%s;\n", kind, a.proxy, kind)
	}
	fmt.Fprintf(&config, "server {\nlisten %s;\ninclude %s;\n}\n}\n", a.proxyAddress, site)
	require.NoError(t, os.WriteFile(filepath.Join(a.proxy, "nginx.conf"), []byte(config.String()), 0o600))

	handler, err := filepath.Abs(repositoryPath("docs/shops/naive.php"))
	require.NoError(t, err)
	cmd := exec.Command("php", "-S", a.naive, handler) //nolint:noctx // the test ends it itself
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "SHOP_DATA=" + filepath.Join(t.TempDir(), "naive.db"),
		"MERCADOPAGO_BASE_URL=" + valueOf(s.environ, "MERCADOPAGO_BASE_URL"), "MERCADOPAGO_ACCESS_TOKEN=" + testAccess}
	launch(t, cmd)
	a.answers(a.naive)
	a.startProxy()
	return a
}

// answers waits until something listens at an address.
func (a *adoption) answers(address string) {
	a.t.Helper()
	eventually(a.t, func() bool {
		req, err := http.NewRequestWithContext(a.t.Context(), http.MethodGet, "http://"+address+"/none", nil)
		require.NoError(a.t, err)
		status, _, err := answerTo(req)
		return err == nil && status == http.StatusNotFound
	}, "%s never listened", address)
}

func (a *adoption) startProxy() {
	a.t.Helper()
	if a.nginx != nil {
		a.nginx.stop()
	}
	program, err := exec.LookPath("nginx")
	if err != nil {
		program = "/usr/sbin/nginx"
	}
	a.nginx = launch(a.t, exec.Command(program, "-p", a.proxy, "-c", filepath.Join(a.proxy, "nginx.conf"))) //nolint:noctx // as above
	a.answers(a.proxyAddress)
}

func (a *adoption) pasted(text string) {
	a.t.Helper()
	a.terminal.pasted(a.t, a.page, text)
}

// sellAtShop has the naive shop keep orders.
func (a *adoption) sellAtShop(orders ...simulator.OrderSpec) {
	a.t.Helper()
	for _, o := range orders {
		body := fmt.Sprintf(`{"reference":%q,"amount":%q,"currency":%q}`, o.Reference, o.Amount.StringFixed(2), o.Currency)
		req, err := http.NewRequestWithContext(a.t.Context(), http.MethodPost, "http://"+a.naive+"/orders", strings.NewReader(body))
		require.NoError(a.t, err)
		status, answer, err := answerTo(req)
		require.NoError(a.t, err)
		require.Equal(a.t, http.StatusOK, status, answer)
	}
}

// live has the shop sell, and the simulator give each order a life.
func (a *adoption) live(prefix string, orders int) {
	a.t.Helper()
	plan := simulator.Plan{Orders: orders, ReferencePrefix: prefix, Concurrency: 4}
	a.sellAtShop(a.sim.Orders(plan)...)
	_, err := a.sim.Run(a.t.Context(), plan)
	require.NoError(a.t, err)
}

// bought is a payment of an order of 150.00 ARS, which the naive shop keeps.
func (a *adoption) bought(reference string) (paymentID string) {
	a.t.Helper()
	a.sellAtShop(simulator.OrderSpec{Reference: reference, Amount: decimal.NewFromInt(150), Currency: "ARS"})
	return a.sim.CreatePayment(simulator.PaymentSpec{Reference: reference, Amount: decimal.NewFromInt(150), Currency: "ARS", Status: simulator.Approved, StatusDetail: "accredited"})
}

// awaitTruth waits until Conciliar has every order as it is.
func (a *adoption) awaitTruth() {
	a.t.Helper()
	last := ""
	eventually(a.t, func() bool {
		for _, o := range a.sim.Truth() {
			last = o.Reference
			if a.count(`SELECT count(*) FROM orders WHERE reference = $1 AND status = $2 AND paid_amount = $3 AND refunded_amount = $4`, o.Reference, o.Status, o.Paid, o.Refunded) != 1 {
				return false
			}
		}
		return true
	}, "an order never was what it is: %s", &last)
}

// naiveWrongs are the orders that the naive handler has wrong, by the simulator's ledger.
func (a *adoption) naiveWrongs(content string) (wrong []string) {
	a.t.Helper()
	rows, err := csv.NewReader(strings.NewReader(content)).ReadAll()
	require.NoError(a.t, err)
	may := map[string][]string{"new": {"pending", "in_process", "rejected", "cancelled", "authorized"}, "paid": {"paid"}, "refunded": {"refunded"}}
	known := map[string][]string{}
	for _, row := range rows {
		known[row[0]] = row
	}
	for _, o := range a.sim.Truth() {
		row := known[o.Reference]
		require.NotNil(a.t, row, o.Reference)
		if !slices.Contains(may[row[1]], o.Status) || !decimal.RequireFromString(row[4]).Equal(o.Paid) {
			wrong = append(wrong, o.Reference)
		}
	}
	slices.Sort(wrong)
	return wrong
}

// differing are the orders that a comparison names.
func (a *adoption) differing(file string) (all []string, result compare.Result) {
	a.t.Helper()
	got := a.terminal.run(a.t, `conciliar orders compare `+file+` --json --limit 1000 --status 'new=pending,in_process,rejected,cancelled,authorized'`)
	require.Contains(a.t, []int{exitDone, exitFailed}, got.code, got.err)
	require.NoError(a.t, json.Unmarshal([]byte(got.out), &result), got.out)
	require.Equal(a.t, result.Equal(), got.code == exitDone)
	for _, d := range result.Differences {
		require.Equal(a.t, compare.Differs, d.Kind, d.Reference)
		require.NotEmpty(a.t, d.Why)
		all = append(all, d.Reference)
	}
	slices.Sort(all)
	return all, result
}

func TestAdopting_AShopComesFromANaiveHandlerAndMayGoBack(t *testing.T) {
	t.Parallel()
	a := setAdoption(t)

	// The handler alone: Conciliar isn't there, and nobody notices.
	a.live("past-", 20)

	// Beside it: each webhook comes to both. Then Mercado Pago can't be asked for a while.
	a.launch()
	a.live("beside-", 30)
	a.sim.SetOutage(true)
	for n := range 3 {
		require.True(t, a.sim.Notify(t.Context(), a.bought(fmt.Sprintf("lost-%d", n))).Acknowledged(), "it is lost, and it says that all is well")
	}
	a.sim.SetOutage(false)
	a.remark("beside it: the handler answers, and Conciliar has a copy of each webhook")
	a.remark("lost-0, lost-1 and lost-2 were paid while Mercado Pago could not be asked")
	a.pasted("orders.csv >orders.csv")
	a.pasted(`\copy`)
	a.pasted("conciliar reconcile --since")
	a.awaitTruth()

	content, err := os.ReadFile(filepath.Join(a.home, "orders.csv"))
	require.NoError(t, err)
	wrong := a.naiveWrongs(string(content))
	require.Subset(t, wrong, []string{"lost-0", "lost-1", "lost-2"})
	found, result := a.differing("orders.csv")
	require.Equal(t, wrong, found)
	require.Equal(t, len(a.sim.Truth())-len(wrong), result.Same)
	require.Positive(t, result.Same)
	comparing := blockWith(t, a.page, "conciliar orders compare")
	shown := a.terminal.run(t, comparing)
	require.Equal(t, exitFailed, shown.code)
	a.types(t, strings.TrimSpace(comparing)+" | grep lost-")
	a.types(t, "conciliar orders show lost-0 | head -n 4")
	require.Regexp(t, `(?m)^lost-0 +\d+ +status +new +paid +the amount is there: payment \d+ approved 150\.00 ARS; registered for 150\.00 ARS$`, shown.out)

	for command, says := range map[string]string{
		`printf 'reference,state\n' | conciliar orders compare -`:         `the standard input: line 1, column "status": is missing; the columns are reference, state`,
		`printf 'reference,status\nlost-0,' | conciliar orders compare -`: `statuses that are not mapped: "" (rows: 1, the first in line 2)`,
		`conciliar orders compare none.csv`:                               "none.csv",
		`conciliar orders compare`:                                        "takes one file",
	} {
		got := a.terminal.run(t, command)
		require.Equal(t, exitUsage, got.code, command)
		require.Contains(t, got.err, says, command)
	}

	// The shop's new code takes its table over, and reads the feed: all is right.
	st := a.takenOver(string(content))
	require.Empty(t, must(a.differing(a.export(st))))

	// Conciliar answers.
	a.remark("the shop's new code has read the feed, and all are equal: switched over")
	a.pasted("/webhooks-to-conciliar last")
	a.startProxy()
	before := a.naiveOrders()
	status, body := st.orders("after-1", "150.00")
	require.Equal(t, http.StatusOK, status, body)
	paid := a.sim.CreatePayment(simulator.PaymentSpec{Reference: "after-1", Amount: decimal.NewFromInt(150), Currency: "ARS", Status: simulator.Approved, StatusDetail: "accredited"})
	answer := a.sim.Notify(t.Context(), paid)
	require.True(t, answer.Acknowledged())
	require.Positive(t, answer.QueueID, "Conciliar's own answer")
	a.awaitTruth()
	a.types(t, `curl -s http://127.0.0.1:8080/api/orders/after-1 -H "Authorization: Bearer $ORDERS_TOKEN"`)
	require.Equal(t, before, a.naiveOrders())
	st.again()
	require.Empty(t, must(a.differing(a.export(st))))

	// The way back: the handler answers, and Conciliar has its copy.
	a.remark("and back")
	a.pasted("/webhooks-to-shop last")
	a.startProxy()
	require.NoError(t, register(t.Context(), "http://"+a.addr, "back-1", decimal.NewFromInt(150), "ARS"))
	answer = a.sim.Notify(t.Context(), a.bought("back-1"))
	require.True(t, answer.Acknowledged())
	require.Zero(t, answer.QueueID, "the handler's answer")
	require.Contains(t, a.naiveOrders(), "back-1,paid,150.00,ARS,150.00\n")
	a.awaitTruth()
	a.types(t, `curl -s http://127.0.0.1:8090/orders.csv | grep back-1`)
	a.types(t, `curl -s http://127.0.0.1:8080/api/orders/back-1 -H "Authorization: Bearer $ORDERS_TOKEN"`)
	a.requireSound()
	a.shows(t, "shadow mode", "docs/adopting.md")
}

func must(found []string, _ compare.Result) []string { return found }

func (a *adoption) naiveOrders() string {
	a.t.Helper()
	status, body := get(a.t, "http://"+a.naive+"/orders.csv", "")
	require.Equal(a.t, http.StatusOK, status)
	return body
}

// takenOver is a sample shop that reads the feed, and whose table is the naive one's.
func (a *adoption) takenOver(content string) *shopStage {
	a.t.Helper()
	rows, err := csv.NewReader(strings.NewReader(content)).ReadAll()
	require.NoError(a.t, err)
	orders := map[string]any{}
	for _, row := range rows[1:] {
		orders[row[0]] = map[string]string{"reference": row[0], "status": row[1], "amount": row[2], "currency": row[3], "paid_amount": row[4]}
	}
	data, err := json.Marshal(map[string]any{"Orders": orders})
	require.NoError(a.t, err)
	file := filepath.Join(a.t.TempDir(), "data")
	require.NoError(a.t, os.WriteFile(file, data, 0o600))
	address := addressToKeep(a.t)
	st := &shopStage{shop: a.shop, sample: sampleShops(a.t)["Go"], address: address, environ: []string{
		"PATH=" + os.Getenv("PATH"), "SERVICE=http://" + a.addr, "ORDERS_TOKEN=" + ordersToken,
		"ORDER_EVENTS_SECRETS=" + eventsSecretNew, "SHOP_ADDR=" + address, "SHOP_DATA=" + file,
	}}
	st.again()
	return st
}

// again starts the shop, which then reads the feed to its end.
func (st *shopStage) again() {
	st.t.Helper()
	if st.running != nil {
		st.running.stop()
	}
	st.awaitCount(0, `SELECT count(*) FROM order_events WHERE position IS NULL`)
	st.open()
	end := st.count(`SELECT count(*) FROM order_events`)
	require.Positive(st.t, end)
	for _, o := range st.sim.Truth() {
		st.awaitOrder(o.Reference, o.Status, o.Paid.StringFixed(2), o.Refunded.StringFixed(2))
	}
}

// export is a file with the orders that the shop has now.
func (a *adoption) export(st *shopStage) (name string) {
	a.t.Helper()
	var content bytes.Buffer
	w := csv.NewWriter(&content)
	require.NoError(a.t, w.Write([]string{"reference", "status", "amount", "paid_amount", "refunded_amount"}))
	for _, o := range a.sim.Truth() {
		have := st.order(o.Reference)
		require.NoError(a.t, w.Write([]string{o.Reference, have.Status, have.Amount, have.PaidAmount, have.RefundedAmount}))
	}
	w.Flush()
	require.NoError(a.t, os.WriteFile(filepath.Join(a.home, "new.csv"), content.Bytes(), 0o600))
	return "new.csv"
}
