package store

import (
	"strings"
	"unicode/utf8"
)

// noteLength is how many characters a note may have.
const noteLength = 2000

// ErrNote means that a text cannot be an action's note.
var ErrNote = &InvalidError{What: "the note", code: "invalid_field"}

// A Note says why an operator acted. The zero Note is none: ParseNote makes one.
type Note struct{ text string }

// ParseNote returns the text, without white space around it, as a note: 1 to
// 2,000 characters of valid UTF-8 without NUL. The error wraps ErrNote.
func ParseNote(text string) (Note, error) {
	text = strings.TrimSpace(text)
	switch n := utf8.RuneCountInString(text); {
	case !utf8.ValidString(text) || strings.ContainsRune(text, 0):
		return Note{}, ErrNote.because("has characters that cannot be stored")
	case n < 1 || n > noteLength:
		return Note{}, ErrNote.because("must have 1 to 2,000 characters")
	}
	return Note{text}, nil
}

// String returns the note's text.
func (n Note) String() string { return n.text }

// check fails for the zero Note.
func (n Note) check() error {
	_, err := ParseNote(n.text)
	return err
}
