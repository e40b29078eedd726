package api

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"

	"github.com/alexedwards/argon2id"

	"github.com/conciliar/conciliar/api/dashboard"
	"github.com/conciliar/conciliar/store"
)

// An Operator is a person who may log in. Exactly one of Password and Hash is set.
type Operator struct {
	// Name is theirs in the audit trail.
	Name string
	Role dashboard.Role
	// Password is the password itself, Hash its argon2id hash in the PHC form.
	Password string `json:"-"`
	Hash     string `json:"-"`
}

// unknownOperator is who fails to log in under a name that nobody has. The name
// itself is not kept: people type passwords into the wrong field.
const unknownOperator = "unknown"

// accounts are the operators by name.
type accounts struct {
	byName map[string]Operator
	// only is the one operator of a shared password, whose name nobody types.
	only string
}

func newAccounts(operators []Operator) (*accounts, error) {
	a := &accounts{byName: map[string]Operator{}}
	var problems []error
	for i, o := range operators {
		switch {
		case o.Name == "" || o.Name == unknownOperator:
			problems = append(problems, fmt.Errorf("Operators[%d] has no name of its own", i)) //nolint:staticcheck // a field's name
		case a.byName[o.Name].Name != "":
			problems = append(problems, fmt.Errorf("Operators[%d] has the name of another", i)) //nolint:staticcheck // a field's name
		case !o.Role.Allows(dashboard.RoleViewer):
			problems = append(problems, fmt.Errorf("Operators[%d] has no role", i)) //nolint:staticcheck // a field's name
		case (o.Password == "") == (o.Hash == ""):
			problems = append(problems, fmt.Errorf("Operators[%d] needs a password or its hash", i)) //nolint:staticcheck // a field's name
		}
		a.byName[o.Name] = o
	}
	if len(operators) == 0 {
		problems = append(problems, errors.New("Operators is empty")) //nolint:staticcheck // a field's name
	}
	if len(operators) == 1 && operators[0].Password != "" {
		a.only = operators[0].Name
	}
	return a, errors.Join(problems...)
}

// find is the operator of the name; where there is one shared password, its only
// operator.
func (a *accounts) find(name string) (o Operator, known bool) {
	if a.only != "" {
		name = a.only
	}
	o, known = a.byName[name]
	return o, known
}

// is reports whether the password is the operator's. It compares hashes: that takes
// the same time whatever two passwords have in common, their lengths included.
func (o Operator) is(password string) (bool, error) {
	if o.Hash != "" {
		return argon2id.ComparePasswordAndHash(password, o.Hash)
	}
	got, want := sha256.Sum256([]byte(password)), sha256.Sum256([]byte(o.Password))
	return subtle.ConstantTimeCompare(got[:], want[:]) == 1, nil
}

// session is what the database knows of a token. The second half is keyed with all
// that the login was given for, so that it ends when any of it changes, and made of
// the token, which the database lacks: anyone who reads it cannot try passwords
// against it.
func (o Operator) session(token string) store.SessionKey {
	key := o.Password
	if o.Hash != "" {
		key = o.Name + ":" + string(o.Role) + ":" + o.Hash
	}
	mac := hmac.New(sha256.New, []byte(key))
	mac.Write([]byte(token))
	return store.SessionKey{TokenHash: sha256.Sum256([]byte(token)), PasswordMAC: [sha256.Size]byte(mac.Sum(nil))}
}

// passwordCheck checks passwords, few at a time: each check of a hash takes memory
// and a processor on purpose. Known devices do not wait behind strangers.
type passwordCheck struct{ devices, strangers chan struct{} }

func newPasswordCheck() *passwordCheck {
	return &passwordCheck{devices: make(chan struct{}, 1), strangers: make(chan struct{}, 1)}
}

// right reports whether the password is that of the operator of that name. An
// unknown name takes as long as a known one.
func (p *passwordCheck) right(ctx context.Context, a *accounts, name, password string, known bool) (bool, error) {
	turn := p.strangers
	if known {
		turn = p.devices
	}
	select {
	case turn <- struct{}{}:
		defer func() { <-turn }()
	case <-ctx.Done():
		return false, fmt.Errorf("wait to check a password: %w", ctx.Err())
	}
	o, found := a.find(name)
	if !found {
		for _, o = range a.byName {
			break
		}
	}
	right, err := o.is(password)
	if err != nil {
		return false, fmt.Errorf("check a password: %w", err)
	}
	return right && found, nil
}
