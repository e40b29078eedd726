//go:build screenshots

package e2e

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
	"github.com/shopspring/decimal"
	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/jobs/provider/mercadopago/simulator"
	"github.com/conciliar/conciliar/store/storetest"
)

const (
	imagesDir = "../../../docs/images"
	// everythingEnv is a folder to write each page into, in each form, to be
	// looked at; see the Makefile's target screenshots.
	everythingEnv = "SCREENSHOTS_ALL"
	// imageLimit is the most that a picture may weigh in the repository.
	imageLimit = 120 << 10
)

// A shot is one page in one form.
type shot struct {
	name, path, language, scheme string
	width, height                int64
}

// published are the pictures of the documentation.
var published = []shot{
	{"dashboard-overview", "", "en", "light", 1200, 1080},
	{"dashboard-overview-dark", "", "en", "dark", 1200, 1080},
	{"dashboard-event", "/events/{failed}", "en", "light", 1200, 900},
	{"dashboard-deadletters", "/dead-letters", "en", "dark", 1200, 720},
	{"dashboard-order", "/orders?reference=order-1002", "es", "light", 1200, 760},
	{"dashboard-phone", "", "pt-BR", "light", 390, 844},
}

// pages are all that an operator sees.
var pages = []string{
	"", "?span=hour", "?span=week", "/events", "/events/{failed}", "/events/{paid}", "/events/{replayed}", "/orders",
	"/orders?reference=order-1001", "/orders?reference=order-1002", "/orders?reference=order-1004", "/dead-letters", "/dead-letters/1",
	"/dead-letters/replay?reason=retries_exhausted", "/replays/1", "/anomalies", "/anomalies/1", "/runs", "/runs/1", "/runs/1/findings",
	"/refused", "/refused/1", "/search?q=nothing", "/nothing", "/payments", "/payments?payment={payment}", "/payments/days", "/payouts", "/deliveries", "/deliveries/1",
	"/replays", "/actions", "/logins", "/dead-letters/dismiss?reason=retries_exhausted", "/anomalies/resolve", "/refunds", "/refunds/" + shownRefund,
}

// A week before, made by statements: the service takes a week for it.
const (
	weekOfEvents = 6000
	// rhythm takes events away so that days and nights differ.
	rhythm        = `DELETE FROM webhook_queue WHERE (id * 7919) % 100 > 58 + 36 * sin((extract(epoch FROM received_at) - 43200) / 86400 * 2 * pi())`
	outageOfToday = `INSERT INTO provider_outages (source, reason, first_failure_at, opened_at, closed_at, released_at, held_released)
	          VALUES ('mercadopago', 'unavailable', now() - interval '9 h 2 min', now() - interval '9 h', now() - interval '7 h', now() - interval '6 h 58 min', 143)`
)

// A stand is a service with something to show on every page.
type stand struct {
	service, databaseURL string
	numbers              *strings.Replacer
}

func setStand(t *testing.T) *stand {
	t.Helper()
	sim, provider := newProvider(t)
	databaseURL := storetest.URL(t)
	seedWeek(t, databaseURL, weekOfEvents)
	pool := storetest.Open(t, databaseURL)
	for _, statement := range []string{`SET session_replication_role = replica; ` + rhythm + `; RESET session_replication_role`, outageOfToday} {
		_, err := pool.Exec(t.Context(), statement)
		require.NoError(t, err)
	}
	refunds := "disabled" // as it is by default
	if os.Getenv(everythingEnv) != "" {
		refunds = "enabled"
	}
	_, service := serve(t, environment(databaseURL, provider, map[string]string{
		"REFUNDS": refunds, "RETRY_MAX_ATTEMPTS": "2", "RETRY_BASE_DELAY": "100ms", "RECONCILE_SCHEDULE": "0 * * * *",
	}))
	require.NoError(t, sim.SetTarget(service+"/api/checkout/webhook"))
	refuse(t, service)
	pay := func(order, registered, paid string) int64 {
		require.NoError(t, register(t.Context(), service, order, decimal.RequireFromString(registered), "ARS"))
		result := sim.Notify(t.Context(), sim.CreatePayment(simulator.PaymentSpec{
			Reference: order, Amount: decimal.RequireFromString(paid), Status: simulator.Approved, StatusDetail: "accredited",
		}))
		require.NoError(t, result.Err)
		return result.QueueID
	}
	paid := pay("order-1001", "15499.90", "15499.90")
	pay("order-1002", "32537.50", "21000.00")
	pay("order-1003", "8250.00", "8250.00")
	stray := sim.CreatePayment(simulator.PaymentSpec{
		Reference: "order-1005", Amount: decimal.RequireFromString("990.00"), Status: simulator.Approved, StatusDetail: "accredited",
	})
	require.NoError(t, sim.Notify(t.Context(), stray).Err)
	require.NoError(t, register(t.Context(), service, "order-1004", decimal.RequireFromString("4100.00"), "ARS"))
	early := nextID(t, stray)
	for _, unknown := range []string{early, "9000201", "9000202", "9000203"} {
		sendSigned(t, service, unknown)
	}
	failed := paid + 4
	awaitBody(t, service+"/api/webhooks/status", statusToken, `"dead_letters":{"open":4`)
	sim.CreatePayment(simulator.PaymentSpec{
		Reference: "order-1004", Amount: decimal.RequireFromString("4100.00"), Status: simulator.Approved, StatusDetail: "accredited",
	})
	operator := newOperator(t, service)
	operator.logIn(t, operatorPassword)
	operator.send(t, "POST", fmt.Sprintf("/dashboard/events/%d/replay", failed), "application/x-www-form-urlencoded", "")
	awaitBody(t, service+"/api/orders/order-1004", ordersToken, `"status":"paid"`)
	operator.send(t, "POST", "/dashboard/runs", "application/x-www-form-urlencoded", "")
	awaitBody(t, service+"/api/webhooks/runs/1", statusToken, `"status":"succeeded"`)
	s := &stand{service: service, databaseURL: databaseURL, numbers: strings.NewReplacer("{paid}", fmt.Sprint(paid), "{failed}", fmt.Sprint(failed), "{replayed}", fmt.Sprint(failed+4), "{payment}", stray)}
	awaitHistory(t, databaseURL, 7)
	return s
}

