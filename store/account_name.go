package store

import "strings"

// An Account is one of a provider's accounts whose payments are ours, and whose
// credentials ask for them.
type Account struct {
	// Source names the provider.
	Source string
	// CollectorID is the seller's account; empty for the main one.
	CollectorID string
}

// String names the account: the source, and a seller's account behind a slash. The
// circuits are kept by this name.
func (a Account) String() string {
	if a.CollectorID == "" {
		return a.Source
	}
	return a.Source + "/" + a.CollectorID
}

// AccountNamed is the account with that name.
func AccountNamed(name string) Account {
	source, collector, _ := strings.Cut(name, "/")
	return Account{Source: source, CollectorID: collector}
}

// accountName is the name of the account that a row of t belongs to, where sellers
// is the parameter with the sellers' accounts: another account's is the main one's.
func accountName(t, sellers string) string {
	return `(` + t + `.source || CASE WHEN ` + t + `.collector_id = ANY (` + sellers + `::text[]) THEN '/' || ` + t + `.collector_id ELSE '' END)`
}
