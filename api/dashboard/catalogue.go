package dashboard

import (
	"embed"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"golang.org/x/text/feature/plural"
	"golang.org/x/text/language"
)

//go:embed messages/*.json
var messageFiles embed.FS

// A catalogue is the texts of one language by their keys. A text may hold names
// in braces, which are replaced: {provider} in all of them by the provider's display
// name. A key that ends in .one or .other is a form of
// the text for a number n; one that is "family.word" translates a word of ours,
// see Word.
type catalogue struct {
	// code is the language's tag, and the name of its file.
	code string
	tag  language.Tag
	text map[string]string
}

// languageCodes are the languages that there are; the first one is for readers
// who ask for none of them.
var languageCodes = []string{"en", "es", "pt-BR"}

func loadCatalogues() ([]catalogue, error) {
	var all []catalogue
	for _, code := range languageCodes {
		raw, err := messageFiles.ReadFile("messages/" + code + ".json")
		if err != nil {
			return nil, fmt.Errorf("messages: %w", err)
		}
		c := catalogue{code: code, tag: language.MustParse(code)}
		if err := json.Unmarshal(raw, &c.text); err != nil {
			return nil, fmt.Errorf("messages of %s: %w", code, err)
		}
		all = append(all, c)
	}
	return all, nil
}

// T returns the text of a key. args are pairs of a name and what stands in its
// place: numbers in the reader's form, anything else as it is. The number that
// is named n chooses between the forms of the text. A key that is not there is
// an error, which ends the page: a text must not silently be its key.
func (r *reader) T(key string, args ...any) (string, error) {
	if len(args)%2 != 0 {
		return "", fmt.Errorf("text %q: its arguments are no pairs", key)
	}
	var pairs []string
	text, ok := r.texts.text[key]
	for pair := range slices.Chunk(args, 2) {
		name, isName := pair[0].(string)
		if !isName {
			return "", fmt.Errorf("text %q: %v is not a name", key, pair[0])
		}
		n, isNumber := integer(pair[1])
		if name == "n" && !ok && isNumber {
			text, ok = r.texts.text[key+"."+r.form(n)]
		}
		value := plain(pair[1])
		if isNumber && !identifiers[name] {
			value = r.whole(n)
		}
		pairs = append(pairs, "{"+name+"}", value)
	}
	if !ok {
		return "", fmt.Errorf("there is no text %q in %s", key, r.texts.code)
	}
	return strings.NewReplacer(pairs...).Replace(text), nil
}

// form is the name of the plural form of n. The catalogues have two forms:
// what a language knows beyond them, such as the Spanish one for millions,
// reads as other.
func (r *reader) form(n int64) string {
	if plural.Cardinal.MatchPlural(r.texts.tag, int(n%1_000_000), 0, 0, 0, 0) == plural.One {
		return "one"
	}
	return "other"
}

// Word returns the reader's word for a word of ours, such as a status. One that
// is not in the catalogue is shown as it is: a newer release may have written
// it.
func (r *reader) Word(family string, word any) string {
	w := plain(word)
	if text, ok := r.texts.text[family+"."+w]; ok {
		return text
	}
	return w
}

// Has reports whether the catalogue has a text for the word.
func (r *reader) Has(family string, word any) bool {
	_, ok := r.texts.text[family+"."+plain(word)]
	return ok
}

// plain is a word or a number as the database has it: a value of any type, or a
// pointer to one, as what may be absent is.
func plain(word any) string {
	if v := reflect.ValueOf(word); v.Kind() == reflect.Pointer {
		if v.IsNil() {
			return ""
		}
		return fmt.Sprint(v.Elem().Interface())
	}
	return fmt.Sprint(word)
}

// identifiers are the arguments whose numbers name something: they are written
// as they are, so that they can be searched for.
var identifiers = map[string]bool{"id": true, "replay": true}

func integer(v any) (int64, bool) {
	switch n := v.(type) {
	case *int64:
		if n != nil {
			return *n, true
		}
	case int:
		return int64(n), true
	case int64:
		return n, true
	}
	return 0, false
}
