package store

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"time"
)

// An AttemptFailure is what one attempt failed with.
type AttemptFailure struct {
	Attempt int       `json:"attempt"`
	At      time.Time `json:"at"`
	// ErrorClass is the cause in one stable word; empty when the attempt did not
	// end by an error of ours, as when its worker died.
	ErrorClass string `json:"error_class"`
	Error      string `json:"error"`
	// Panicked is true when the worker panicked; the log has the trace.
	Panicked bool `json:"panicked"`
}

// Each attempt's error begins with its class (jobs.AttemptError). River puts its
// own word before what a worker returned to end the job. webhook_dead_letter's
// trigger reads the same form.
const cancelPrefix = "JobCancelError: "

var errorClass = regexp.MustCompile(`^([a-z][a-z0-9_]*): `)

// parseFailures reads the errors of attempts as River keeps them.
func parseFailures(raw json.RawMessage) ([]AttemptFailure, error) {
	var stored []struct {
		At      time.Time `json:"at"`
		Attempt int       `json:"attempt"`
		Error   string    `json:"error"`
		Trace   string    `json:"trace"`
	}
	if err := json.Unmarshal(raw, &stored); err != nil {
		return nil, fmt.Errorf("the errors of its attempts: %w", err)
	}
	failures := make([]AttemptFailure, len(stored))
	for i, f := range stored {
		message := strings.TrimPrefix(f.Error, cancelPrefix)
		failures[i] = AttemptFailure{Attempt: f.Attempt, At: f.At.UTC(), Error: message, Panicked: f.Trace != ""}
		if class := errorClass.FindStringSubmatch(message); class != nil && f.Trace == "" {
			failures[i].ErrorClass = class[1]
		}
	}
	return failures, nil
}
