package health_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/jobs/health"
	"github.com/conciliar/conciliar/store"
)

// silence is four weeks and a day of so many webhooks an hour, and none in the
// last hours.
func silence(hours int, each int64) []int64 {
	received := make([]int64, 29*24)
	for i := hours; i < len(received); i++ {
		received[i] = each
	}
	return received
}

// shop is four weeks and a day as opens tells them: how many webhooks there were
// at the hour of the day, so many days ago. The newest full hour is that before
// now.
func shop(now int, opens func(daysAgo, hour int) int64) []int64 {
	received := make([]int64, 29*24)
	for i := range received {
		at := now - 1 - i
		day := 0
		for at < 0 {
			at, day = at+24, day+1
		}
		received[i] = opens(day, at)
	}
	return received
}

func TestSilence_IsJudgedByWhatIsUsual(t *testing.T) {
	t.Parallel()
	// Open from 9 to 22 o'clock, silent today from the hour given.
	daily := func(each int64, silentFrom int) func(int, int) int64 {
		return func(day, hour int) int64 {
			if hour < 9 || hour >= 22 || day == 0 && hour >= silentFrom {
				return 0
			}
			return each
		}
	}
	// Closed on each seventh day.
	weekly := func(closed int, each int64) func(int, int) int64 {
		return func(day, hour int) int64 {
			if day%7 == closed || day == 0 {
				return 0
			}
			return daily(each, 24)(day, hour)
		}
	}
	// Nothing for so many days and the hours of today.
	gone := func(days int) func(int, int) int64 {
		return func(day, hour int) int64 {
			if day < days {
				return 0
			}
			return daily(20, 24)(day, hour)
		}
	}
	since := func(first int, each int64) func(int, int) int64 {
		return func(day, hour int) int64 {
			if day > first {
				return 0
			}
			return daily(each, 12)(day, hour)
		}
	}
	for name, c := range map[string]struct {
		now   int
		opens func(day, hour int) int64
		want  int
	}{
		"a busy shop at noon, silent for an hour":       {13, daily(20, 12), 1},
		"a busy shop that goes on":                      {13, daily(20, 24), 0},
		"a busy shop at night":                          {4, daily(20, 24), 0},
		"a busy shop in the evening, silent since noon": {23, daily(20, 12), 11},
		"a busy shop that was silent in its last hours": {23, daily(20, 20), 3},
		"three an hour, silent for three hours":         {15, daily(3, 12), 0},
		"three an hour, silent for four hours":          {16, daily(3, 12), 4},
		"one an hour, silent for nine hours":            {21, daily(1, 12), 0},
		"one an hour, silent for the whole day":         {21, daily(1, 9), 23},
		"nothing, ever":                                 {13, func(int, int) int64 { return 0 }, 0},
		"a handful a day":                               {13, func(day, hour int) int64 { return b2i(day > 0 && hour%6 == 0) }, 0},
		"the day of the week on which it is closed":     {13, weekly(0, 20), 0},
		"the day after it, and still nothing":           {13, weekly(1, 20), 13 + 24 + 2},
		"the day after it, before it opens":             {9, weekly(1, 20), 0},
		"a shop that opened six days ago":               {13, since(6, 20), 0},
		"a shop that opened eight days ago":             {13, since(8, 20), 1},
		"silent for three days":                         {13, gone(3), 2*24 + 13 + 2},
		"silent for ten days":                           {13, gone(10), 9*24 + 13 + 2},
		"open on two days of the week only":             {13, func(day, hour int) int64 { return b2i(day > 0 && day%7 < 2) * daily(20, 24)(day, hour) }, 0},
		"this weekday two weeks ago was a holiday":      {13, func(day, hour int) int64 { return b2i(day != 14) * daily(20, 12)(day, hour) }, 0},
	} {
		received := shop(c.now, c.opens)
		require.Equal(t, c.want, health.SilentHours(store.Signals{ReceivedHours: received}), name)
		require.Zero(t, health.SilentHours(store.Signals{ReceivedHours: received, ReceivedSince: true}), "%s, and one just came", name)
	}
	require.Zero(t, health.SilentHours(store.Signals{}), "nothing counted yet")
	for n := range 7*24 + 1 {
		require.Zero(t, health.SilentHours(store.Signals{ReceivedHours: silence(1, 100)[:n]}), "not a week counted yet")
	}
	require.Equal(t, 1, health.SilentHours(store.Signals{ReceivedHours: silence(1, 100)[:7*24+1]}))
	require.Zero(t, health.SilentHours(store.Signals{ReceivedHours: silence(29*24, 100)}), "silence is usual by now")
}

func b2i(b bool) int64 {
	if b {
		return 1
	}
	return 0
}
