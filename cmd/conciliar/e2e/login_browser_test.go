package e2e

import (
	"testing"

	"github.com/conciliar/conciliar/store/storetest"
)

func TestBrowser_AnOperatorLogsInLooksAroundAndLogsOut(t *testing.T) {
	t.Parallel()
	sim, provider := newProvider(t)
	_, service := serve(t, environment(storetest.URL(t), provider, nil), "--only", "api")
	buy(t, sim, service, "order-1")
	b := newBrowser(t, service, "en-US")

	// From a link to a page that needs a login, with a slip on the way.
	b.open(t, "/riverui/jobs?state=available")
	b.awaitPath(t, "/dashboard/login?next=%2Friverui%2Fjobs%3Fstate%3Davailable")
	b.expect(`status of 401 .*/dashboard/login\)$`)
	b.fill(t, `input[name=password]`, "not the password\r")
	b.await(t, `document.querySelector("[role=alert]")?.innerText`)
	b.fill(t, `input[name=password]`, operatorPassword+"\r")
	b.awaitPath(t, "/riverui/jobs?state=available")
	b.awaitText(t, "webhook_payment")
	b.press(t, `a[href^="/riverui/jobs/"]`)
	b.awaitText(t, "queue_id")

	b.open(t, "/riverui/")
	b.awaitText(t, "Queues")
	b.open(t, "/dashboard")
	b.await(t, `document.querySelector("h1")`)
	b.press(t, `form[action="/dashboard/logout"] button`)
	b.awaitPath(t, "/dashboard/login")

	// Nothing is left to come back to.
	b.open(t, "/dashboard")
	b.awaitPath(t, "/dashboard/login?next=%2Fdashboard")
	b.open(t, "/riverui/")
	b.awaitPath(t, "/dashboard/login?next=%2Friverui%2F")
	b.logIn(t)
}
