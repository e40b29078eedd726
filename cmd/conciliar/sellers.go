package main

import (
	"context"
	"crypto/sha256"
	"log/slog"
	"time"

	"github.com/conciliar/conciliar/config"
	"github.com/conciliar/conciliar/jobs"
	"github.com/conciliar/conciliar/jobs/provider/mercadopago"
	"github.com/conciliar/conciliar/store"
)

// sellersRetry is when the ledger is told again of sellers that they could not be
// told of.
const sellersRetry = 5 * time.Second

// sellersVariable names the file of the sellers.
const sellersVariable = "MERCADOPAGO_SELLERS_FILE"

// A marketplace is what of a process follows the file of the sellers. A process that
// receives no webhooks has no verifier and no receiver.
type marketplace struct {
	watched  *config.Watched[config.SellersInUse]
	main     *mercadopago.Client
	clients  *jobs.Sellers
	verifier *mercadopago.Verifier
	receiver *mercadopago.Receiver
	store    *store.Store
	// changed has the sellers that the ledger is to be told of.
	changed chan []config.Seller
}

// newMarketplace reads the file of the sellers, and has jobs ask with their tokens.
func newMarketplace(cfg config.Config, storage *store.Store, client *mercadopago.Client) (*marketplace, error) {
	watched, err := cfg.SellersFile.Watch()
	if err != nil {
		return nil, err
	}
	m := &marketplace{
		watched: watched, main: client, store: storage, clients: jobs.NewSellers(mercadopago.Source), changed: make(chan []config.Seller, 1),
	}
	return m, m.use(watched.Value())
}

// follow has the parts use the sellers, now and whenever their file changes.
func (m *marketplace) follow(logger *slog.Logger) error {
	if err := m.use(m.watched.Value()); err != nil {
		return err
	}
	m.watched.OnChange(func(now config.SellersInUse) {
		// What the file was checked for is all that a part could refuse.
		_ = m.use(now)
		logger.Info("sellers taken over", "sellers", len(now.Sellers))
	})
	return nil
}

func (m *marketplace) use(now config.SellersInUse) error {
	ids := make([]string, len(now.Sellers))
	clients := map[string]jobs.Client{}
	var secrets []string
	for i, seller := range now.Sellers {
		ids[i] = seller.CollectorID
		secrets = append(secrets, config.Reveal(seller.WebhookSecrets)...)
		client, err := m.main.For(seller.AccessToken.Reveal(), seller.CollectorID)
		if err != nil {
			return err
		}
		clients[seller.CollectorID] = client
	}
	if m.verifier != nil {
		if err := m.verifier.UseSellerSecrets(secrets); err != nil {
			return err
		}
		m.receiver.UseSellers(ids)
	}
	m.store.UseSellers(ids)
	m.clients.Use(clients)
	select { // the latest counts
	case <-m.changed:
	default:
	}
	m.changed <- now.Sellers
	return nil
}

// keep tells the store of the sellers, until ctx is done. A process without the file
// leaves alone what another has declared.
func (m *marketplace) keep(ctx context.Context, warn func(msg string, args ...any)) {
	for {
		var sellers []config.Seller
		select {
		case sellers = <-m.changed:
		case <-ctx.Done():
			return
		}
		for {
			err := m.store.KeepSellers(ctx, mercadopago.Source, asStored(sellers), m.watched.Value().Digest != "")
			if err == nil || ctx.Err() != nil {
				break
			}
			warn("sellers not kept", "error", err)
			select {
			case <-time.After(sellersRetry):
				continue
			case sellers = <-m.changed:
			case <-ctx.Done():
				return
			}
		}
	}
}

// asStored are the sellers as the ledger has them.
func asStored(sellers []config.Seller) []store.Seller {
	stored := make([]store.Seller, len(sellers))
	for i, seller := range sellers {
		token := sha256.Sum256([]byte(seller.AccessToken.Reveal()))
		stored[i] = store.Seller{CollectorID: seller.CollectorID, Name: seller.Name, TokenSHA256: token[:]}
	}
	return stored
}
