package dashboard

import (
	"fmt"
	"maps"
	"net/url"
)

// With is the page's own address with parameters changed: pairs of a name and
// a value, where an empty value takes the parameter away.
func (p *page) With(pairs ...any) (string, error) {
	if len(pairs)%2 != 0 {
		return "", fmt.Errorf("a link's parameters are no pairs")
	}
	q := url.Values(maps.Clone(p.query))
	if q == nil {
		q = url.Values{}
	}
	for i := 0; i < len(pairs); i += 2 {
		name, value := fmt.Sprint(pairs[i]), fmt.Sprint(pairs[i+1])
		if value == "" {
			q.Del(name)
			continue
		}
		q.Set(name, value)
	}
	return localPath(p.Path, q.Encode()), nil
}

// Languages are the switch's entries.
func (p *page) Languages() []string { return languageCodes }

// NoticeText is the notice.
func (p *page) NoticeText() (string, error) { return p.T(p.Notice, p.NoticeArgs...) }

// OrderLink leads to an order.
func (p *page) OrderLink(reference string) string { return orderPath(reference) }

// Asked reports whether the page's address has a parameter.
func (p *page) Asked(name string) bool { return url.Values(p.query).Get(name) != "" }
