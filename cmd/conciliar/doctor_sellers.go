package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/conciliar/conciliar/config"
	"github.com/conciliar/conciliar/jobs/provider"
	"github.com/conciliar/conciliar/jobs/provider/mercadopago"
)

// checkSellers asks Mercado Pago with each seller's token whose it is, and says which
// secrets sign their webhooks.
func checkSellers(ctx context.Context, cfg config.Config) []finding {
	if !cfg.SellersFile.IsSet() {
		return nil
	}
	watched, err := cfg.SellersFile.Watch()
	if err != nil {
		return []finding{{"sellers", stateFail, "The file of the sellers cannot be used: " + strings.ReplaceAll(err.Error(), "\n", "; ") + ".", "Correct it; a running service continues with what it read before."}}
	}
	sellers := watched.Value().Sellers
	found := []finding{ok("sellers", "%d sellers declared.", len(sellers))}
	for _, seller := range sellers {
		found = append(found, checkSeller(ctx, cfg, seller))
	}
	return found
}

func checkSeller(ctx context.Context, cfg config.Config, seller config.Seller) finding {
	ctx, cancel := context.WithTimeout(ctx, checkLimit)
	defer cancel()
	name := "seller " + seller.CollectorID
	client, err := mercadopago.NewClient(mercadopago.Config{
		BaseURL: cfg.BaseURL.String(), AccessToken: seller.AccessToken.Reveal(), UserAgent: "conciliar/" + version,
	})
	if err != nil {
		return finding{name, stateFail, err.Error() + ".", "Check its access token."}
	}
	account, err := client.Account(ctx)
	var refused *provider.Error
	switch {
	case errors.As(err, &refused) && (refused.Kind == provider.Unauthorized || refused.Kind == provider.Forbidden):
		return finding{name, stateFail, "Mercado Pago does not accept its access token.", "Get the seller's current token from your OAuth flow, or ask it to link its account again."}
	case err != nil:
		return finding{name, stateFail, "Mercado Pago cannot be asked with its token: " + err.Error() + ".", "Check that this machine reaches MERCADOPAGO_BASE_URL."}
	case account != seller.CollectorID:
		return finding{name, stateFail, "Its access token is account " + account + "'s.", "Set its collector_id to the token's account, or use the seller's own token."}
	}
	secrets := "the main account's secrets sign its webhooks"
	if n := len(seller.WebhookSecrets); n > 0 {
		secrets = fmt.Sprintf("%d signing secrets of its own", n)
	}
	return ok(name, "%s: the access token is valid; %s.", seller.Name, secrets)
}
