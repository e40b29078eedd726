package config

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"os"
	"strings"

	yaml "go.yaml.in/yaml/v4"
)

// A declaredFile is the path of a YAML file that declares things, and names secrets by
// variables or by files of their own: it never has them.
type declaredFile struct {
	path string
	// given are the variables that the file may name.
	given map[string]string
}

// UnmarshalText implements encoding.TextUnmarshaler.
func (f *declaredFile) UnmarshalText(text []byte) error {
	f.path = string(text)
	return nil
}

// IsSet reports whether there is such a file.
func (f declaredFile) IsSet() bool { return f.path != "" }

// isPath marks the kinds of variables whose value is a path.
func (declaredFile) isPath() {}

// A document is what such a file holds.
type document interface{ version() int }

// A versioned document begins with its version.
type versioned struct {
	Version int `yaml:"version"`
}

func (v versioned) version() int { return v.Version }

// load reads the file into doc, a pointer to a struct with yaml tags, and returns its
// hexadecimal SHA-256: that of the file alone, for processes that have their secrets
// from elsewhere have the same.
func (f declaredFile) load(read ReadFile, doc document) (digest string, err error) {
	content, err := read(f.path)
	if err != nil {
		return "", errors.New("names a file that cannot be read: " + causeOf(err))
	}
	if err := readYAML(content, doc); err != nil {
		return "", err
	}
	if doc.version() != 1 {
		return "", errors.New("version must be 1")
	}
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:]), nil
}

// secrets are what variables and files hold. The error names none of them: a secret
// may have been put where its name belongs.
func (f declaredFile) secrets(key string, variables, paths []string, read ReadFile) ([]Secret, error) {
	var found []Secret
	for _, name := range variables {
		secret, err := f.secret(key, name, "", read)
		if err != nil {
			return nil, err
		}
		found = append(found, secret)
	}
	for _, path := range paths {
		secret, err := f.secret(key, "", path, read)
		if err != nil {
			return nil, err
		}
		found = append(found, secret)
	}
	return found, nil
}

// secret is what a variable or a file holds.
func (f declaredFile) secret(key, variable, path string, read ReadFile) (Secret, error) {
	value := f.given[variable]
	if path != "" {
		content, err := read(path)
		if err != nil {
			return Secret{}, errors.New(key + "_file names a file that cannot be read: " + causeOf(err))
		}
		value = strings.TrimRight(string(content), "\r\n")
	}
	switch {
	case value == "" && path == "":
		return Secret{}, errors.New(key + "_env names a variable that is not set")
	case strings.TrimSpace(value) == "":
		return Secret{}, errors.New(key + " is blank")
	case strings.TrimSpace(value) != value:
		return Secret{}, errors.New(key + " has white space around it")
	}
	return NewSecret(value), nil
}

// watchDeclared watches what such a file declares. The error is a Problems about the
// variable that names it.
func watchDeclared[T any](variable string, load func(ReadFile) (T, error)) (*Watched[T], error) {
	watched, err := Watch(variable, load)
	if err != nil {
		var problems Problems
		for line := range strings.SplitSeq(err.Error(), "\n") {
			problems = append(problems, Problem{variable, line})
		}
		return nil, problems
	}
	return watched, nil
}

// A declared is a thing with its place in the file.
type declared struct{ node *yaml.Node }

// wrong is a problem with the whole of it.
func (d declared) wrong(problem string) error { return d.wrongAt("", problem) }

// wrongAt is a problem with one of its fields, which those that it is within stand
// before, with dots: where the nearest of them stands.
func (d declared) wrongAt(field, problem string) error {
	at := d.node
	for name := range strings.SplitSeq(field, ".") {
		inner := valueAt(at, name)
		if inner == nil {
			break
		}
		at = inner
	}
	return &fileError{at.Line, at.Column, problem}
}

// valueAt is the value that a mapping has under a key; nil where there is none.
func valueAt(node *yaml.Node, key string) *yaml.Node {
	if node.Kind != yaml.MappingNode {
		return nil
	}
	for i := 0; i+1 < len(node.Content); i += 2 {
		if node.Content[i].Value == key {
			return node.Content[i+1]
		}
	}
	return nil
}

// causeOf is why a file can't be read, without its path.
func causeOf(err error) string {
	if cause, ok := errors.AsType[*os.PathError](err); ok {
		return cause.Err.Error()
	}
	return "unknown"
}
