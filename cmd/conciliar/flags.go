package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/shopspring/decimal"
	"github.com/spf13/cobra"

	"github.com/conciliar/conciliar/config"
	"github.com/conciliar/conciliar/store"
	"github.com/conciliar/conciliar/store/day"
	"github.com/conciliar/conciliar/store/order"
)

// allStates is the word for every state.
const allStates = "all"

// A flagValue is a flag whose text is read as soon as it is given.
type flagValue struct {
	kind, text string
	read       func(text string) error
}

func (f *flagValue) Set(text string) error {
	err := f.read(text)
	if err == nil {
		f.text = text
	}
	return err
}

func (f *flagValue) Type() string { return f.kind }

func (f *flagValue) String() string { return f.text }

// wordFlag adds a flag that takes one of the known words.
func wordFlag(cmd *cobra.Command, value *string, name, usage string, known []string) {
	choiceFlag(cmd, name, usage, *value, known, func(text string) { *value = text })
}

// stateFlag adds --state, which is preset unless the caller says otherwise: one of
// the states, or all of them, which a filter writes as the empty text.
func stateFlag(cmd *cobra.Command, value *string, preset string, states []string) {
	*value = preset
	choiceFlag(cmd, "state", "only in this state", preset, append(slices.Clone(states), allStates), func(text string) {
		if *value = text; text == allStates {
			*value = ""
		}
	})
}

func choiceFlag(cmd *cobra.Command, name, usage, preset string, known []string, choose func(text string)) {
	cmd.Flags().Var(&flagValue{kind: "word", text: preset, read: func(text string) error {
		if !slices.Contains(known, text) {
			return fmt.Errorf("it takes one of %s", strings.Join(known, ", "))
		}
		choose(text)
		return nil
	}}, name, usage+": "+strings.Join(known, ", "))
}

// parseTime reads a date, which begins when that day does in the zone, a time, or a
// duration back from now.
func parseTime(text string, now time.Time, zone *time.Location) (time.Time, error) {
	if begin, err := day.Parse(text, zone); err == nil {
		return begin, nil
	}
	if t, err := time.Parse(time.RFC3339, text); err == nil {
		return t, nil
	}
	if d, err := config.ParseDuration(text); err == nil && d > 0 {
		return now.Add(-d), nil
	}
	return time.Time{}, errors.New("it takes a date such as 2026-01-31, a time such as 2026-01-31T15:04:05Z or an age such as 48h or 7d")
}

// timeFlag adds a flag that takes a point in time as people write it. The zero
// time is none. Dates are those of TIME_ZONE.
func timeFlag(std stdio, cmd *cobra.Command, value *time.Time, name, usage string) {
	cmd.Flags().Var(&flagValue{kind: "time", read: func(text string) error {
		calendar, err := config.LoadCalendar(std.environ)
		if err != nil {
			return err
		}
		*value, err = parseTime(text, time.Now(), calendar.TimeZone.Location)
		return err
	}}, name, usage)
}

// amountFlag adds a flag that takes an amount of money.
func amountFlag(cmd *cobra.Command, value **decimal.Decimal, name, usage string) {
	cmd.Flags().Var(&flagValue{kind: "amount", read: func(text string) error {
		amount, err := order.ParseAmount(text)
		*value = &amount
		return err
	}}, name, usage)
}

// timeFlags adds --since and --until.
func timeFlags(std stdio, cmd *cobra.Command, since, until *time.Time) {
	timeFlag(std, cmd, since, "since", "from then on: a date of TIME_ZONE, a time (RFC 3339) or an age such as 24h or 7d")
	timeFlag(std, cmd, until, "until", "before then, in the same forms")
}

// noteFlag adds --note, which is required.
func noteFlag(cmd *cobra.Command) *store.Note { return whyFlag(cmd, "note", store.ParseNote) }

// reasonFlag adds --reason, which is required.
func reasonFlag(cmd *cobra.Command) *store.Note { return whyFlag(cmd, "reason", store.ParseReason) }

func whyFlag(cmd *cobra.Command, name string, parse func(text string) (store.Note, error)) *store.Note {
	note := &store.Note{}
	cmd.Flags().Var(&flagValue{kind: "text", read: func(text string) (err error) {
		*note, err = parse(text)
		return err
	}}, name, "why (required)")
	_ = cmd.MarkFlagRequired(name)
	return note
}

// jsonFlag adds --json to a command that prints data.
func jsonFlag(cmd *cobra.Command) *bool {
	return cmd.Flags().Bool("json", false, "print JSON")
}