// take opens the page as its reader has it and returns its picture.
func (b *browser) take(t *testing.T, s *stand, look shot, whole bool) []byte {
	t.Helper()
	require.NoError(t, chromedp.Do(b.ctx, chromedp.EmulateViewport(look.width, look.height)))
	require.NoError(t, chromedp.Do(b.ctx, chromedp.Func(func(ctx context.Context, target *chromedp.Target) error {
		_, err := cdp.Call(ctx, target, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
			Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: look.scheme}},
		})
		return err
	})))
	b.open(t, "/dashboard?lang="+look.language)
	b.open(t, s.numbers.Replace("/dashboard"+look.path))
	b.await(t, `document.querySelector("h1")`)
	picture := chromedp.CaptureScreenshot()
	if whole {
		picture = chromedp.FullScreenshot(100)
	}
	taken, err := chromedp.Run(b.ctx, picture)
	require.NoError(t, err)
	return taken
}

func TestScreenshots_AreTaken(t *testing.T) {
	t.Parallel()
	s := setStand(t)
	b := newBrowser(t, s.service, "en-US")
	b.expect("status of 404")
	b.logIn(t)
	if dir := os.Getenv(everythingEnv); dir != "" {
		requireEveryPage(t, pages)
		require.NoError(t, os.MkdirAll(dir, 0o750))
		b.open(t, "/dashboard/dead-letters/replay?reason=retries_exhausted")
		b.press(t, `form[action="/dashboard/dead-letters/replay"] button`)
		b.awaitPath(t, "/dashboard/replays/1")
		awaitBody(t, s.service+"/api/webhooks/status", statusToken, `"dead_letters":{"open":3`)
		showRest(t, s.databaseURL, "order-1001")
		for i, path := range pages {
			for _, look := range []shot{
				{"light", path, "en", "light", 1200, 800}, {"dark", path, "es", "dark", 1200, 800}, {"phone", path, "pt-BR", "light", 390, 844},
			} {
				name := fmt.Sprintf("%02d%s-%s.png", i, strings.NewReplacer("/", "-", "?", "-", "{", "", "}", "").Replace(path), look.name)
				require.NoError(t, os.WriteFile(filepath.Join(dir, name), b.take(t, s, look, true), 0o600))
			}
		}
		return
	}
	for _, look := range published {
		small := compress(t, b.take(t, s, look, false))
		require.Less(t, len(small), imageLimit, look.name)
		require.NoError(t, os.WriteFile(filepath.Join(imagesDir, look.name+".png"), small, 0o600))
	}
}

// compress keeps a picture's 256 commonest colours, the nearest of them for each
// of the others.
func compress(t *testing.T, taken []byte) []byte {
	t.Helper()
	full, err := png.Decode(bytes.NewReader(taken))
	require.NoError(t, err)
	counts := map[color.Color]int{}
	bounds := full.Bounds()
	for y := bounds.Min.Y; y < bounds.Max.Y; y++ {
		for x := bounds.Min.X; x < bounds.Max.X; x++ {
			counts[full.At(x, y)]++
		}
	}
	commonest := slices.SortedFunc(maps.Keys(counts), func(a, b color.Color) int { return cmp.Compare(counts[b], counts[a]) })
	palette := color.Palette(commonest[:min(256, len(commonest))])
	nearest := make(map[color.Color]uint8, len(counts))
	for c := range counts {
		nearest[c] = uint8(palette.Index(c))
	}
	small := image.NewPaletted(bounds, palette)
	for y := bounds.Min.Y; y < bounds.Max.Y; y++ {
		for x := bounds.Min.X; x < bounds.Max.X; x++ {
			small.SetColorIndex(x, y, nearest[full.At(x, y)])
		}
	}
	var out bytes.Buffer
	require.NoError(t, (&png.Encoder{CompressionLevel: png.BestCompression}).Encode(&out, small))
	return out.Bytes()
}
