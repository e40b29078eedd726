package health

import "github.com/conciliar/conciliar/store"

const (
	// usualWebhooks is how many webhooks a time must usually have for their
	// absence to say something. By chance alone, a time that has ten at the least
	// stays empty less than once in twenty thousand times.
	usualWebhooks = 10
	// usualDays of the last seven must have had as many at the same time of day,
	// and so must the same weekday of the week before; and of the one before
	// that, when webhooks were received then at all.
	usualDays = 5
	week      = 7
	// longestSilence is the longest time that is compared, in hours: whatever is
	// longer is silent all the same.
	longestSilence = 24
)

// silentHours is for how many full hours no webhook has come, when at this time
// there usually are; 0 when there is nothing unusual. A shop that receives few
// is silent for longer before that is unusual, and one that receives less than
// ten a day never is. After about three weeks silence is what is usual.
func silentHours(g store.Signals) int {
	if g.ReceivedSince {
		return 0
	}
	silent := 0
	for silent < len(g.ReceivedHours) && g.ReceivedHours[silent] == 0 {
		silent++
	}
	// Each part of the silence that ends now: the whole of it may be at a time
	// that is usually quiet, such as the night, and yet its end is not.
	for hours := min(silent, longestSilence); hours > 0; hours-- {
		if isUsuallyBusy(g.ReceivedHours, hours, silent/24) {
			return silent
		}
	}
	return 0
}

// isUsuallyBusy reports whether the last hours usually have webhooks, by the
// days before the silent ones. received are the counts of full hours, the newest
// first.
func isUsuallyBusy(received []int64, hours, silentDays int) bool {
	had := func(daysAgo int) int64 {
		from := daysAgo * 24
		if from+hours > len(received) {
			return 0
		}
		return sum(received[from : from+hours])
	}
	// The same weekday, before the silence.
	weekday := week * (silentDays/week + 1)
	if had(weekday) < usualWebhooks {
		return false
	}
	busy := 0
	for day := silentDays + 1; day <= silentDays+week; day++ {
		if had(day) >= usualWebhooks {
			busy++
		}
	}
	if busy < usualDays {
		return false
	}
	before := weekday + week
	known := len(received) > before*24 && sum(received[(before-1)*24:]) > 0
	return !known || had(before) >= usualWebhooks
}

func sum(counts []int64) int64 {
	var total int64
	for _, n := range counts {
		total += n
	}
	return total
}
