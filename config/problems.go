package config

import (
	"slices"
	"strings"
)

// A Problem is one thing wrong with one variable. It never holds the value.
type Problem struct {
	Variable string
	Text     string
}

// Problems are everything wrong with an environment, by variable.
type Problems []Problem

// Error implements error: one line for each problem.
func (p Problems) Error() string {
	lines := make([]string, len(p))
	for i, problem := range p {
		lines[i] = problem.Variable + ": " + problem.Text
	}
	return strings.Join(lines, "\n")
}

func (p Problems) about(variable string) bool {
	return slices.ContainsFunc(p, func(problem Problem) bool { return problem.Variable == variable })
}

func (p Problems) orNil() error {
	if len(p) == 0 {
		return nil
	}
	slices.SortStableFunc(p, func(a, b Problem) int { return strings.Compare(a.Variable, b.Variable) })
	return p
}
