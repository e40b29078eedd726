package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/conciliar/conciliar/config"
	"github.com/conciliar/conciliar/store"
)

// allStates is the word for every state.
const allStates = "all"

// A wordValue is a flag that takes one of some words.
type wordValue struct {
	value *string
	known []string
}

func (w wordValue) Set(text string) error {
	if !slices.Contains(w.known, text) {
		return fmt.Errorf("it takes one of %s", strings.Join(w.known, ", "))
	}
	*w.value = text
	return nil
}

func (wordValue) Type() string { return "word" }

func (w wordValue) String() string {
	if w.value == nil {
		return ""
	}
	return *w.value
}

// wordFlag adds a flag that takes one of the known words.
func wordFlag(cmd *cobra.Command, value *string, name, usage string, known []string) {
	cmd.Flags().Var(wordValue{value, known}, name, usage+": "+strings.Join(known, ", "))
}

// A stateValue is --state: one of the states, or all of them, which a filter
// writes as the empty text.
type stateValue struct{ wordValue }

func (s stateValue) Set(text string) error {
	if text == allStates {
		*s.value = ""
		return nil
	}
	return s.wordValue.Set(text)
}

// stateFlag adds --state, which is preset unless the caller says otherwise.
func stateFlag(cmd *cobra.Command, value *string, preset string, states []string) {
	*value = preset
	known := append(slices.Clone(states), allStates)
	cmd.Flags().Var(stateValue{wordValue{value, known}}, "state", "only in this state: "+strings.Join(known, ", "))
}

// A timeValue is a flag that takes a point in time as people write it. The zero
// time is none.
type timeValue struct {
	value *time.Time
	text  *string
}

func (m timeValue) Set(text string) error {
	t, err := parseTime(text, time.Now())
	if err == nil {
		*m.value, *m.text = t, text
	}
	return err
}

func (timeValue) Type() string { return "time" }

func (m timeValue) String() string {
	if m.text == nil {
		return ""
	}
	return *m.text
}

// parseTime reads a date, which begins at midnight UTC, a time, or a duration
// back from now.
func parseTime(text string, now time.Time) (time.Time, error) {
	for _, layout := range []string{time.DateOnly, time.RFC3339} {
		if t, err := time.Parse(layout, text); err == nil {
			return t, nil
		}
	}
	if d, err := config.ParseDuration(text); err == nil && d > 0 {
		return now.Add(-d), nil
	}
	return time.Time{}, errors.New("it takes a date such as 2026-01-31, a time such as 2026-01-31T15:04:05Z or an age such as 48h or 7d")
}

// timeFlags adds --since and --until.
func timeFlags(cmd *cobra.Command, since, until *time.Time) {
	cmd.Flags().Var(timeValue{since, new(string)}, "since", "from then on: a date, a time (RFC 3339) or an age such as 24h or 7d")
	cmd.Flags().Var(timeValue{until, new(string)}, "until", "before then, in the same forms")
}

// A noteValue is the note that an action needs.
type noteValue struct {
	note  *store.Note
	parse func(text string) (store.Note, error)
}

func (n noteValue) Set(text string) (err error) {
	*n.note, err = n.parse(text)
	return err
}

func (noteValue) Type() string { return "text" }

func (n noteValue) String() string {
	if n.note == nil {
		return ""
	}
	return n.note.String()
}

// noteFlag adds --note, which is required.
func noteFlag(cmd *cobra.Command) *store.Note { return whyFlag(cmd, "note", store.ParseNote) }

// reasonFlag adds --reason, which is required.
func reasonFlag(cmd *cobra.Command) *store.Note { return whyFlag(cmd, "reason", store.ParseReason) }

func whyFlag(cmd *cobra.Command, name string, parse func(text string) (store.Note, error)) *store.Note {
	note := &store.Note{}
	cmd.Flags().Var(noteValue{note, parse}, name, "why (required)")
	_ = cmd.MarkFlagRequired(name)
	return note
}

// jsonFlag adds --json to a command that prints data.
func jsonFlag(cmd *cobra.Command) *bool {
	return cmd.Flags().Bool("json", false, "print JSON")
}
