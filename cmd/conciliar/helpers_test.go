package main

import (
	"bytes"
	"strings"
	"testing"
)

// An outcome is what a command left behind.
type outcome struct {
	code     int
	out, err string
}

// execute runs one command to its end. What needs a service beside it is tested
// in e2e, by the built program.
func execute(t *testing.T, environ []string, args ...string) outcome {
	t.Helper()
	var out, errs bytes.Buffer
	code := run(t.Context(), args, stdio{in: strings.NewReader(""), out: &out, err: &errs, environ: environ})
	return outcome{code, out.String(), errs.String()}
}
