package config

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	yaml "go.yaml.in/yaml/v4"
)

// A fileError is what is wrong at one place of a file. Its text holds nothing of the
// file but keys.
type fileError struct {
	line, column int
	problem      string
}

// Error implements error.
func (e *fileError) Error() string {
	if e.line == 0 {
		return e.problem
	}
	return fmt.Sprintf("line %d, column %d: %s", e.line, e.column, e.problem)
}

var (
	// yamlValue is a value as the library's errors quote it: it may be a secret that
	// was put into the wrong place.
	yamlValue   = regexp.MustCompile("!!\\w+(?: `[^`]*`)?")
	yamlUnknown = regexp.MustCompile(`field (\S+) not found in type \S+`)
	yamlType    = regexp.MustCompile(`cannot construct a value into (\S+)`)
)

// readYAML reads one document into a struct with yaml tags. Keys that it does not
// have, and keys that are there twice, are errors. The error is one for each problem,
// with line and column, and without a value of the file.
func readYAML(content []byte, into any) error {
	err := yaml.Load(content, into, yaml.WithKnownFields())
	var several *yaml.LoadErrors
	var one *yaml.LoadError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &several):
		problems := make([]error, len(several.Errors))
		for i, e := range several.Errors {
			problems[i] = yamlProblem(e)
		}
		return errors.Join(problems...)
	case errors.As(err, &one):
		return yamlProblem(one)
	}
	return errors.New("cannot be read as YAML")
}

func yamlProblem(e *yaml.LoadError) error {
	problem := yamlValue.ReplaceAllString(e.Message, "a value")
	problem = yamlUnknown.ReplaceAllString(problem, "unknown key $1")
	problem = yamlType.ReplaceAllStringFunc(problem, func(text string) string {
		switch kind := text[strings.LastIndex(text, " ")+1:]; {
		case strings.HasPrefix(kind, "[]"):
			return "must be a list"
		case kind == "int":
			return "must be a whole number"
		case kind == "string":
			return "must be text"
		}
		return "must be keys with values"
	})
	return &fileError{e.Mark.Line, e.Mark.Column, strings.TrimPrefix(problem, "yaml: ")}
}
