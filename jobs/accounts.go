package jobs

import (
	"maps"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/conciliar/conciliar/jobs/circuit"
	"github.com/conciliar/conciliar/store"
)

// A Client asks a provider for all that jobs need, with one account's credentials.
type Client interface {
	Fetcher
	PaymentSearcher
}

// Sellers are who asks with the credentials of sellers' accounts of one provider.
// They may be exchanged while the service runs. It is safe for concurrent use.
type Sellers struct {
	source  string
	clients atomic.Pointer[map[store.Account]Client]
}

// NewSellers returns no sellers of a provider, which Deps.Providers has as well.
func NewSellers(source string) *Sellers {
	s := &Sellers{source: source}
	s.Use(nil)
	return s
}

// Use makes these the sellers, by their accounts.
func (s *Sellers) Use(clients map[string]Client) {
	byAccount := make(map[store.Account]Client, len(clients))
	for id, client := range clients {
		byAccount[store.Account{Source: s.source, CollectorID: id}] = client
	}
	s.clients.Store(&byAccount)
}

// now are the sellers by their accounts; nil sellers are none.
func (s *Sellers) now() map[store.Account]Client {
	if s == nil {
		return nil
	}
	return *s.clients.Load()
}

// accounts are who asks providers: the main account of each, and its sellers.
type accounts struct {
	providers map[string]Fetcher
	searches  map[string]PaymentSearcher
	sellers   *Sellers
}

func accountsOf(deps Deps) accounts {
	return accounts{providers: deps.Providers, searches: deps.Searches, sellers: deps.Sellers}
}

// of is the account to ask with about what belongs to a collector: the seller's, and
// the main one for every other.
func (a accounts) of(source, collectorID string) store.Account {
	seller := store.Account{Source: source, CollectorID: collectorID}
	if _, known := a.sellers.now()[seller]; known && collectorID != "" {
		return seller
	}
	return store.Account{Source: source}
}

// fetcher asks with the account's credentials; nil when there is no such account.
func (a accounts) fetcher(account store.Account) Fetcher {
	if account.CollectorID == "" {
		return a.providers[account.Source]
	}
	if client, known := a.sellers.now()[account]; known {
		return client
	}
	return nil
}

// searcher searches with the account's credentials; nil when there is no such
// account.
func (a accounts) searcher(account store.Account) PaymentSearcher {
	if account.CollectorID == "" {
		return a.searches[account.Source]
	}
	if client, known := a.sellers.now()[account]; known {
		return client
	}
	return nil
}

// All implements circuit.Accounts.
func (a accounts) All() []store.Account { return a.sorted(maps.Keys(a.providers)) }

// searched are the accounts that can be searched.
func (a accounts) searched() []store.Account { return a.sorted(maps.Keys(a.searches)) }

// sorted are the main accounts of these sources, and then all sellers, in a fixed
// order.
func (a accounts) sorted(sources func(yield func(string) bool)) []store.Account {
	sellers := a.sellers.now()
	all := make([]store.Account, 0, 1+len(sellers))
	for _, source := range slices.Sorted(sources) {
		all = append(all, store.Account{Source: source})
	}
	return append(all, slices.SortedFunc(maps.Keys(sellers), func(a, b store.Account) int {
		return strings.Compare(a.CollectorID, b.CollectorID)
	})...)
}

// Provider implements circuit.Accounts.
func (a accounts) Provider(account store.Account) circuit.Provider {
	if asks := a.fetcher(account); asks != nil {
		return asks
	}
	return nil
}
