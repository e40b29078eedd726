package config

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"os"
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

// A SellersFile is MERCADOPAGO_SELLERS_FILE: the path of a file, which names secrets by
// variables or by files of their own and never has them.
type SellersFile struct {
	path string
	// given are the variables that the file may name.
	given map[string]string
	// main is the main account, as far as it is configured.
	main string
}

// UnmarshalText implements encoding.TextUnmarshaler.
func (f *SellersFile) UnmarshalText(text []byte) error {
	f.path = string(text)
	return nil
}

// IsSet reports whether there is such a file.
func (f SellersFile) IsSet() bool { return f.path != "" }

// A SellersInUse are the sellers with the digest of their file alone: processes that
// have their secrets from elsewhere have the same.
type SellersInUse struct {
	Sellers []Seller
	Digest  string
}

// Watch reads the file, and keeps what it declares current while the file and those
// that it names change. Without a file there are no sellers. The error is a Problems.
func (f SellersFile) Watch() (*Watched[SellersInUse], error) {
	watched, err := Watch(sellersVariable, f.load)
	if err != nil {
		var problems Problems
		for line := range strings.SplitSeq(err.Error(), "\n") {
			problems = append(problems, Problem{sellersVariable, line})
		}
		return nil, problems
	}
	return watched, nil
}

const sellersVariable = "MERCADOPAGO_SELLERS_FILE"

// sellersDocument is what the file holds.
type sellersDocument struct {
	Version int         `yaml:"version"`
	Sellers []sellerDoc `yaml:"sellers"`
}

// A sellerDoc is one seller with its place in the file.
type sellerDoc struct {
	CollectorID       string   `yaml:"collector_id"`
	Name              string   `yaml:"name"`
	AccessTokenEnv    string   `yaml:"access_token_env"`
	AccessTokenFile   string   `yaml:"access_token_file"`
	WebhookSecretEnv  []string `yaml:"webhook_secrets_env"`
	WebhookSecretFile []string `yaml:"webhook_secrets_file"`

	line, column int
}

// UnmarshalYAML implements yaml.Unmarshaler.
func (s *sellerDoc) UnmarshalYAML(node *yaml.Node) error {
	type plain sellerDoc
	err := node.Load((*plain)(s), yaml.WithKnownFields())
	s.line, s.column = node.Line, node.Column
	return err
}

// load reads the sellers.
func (f SellersFile) load(read ReadFile) (SellersInUse, error) {
	if !f.IsSet() {
		return SellersInUse{}, nil
	}
	content, err := read(f.path)
	if err != nil {
		return SellersInUse{}, errors.New("names a file that cannot be read: " + causeOf(err))
	}
	var doc sellersDocument
	if err := readYAML(content, &doc); err != nil {
		return SellersInUse{}, err
	}
	if doc.Version != 1 {
		return SellersInUse{}, errors.New("version must be 1")
	}
	sum := sha256.Sum256(content)
	found := SellersInUse{Digest: hex.EncodeToString(sum[:])}
	var problems []error
	known := map[string]bool{f.main: f.main != ""}
	for _, d := range doc.Sellers {
		seller, err := f.seller(d, read)
		if err == nil && known[seller.CollectorID] {
			err = &fileError{d.line, d.column, "this collector_id is there already, or is the main account's"}
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
	wrong := func(problem string) error { return &fileError{d.line, d.column, problem} }
	if d.CollectorID == "" || strings.ContainsFunc(d.CollectorID, isNotDigit) {
		return Seller{}, wrong("collector_id must be the account's number")
	}
	seller := Seller{CollectorID: d.CollectorID, Name: d.Name}
	seller.Name = cmp.Or(seller.Name, d.CollectorID)
	if (d.AccessTokenEnv == "") == (d.AccessTokenFile == "") {
		return Seller{}, wrong("needs access_token_env or access_token_file, one of the two")
	}
	var err error
	if seller.AccessToken, err = f.secret("access_token", d.AccessTokenEnv, d.AccessTokenFile, read); err != nil {
		return Seller{}, wrong(err.Error())
	}
	if !isVisibleASCII(seller.AccessToken.Reveal()) {
		return Seller{}, wrong("access_token has characters that no token has, such as spaces")
	}
	for _, name := range d.WebhookSecretEnv {
		secret, err := f.secret("webhook_secrets", name, "", read)
		if err != nil {
			return Seller{}, wrong(err.Error())
		}
		seller.WebhookSecrets = append(seller.WebhookSecrets, secret)
	}
	for _, path := range d.WebhookSecretFile {
		secret, err := f.secret("webhook_secrets", "", path, read)
		if err != nil {
			return Seller{}, wrong(err.Error())
		}
		seller.WebhookSecrets = append(seller.WebhookSecrets, secret)
	}
	for _, secret := range seller.WebhookSecrets {
		if fault := faultOf(secret.Reveal()); fault != "" {
			return Seller{}, wrong("webhook_secrets has one that " + fault)
		}
	}
	return seller, nil
}

// secret is what a variable or a file holds. The error names neither: a secret may
// have been put where its name belongs.
func (f SellersFile) secret(key, variable, path string, read ReadFile) (Secret, error) {
	value := f.given[variable]
	if path != "" {
		content, err := read(path)
		if err != nil {
			return Secret{}, errors.New(key + "_file names a file that cannot be read: " + causeOf(err))
		}
		value = strings.TrimRight(string(content), "\r\n")
	}
	switch {
	case value == "" && path == "":
		return Secret{}, errors.New(key + "_env names a variable that is not set")
	case strings.TrimSpace(value) == "":
		return Secret{}, errors.New(key + " is blank")
	case strings.TrimSpace(value) != value:
		return Secret{}, errors.New(key + " has white space around it")
	}
	return NewSecret(value), nil
}

// causeOf is why a file can't be read, without its path.
func causeOf(err error) string {
	if cause, ok := errors.AsType[*os.PathError](err); ok {
		return cause.Err.Error()
	}
	return "unknown"
}

func isNotDigit(r rune) bool { return r < '0' || r > '9' }
