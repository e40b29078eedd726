package api

import "net/http"

// What can be wrong with what operators look at and do.
var (
	problemEventNotFound = kind(http.StatusNotFound, "event_not_found", "No such event",
		"Check the id: it is the queue_id that the delivery was answered with.")
	problemDeadLetterNotFound = kind(http.StatusNotFound, "dead_letter_not_found", "No such dead letter",
		"Check the id; the list of dead letters has it, an event's id is another.")
	problemBulkReplayNotFound = kind(http.StatusNotFound, "bulk_replay_not_found", "No such bulk replay",
		"Check the id that the bulk replay was answered with.")
	problemAnomalyNotFound = kind(http.StatusNotFound, "anomaly_not_found", "No such anomaly",
		"Check the id; the list of anomalies has it.")
	problemRefusedNotFound = kind(http.StatusNotFound, "refused_not_found", "No such refused delivery",
		"Check the id; the newest 10,000 of seven days are kept.")
	problemStateConflict = kind(http.StatusConflict, "state_conflict", "It is not in a state for this",
		"Look at it again: somebody dealt with it before.")
	problemReplayWaits = kind(http.StatusConflict, "replay_waits", "An earlier replay has not ended yet",
		"Wait for the event that the detail names.")
)
