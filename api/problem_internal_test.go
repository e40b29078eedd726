package api

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/jobs/provider"
)

func TestProblem_AnotherErrorIsNotAnswered(t *testing.T) {
	t.Parallel()
	w := httptest.NewRecorder()
	c, _ := gin.CreateTestContext(w)
	c.Request = httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil)
	ev := &requestEvent{id: "an-id"}
	inside := errors.New("a detail of the inside")
	(&api{}).answerError(c, ev, fmt.Errorf("outer: %w", inside))
	require.Equal(t, http.StatusInternalServerError, w.Code)
	require.NotContains(t, w.Body.String(), "inside")
	require.Contains(t, w.Body.String(), `"request_id":"an-id"`)
	require.ErrorIs(t, ev.err, inside, "it is logged")
	require.Equal(t, "internal", ev.code)

	// A problem inside of an error is the answer.
	w = httptest.NewRecorder()
	c, _ = gin.CreateTestContext(w)
	c.Request = httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil)
	(&api{}).answerError(c, ev, fmt.Errorf("outer: %w", newProblem(problemOrderNotFound, "No.").because(inside)))
	require.Equal(t, http.StatusNotFound, w.Code)
	require.NotContains(t, w.Body.String(), "inside")
}

func TestProblem_WaitsAreRoundedUp(t *testing.T) {
	t.Parallel()
	for d, want := range map[time.Duration]int64{
		0: 1, time.Nanosecond: 1, time.Second: 1, time.Second + 1: 2, 1500 * time.Millisecond: 2, time.Minute: 60,
	} {
		require.Equal(t, want, ceilSeconds(d), d)
	}
}

func TestProblem_AParameterStandsOnce(t *testing.T) {
	t.Parallel()
	known := []string{"limit", "cursor"}
	require.NoError(t, checkQuery("limit=1&cursor=x", known))
	for query, code := range map[string]*ProblemKind{
		"limit=1&limit=2": problemInvalidParameter, "limit=1&limit=1": problemInvalidParameter,
		"limits=1": problemUnknownParameter, "Limit=1": problemUnknownParameter, "limit=%": problemInvalidParameter,
	} {
		var p *problem
		require.ErrorAs(t, checkQuery(query, known), &p, query)
		require.Equal(t, code, p.kind, query)
	}
	require.ErrorContains(t, checkQuery("limits=1", known), "limit, cursor")
}

func TestProblem_AnUnknownKindOfRefusalIsAnError(t *testing.T) {
	t.Parallel()
	p := refusalProblem(&provider.Refusal{Kind: 99, Reason: "new"})
	require.Equal(t, problemInternal, p.kind, "no 4xx for what is ours")
}
