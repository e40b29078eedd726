package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/gin-gonic/gin"

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
	members, err := a.bodies.readObject(c.Request, "amount", "currency")
	if err != nil {
		return err
	}
	terms, err := parseTerms(members)
	if err != nil {
		return err
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
	return answerJSON(c, status, NewOrderDocument(o))
}

// showOrder answers the order with everything known about it.
func (a *api) showOrder(c *gin.Context, ev *requestEvent) error {
	reference, err := referenceOf(c)
	if err != nil {
		return err
	}
	ev.reference = reference
	ctx, cancel := context.WithTimeout(c.Request.Context(), storageTimeout)
	defer cancel()
	o, err := a.deps.Storage.Order(ctx, reference)
	if err != nil {
		return err
	}
	return answerJSON(c, http.StatusOK, NewOrderDocument(o))
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

// cancelOrder calls an order off.
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
	return store.OrderAct{Reference: reference, Reason: reason, By: actorOf(ev)}, members, nil
}

func (a *api) actOnOrder(c *gin.Context, ev *requestEvent, outcome string, act func(ctx context.Context) (store.Order, error)) error {
	ctx, cancel := bounded(c)
	defer cancel()
	o, err := act(ctx)
	if err != nil {
		return err
	}
	ev.outcome = outcome
	return answerJSON(c, http.StatusOK, NewOrderDocument(o))
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
