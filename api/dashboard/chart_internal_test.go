package dashboard

import (
	"encoding/xml"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/store"
)

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

func TestChartHoldsNoStyleAndIsWellFormed(t *testing.T) {
	t.Parallel()
	p, err := drawActivity(readerFor(t, "es", "es"), spans[0], hours(24))
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

func TestChartNoticesAColourThatNobodyChose(t *testing.T) {
	t.Parallel()
	_, err := withoutStyles(`<path style="stroke-width:1;stroke:rgb(200,1,1);fill:none"/>`)
	require.Error(t, err)
	_, err = withoutStyles(`<path style="stroke:none;opacity:0.5"/>`)
	require.Error(t, err)
	plain, err := withoutStyles(`<path style="stroke-width:1;stroke:` + chartLine.String() + `;fill:none"/>`)
	require.NoError(t, err)
	require.Equal(t, `<path class="t-line f-none" stroke-width="1"/>`, plain)
}

func TestNothingToDraw(t *testing.T) {
	t.Parallel()
	p, err := drawActivity(readerFor(t, "en", "en"), spans[0], make([]store.ActivityPoint, 24))
	require.NoError(t, err)
	require.True(t, p.Flat())
	require.Empty(t, p.SVG)
	p, err = drawActivity(readerFor(t, "en", "en"), spans[0], nil)
	require.NoError(t, err)
	require.Empty(t, p.SVG)
}

func TestSpansBeginWhereTheBooksCanAnswer(t *testing.T) {
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
