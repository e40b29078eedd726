package config

import (
	"cmp"
	"errors"
	"strings"

	yaml "go.yaml.in/yaml/v4"
)

// A Seller is an account beside the main one, as MERCADOPAGO_SELLERS_FILE declares it.
type Seller struct {
	// CollectorID is the account.
	CollectorID string
	// Name is what people call it; its account when none is given.
	Name        string
	AccessToken Secret
	// WebhookSecrets sign its deliveries; none where the marketplace's own do.
	WebhookSecrets []Secret
}

// A SellersFile is MERCADOPAGO_SELLERS_FILE.
type SellersFile struct {
	declaredFile

	// main is the main account, as far as it is configured.
	main string
}

// A SellersInUse are the sellers with the digest of their file alone: processes that
// have their secrets from elsewhere have the same.
type SellersInUse struct {
	Sellers []Seller
	Digest  string
}

// Watch reads the file, and keeps what it declares current while the file and those
// that it names change. Without a file there are no sellers. The error is a Problems.
func (f SellersFile) Watch() (*Watched[SellersInUse], error) {
	return watchDeclared(sellersVariable, f.loadSellers)
}

const sellersVariable = "MERCADOPAGO_SELLERS_FILE"

// sellersDocument is what the file holds.
type sellersDocument struct {
	versioned `yaml:",inline"`

	Sellers []sellerDoc `yaml:"sellers"`
}

// version is 1 in a file that says none.
func (d sellersDocument) version() int { return cmp.Or(d.Version, 1) }

// A sellerDoc is one seller with its place in the file.
type sellerDoc struct {
	CollectorID       string   `yaml:"collector_id"`
	Name              string   `yaml:"name"`
	AccessTokenEnv    string   `yaml:"access_token_env"`
	AccessTokenFile   string   `yaml:"access_token_file"`
	WebhookSecretEnv  []string `yaml:"webhook_secrets_env"`
	WebhookSecretFile []string `yaml:"webhook_secrets_file"`

	declared `yaml:"-"`
}

// UnmarshalYAML implements yaml.Unmarshaler.
func (s *sellerDoc) UnmarshalYAML(node *yaml.Node) error {
	type plain sellerDoc
	err := node.Load((*plain)(s), yaml.WithKnownFields())
	s.node = node
	return err
}

func (f SellersFile) loadSellers(read ReadFile) (SellersInUse, error) {
	if !f.IsSet() {
		return SellersInUse{}, nil
	}
	var doc sellersDocument
	digest, err := f.load(read, &doc)
	if err != nil {
		return SellersInUse{}, err
	}
	found := SellersInUse{Digest: digest}
	var problems []error
	known := map[string]bool{f.main: f.main != ""}
	for _, d := range doc.Sellers {
		seller, err := f.seller(d, read)
		if err == nil && known[seller.CollectorID] {
			err = d.wrong("this collector_id is there already, or is the main account's")
		}
		if err != nil {
			problems = append(problems, err)
			continue
		}
		known[seller.CollectorID] = true
		found.Sellers = append(found.Sellers, seller)
	}
	return found, errors.Join(problems...)
}

// seller makes a seller of its declaration.
func (f SellersFile) seller(d sellerDoc, read ReadFile) (Seller, error) {
	if d.CollectorID == "" || strings.ContainsFunc(d.CollectorID, isNotDigit) {
		return Seller{}, d.wrong("collector_id must be the account's number")
	}
	seller := Seller{CollectorID: d.CollectorID, Name: d.Name}
	seller.Name = cmp.Or(seller.Name, d.CollectorID)
	if (d.AccessTokenEnv == "") == (d.AccessTokenFile == "") {
		return Seller{}, d.wrong("needs access_token_env or access_token_file, one of the two")
	}
	var err error
	if seller.AccessToken, err = f.secret("access_token", d.AccessTokenEnv, d.AccessTokenFile, read); err != nil {
		return Seller{}, d.wrong(err.Error())
	}
	if !isVisibleASCII(seller.AccessToken.Reveal()) {
		return Seller{}, d.wrong("access_token has characters that no token has, such as spaces")
	}
	if seller.WebhookSecrets, err = f.secrets("webhook_secrets", d.WebhookSecretEnv, d.WebhookSecretFile, read); err != nil {
		return Seller{}, d.wrong(err.Error())
	}
	for _, secret := range seller.WebhookSecrets {
		if fault := faultOf(secret.Reveal()); fault != "" {
			return Seller{}, d.wrong("webhook_secrets has one that " + fault)
		}
	}
	return seller, nil
}

func isNotDigit(r rune) bool { return r < '0' || r > '9' }
