package jobs

import (
	"testing"
	"time"

	"github.com/riverqueue/river/riverdriver"
	"github.com/riverqueue/river/rivertype"
	"github.com/stretchr/testify/require"
)

func TestEndedJobs_AreLeftOutOnce(t *testing.T) {
	t.Parallel()
	now := time.Now()
	// As River's completer asks.
	params := &riverdriver.JobSetStateIfRunningManyParams{Now: &now, Schema: "conciliar"}
	for _, p := range []*riverdriver.JobSetStateIfRunningParams{
		riverdriver.JobSetStateCompleted(1, now, nil),
		riverdriver.JobSetStateCompleted(2, now, nil),
		riverdriver.JobSetStateCompleted(3, now, []byte(`{"output":1}`)),
		riverdriver.JobSetStateDiscarded(4, now, []byte(`{}`), nil),
		riverdriver.JobSetStateSnoozed(5, now, 1, nil),
	} {
		params.ID = append(params.ID, p.ID)
		params.Attempt = append(params.Attempt, p.Attempt)
		params.ErrData = append(params.ErrData, p.ErrData)
		params.FinalizedAt = append(params.FinalizedAt, p.FinalizedAt)
		params.MetadataDoMerge = append(params.MetadataDoMerge, p.MetadataDoMerge)
		params.MetadataUpdates = append(params.MetadataUpdates, p.MetadataUpdates)
		params.ScheduledAt = append(params.ScheduledAt, p.ScheduledAt)
		params.State = append(params.State, p.State)
	}
	ended := newEndedJobs()
	require.Equal(t, params, ended.without(params), "River completes what nobody else has")

	for _, id := range params.ID {
		if id != 2 {
			ended.add(id)
		}
	}
	left := ended.without(params)

	require.Equal(t, []int64{2, 3, 4, 5}, left.ID)
	require.Equal(t, params.Attempt[1:], left.Attempt)
	require.Equal(t, params.ErrData[1:], left.ErrData)
	require.Equal(t, params.FinalizedAt[1:], left.FinalizedAt)
	require.Equal(t, params.MetadataDoMerge[1:], left.MetadataDoMerge)
	require.Equal(t, params.MetadataUpdates[1:], left.MetadataUpdates)
	require.Equal(t, params.ScheduledAt[1:], left.ScheduledAt)
	require.Equal(t, []rivertype.JobState{"completed", "completed", "discarded", "scheduled"}, left.State)
	require.Equal(t, params, ended.without(params), "each is left out once")
}
