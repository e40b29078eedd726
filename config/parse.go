package config

import (
	"errors"
	"maps"
	"net/netip"
	"os"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/caarlos0/env/v11"
)

// fileSuffix marks a variable that names a file to read the value from.
const fileSuffix = "_FILE"

// parse fills to, a pointer to a struct, from an environment and the files that it
// names, and returns the checks that begin with what could not be read.
func parse(environ []string, read ReadFile, to any) *checker {
	variables := variablesOf(reflect.TypeOf(to).Elem())
	given := pairs(environ)
	values, problems := resolve(given, variables, read)
	c := &checker{problems: append(problems, misspelt(given, variables)...), given: values, environment: given}
	err := env.ParseWithOptions(to, env.Options{Environment: values, FuncMap: map[reflect.Type]env.ParserFunc{
		reflect.TypeFor[time.Duration]():  func(text string) (any, error) { return ParseDuration(text) },
		reflect.TypeFor[[]netip.Prefix](): func(text string) (any, error) { return parseRanges(text) },
	}})
	if failed, ok := errors.AsType[env.AggregateError](err); ok {
		for _, err := range failed.Errors {
			p := problemOf(err, variables)
			c.demand(p.Variable, false, p.Text)
		}
	}
	return c
}

// pairs are an environment's variables. An empty one counts as unset.
func pairs(environ []string) map[string]string {
	given := map[string]string{}
	for _, pair := range environ {
		name, value, _ := strings.Cut(pair, "=")
		given[name] = value
	}
	maps.DeleteFunc(given, func(_, value string) bool { return value == "" })
	return given
}

// resolve picks the variables' values out of what is given: files are read and
// lists are tidied.
func resolve(given map[string]string, variables []Variable, read ReadFile) (map[string]string, Problems) {
	values := map[string]string{}
	var problems Problems
	for _, v := range variables {
		value, err := valueOf(v, given, read)
		if err != nil {
			problems = append(problems, Problem{v.Name, err.Error()})
			continue
		}
		if value != "" {
			values[v.Name] = value
		}
	}
	return values, problems
}

func valueOf(v Variable, given map[string]string, read ReadFile) (string, error) {
	value, path, where := given[v.Name], given[v.Name+fileSuffix], v.Name+fileSuffix+" "
	switch {
	case v.isPath():
		path = ""
	case v.isFile():
		value, path, where = "", given[v.Name], ""
	}
	if path != "" {
		if value != "" {
			return "", errors.New("is given twice, directly and by " + strings.TrimSpace(where))
		}
		content, err := read(path)
		if err != nil {
			// The cause without the path: it may be the value, put into the
			// wrong variable.
			if cause, ok := errors.AsType[*os.PathError](err); ok {
				err = cause.Err
			}
			return "", errors.New(where + "names a file that cannot be read: " + err.Error())
		}
		value = strings.TrimRight(string(content), "\r\n")
	}
	if !v.List || value == "" {
		return value, nil
	}
	items := strings.Split(value, ",")
	for i := range items {
		if items[i] = strings.TrimSpace(items[i]); items[i] == "" {
			return "", errors.New("has an empty item in its list")
		}
	}
	return strings.Join(items, ","), nil
}

// parseRanges reads a tidied list of address ranges. An address is the range of
// itself alone.
func parseRanges(text string) ([]netip.Prefix, error) {
	var ranges []netip.Prefix
	for item := range strings.SplitSeq(text, ",") {
		if addr, err := netip.ParseAddr(item); err == nil && addr.Zone() == "" {
			ranges = append(ranges, netip.PrefixFrom(addr, addr.BitLen()))
			continue
		}
		r, err := netip.ParsePrefix(item)
		if err != nil {
			return nil, err
		}
		ranges = append(ranges, r)
	}
	return ranges, nil
}

// problemOf words an error of the parser without the value, which the parser's
// own text may hold.
func problemOf(err error, variables []Variable) Problem {
	if unset, ok := errors.AsType[env.VarIsNotSetError](err); ok {
		return Problem{unset.Key, "is required"}
	}
	if unreadable, ok := errors.AsType[env.ParseError](err); ok {
		i := slices.IndexFunc(variables, func(v Variable) bool { return v.field == unreadable.Name })
		if i >= 0 {
			return Problem{variables[i].Name, form(variables[i].kind, unreadable.Err)}
		}
	}
	return Problem{"configuration", "cannot be read"}
}

func form(kind reflect.Type, err error) string {
	switch kind {
	case reflect.TypeFor[time.Duration]():
		return "must be a duration such as 90s, 2m or 7d"
	case reflect.TypeFor[[]time.Duration]():
		return "must be durations such as 90s, 2m or 1d, separated by commas"
	case reflect.TypeFor[int]():
		return "must be a whole number"
	case reflect.TypeFor[bool]():
		return "must be true or false"
	case reflect.TypeFor[[]netip.Prefix]():
		return "must be addresses or ranges such as 203.0.113.7 or 203.0.113.0/24, separated by commas"
	}
	// Our own types word their errors themselves, and without the value.
	return err.Error()
}
