package dashboard

import "slices"

// A Role says what an operator may do. Each may do what the one before it may.
type Role string

// The roles.
const (
	// RoleViewer sees the pages, without what belongs to payers.
	RoleViewer Role = "viewer"
	// RoleOperator sees all of it and acts: replay, dismiss, resolve, process,
	// reconcile, amend and cancel.
	RoleOperator Role = "operator"
	// RoleAdmin also has River UI and the logins.
	RoleAdmin Role = "admin"
)

// Roles lists every role, the weakest first.
func Roles() []Role { return []Role{RoleViewer, RoleOperator, RoleAdmin} }

// Allows reports whether r may do what needs the role. A role that is not known
// may do nothing.
func (r Role) Allows(needed Role) bool {
	have, want := slices.Index(Roles(), r), slices.Index(Roles(), needed)
	return want >= 0 && have >= want
}
