package store

// checked is a condition that is checked of rows which the rest of a statement finds, and
// by which none are found. PostgreSQL takes a partial index for what holds of few rows, and
// where it believes that there are none reads all of that index in place of finding one row
// by its key: the key's index is larger. It believes so after an ANALYZE at a quiet moment,
// until the next one, and through any backlog that comes in between.
func checked(condition string) string { return "(" + condition + ")::int = 1" }
