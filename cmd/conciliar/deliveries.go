package main

import (
	"context"

	"github.com/conciliar/conciliar/config"
	"github.com/conciliar/conciliar/jobs/delivery"
	"github.com/conciliar/conciliar/store"
)

// deliveries are what goes out of a process that works jobs.
type deliveries struct {
	engine *delivery.Engine
	// know makes the receiver of order events known to the books.
	know func() error
}

// newDeliveries makes what goes out.
func (a *app) newDeliveries(ctx context.Context, cfg config.Config) error {
	life := context.WithoutCancel(ctx)
	a.secrets.deliveries = &deliveries{
		engine: delivery.New(delivery.Options{UserAgent: "conciliar/" + version}),
		know:   func() error { return a.store.DeliverOrderEvents(life) },
	}
	return a.secrets.deliveries.use(cfg)
}

// use takes over where order events go to. What cannot be used leaves what there was.
func (d *deliveries) use(cfg config.Config) error {
	if cfg.OrderEventsURL.Reveal() == "" {
		return d.engine.Use(store.ReceiverOrderEvents)
	}
	receiver, err := orderEventsReceiver(cfg.OrderEvents)
	if err != nil {
		return err
	}
	if err := d.engine.Use(store.ReceiverOrderEvents, receiver); err != nil {
		return err
	}
	return d.know()
}

// orderEventsReceiver is who is told of orders.
func orderEventsReceiver(cfg config.OrderEvents) (delivery.Receiver, error) {
	signer, err := delivery.NewSigner(config.Reveal(cfg.OrderEventsSecrets))
	return delivery.Receiver{
		Name: store.ReceiverOrderEvents, URL: cfg.OrderEventsURL.Reveal(), Signer: signer, AllowPrivate: cfg.OrderEventsAllowPrivate,
	}, err
}
