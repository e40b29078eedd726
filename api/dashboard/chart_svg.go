package dashboard

import (
	"fmt"
	"html/template"
	"strings"
	"unicode/utf8"
)

// The size of a chart in its own units; the page scales it.
const (
	chartWidth  = 480
	chartHeight = 190
	// chartTop, chartRight and chartBottom are where the values are drawn.
	chartTop    = 8
	chartRight  = 456
	chartBottom = 161
	// chartFont is the size of the labels, chartDigit the width of one of their signs;
	// few are wider than a digit.
	chartFont  = 16
	chartDigit = 9
	// chartLabels is how many labels stand below it at most.
	chartLabels = 4
	// chartPoint is the radius of a point.
	chartPoint = 2
)

// A plot is a chart as it is drawn: in classes of the page's own, so that one picture is
// right in light and in dark, and holds no style, which the content-security policy
// would refuse.
type plot struct {
	strings.Builder
	steps []chartStep
	// left is where the first step stands, most the value at the top.
	left, most float64
}

// x is where a step stands.
func (p *plot) x(step int) float64 {
	return p.left + (chartRight-p.left)*float64(step)/float64(max(1, len(p.steps)-1))
}

// y is where a value stands.
func (p *plot) y(value float64) float64 {
	return chartBottom - (chartBottom-chartTop)*value/p.most
}

// draw adds to the picture.
func (p *plot) draw(format string, args ...any) { _, _ = fmt.Fprintf(p, format, args...) }

// text writes text; anchor says which part of it stands at x.
func (p *plot) text(x, y float64, anchor, text string) {
	p.draw(`<text x="%.1f" y="%.1f" text-anchor="%s" class="f-text" font-size="%d">%s</text>`, x, y, anchor, chartFont, template.HTMLEscapeString(text))
}

func (p *plot) line(x1, y1, x2, y2 float64) {
	p.draw(`<path d="M%.1f %.1fL%.1f %.1f" class="t-line"/>`, x1, y1, x2, y2)
}

// plot draws the chart, and says where its first step stands.
func (c chart) plot(a axis) (template.HTML, float64) {
	p := &plot{steps: c.drawn()}
	for _, step := range p.steps {
		for _, v := range step.Values {
			p.most = max(p.most, v)
		}
	}
	part := a.step(p.most)
	p.most = axisParts * part
	widest := 0
	for i := range axisParts + 1 {
		widest = max(widest, utf8.RuneCountInString(a.write(float64(i)*part)))
	}
	p.left = float64(14 + chartDigit*widest)

	p.draw(`<svg role="img" aria-label="%s" xmlns="http://www.w3.org/2000/svg" viewBox="%s">`, template.HTMLEscapeString(c.Label), chartSize)
	for i := range axisParts + 1 {
		value := float64(i) * part
		p.text(p.left-8, p.y(value)+5, "end", a.write(value))
		p.line(p.left, p.y(value), chartRight, p.y(value))
	}
	p.times()
	for k := range c.Series {
		p.series(k, a.points)
	}
	p.draw("</svg>")
	return template.HTML(p.String()), p.left //nolint:gosec // its texts are escaped where they are written
}

// times writes when some of the steps were, the first and the last among them.
func (p *plot) times() {
	last := len(p.steps) - 1
	labels := min(chartLabels, len(p.steps))
	for n := range labels {
		i := n * last / max(1, labels-1)
		anchor := "middle"
		switch i {
		case 0:
			anchor = "start"
		case last:
			anchor = "end"
		}
		p.line(p.x(i), chartBottom, p.x(i), chartBottom+5)
		p.text(p.x(i), chartBottom+23, anchor, p.steps[i].Axis)
	}
}

// series draws a line, which ends where nothing is known and begins again after that.
func (p *plot) series(k int, points bool) {
	var path strings.Builder
	end := func() {
		if path.Len() > 0 {
			p.draw(`<path d="%s" class="f-none t-s%d" stroke-width="2.25"/>`, path.String(), k)
			path.Reset()
		}
	}
	for i, step := range p.steps {
		if step.Values == nil {
			end()
			continue
		}
		command := "L"
		if path.Len() == 0 {
			command = "M"
		}
		x, y := p.x(i), p.y(step.Values[k])
		_, _ = fmt.Fprintf(&path, "%s%.1f %.1f", command, x, y)
		if points {
			p.draw(`<circle cx="%.1f" cy="%.1f" r="%d" class="f-s%d"/>`, x, y, chartPoint, k)
		}
	}
	end()
}

// chartSize is the picture's, in its own units.
var chartSize = fmt.Sprintf("0 0 %d %d", chartWidth, chartHeight)

// Size is the picture's, in its own units.
func (picture) Size() string { return chartSize }

// A hit is the part of the picture that is nearest to a step.
type hit struct {
	// Title says what the step had, Link is where that is listed.
	Title, Link string
	X, Width    int
}

// Hits are the parts of the picture that lead to what they show. A screen reader and
// the keyboard find the same in the table.
func (p picture) Hits() []hit {
	at := plot{steps: p.drawn(), left: p.left}
	gap := (at.x(1) - at.x(0)) / 2
	var hits []hit
	from := max(0, int(at.left-gap))
	for i, step := range at.steps {
		// Half the way to its neighbours.
		to := min(int(at.x(i)+gap), chartWidth)
		hits = append(hits, hit{Title: step.Title, Link: step.Link, X: from, Width: to - from})
		from = to
	}
	return hits
}
