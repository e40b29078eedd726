package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/conciliar/conciliar/api/dashboard"
	"github.com/conciliar/conciliar/store"
	"github.com/conciliar/conciliar/store/order"
)

// ordersPath is where the merchant's orders are.
const ordersPath = "/api/orders"

// storageTimeout bounds what one call may ask of the database.
const storageTimeout = 10 * time.Second

// putOrder registers an order, or confirms it: 201 when new, 200 when it is
// there with the same terms, 409 when it is there with others.
func (a *api) putOrder(c *gin.Context, ev *requestEvent) error {
	reference, err := referenceOf(c)
	if err != nil {
		return err
	}
	ev.reference = reference
	members, err := a.bodies.readObject(c.Request, "amount", "currency", "collector_id")
	if err != nil {
		return err
	}
	terms, err := parseTerms(members)
	if err != nil {
		return err
	}
	if members["collector_id"] != nil {
		if terms.CollectorID, err = members.text("collector_id", `"190061234"`); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithTimeout(c.Request.Context(), storageTimeout)
	defer cancel()
	created, err := a.deps.Storage.RegisterOrder(ctx, reference, terms)
	if err != nil {
		return err
	}
	o, err := a.deps.Storage.Order(ctx, reference)
	if err != nil {
		return err
	}
	status := http.StatusOK
	ev.outcome = "confirmed"
	if created {
		status = http.StatusCreated
		ev.outcome = "created"
		c.Writer.Header()["Location"] = []string{"/api/orders/" + url.PathEscape(reference)}
	}
	return answerWithTag(c, status, o)
}

// showOrder answers the order with everything known about it, or 304 when the
// caller knows it already. A caller may wait until it differs.
func (a *api) showOrder(c *gin.Context, ev *requestEvent) error {
	reference, err := referenceOf(c)
	if err != nil {
		return err
	}
	ev.reference = reference
	known, conditional := entityTagsOf(c.Request.Header, "If-None-Match")
	wait, err := waitOf(c, conditional)
	if err != nil {
		return err
	}
	answer := func() (answered bool, err error) { return a.answerOrder(c, reference, known) }
	answered, err := answer()
	if err == nil && !answered && wait > 0 {
		answered, err = a.waits.await(c, reference, wait, answer)
	}
	if err != nil || answered {
		return err
	}
	ev.outcome = "unchanged"
	c.Writer.WriteHeader(http.StatusNotModified)
	c.Writer.WriteHeaderNow()
	return nil
}

// showCase answers all that is known of an order, without personal data.
func (a *api) showCase(c *gin.Context, ev *requestEvent) error {
	reference, err := referenceOf(c)
	if err != nil {
		return err
	}
	ev.reference = reference
	ctx, cancel := bounded(c)
	defer cancel()
	known, err := a.deps.Storage.OrderCase(ctx, reference)
	if err != nil {
		return err
	}
	doc, err := dashboard.NewCaseDocument(a.deps.Provider, a.deps.Version, known)
	if err != nil {
		return err
	}
	return answerJSON(c, http.StatusOK, doc)
}

// answerWithTag answers an order with its entity tag.
func answerWithTag(c *gin.Context, status int, o store.Order) error {
	doc := store.NewOrderDocument(o)
	tag, err := etagOf(doc)
	if err != nil {
		return err
	}
	c.Writer.Header()["Etag"] = []string{tag}
	return answerJSON(c, status, doc)
}

// waitOf is how long the caller waits for the order to differ from what it knows.
func waitOf(c *gin.Context, conditional bool) (time.Duration, error) {
	text, given := c.GetQuery("wait")
	if !given {
		return 0, nil
	}
	if !conditional {
		return 0, newProblem(problemInvalidParameter, "wait needs the header If-None-Match with the ETag of an earlier answer.")
	}
	return callOptions{"wait": text}.wait()
}

// answerOrder answers the order unless the caller knows it, and leaves its entity
// tag in the header.
func (a *api) answerOrder(c *gin.Context, reference string, known entityTags) (answered bool, err error) {
	ctx, cancel := bounded(c)
	defer cancel()
	o, err := a.deps.Storage.Order(ctx, reference)
	if err != nil {
		return false, err
	}
	doc := store.NewOrderDocument(o)
	tag, err := etagOf(doc)
	if err != nil {
		return false, err
	}
	c.Writer.Header()["Etag"] = []string{tag}
	if known.matchWeakly(tag) {
		return false, nil
	}
	return true, answerJSON(c, http.StatusOK, doc)
}

// amendOrder gives an order other terms.
func (a *api) amendOrder(c *gin.Context, ev *requestEvent) error {
	act, members, err := a.orderAct(c, ev, "amount", "currency", "reason")
	if err != nil {
		return err
	}
	terms, err := parseTerms(members)
	if err != nil {
		return err
	}
	return a.actOnOrder(c, ev, "amended", func(ctx context.Context) (store.Order, error) {
		return a.deps.Storage.AmendOrder(ctx, act, terms)
	})
}

// cancelOrder cancels an order.
func (a *api) cancelOrder(c *gin.Context, ev *requestEvent) error {
	act, _, err := a.orderAct(c, ev, "reason")
	if err != nil {
		return err
	}
	return a.actOnOrder(c, ev, "cancelled", func(ctx context.Context) (store.Order, error) {
		return a.deps.Storage.CancelOrder(ctx, act)
	})
}

// orderAct reads who does what to which order, and why.
func (a *api) orderAct(c *gin.Context, ev *requestEvent, known ...string) (store.OrderAct, object, error) {
	reference, err := referenceOf(c)
	if err != nil {
		return store.OrderAct{}, nil, err
	}
	ev.reference = reference
	members, err := a.bodies.readObject(c.Request, known...)
	if err != nil {
		return store.OrderAct{}, nil, err
	}
	text, err := members.text("reason", `"a discount"`)
	if err != nil {
		return store.OrderAct{}, nil, err
	}
	reason, err := store.ParseReason(text)
	if err != nil {
		return store.OrderAct{}, nil, err
	}
	return store.OrderAct{Reference: reference, Reason: reason, By: actorOf(ev), Allow: preconditionOf(c)}, members, nil
}

// preconditionOf refuses to act on an order that is not the one that the caller
// has seen; nil when the caller does not say which.
func preconditionOf(c *gin.Context) func(store.Order) error {
	if len(c.Request.Header.Values("If-Match")) == 0 {
		return nil
	}
	seen, _ := entityTagsOf(c.Request.Header, "If-Match")
	return func(o store.Order) error {
		tag, err := etagOf(store.NewOrderDocument(o))
		if err != nil || seen.match(tag) {
			return err
		}
		return newProblem(problemPreconditionFailed, "The order has changed since: its ETag is not in If-Match.")
	}
}

func (a *api) actOnOrder(c *gin.Context, ev *requestEvent, outcome string, act func(ctx context.Context) (store.Order, error)) error {
	ctx, cancel := bounded(c)
	defer cancel()
	o, err := act(ctx)
	if err != nil {
		return err
	}
	ev.outcome = outcome
	return answerWithTag(c, http.StatusOK, o)
}

// referenceOf decodes the path's last part. A plus sign is one: only a query
// writes a space so.
func referenceOf(c *gin.Context) (string, error) {
	reference, err := url.PathUnescape(c.Param("reference"))
	switch {
	case err != nil || !store.ValidReference(reference):
		return "", newProblem(problemInvalidReference, "A reference has 1 to 64 UTF-8 characters without NUL.")
	case store.ReservedReference(reference):
		return "", newProblem(problemReservedReference, `A reference can't be blank, nor "changes", "latest" or "null".`)
	}
	return reference, nil
}

// parseTerms reads what the merchant asks for an order.
func parseTerms(o object) (order.Terms, error) {
	amount, err := o.text("amount", `"150.00"`)
	if err != nil {
		return order.Terms{}, err
	}
	currency, err := o.text("currency", `"ARS"`)
	if err != nil {
		return order.Terms{}, err
	}
	terms, err := order.ParseTerms(amount, currency)
	var wrong *order.TermsError
	if !errors.As(err, &wrong) {
		return terms, err
	}
	kind := problemInvalidField
	switch {
	case errors.Is(err, order.ErrUnknownCurrency):
		kind = problemCurrencyUnknown
	case errors.Is(err, order.ErrAmountTooFine):
		kind = problemAmountTooFine
	}
	return order.Terms{}, newProblem(kind, fmt.Sprintf("The field %q %s.", wrong.Field, wrong.Why))
}
