package source

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/go-openapi/jsonpointer"
	"golang.org/x/net/http/httpguts"
)

// A Place is where something stands in a delivery: in a header, or in the JSON of its
// body, by a JSON Pointer (RFC 6901).
type Place struct{ Header, JSON string }

// A place is a Place that was checked.
type place struct {
	// header is in the form that net/http has it.
	header  string
	pointer *jsonpointer.Pointer
}

// place checks a Place.
func (f *fieldErrors) place(field string, p Place) place {
	f.demand(p.Header == "" || p.JSON == "", field, "has header and json; one of the two says where it stands")
	f.demand(p.Header == "" || httpguts.ValidHeaderFieldName(p.Header), field+".header", "is not the name of a header")
	checked := place{header: http.CanonicalHeaderKey(p.Header)}
	if p.JSON != "" {
		pointer, err := jsonpointer.New(p.JSON)
		f.demand(err == nil && !badEscape(p.JSON), field+".json", "must be a JSON Pointer such as /data/id")
		checked.pointer = &pointer
	}
	return checked
}

// badEscape reports whether a pointer has a tilde that escapes nothing.
func badEscape(pointer string) bool {
	return strings.Contains(strings.NewReplacer("~0", "", "~1", "").Replace(pointer), "~")
}

func (p place) isSet() bool { return p.header != "" || p.pointer != nil }

// in is the text that stands there: a header's value, or a text, a number or a truth
// value of the body. It is empty where there is none of these.
func (p place) in(read *reading) string {
	switch {
	case p.header != "":
		return strings.TrimSpace(read.header.Get(p.header))
	case p.pointer == nil:
		return ""
	}
	document, ok := read.json()
	if !ok {
		return ""
	}
	found, _, err := p.pointer.Get(document)
	if err != nil {
		return ""
	}
	switch v := found.(type) {
	case string:
		return v
	case json.Number:
		return v.String()
	case bool:
		return strconv.FormatBool(v)
	}
	return ""
}

// A reading is a delivery that is being read: its body is parsed once, when it is
// needed.
type reading struct {
	header   http.Header
	body     []byte
	parsed   bool
	document any
	err      error
}

// json is the body as JSON; false where it is none.
func (r *reading) json() (document any, ok bool) {
	if !r.parsed {
		r.parsed = true
		r.document, r.err = parseJSON(r.body)
	}
	return r.document, r.err == nil
}

// parseJSON reads one document. Numbers stay as they are written.
func parseJSON(body []byte) (document any, err error) {
	decoder := json.NewDecoder(bytes.NewReader(bytes.TrimPrefix(body, []byte("\xef\xbb\xbf"))))
	decoder.UseNumber()
	if err := decoder.Decode(&document); err != nil {
		return nil, err
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("more than one document")
	}
	return document, nil
}

// earliest and latest bound the times that are believed.
var (
	earliest = time.Date(1970, 1, 1, 0, 0, 0, 0, time.UTC)
	latest   = time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC)
)

// millisecondsFrom is the number from which a Unix time counts milliseconds: as
// seconds it would be in the year 5138.
const millisecondsFrom = 100_000_000_000

// parseTime reads a time: RFC 3339, an HTTP date, or Unix time in seconds or
// milliseconds. It is zero for what is none of these.
func parseTime(text string) time.Time {
	at, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		at, err = http.ParseTime(text)
	}
	if err != nil {
		number, numberErr := strconv.ParseFloat(text, 64)
		if numberErr != nil || math.IsNaN(number) || math.Abs(number) > float64(latest.UnixMilli()) {
			return time.Time{}
		}
		if number < millisecondsFrom {
			number *= 1000
		}
		at = time.UnixMilli(int64(number))
	}
	if at.Before(earliest) || at.After(latest) {
		return time.Time{}
	}
	return at.UTC()
}
