package config

import "reflect"

// Differing names the variables whose values differ between two configurations.
func Differing(a, b Config) []string {
	var names []string
	one, other := reflect.ValueOf(a), reflect.ValueOf(b)
	for _, v := range Variables() {
		if !reflect.DeepEqual(one.FieldByName(v.field).Interface(), other.FieldByName(v.field).Interface()) {
			names = append(names, v.Name)
		}
	}
	return names
}
