package mercadopago

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"

	"github.com/conciliar/conciliar/jobs/provider"
)

// ReadPayers finds whom a document names as a payer: a payment (its payer, who stands
// in additional_info as well, and the card's holder), a Mercado Pago order, or the
// body of a notification. The seller, who may have an e-mail address in it too, is
// none. What is masked names nobody. A document that is no JSON names nobody.
func ReadPayers(document []byte) provider.Payers {
	var found provider.Payers
	if !bytes.Contains(document, []byte("payer")) && !bytes.Contains(document, []byte("cardholder")) {
		return found
	}
	reader := json.NewDecoder(bytes.NewReader(bytes.TrimPrefix(document, byteOrderMark)))
	reader.UseNumber()
	var value any
	if reader.Decode(&value) == nil {
		findPayers(value, &found)
	}
	return found
}

// findPayers adds the payers that stand anywhere in a value.
func findPayers(value any, found *provider.Payers) {
	switch v := value.(type) {
	case []any:
		for _, item := range v {
			findPayers(item, found)
		}
	case map[string]any:
		for name, item := range v {
			switch name {
			case "payer":
				if payer, ok := item.(map[string]any); ok {
					addPayer(payer, found)
				} else {
					addPayerID(item, found)
				}
			case "cardholder":
				if holder, ok := item.(map[string]any); ok {
					addDocument(holder, found)
				}
			case "payer_id":
				addPayerID(item, found)
			case "payer_email":
				addEmail(item, found)
			}
			findPayers(item, found)
		}
	}
}

func addPayer(payer map[string]any, found *provider.Payers) {
	addPayerID(payer["id"], found)
	addEmail(payer["email"], found)
	addDocument(payer, found)
}

func addDocument(person map[string]any, found *provider.Payers) {
	if identification, ok := person["identification"].(map[string]any); ok {
		found.Documents = addWord(found.Documents, wordOf(identification["number"]))
	}
}

func addPayerID(value any, found *provider.Payers) {
	if id := wordOf(value); strings.Trim(id, "0") != "" && validID(id) {
		found.IDs = addWord(found.IDs, id)
	}
}

// addEmail adds an address. Mercado Pago masks those of payers without an account.
func addEmail(value any, found *provider.Payers) {
	email := strings.ToLower(wordOf(value))
	name, host, ok := strings.Cut(email, "@")
	if ok && strings.Trim(name, "x*") != "" && host != "" {
		found.Emails = addWord(found.Emails, email)
	}
}

// wordOf is a text or a number as it was written, without blanks around it.
func wordOf(value any) string {
	switch v := value.(type) {
	case string:
		return strings.TrimSpace(v)
	case json.Number:
		return v.String()
	}
	return ""
}

func addWord(words []string, word string) []string {
	if word == "" || slices.Contains(words, word) {
		return words
	}
	return append(words, word)
}
