package dashboard

import (
	"time"

	"github.com/conciliar/conciliar/store"
)

// bandUnits is how many units the span shown is wide, in the picture of bands.
const bandUnits = 1000

// An outage is one with its band in the picture.
type outage struct {
	store.Outage

	// Lasted is how long it was, until now where it goes on.
	Lasted time.Duration
	// X and Width are the band's place in the span, of bandUnits.
	X, Width int64
}

// bandsOf gives each outage its band. The part outside of the span is cut off,
// and a short one is still seen.
func bandsOf(outages []store.Outage, span store.Span, now time.Time) []outage {
	whole := span.Until.Sub(span.Since)
	bands := make([]outage, 0, len(outages))
	for _, o := range outages {
		ended := now
		if o.ClosedAt != nil {
			ended = *o.ClosedAt
		}
		place := func(t time.Time) int64 {
			return min(bandUnits, max(0, int64(t.Sub(span.Since)/(whole/bandUnits))))
		}
		band := outage{Outage: o, Lasted: ended.Sub(o.OpenedAt), X: place(o.OpenedAt)}
		band.Width = max(bandUnits/200, place(ended)-band.X)
		band.X = min(band.X, bandUnits-band.Width)
		bands = append(bands, band)
	}
	return bands
}
