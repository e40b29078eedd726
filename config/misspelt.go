package config

import (
	"math"
	"strings"
	"sync"
)

const (
	// ownPrefix marks variables that are nobody else's in this environment.
	ownPrefix = "MERCADOPAGO_"
	// nearLength is the length from which a name that is a letter away from one
	// of ours is taken for a misspelling. Shorter names resemble too many.
	nearLength = 6
	// likelyDistance is how many letters a name may be away from the one that is
	// proposed for it.
	likelyDistance = 4
)

// misspelt finds what is given under a name that is probably one of ours, written
// wrongly: the service would run without what its owner believes to be set. Every
// command looks for all of them, also for those that it does not read; read are those
// that it does.
func misspelt(given map[string]string, read []Variable) Problems {
	known := map[string]bool{}
	for _, name := range append(ownNames(), namesOf(read)...) {
		known[name] = true
	}
	for _, v := range Variables() {
		// What the documentation calls the one token that a client sends.
		if singular := strings.TrimSuffix(v.Name, "S"); strings.HasSuffix(v.Name, "_TOKENS") && (given[v.Name] != "" || given[v.Name+fileSuffix] != "") {
			known[singular] = true
		}
	}
	var problems Problems
	for name := range given {
		if known[name] {
			continue
		}
		upper := strings.ToUpper(name)
		likely, away := nearest(upper)
		switch {
		case strings.HasPrefix(upper, ownPrefix) && away > likelyDistance:
			problems = append(problems, Problem{name, "is not a variable of Conciliar, and what begins with " + ownPrefix + " has to be; unset it"})
		case strings.HasPrefix(upper, ownPrefix), len(name) >= nearLength && distance(name, likely) == 1:
			problems = append(problems, Problem{name, "is not a variable of Conciliar; did you mean " + likely + "? If not, unset it"})
		}
	}
	return problems
}

// ownNames are the names that the service's variables may be given by.
func ownNames() []string { return namesOf(Variables()) }

func namesOf(variables []Variable) (names []string) {
	for _, v := range variables {
		names = append(names, v.Name)
		if !v.isFile() && !v.isPath() {
			names = append(names, v.Name+fileSuffix)
		}
	}
	return names
}

// A near is a name of ours, and how far another is from it.
type near struct {
	name string
	away int
}

// nearests are what nearest found, by name. A running service reads its settings every
// two seconds, with the same names each time.
var nearests sync.Map

// nearest returns the name of ours that is most like a name, and its distance.
func nearest(name string) (own string, away int) {
	if found, ok := nearests.Load(name); ok {
		n, _ := found.(near)
		return n.name, n.away
	}
	n := near{away: math.MaxInt}
	for _, own := range ownNames() {
		if away := distance(name, own); away < n.away {
			n = near{own, away}
		}
	}
	nearests.Store(name, n)
	return n.name, n.away
}

// distance is how many letters have to be added, removed, changed or swapped with
// their neighbour to make one name of the other.
func distance(a, b string) int {
	rows := make([][]int, len(a)+1)
	for i := range rows {
		rows[i] = make([]int, len(b)+1)
		for j := range rows[i] {
			if i == 0 || j == 0 {
				rows[i][j] = i + j
				continue
			}
			changed := 0
			if a[i-1] != b[j-1] {
				changed = 1
			}
			rows[i][j] = min(rows[i-1][j]+1, rows[i][j-1]+1, rows[i-1][j-1]+changed)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				rows[i][j] = min(rows[i][j], rows[i-2][j-2]+1)
			}
		}
	}
	return rows[len(a)][len(b)]
}
