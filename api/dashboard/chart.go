package dashboard

import (
	"fmt"
	"html/template"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/go-analyze/charts"
)

// The size of a chart in its own units; the page scales it.
const (
	chartWidth  = 480
	chartHeight = 190
	// chartLabels is how many labels stand below it at most.
	chartLabels = 4
	// axisParts is how many parts the axis of values has.
	axisParts = 4
	// chartPoint is the radius of a point.
	chartPoint = 2
)

// A chart is lines over time, with what a screen reader reads instead.
type chart struct {
	// Label says what it shows, in one sentence.
	Label string
	// Series are the names of its lines.
	Series []string
	// Shades is true where the lines are shades of one thing.
	Shades bool
	// Steps are its points in time, the oldest first.
	Steps []chartStep
}

// A chartStep is what all lines have at one point in time.
type chartStep struct {
	// Axis is short; it stands below the chart. Label tells the step from each other one.
	Axis, Label string
	// Values are what is drawn, none where nothing is known; Texts the same in words,
	// for the table.
	Values []float64
	Texts  []string
	// Open is true of a step that is not over.
	Open bool
	// Link is where what happened in it is listed.
	Link string
}

// Flat reports whether there is nothing to be seen.
func (c chart) Flat() bool { return flat(c.Steps) }

func flat(steps []chartStep) bool {
	for _, step := range steps {
		for _, v := range step.Values {
			if v != 0 {
				return false
			}
		}
	}
	return true
}

// drawn are the steps that are drawn: those that are over. What has only begun
// looks like a fall, unless there is nothing else.
func (c chart) drawn() []chartStep {
	over := slices.DeleteFunc(slices.Clone(c.Steps), func(s chartStep) bool { return s.Open })
	if flat(over) {
		return c.Steps
	}
	return over
}

// An axis is how the values of a chart are drawn.
type axis struct {
	// step is how far parts of it are apart, for values up to most: a round one.
	step func(most float64) float64
	// write writes a value.
	write func(float64) string
	// points is true where each value is seen by itself, as it must be beside a gap.
	points bool
}

// countStep is a whole number.
func countStep(most float64) float64 {
	for scale := 1.0; ; scale *= 10 {
		for _, round := range []float64{1, 1.5, 2, 2.5, 3, 4, 5, 6, 8} {
			if step := round * scale; step*axisParts >= most && step == math.Trunc(step) {
				return step
			}
		}
	}
}

// roundDurations are lengths of time, in milliseconds, of which one, two, three and
// four times as much are each said in few words.
var roundDurations = []float64{
	1, 2, 5, 10, 25, 50, 100, 250, 500,
	1e3, 2.5e3, 5e3, 15e3, 30e3,
	60e3, 150e3, 300e3, 900e3, 1800e3,
	3600e3, 2 * 3600e3, 3 * 3600e3, 6 * 3600e3, 12 * 3600e3,
}

// durationStep is a round length of time, in milliseconds; days from half of one on.
func durationStep(most float64) float64 {
	for _, step := range roundDurations {
		if step*axisParts >= most {
			return step
		}
	}
	return countStep(most/(24*3600e3)) * 24 * 3600e3
}

// The library draws in these colours, and each is the name of a class in the
// end: so one picture is right in light and in dark, and holds no style, which
// the content-security policy would refuse.
var (
	chartText   = charts.ColorRGB(1, 2, 3)
	chartLine   = charts.ColorRGB(4, 5, 6)
	chartGround = charts.ColorRGB(7, 8, 9)
	chartSeries = []charts.Color{
		charts.ColorRGB(11, 1, 1), charts.ColorRGB(12, 1, 1), charts.ColorRGB(13, 1, 1), charts.ColorRGB(14, 1, 1), charts.ColorRGB(15, 1, 1),
	}
)

var chartClasses = func() map[string]string {
	classes := map[string]string{
		"none": "none", chartText.String(): "text", chartLine.String(): "line", chartGround.String(): "ground",
	}
	for i, c := range chartSeries {
		classes[c.String()] = fmt.Sprintf("s%d", i)
	}
	return classes
}()

// A hit is the part of the picture that is nearest to a step.
type hit struct {
	// Title says what the step had, Link is where that is listed.
	Title, Link string
	X, Width    int
}

// Hits are the parts of the picture that lead to what they show. A screen reader and
// the keyboard find the same in the table.
func (p picture) Hits() ([]hit, error) {
	left, right, err := p.ends()
	if err != nil {
		return nil, err
	}
	steps := p.drawn()
	gaps := max(1, len(steps)-1)
	var hits []hit
	for i, step := range steps {
		// Half the way to its neighbours.
		from := left + (right-left)*(2*i-1)/(2*gaps)
		to := left + (right-left)*(2*i+1)/(2*gaps)
		hits = append(hits, hit{
			Title: step.Label + ": " + strings.Join(step.Texts, ", "), Link: step.Link,
			X: max(0, from), Width: min(to, chartWidth) - max(0, from),
		})
	}
	return hits, nil
}

