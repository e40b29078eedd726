package verdict

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/conciliar/conciliar/jobs/health"
	"github.com/conciliar/conciliar/store"
	"github.com/conciliar/conciliar/store/order"
)

// The states of news that were not read yet, the weightiest first.
const (
	newsDead      = "news_dead"
	newsOdd       = "news_odd"
	newsRefused   = "news_refused"
	newsHeld      = "news_held"
	newsRetrying  = "news_retrying"
	newsWaiting   = "news_waiting"
	newsDismissed = "news_dismissed"
)

var newsWeights = []string{newsDead, newsOdd, newsRefused, newsHeld, newsRetrying, newsWaiting, newsDismissed}

// news is what came and was not read: what is shown may be old.
type news struct {
	said []Said
	// act is what to do about it, with its link; empty where nothing is.
	act  Said
	link Link
	// doubtful is true where the order may be in another state than is shown.
	doubtful bool
}

// An item is unread news about one payment, or about something that names payments.
type item struct {
	Said

	// state is one of newsWeights; the sentence says more.
	state string
	link  Link
}

// news says what is not read of what came.
func (c *casebook) news() news {
	items := append(c.unreadEvents(), c.refused()...)
	slices.SortStableFunc(items, func(a, b item) int {
		return cmp.Compare(slices.Index(newsWeights, a.state), slices.Index(newsWeights, b.state))
	})
	var n news
	for _, it := range items {
		// News in one state for one reason are one sentence.
		i := slices.IndexFunc(n.said, func(s Said) bool { return s.Code == it.Code && s.ErrorClass == it.ErrorClass && s.Note == it.Note })
		if i < 0 {
			n.said = append(n.said, it.Said)
			continue
		}
		n.said[i].PaymentIDs = append(n.said[i].PaymentIDs, it.PaymentIDs...)
	}
	var blocked item
	isBlocked := false
	if len(items) > 0 {
		blocked, isBlocked = c.blocked(items)
		first := items[0]
		switch first.state {
		case newsDead, newsOdd, newsRefused:
			n.act, n.link, n.doubtful = Said{Code: first.state}, first.link, true
		case newsHeld, newsRetrying:
			n.doubtful = true
			if !isBlocked {
				n.act, n.link = Said{Code: "news_retrying"}, first.link
			}
		case newsWaiting:
			n.doubtful = isBlocked
		}
	}
	if len(items) == 0 && c.f.Order != nil && c.settled.Status == order.StatusPending && len(c.shares) == 0 {
		c.nameless(&n)
		blocked, isBlocked = c.blocked(nil)
		isBlocked = isBlocked && c.f.Unread.Waiting > 0 || c.f.Provider.Circuit == store.CircuitOpen
	}
	if isBlocked && (n.doubtful || len(n.said) == 0) {
		n.said = append(n.said, blocked.Said)
		if n.act.Code == "" && n.doubtful {
			n.act, n.link = blocked.Said, blocked.link
		}
	}
	n.said = append(n.said, c.claims()...)
	return n
}

// nameless says what came and may be about the order, because nobody knows what it is
// about.
func (c *casebook) nameless(n *news) {
	u := c.f.Unread
	if u.Waiting+u.Failed > 0 {
		s := Said{Code: "unread", Count: u.Waiting + u.Failed, Failed: u.Failed}
		if u.Since != nil {
			s.Since = *u.Since
		}
		if u.Failed > 0 {
			s.Code = "unread_failed"
			n.act, n.link = Said{Code: "unread_failed"}, Link{Kind: LinkDeadLetters}
		}
		n.said, n.doubtful = append(n.said, s), true
	}
	if in := c.f.Intake; in.Refused > 0 {
		s := Said{Code: "refused", Count: in.Refused}
		if in.RefusedSince != nil {
			s.Since = *in.RefusedSince
		}
		n.said, n.doubtful = append(n.said, s), true
		n.act, n.link = Said{Code: "refused"}, Link{Kind: LinkRefusals}
	}
}

