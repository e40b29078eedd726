package config

import (
	"slices"
	"strings"
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
// command looks for all of them, also for those that it does not read.
func misspelt(given map[string]string) Problems {
	var ours []string
	known := map[string]bool{}
	for _, v := range Variables() {
		ours = append(ours, v.Name)
		known[v.Name] = true
		if !v.isFile() && !v.isPath() {
			ours = append(ours, v.Name+fileSuffix)
			known[v.Name+fileSuffix] = true
		}
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
		likely := slices.MinFunc(ours, func(a, b string) int { return distance(upper, a) - distance(upper, b) })
		away := distance(upper, likely)
		switch {
		case strings.HasPrefix(upper, ownPrefix) && away > likelyDistance:
			problems = append(problems, Problem{name, "is not a variable of Conciliar, and what begins with " + ownPrefix + " has to be; unset it"})
		case strings.HasPrefix(upper, ownPrefix), len(name) >= nearLength && distance(name, likely) == 1:
			problems = append(problems, Problem{name, "is not a variable of Conciliar; did you mean " + likely + "? If not, unset it"})
		}
	}
	return problems
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
