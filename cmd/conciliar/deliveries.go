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
	// know makes the receiver of order events known to the store.
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

// checkReceiver tries whether the shop's endpoint can be reached.
func checkReceiver(ctx context.Context, cfg config.OrderEvents) []finding {
	const name = "order events"
	if cfg.OrderEventsURL.Reveal() == "" {
		return nil
	}
	engine := delivery.New(delivery.Options{UserAgent: "conciliar/" + version})
	receiver, err := orderEventsReceiver(cfg)
	if err == nil {
		err = engine.Use(store.ReceiverOrderEvents, receiver)
	}
	if err != nil {
		return []finding{{name, stateFail, "ORDER_EVENTS_URL cannot be used: " + err.Error() + ".", "Correct it."}}
	}
	answer, err := engine.Reach(ctx, store.ReceiverOrderEvents)
	switch {
	case err != nil:
		return []finding{{name, stateFail, "ORDER_EVENTS_URL was not tried: " + err.Error() + ".", "Try again."}}
	case answer.Class == delivery.ClassPrivateAddress:
		return []finding{{name, stateFail, "ORDER_EVENTS_URL resolves to an address that is not public.", "Set ORDER_EVENTS_ALLOW_PRIVATE=true if that is meant."}}
	case !answer.Accepted():
		return []finding{{name, stateFail, "ORDER_EVENTS_URL cannot be reached: " + answer.Err.Error() + ".", "Check its name, its certificate, and that it runs."}}
	}
	return []finding{ok(name, "ORDER_EVENTS_URL is reached; %d secrets sign.", len(cfg.OrderEventsSecrets))}
}
