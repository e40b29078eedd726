package config

import (
	"reflect"
	"strings"
)

// A Variable is one variable of the environment. Each may also be given as
// Name_FILE, the path of a file to read it from; one whose name ends so is given in
// that form only.
type Variable struct {
	Name     string
	Default  string
	Required bool
	Meaning  string
	// List is true for values separated by commas.
	List bool

	field string
	kind  reflect.Type
}

// isFile reports whether the variable is the path of its value.
func (v Variable) isFile() bool { return strings.HasSuffix(v.Name, fileSuffix) && !v.isPath() }

// isPath reports whether the variable's value is a path: what is in the file is read
// elsewhere.
func (v Variable) isPath() bool { return v.kind.Implements(reflect.TypeFor[interface{ isPath() }]()) }

// Variables lists every variable that the service reads, in the order of the
// documentation.
func Variables() []Variable { return variablesOf(reflect.TypeFor[Config]()) }

func variablesOf(t reflect.Type) []Variable {
	var found []Variable
	for field := range t.Fields() {
		if field.Anonymous {
			found = append(found, variablesOf(field.Type)...)
			continue
		}
		name, flags, _ := strings.Cut(field.Tag.Get("env"), ",")
		found = append(found, Variable{
			Name: name, Default: field.Tag.Get("envDefault"), Required: flags == "required", Meaning: field.Tag.Get("help"),
			List: field.Type.Kind() == reflect.Slice, field: field.Name, kind: field.Type,
		})
	}
	return found
}
