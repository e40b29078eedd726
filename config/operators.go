package config

import (
	"bytes"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/alexedwards/argon2id"
)

// An Operator is a line of OPERATORS_FILE: a person who may log in.
type Operator struct {
	Name string
	// Role is viewer, operator or admin.
	Role string
	// Hash is the argon2id hash of the password, in the PHC form.
	Hash Secret
}

// Operators are the content of OPERATORS_FILE.
type Operators struct{ All []Operator }

// UnmarshalText implements encoding.TextUnmarshaler.
func (o *Operators) UnmarshalText(text []byte) (err error) {
	o.All, err = ParseOperators(text)
	return err
}

// operatorRoles are the roles that a line may name.
var operatorRoles = []string{"viewer", "operator", "admin"}

// operatorName is what stands in the audit trail, in at most longestName characters. It
// has no colon: that tells operators from tokens and from commands there. The length is
// apart: 64 copies of all letters of Unicode take milliseconds and megabytes.
var operatorName = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[\pL\pN][\pL\pN._@-]*$`) })

const longestName = 64

func isOperatorName(name string) bool {
	return operatorName().MatchString(name) && utf8.RuneCountInString(name) <= longestName && name != "unknown"
}

const (
	// A hash that costs less protects no password that leaks; one that costs more
	// takes the service's memory or time with each try.
	hashMemoryLeast, hashMemoryMost = 7 << 10, 1 << 20 // KiB
	hashRoundsMost                  = 16
)

// HashOperator returns the line of OPERATORS_FILE for a new operator or password.
// The error says what is wrong with one of the three.
func HashOperator(name, role, password string) (string, error) {
	switch {
	case !isOperatorName(name):
		return "", errors.New("the name must be 1 to 64 letters, digits and . _ @ -, and not the word unknown")
	case !slices.Contains(operatorRoles, role):
		return "", errors.New("the role must be viewer, operator or admin")
	}
	if fault := faultOf(password); fault != "" {
		return "", errors.New("the password " + fault)
	}
	// OWASP's parameters: 19 MiB and two rounds cost an attacker as much as more
	// memory and one round, and a burst of tries costs the service less.
	hash, err := argon2id.CreateHash(password, &argon2id.Params{Memory: 19 << 10, Iterations: 2, Parallelism: 1, SaltLength: 16, KeyLength: 32})
	if err != nil {
		return "", fmt.Errorf("hash the password: %w", err)
	}
	return name + ":" + role + ":" + hash, nil
}

// ParseOperators reads an OPERATORS_FILE: one operator a line, name:role:hash, with
// empty lines and comments that begin with #. The error names the line and never
// what stands there.
func ParseOperators(content []byte) ([]Operator, error) {
	if !utf8.Valid(content) {
		return nil, errors.New("is not UTF-8")
	}
	var operators []Operator
	for i, line := range bytes.Split(content, []byte("\n")) {
		text := strings.TrimSpace(string(line))
		if text == "" || text[0] == '#' {
			continue
		}
		o, err := parseOperator(text)
		if err == nil && slices.ContainsFunc(operators, func(other Operator) bool { return other.Name == o.Name }) {
			err = errors.New("names an operator for the second time")
		}
		if err != nil {
			return nil, fmt.Errorf("line %d %w", i+1, err)
		}
		operators = append(operators, o)
	}
	if len(operators) == 0 {
		return nil, errors.New("names no operator")
	}
	return operators, nil
}

func parseOperator(line string) (Operator, error) {
	name, rest, _ := strings.Cut(line, ":")
	role, hash, found := strings.Cut(rest, ":")
	switch {
	case !found:
		return Operator{}, errors.New("is not name:role:hash; 'conciliar operators hash' prints such a line")
	case !isOperatorName(name):
		return Operator{}, errors.New("has a name that is not 1 to 64 letters, digits and . _ @ -, or is the word unknown")
	case !slices.Contains(operatorRoles, role):
		return Operator{}, errors.New("has a role that is not viewer, operator or admin")
	}
	params, salt, key, err := argon2id.DecodeHash(hash)
	switch {
	case err != nil:
		return Operator{}, errors.New("has no argon2id hash; 'conciliar operators hash' prints such a line")
	case params.Memory < hashMemoryLeast || params.Memory > hashMemoryMost || params.Iterations < 1 || params.Iterations > hashRoundsMost ||
		params.Parallelism < 1 || len(salt) < 8 || len(key) < 16:
		return Operator{}, errors.New("has a hash that costs too little or too much; 'conciliar operators hash' prints a good one")
	}
	return Operator{Name: name, Role: role, Hash: NewSecret(hash)}, nil
}
