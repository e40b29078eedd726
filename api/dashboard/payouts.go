package dashboard

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/conciliar/conciliar/store"
	"github.com/conciliar/conciliar/store/payout"
)

// payoutsView is the body of the list of payouts.
type payoutsView struct {
	store.ListOf[store.Payout, store.MoneyPlace]

	States []payout.State
	// What the list is narrowed to.
	State    payout.State
	Currency string
}

// Older is the place that the next page begins at; empty at the list's end.
func (v payoutsView) Older() string { return placeText(v.Next) }

// Narrowed reports whether some payouts may be left out.
func (v payoutsView) Narrowed() bool { return v.State != "" || v.Currency != "" }

// payoutView is the body of a payout's page.
type payoutView struct {
	store.PayoutDetail

	Movements store.ListOf[store.BookedMovement, store.MoneyPlace]
}

// Older is the place that the next movements begin at.
func (v payoutView) Older() string { return placeText(v.Movements.Next) }

// payouts shows the payout whose id was asked for, or lists payouts, the latest first.
func (d *dashboard) payouts(c *call) error {
	q := c.query()
	if id := q.text("payout"); id != "" && q.err == nil {
		return d.payout(c, id)
	}
	v := payoutsView{States: payout.States(), State: oneOf(q, "state", payout.States()), Currency: strings.ToUpper(q.text("currency"))}
	at := store.PageOf[store.MoneyPlace]{Limit: pageRows, Before: placeOf(q, store.ParsePayoutPlace)}
	var err error
	if v.ListOf, err = read(c, q, d.deps.Storage.Payouts, store.PayoutFilter{State: v.State, Currency: v.Currency}, at); err != nil {
		return err
	}
	return d.show(c, "payouts", &page{Title: "nav.payouts", Nav: "payouts", Refresh: at.Before == (store.MoneyPlace{}), Body: v})
}

func (d *dashboard) payout(c *call, id string) error {
	q := c.query()
	at := store.PageOf[store.MoneyPlace]{Limit: pageRows, Before: placeOf(q, store.ParseMovementPlace)}
	if q.err != nil {
		return q.err
	}
	var v payoutView
	var err error
	if v.PayoutDetail, err = d.deps.Storage.Payout(c.ctx, id); err != nil {
		return err
	}
	if v.Movements, err = d.deps.Storage.PayoutMovements(c.ctx, id, at); err != nil {
		return err
	}
	return d.show(c, "payout", &page{Title: "nav.payouts", Name: id, Nav: "payouts", Body: v})
}

// PayoutLink leads to a payout. Its id is the provider's and may hold anything.
func (p *page) PayoutLink(id string) string {
	return Base + "/payouts?" + url.Values{"payout": {id}}.Encode()
}

// exportTimeout bounds an export. A million rows take far less.
const exportTimeout = 10 * time.Minute

// export sends rows as CSV, in the reader's form of numbers and dates.
func (d *dashboard) export(c *call) error {
	q := c.query()
	e := store.Export{Kind: q.word("kind", store.ExportKinds()), Zone: c.reader.zone}
	e.Since, _ = q.day("since")
	_, e.Until = q.day("until")
	if q.err != nil || e.Kind == "" {
		return errBadInput
	}
	var err error
	if e.Locale, err = store.ParseExportLocale(c.reader.numbers.String()); err != nil {
		if e.Locale, err = store.ParseExportLocale(c.reader.texts.code); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithTimeout(c.Context(), exportTimeout)
	defer cancel()
	// Without effect where the connection has no deadline.
	connection := http.NewResponseController(c.ResponseWriter)
	_ = connection.SetWriteDeadline(time.Now().Add(exportTimeout))
	w := &download{ResponseWriter: c.ResponseWriter, kind: e.Kind}
	if _, err := d.deps.Storage.Export(ctx, e, w); err != nil {
		if !w.begun {
			return err
		}
		d.deps.Logger.ErrorContext(ctx, "export broken off", "kind", e.Kind, "error", err)
		// What was sent must not look whole.
		_ = connection.SetWriteDeadline(time.Unix(1, 0))
		panic(http.ErrAbortHandler)
	}
	return nil
}

// A download says what it is before its first byte, so that an error until then is a
// page.
type download struct {
	http.ResponseWriter

	kind  string
	begun bool
}

func (w *download) Write(p []byte) (int, error) {
	if !w.begun {
		w.begun = true
		h := w.Header()
		h.Set("Content-Type", "text/csv; charset=utf-8")
		h.Set("Content-Disposition", fmt.Sprintf(`attachment; filename="conciliar-%s.csv"`, w.kind))
		h.Set("Cache-Control", "no-store")
		h.Set("X-Content-Type-Options", "nosniff")
	}
	return w.ResponseWriter.Write(p)
}