// blocked says why nothing that waits is read; false where it goes on.
func (c *casebook) blocked(items []item) (item, bool) {
	waits := items == nil || slices.ContainsFunc(items, func(i item) bool {
		return i.state == newsHeld || i.state == newsRetrying || i.state == newsWaiting
	})
	if !waits {
		return item{}, false
	}
	p := c.f.Provider
	var since time.Time
	if p.Since != nil {
		since = *p.Since
	}
	switch paused, isPaused := c.f.Machine.Paused[health.WebhookQueue]; {
	case p.Circuit != store.CircuitClosed && p.Reason == store.ReasonCredentialsRejected:
		return item{Said: Said{Code: "credentials_rejected", Since: since}, link: Link{Kind: LinkHeld}}, true
	case p.Circuit != store.CircuitClosed:
		return item{Said: Said{Code: "provider_silent", Since: since}, link: Link{Kind: LinkHeld}}, true
	case isPaused && paused.By != "":
		return item{Said: Said{Code: "queue_paused", Since: paused.Since, By: paused.By}, link: Link{Kind: LinkQueue, Reference: health.WebhookQueue}}, true
	case isPaused:
		return item{Said: Said{Code: "queue_paused_unknown", Since: paused.Since}, link: Link{Kind: LinkQueue, Reference: health.WebhookQueue}}, true
	case c.f.Machine.NoWorker:
		return item{Said: Said{Code: "no_worker"}}, true
	}
	return item{}, false
}

// unreadEvents are the newest events of each thing that were not read.
func (c *casebook) unreadEvents() []item {
	var items []item
	seen := map[string]bool{}
	for _, e := range c.f.Events {
		if seen[e.ResourceID] {
			continue
		}
		seen[e.ResourceID] = true
		if e.Status == store.StatusCompleted {
			continue
		}
		known := c.known(e.ResourceID)
		if known != nil && known.FetchMark >= e.QueueID {
			continue // that fetch saw all that the event could tell
		}
		it := item{Said: Said{PaymentIDs: idsOf(e.ResourceID)}, link: Link{Kind: LinkEvent, ID: e.QueueID}}
		if known != nil {
			it.Since = known.FetchedAt
		}
		switch e.Status {
		case store.StatusDeadLetter:
			if !c.died(e, &it) {
				continue
			}
		case store.StatusHeld:
			it.state = newsHeld
		case store.StatusFailed:
			it.state, it.ErrorClass = newsRetrying, errorClass(e)
			if e.NextRetryAt != nil {
				it.Until = *e.NextRetryAt
			}
		default:
			it.state = newsWaiting
		}
		it.Code = it.sentence(e.Work == store.WorkFollow, known == nil)
		items = append(items, it)
	}
	return items
}

// sentence is the code of what is said of the item: another one for what names payments,
// and for what could not be read even once.
func (it *item) sentence(names, first bool) string {
	switch {
	case !names && it.state == newsDead && first:
		return "news_dead_new"
	case !names:
		return it.state
	}
	it.PaymentIDs = nil
	switch it.state {
	case newsDead, newsOdd:
		return "named_dead"
	case newsDismissed:
		return "named_dismissed"
	}
	return "named_waiting"
}

// died says what is known of an event that failed for good; false for one that was
// replayed.
func (c *casebook) died(e store.Event, it *item) bool {
	if e.DeadLetterID != nil {
		it.link = Link{Kind: LinkDeadLetter, ID: *e.DeadLetterID}
	}
	switch class := errorClass(e); {
	case e.DeadLetterState != nil && *e.DeadLetterState == store.DeadLetterReplayed:
		return false
	case e.DeadLetterState != nil && *e.DeadLetterState == store.DeadLetterDismissed:
		d := c.f.Dismissals[*e.DeadLetterID]
		it.state, it.By, it.Since, it.Note = newsDismissed, d.By, d.At, d.Note
	case class == "odd_payment" || class == "unknown_status":
		it.state = newsOdd
	default:
		it.state, it.ErrorClass = newsDead, class
	}
	return true
}

// refused are the refused deliveries that name payments of the order.
func (c *casebook) refused() []item {
	var items []item
	seen := map[string]bool{}
	for _, r := range c.f.Refused {
		if seen[r.PaymentID] {
			continue
		}
		seen[r.PaymentID] = true
		items = append(items, item{
			Said: Said{Code: newsRefused, PaymentIDs: idsOf(r.PaymentID), Since: r.At}, state: newsRefused, link: Link{Kind: LinkRefused, ID: r.ID},
		})
	}
	return items
}

// known is a payment as it was fetched last; nil when it never was.
func (c *casebook) known(paymentID string) *store.OrderPayment {
	for i := range c.f.Payments {
		if c.f.Payments[i].ID == paymentID {
			return &c.f.Payments[i]
		}
	}
	return nil
}

// errorClass is the class of an event's last failure: the first word of its error.
func errorClass(e store.Event) string {
	if e.LastError == nil {
		return ""
	}
	class, _, _ := strings.Cut(*e.LastError, ":")
	return class
}
