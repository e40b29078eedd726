package main

import (
	"fmt"
	"io"

	"github.com/schollz/progressbar/v3"
)

// progressSteps is how finely the bar moves.
const progressSteps = 1000

// A progress shows how far long work is: a bar at a terminal, and otherwise a
// plain line whenever there is something new to say.
type progress struct {
	out  io.Writer
	bar  *progressbar.ProgressBar
	last string
}

func newProgress(std stdio) *progress {
	out := std.err
	p := &progress{out: out}
	if isTerminal(out) && std.env("TERM") != "dumb" {
		p.bar = progressbar.NewOptions(progressSteps, progressbar.OptionSetWriter(out), progressbar.OptionSetWidth(30),
			progressbar.OptionShowDescriptionAtLineEnd(), progressbar.OptionClearOnFinish(), progressbar.OptionSetPredictTime(false))
	}
	return p
}

// show shows that a share of the work is done, 0 to 1, and what it is about.
func (p *progress) show(share float64, text string) {
	if p.bar != nil {
		p.bar.Describe(text)
		_ = p.bar.Set(int(share * progressSteps)) // only the terminal can fail
		return
	}
	if line := fmt.Sprintf("%3.0f%% %s", 100*share, text); line != p.last {
		p.last = line
		_, _ = fmt.Fprintln(p.out, line)
	}
}

// end takes the bar away.
func (p *progress) end() {
	if p.bar != nil {
		_ = p.bar.Finish()
	}
}
