package store

import (
	"strings"
	"unicode/utf8"
)

// noteLength is how many characters a note may have.
const noteLength = 2000

// What a text can be that says why an operator acted.
var (
	// ErrNote means that a text cannot be an action's note.
	ErrNote = &InvalidError{What: "the note", code: "invalid_field"}
	// ErrReason means the same where the note is called a reason.
	ErrReason = &InvalidError{What: "the reason", code: "invalid_field"}
)

// A Note says why an operator acted. The zero Note is none: ParseNote makes one.
type Note struct{ text string }

// ParseNote returns the text, without white space around it, as a note: 1 to
// 2,000 characters of valid UTF-8 without NUL. The error wraps ErrNote.
func ParseNote(text string) (Note, error) { return parseNote(text, ErrNote) }

// ParseReason is ParseNote where people call the note a reason. The error wraps
// ErrReason.
func ParseReason(text string) (Note, error) { return parseNote(text, ErrReason) }

func parseNote(text string, wrong *InvalidError) (Note, error) {
	text = strings.TrimSpace(text)
	switch n := utf8.RuneCountInString(text); {
	case !utf8.ValidString(text) || strings.ContainsRune(text, 0):
		return Note{}, wrong.because("has characters that cannot be stored")
	case n < 1 || n > noteLength:
		return Note{}, wrong.because("must have 1 to 2,000 characters")
	}
	return Note{text}, nil
}

func (n Note) String() string { return n.text }

// check fails for the zero Note.
func (n Note) check() error {
	_, err := ParseNote(n.text)
	return err
}
