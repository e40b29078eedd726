package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"time"

	"github.com/shopspring/decimal"

	"github.com/conciliar/conciliar/config"
	"github.com/conciliar/conciliar/jobs/provider/mercadopago/simulator"
	"github.com/conciliar/conciliar/store"
	"github.com/conciliar/conciliar/store/order"
)

var demoAmount = decimal.RequireFromString("150.00")

const (
	// shopperRate is how many notifications the sample shoppers cause a second.
	shopperRate = 2
	// shopperBatch is how many orders they make at a time.
	shopperBatch = 20
	// watchEvery is how often changes of orders are looked for, and watchBatch
	// how many are read at a time.
	watchEvery = 200 * time.Millisecond
	watchBatch = 100
)

// buy lets sample shoppers buy, and shows what becomes of their orders, until
// ctx ends.
func (d *dev) buy(ctx context.Context) error {
	cfg, err := config.LoadDatabase([]string{"DATABASE_URL=" + d.database.URL("conciliar")})
	if err != nil {
		return err
	}
	pool, err := openPool(ctx, cfg.Database, 2, sessionSettings)
	if err != nil {
		return err
	}
	defer pool.Close()
	storage, err := store.New(pool, store.Options{
		Rules: order.Rules{Mode: order.ModeAny}, UnknownOrder: store.UnknownOrderWait, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	watched := make(chan error, 1)
	go func() { watched <- d.watch(ctx, storage); cancel() }()
	shopped := d.shop(ctx)
	cancel()
	return errors.Join(shopped, <-watched)
}

func (d *dev) shop(ctx context.Context) error {
	orders := &orderClient{service: d.service, token: d.tokens["ORDERS_TOKENS"]}
	run := someName()
	for batch := 1; ctx.Err() == nil; batch++ {
		plan := simulator.Plan{
			Orders: shopperBatch, Rate: shopperRate, Concurrency: 2, Window: 3,
			ReferencePrefix: fmt.Sprintf("shop-%s-%02d-", run, batch),
		}
		for _, o := range d.sim.Orders(plan) {
			if err := orders.register(ctx, o.Reference, o.Amount, o.Currency); err != nil {
				return stoppedOr(ctx, err)
			}
		}
		if _, err := d.sim.Run(ctx, plan); err != nil {
			return stoppedOr(ctx, fmt.Errorf("sample shoppers: %w", err))
		}
	}
	return nil
}

// watch prints every change of an order since this run began: kept data hold
// those of earlier runs.
func (d *dev) watch(ctx context.Context, storage *store.Store) error {
	tick := time.Tick(watchEvery)
	var seen int64
	for {
		changes, err := storage.ChangesSince(ctx, seen, watchBatch)
		if err != nil {
			return stoppedOr(ctx, err)
		}
		for _, c := range changes {
			seen = c.ID
			if c.At.Before(d.began) || (c.Cause == "registered" && c.Status == order.StatusPending) {
				continue // it is old, or only says that the order is there
			}
			line := fmt.Sprintf("order %-26s %-18s %10s %s", c.Reference, c.Status, order.FormatAmount(c.Paid, c.Currency), c.Currency)
			if c.Refunded.IsPositive() {
				line += " (" + order.FormatAmount(c.Refunded, c.Currency) + " refunded)"
			}
			d.say("%s", line)
		}
		if len(changes) == watchBatch {
			continue // there may be more
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick:
		}
	}
}

// An orderClient registers orders as a merchant's shop does.
type orderClient struct {
	service string
	token   string
}

const (
	// startPatience is how long a service that was started a moment ago is waited for.
	startPatience = 30 * time.Second
	startPoll     = 250 * time.Millisecond
)

// await waits until somebody answers at the service's address, and says that it waits.
func (c *orderClient) await(ctx context.Context, out io.Writer) error {
	ctx, cancel := context.WithTimeout(ctx, startPatience)
	defer cancel()
	poll := time.Tick(startPoll)
	for said := false; ; said = true {
		req, err := http.NewRequestWithContext(ctx, http.MethodHead, c.service+"/readyz", http.NoBody)
		if err != nil {
			return usagef("--orders-url takes an address such as http://127.0.0.1:8080")
		}
		resp, err := http.DefaultClient.Do(req)
		if err == nil {
			return resp.Body.Close()
		}
		if !said {
			_, _ = fmt.Fprintf(out, "waiting for the service at %s\n", c.service)
		}
		select {
		case <-poll:
		case <-ctx.Done():
			return fmt.Errorf("wait for the service: %w", err)
		}
	}
}

// register puts one order. An order that stands with the same terms is fine.
func (c *orderClient) register(ctx context.Context, reference string, amount decimal.Decimal, currency string) error {
	body, err := json.Marshal(map[string]string{"amount": order.FormatAmount(amount, currency), "currency": currency})
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPut, c.service+"/api/orders/"+url.PathEscape(reference), bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+c.token)
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return fmt.Errorf("register order %s: %w", reference, err)
	}
	defer func() { _ = resp.Body.Close() }()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, 1<<16))
	if err != nil {
		return fmt.Errorf("register order %s: %w", reference, err)
	}
	if resp.StatusCode != http.StatusOK && resp.StatusCode != http.StatusCreated {
		return fmt.Errorf("register order %s: %s: %s", reference, resp.Status, answer)
	}
	return nil
}
