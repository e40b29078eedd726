package day_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/conciliar/conciliar/store/day"
)

func zone(t require.TestingT, name string) *time.Location {
	z, err := time.LoadLocation(name)
	require.NoError(t, err)
	return z
}

func TestBegin_AChangeOfTheClocks(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		zone, day, begins string
		hours             float64
	}{
		"no change":                           {"America/Argentina/Buenos_Aires", "2026-03-01", "2026-03-01T00:00:00-03:00", 24},
		"half hours":                          {"Asia/Kolkata", "2026-03-01", "2026-03-01T00:00:00+05:30", 24},
		"ahead at two":                        {"America/New_York", "2026-03-08", "2026-03-08T00:00:00-05:00", 23},
		"back at two":                         {"America/New_York", "2026-11-01", "2026-11-01T00:00:00-04:00", 25},
		"ahead at midnight":                   {"America/Santiago", "2026-09-06", "2026-09-06T01:00:00-03:00", 23},
		"back at midnight, to the day before": {"America/Santiago", "2026-04-04", "2026-04-04T00:00:00-03:00", 25},
		"the day after that":                  {"America/Santiago", "2026-04-05", "2026-04-05T00:00:00-04:00", 24},
		"back to midnight":                    {"America/Havana", "2026-11-01", "2026-11-01T00:00:00-04:00", 25},
		"by half an hour":                     {"Australia/Lord_Howe", "2026-04-05", "2026-04-05T00:00:00+11:00", 24.5},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			z := zone(t, c.zone)
			begins, err := day.Parse(c.day, z)
			require.NoError(t, err)
			require.Equal(t, c.begins, begins.Format(time.RFC3339))
			next := day.Next(begins, z)
			require.InDelta(t, c.hours, next.Sub(begins).Hours(), 0)
			require.Equal(t, begins, day.Begin(next.Add(-time.Nanosecond), z))
			require.Equal(t, []time.Time{begins, next}, day.Begins(begins.Add(time.Hour), next, z))
		})
	}
	_, err := day.Parse("2026-02-30", time.UTC)
	require.Error(t, err)
}

// Every moment is in one day, which has the moment's date from its start to its end.
func TestBegin_EveryMomentHasItsDay(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		z := zone(rt, rapid.SampledFrom([]string{
			"UTC", "America/Sao_Paulo", "America/Santiago", "America/Havana", "America/Asuncion", "Asia/Kathmandu", "Africa/Cairo", "Asia/Beirut",
		}).Draw(rt, "zone"))
		at := time.Unix(rapid.Int64Range(1_000_000_000, 1_900_000_000).Draw(rt, "at"), 0).In(z)
		begins, next := day.Begin(at, z), day.Next(at, z)
		require.False(rt, at.Before(begins))
		require.True(rt, at.Before(next))
		for _, inside := range []time.Time{begins, next.Add(-time.Nanosecond)} {
			require.Equal(rt, at.Format(time.DateOnly), inside.Format(time.DateOnly))
		}
		require.NotEqual(rt, at.Format(time.DateOnly), begins.Add(-time.Nanosecond).Format(time.DateOnly))
		require.NotEqual(rt, at.Format(time.DateOnly), next.Format(time.DateOnly))
	})
}
