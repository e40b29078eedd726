package dashboard

import (
	"fmt"
	"maps"
	"net/url"
	"strconv"
)

// With is the page's own address with parameters changed: pairs of a name and
// a value, where an empty value takes the parameter away. What an action said is
// not said again.
func (p *page) With(pairs ...any) (string, error) {
	if len(pairs)%2 != 0 {
		return "", fmt.Errorf("a link's parameters are no pairs")
	}
	q := url.Values(maps.Clone(p.query))
	if q == nil {
		q = url.Values{}
	}
	for name := range noticeParams {
		q.Del(name)
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

// noticeParams carry what an action did over the redirect after it. The texts
// are ours; a made-up link can only choose among them.
var noticeParams = map[string]bool{"done": true, "n": true, "skipped": true, "id": true}

// readNotice takes the notice from the query.
func (p *page) readNotice(q url.Values) {
	done := q.Get("done")
	if done == "" || !p.Has("notice", done) && !p.Has("notice", done+".other") {
		return
	}
	p.Notice = "notice." + done
	for name := range noticeParams {
		n, err := strconv.ParseInt(q.Get(name), 10, 64)
		if err != nil {
			n = 0
		}
		if name != "done" {
			p.NoticeArgs = append(p.NoticeArgs, name, n)
		}
	}
}

// NoticeText is the notice.
func (p *page) NoticeText() (string, error) { return p.T(p.Notice, p.NoticeArgs...) }

// OrderLink leads to an order.
func (p *page) OrderLink(reference string) string { return orderPath(reference) }

// Asked reports whether the page's address has a parameter.
func (p *page) Asked(name string) bool { return url.Values(p.query).Get(name) != "" }
