package dashboard

import (
	"math"
	"slices"
)

// axisParts is how many parts the axis of values has.
const axisParts = 4

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
	// Link is where what happened in it is listed, Title says it all in one line.
	Link, Title string
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
