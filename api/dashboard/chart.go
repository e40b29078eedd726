package dashboard

import (
	"fmt"
	"html/template"
	"math"
	"regexp"
	"slices"
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
)

// A chart is lines over time, with what a screen reader reads instead.
type chart struct {
	// Label says what it shows, in one sentence.
	Label string
	// Series are the names of its lines.
	Series []string
	// Steps are its points in time, the oldest first.
	Steps []chartStep
}

// A chartStep is what all lines have at one point in time.
type chartStep struct {
	// Label is short; it stands below the chart.
	Label string
	// Values are what is drawn, Texts the same in words, for the table.
	Values []float64
	Texts  []string
	// Open is true of a step that is not over.
	Open bool
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

// axisStep is the whole and round number that parts of the axis are apart, for
// values up to most.
func axisStep(most float64) float64 {
	for scale := 1.0; ; scale *= 10 {
		for _, round := range []float64{1, 1.5, 2, 2.5, 3, 4, 5, 6, 8} {
			if step := round * scale; step*axisParts >= most && step == math.Trunc(step) {
				return step
			}
		}
	}
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

// svg draws the chart. value writes a value of the axis.
func (c chart) svg(value func(float64) string) (template.HTML, error) {
	values := make([][]float64, len(c.Series))
	steps := c.drawn()
	most := 0.0
	labels := make([]string, len(steps))
	for i, step := range steps {
		labels[i] = step.Label
		for k := range c.Series {
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
	opt.LineStrokeWidth = 2.25
	opt.XAxis.Labels = labels
	opt.XAxis.LabelCount = chartLabels
	opt.XAxis.BoundaryGap = new(false)
	opt.YAxis[0].Min = new(0.0)
	opt.YAxis[0].Max = new(axisParts * axisStep(most))
	opt.YAxis[0].RangeValuePaddingScale = new(0.0)
	opt.YAxis[0].LabelCount = axisParts + 1
	opt.ValueFormatter = value
	opt.YAxis[0].ValueFormatter = value
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
