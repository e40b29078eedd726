package dashboard

import (
	"encoding/xml"
	"errors"
	"io"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/store"
)

// midnight is when the last of 24 hours is over.
var midnight = time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC)

// hours are points of activity, one for each hour.
func hours(n int) []store.ActivityPoint {
	points := make([]store.ActivityPoint, n)
	for i := range points {
		points[i] = store.ActivityPoint{
			At: time.Date(2026, 3, 1, i, 0, 0, 0, time.UTC), Received: int64(10 * i), Settled: int64(9 * i), Failed: int64(i % 3),
		}
	}
	return points
}

func TestChart_HoldsNoStyleAndIsWellFormed(t *testing.T) {
	t.Parallel()
	p, err := drawActivity(readerFor(t, "es", "es"), spans[0], midnight, hours(24))
	require.NoError(t, err)
	svg := string(p.SVG)
	require.NotContains(t, svg, "style", "the content-security policy refuses styles")
	require.NotContains(t, svg, "rgb(", "a colour that is not the page's own is wrong in light or in dark")
	require.Contains(t, svg, `role="img" aria-label="Eventos recibidos`)
	for _, class := range []string{"t-s0", "t-s1", "t-s2", "f-text"} {
		require.Contains(t, svg, class)
	}
	for decoder := xml.NewDecoder(strings.NewReader(svg)); ; {
		_, err := decoder.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		require.NoError(t, err)
	}
}

func TestChart_DrawsNothingWithoutActivity(t *testing.T) {
	t.Parallel()
	p, err := drawActivity(readerFor(t, "en", "en"), spans[0], midnight, make([]store.ActivityPoint, 24))
	require.NoError(t, err)
	require.True(t, p.Flat())
	require.Empty(t, p.SVG)
	p, err = drawActivity(readerFor(t, "en", "en"), spans[0], midnight, nil)
	require.NoError(t, err)
	require.Empty(t, p.SVG)
}

func TestChart_ASpanBeginsWhereTheLedgerCanAnswer(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 8, 9, 47, 31, 5, time.UTC)
	for _, s := range spans {
		at := s.at(now)
		require.True(t, at.Until.After(now), "what just was is shown")
		require.True(t, at.Since.Equal(at.Since.Truncate(time.Minute)))
		if s.step%time.Hour == 0 {
			require.True(t, at.Since.Equal(at.Since.Truncate(time.Hour)), "what is kept by the hour begins with one")
		}
	}
}

// An hour that has just begun would look as if the webhooks had stopped.
func TestChart_AStepThatIsNotOverIsNotDrawn(t *testing.T) {
	t.Parallel()
	r := readerFor(t, "en", "en")
	drawn := func(now time.Time, points []store.ActivityPoint) (int, chart) {
		p, err := drawActivity(r, spans[0], now, points)
		require.NoError(t, err)
		return len(p.drawn()), p.chart
	}
	over, _ := drawn(midnight, hours(24))
	require.Equal(t, 24, over)
	over, c := drawn(midnight.Add(-time.Minute), hours(24))
	require.Equal(t, 23, over)
	require.True(t, c.Steps[23].Open)
	require.Equal(t, "230", c.Steps[23].Texts[0], "the table has it")
	// A shop's first hour is all there is.
	first := make([]store.ActivityPoint, 24)
	copy(first[23:], hours(24)[23:])
	over, _ = drawn(midnight.Add(-time.Minute), first)
	require.Equal(t, 24, over)
}

// The labels of the axis are whole, round and never the same twice.
func TestChart_ItsAxisHasRoundLabels(t *testing.T) {
	t.Parallel()
	for most, step := range map[float64]float64{0: 1, 1: 1, 4: 1, 5: 2, 9: 3, 17: 5, 36: 10, 41: 15, 206: 60, 1000: 250, 7500: 2000, 1e9: 2.5e8} {
		require.InDelta(t, step, countStep(most), 0, "up to %v", most)
	}
	for most, step := range map[float64]float64{
		0: 1, 4: 1, 37: 10, 90: 25, 1000: 250, 1001: 500, 9e3: 2.5e3, 50e3: 15e3, 6e5: 150e3, 3600e3: 900e3, 86400e3: 6 * 3600e3, 9 * 86400e3: 3 * 86400e3,
	} {
		require.InDelta(t, step, durationStep(most), 0, "up to %v ms", most)
	}
	p, err := drawActivity(readerFor(t, "en", "en"), spans[0], midnight, hours(24)[:2])
	require.NoError(t, err)
	for _, label := range []string{"0", "3", "6", "9", "12"} {
		require.Contains(t, string(p.SVG), ">"+label+"</text>")
	}
}

// Each step is told from each other one, over a day and over a week, and leads to
// what was received in it.
func TestChart_ItsStepsAreToldApartAndLeadToTheirEvents(t *testing.T) {
	t.Parallel()
	for _, s := range spans {
		var points []store.ActivityPoint
		for at := s.at(midnight).Since; at.Before(midnight); at = at.Add(s.step) {
			points = append(points, store.ActivityPoint{At: at, Received: 5})
		}
		p, err := drawActivity(readerFor(t, "pt-BR", "pt-BR"), s, midnight, points)
		require.NoError(t, err)
		seen := map[string]bool{}
		for _, step := range p.Steps {
			require.False(t, seen[step.Label], "%s twice over a %s", step.Label, s.Name)
			seen[step.Label] = true
		}
		hits := p.Hits()
		require.Len(t, hits, len(p.drawn()))
		for i, h := range hits {
			require.Positive(t, h.Width)
			if i > 0 {
				require.Equal(t, hits[i-1].X+hits[i-1].Width, h.X, "no part of the picture is two steps' or nobody's")
			}
		}
		require.Equal(t, "/dashboard/events?since="+url.QueryEscape(points[0].At.Format(time.RFC3339))+
			"&until="+url.QueryEscape(points[1].At.Format(time.RFC3339)), hits[0].Link)
		require.Contains(t, hits[0].Title, p.Steps[0].Label+": Recebidos 5, Registrados 0, Com falha 0")
	}
	require.Empty(t, picture{}.Hits())
}

// Where nothing was completed nothing took 0 ms.
func TestChart_NothingCompletedIsAGap(t *testing.T) {
	t.Parallel()
	points := make([]store.LatencyPoint, 6)
	for i := range points {
		points[i] = store.LatencyPoint{At: midnight.Add(time.Duration(i-6) * time.Hour)}
		if i != 2 {
			points[i].Latency = store.Latency{Count: 3, P50: 20 * time.Millisecond, P90: 40 * time.Millisecond, P99: 90 * time.Millisecond}
		}
	}
	p, err := drawTimes(readerFor(t, "en", "en"), spans[0], midnight, points)
	require.NoError(t, err)
	require.Equal(t, []string{"–", "–", "–"}, p.Steps[2].Texts)
	require.Contains(t, string(p.SVG), ">100 ms</text>")
	lines := regexp.MustCompile(`<path[^>]*t-s0[^>]*stroke-width="2.25"`).FindAllString(string(p.SVG), -1)
	require.Len(t, lines, 2, "the line is broken")
	require.Equal(t, 5, strings.Count(string(p.SVG), `<circle`)/3, "each value is a point")
	require.True(t, (picture{chart: chart{Steps: p.Steps[2:3]}}).Flat())
}
