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
// none. What is masked names nobody, nor does a document that is not JSON or what stands
// more than 32 levels deep in one. The address of whom the document itself calls its
// payer is the first.
func ReadPayers(document []byte) provider.Payers {
	var found provider.Payers
	if !bytes.Contains(document, []byte("payer")) && !bytes.Contains(document, []byte("cardholder")) {
		return found
	}
	document = bytes.TrimPrefix(document, byteOrderMark)
	if !json.Valid(document) {
		return found
	}
	document = document[pastBlanks(document, 0):]
	findPayers(document, mostNested, &found)
	if len(found.Emails) > 1 && document[0] == '{' {
		var own provider.Payers
		addEmail(membersOf(document).child("payer").text("email"), &own)
		for _, email := range found.Emails {
			own.Emails = addWord(own.Emails, email)
		}
		found.Emails = own.Emails
	}
	return found
}

// mostNested is how many levels of a document are read: each is read once for every level
// above it, and anybody may send a body of thousands. Those of Mercado Pago have five.
const mostNested = 32

// findPayers adds the payers that stand anywhere in a value, so many levels down.
func findPayers(value []byte, levels int, found *provider.Payers) {
	if levels == 0 {
		return
	}
	switch value[0] {
	case '[':
		eachEntry(value, func(entry []byte) { findPayers(entry, levels-1, found) })
	case '{':
		eachMember(value, func(name, item []byte) {
			switch string(name) {
			case "payer":
				if item[0] == '{' {
					addPayer(membersOf(item), found)
				} else {
					addPayerID(wordOf(item), found)
				}
			case "cardholder":
				if item[0] == '{' {
					addDocument(membersOf(item), found)
				}
			case "payer_id":
				addPayerID(wordOf(item), found)
			case "payer_email":
				addEmail(wordOf(item), found)
			}
			findPayers(item, levels-1, found)
		})
	}
}

func addPayer(payer object, found *provider.Payers) {
	addPayerID(payer.text("id"), found)
	addEmail(payer.text("email"), found)
	addDocument(payer, found)
}

func addDocument(person object, found *provider.Payers) {
	found.Documents = addWord(found.Documents, person.child("identification").text("number"))
}

func addPayerID(id string, found *provider.Payers) {
	if strings.Trim(id, "0") != "" && validID(id) {
		found.IDs = addWord(found.IDs, id)
	}
}

// addEmail adds an address. Mercado Pago masks those of payers without an account.
func addEmail(email string, found *provider.Payers) {
	email = strings.ToLower(email)
	name, host, ok := strings.Cut(email, "@")
	if ok && strings.Trim(name, "x*") != "" && host != "" {
		found.Emails = addWord(found.Emails, email)
	}
}

// wordOf is a text or a number as it was written, without blanks around it.
func wordOf(value []byte) string { return strings.TrimSpace(scalarOf(value)) }

func addWord(words []string, word string) []string {
	if word == "" || slices.Contains(words, word) {
		return words
	}
	return append(words, word)
}