// Size is the picture's, in its own units.
func (picture) Size() string { return fmt.Sprintf("0 0 %d %d", chartWidth, chartHeight) }

// levelLine is a straight line of the axes.
var levelLine = regexp.MustCompile(`d="M (\d+) (\d+)\nL (\d+) (\d+)" class="t-line`)

// ends is where the first step stands and where the last.
func (p picture) ends() (left, right int, err error) {
	for _, line := range levelLine.FindAllStringSubmatch(string(p.SVG), -1) {
		if line[2] == line[4] { // the last of them is the axis
			left, _ = strconv.Atoi(line[1])
			right, _ = strconv.Atoi(line[3])
		}
	}
	if right <= left {
		return 0, 0, fmt.Errorf("chart: its axis is not found")
	}
	return left, right, nil
}

// svg draws the chart.
func (c chart) svg(a axis) (template.HTML, error) {
	values := make([][]float64, len(c.Series))
	steps := c.drawn()
	most := 0.0
	labels := make([]string, len(steps))
	for i, step := range steps {
		labels[i] = step.Axis
		for k := range c.Series {
			if step.Values == nil {
				values[k] = append(values[k], charts.GetNullValue())
				continue
			}
			values[k] = append(values[k], step.Values[k])
			most = max(most, step.Values[k])
		}
	}
	opt := charts.NewLineChartOptionWithData(values)
	opt.Theme = charts.MakeTheme(charts.ThemeOption{
		AxisStrokeColor: chartLine, AxisSplitLineColor: chartLine, BackgroundColor: chartGround, TextColor: chartText,
		SeriesColors: chartSeries,
	})
	opt.Padding = charts.NewBox(4, 8, 24, 4)
	opt.Symbol.Shape = charts.SymbolNone
	if a.points {
		opt.Symbol = charts.Symbol{Shape: charts.SymbolDot, Size: chartPoint}
	}
	opt.LineStrokeWidth = 2.25
	opt.XAxis.Labels = labels
	opt.XAxis.LabelCount = chartLabels
	opt.XAxis.BoundaryGap = new(false)
	opt.YAxis[0].Min = new(0.0)
	opt.YAxis[0].Max = new(axisParts * a.step(most))
	opt.YAxis[0].RangeValuePaddingScale = new(0.0)
	opt.YAxis[0].LabelCount = axisParts + 1
	opt.ValueFormatter = a.write
	opt.YAxis[0].ValueFormatter = a.write
	painter := charts.NewPainter(charts.PainterOptions{OutputFormat: charts.ChartOutputSVG, Width: chartWidth, Height: chartHeight})
	if err := painter.LineChart(opt); err != nil {
		return "", fmt.Errorf("chart: %w", err)
	}
	raw, err := painter.Bytes()
	if err != nil {
		return "", fmt.Errorf("chart: %w", err)
	}
	plain, err := withoutStyles(string(raw))
	if err != nil {
		return "", err
	}
	label := template.HTMLEscapeString(c.Label)
	plain = strings.Replace(plain, "<svg ", `<svg role="img" aria-label="`+label+`" `, 1)
	return template.HTML(plain), nil //nolint:gosec // the library escapes the labels, and they are ours
}

var (
	styleAttribute = regexp.MustCompile(`style="([^"]*)"`)
	zeroOpacity    = regexp.MustCompile(`^rgba\(.*,0\)$`)
)

// withoutStyles turns the style attributes of a picture into classes and
// presentation attributes. A colour that is none of ours is an error: a new
// release of the library draws something that nobody has looked at.
func withoutStyles(svg string) (string, error) {
	var failed error
	plain := styleAttribute.ReplaceAllStringFunc(svg, func(attribute string) string {
		var classes, attributes []string
		for declaration := range strings.SplitSeq(styleAttribute.FindStringSubmatch(attribute)[1], ";") {
			property, value, _ := strings.Cut(declaration, ":")
			switch property {
			case "fill", "stroke":
				class, ok := chartClasses[value]
				if zeroOpacity.MatchString(value) {
					class, ok = "none", true
				}
				if !ok {
					failed = fmt.Errorf("chart: %q is no colour of ours", value)
				}
				classes = append(classes, map[string]string{"fill": "f-", "stroke": "t-"}[property]+class)
			case "stroke-width", "font-size":
				attributes = append(attributes, property+`="`+value+`"`)
			case "font-family", "": // the page's own
			default:
				failed = fmt.Errorf("chart: unexpected style %q", property)
			}
		}
		return `class="` + strings.Join(classes, " ") + `" ` + strings.Join(attributes, " ")
	})
	if failed == nil && strings.Contains(plain, "style") {
		failed = fmt.Errorf("chart: a style is left")
	}
	return plain, failed
}
