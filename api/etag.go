package api

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/conciliar/conciliar/store"
)

// etagOf is the order's strong entity tag (RFC 9110, section 8.8.3): another one
// whenever the document differs, but for when its payments were fetched.
func etagOf(doc store.OrderDocument) (string, error) {
	doc.Payments, doc.OddPayments = slices.Clone(doc.Payments), slices.Clone(doc.OddPayments)
	doc.ProvisionalPayments = slices.Clone(doc.ProvisionalPayments)
	for i := range doc.ProvisionalPayments {
		doc.ProvisionalPayments[i].FetchedAt = time.Time{}
	}
	for i := range doc.Payments {
		doc.Payments[i].FetchedAt = time.Time{}
	}
	for i := range doc.OddPayments {
		doc.OddPayments[i].FetchedAt = time.Time{}
	}
	raw, err := json.Marshal(doc)
	if err != nil {
		return "", fmt.Errorf("entity tag of order %q: %w", doc.Reference, err)
	}
	sum := sha256.Sum256(raw)
	return `"` + hex.EncodeToString(sum[:16]) + `"`, nil
}

// entityTags are those of a conditional header.
type entityTags struct {
	// any is true for *, which stands for whatever there is.
	any  bool
	tags []string
}

// entityTagsOf reads a header such as If-None-Match; given is false when nothing
// of it can be read.
func entityTagsOf(h http.Header, name string) (t entityTags, given bool) {
	for part := range strings.SplitSeq(strings.Join(h.Values(name), ","), ",") {
		switch part = strings.TrimSpace(part); {
		case part == "*":
			t.any = true
		case strings.HasSuffix(part, `"`) && strings.Contains(part[:len(part)-1], `"`):
			t.tags = append(t.tags, part)
		}
	}
	return t, t.any || len(t.tags) > 0
}

// match reports whether one of the tags is the strong one given.
func (t entityTags) match(tag string) bool { return t.any || slices.Contains(t.tags, tag) }

// matchWeakly is match where a weak tag, as a proxy that compresses makes of
// ours, is as good.
func (t entityTags) matchWeakly(tag string) bool {
	return t.match(tag) || slices.Contains(t.tags, "W/"+tag)
}
