package api_test

import (
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/api"
)

func TestOpenAPI_IsServed(t *testing.T) {
	t.Parallel()
	b := setup(t, setupOptions{})
	w := b.do(t, call{method: http.MethodGet, target: "/openapi.yaml"})
	require.Equal(t, http.StatusOK, w.Code)
	require.Equal(t, "application/yaml", w.Header().Get("Content-Type"))
	raw, err := os.ReadFile("openapi.yaml")
	require.NoError(t, err)
	require.Equal(t, string(raw), w.Body.String())
}

// What is routed is described and what is described is routed, each with its
// own token and its own parameters.
func TestOpenAPI_HasTheRoutes(t *testing.T) {
	t.Parallel()
	doc, err := described()
	require.NoError(t, err)
	b := setup(t, setupOptions{})
	routed := map[string]bool{}
	for _, r := range api.Routes(b.deps) {
		if !r.Described {
			continue
		}
		routed[r.Method+" "+r.Path] = true
		item := doc.Paths.Value(r.Path)
		require.NotNil(t, item, "%s is not described", r.Path)
		operation := item.GetOperation(r.Method)
		require.NotNil(t, operation, "%s %s is not described", r.Method, r.Path)
		require.NotEmpty(t, operation.OperationID)
		require.NotNil(t, operation.Security)
		var schemes []string
		for _, alternative := range *operation.Security {
			for name := range alternative {
				schemes = append(schemes, name)
			}
		}
		if r.Scheme == "" {
			require.Empty(t, schemes, operation.OperationID)
		} else {
			require.Equal(t, strings.Fields(r.Scheme), schemes, operation.OperationID)
		}
		if r.AnyQuery {
			continue
		}
		var parameters []string
		for _, p := range operation.Parameters {
			if p.Value.In == "query" {
				parameters = append(parameters, p.Value.Name)
			}
		}
		require.ElementsMatch(t, r.Query, parameters, operation.OperationID)
	}
	ids := map[string]bool{}
	for path, item := range doc.Paths.Map() {
		for method, operation := range item.Operations() {
			require.True(t, routed[method+" "+path], "%s %s is described and not routed", method, path)
			require.False(t, ids[operation.OperationID], operation.OperationID)
			ids[operation.OperationID] = true
		}
	}
}

func TestOpenAPI_KnowsEveryProblem(t *testing.T) {
	t.Parallel()
	doc, err := described()
	require.NoError(t, err)
	var codes, described []string
	for _, k := range api.ProblemKinds() {
		codes = append(codes, k.Code)
	}
	for _, code := range doc.Components.Schemas["ProblemCode"].Value.Enum {
		described = append(described, code.(string))
	}
	require.ElementsMatch(t, codes, described)
	// Each is answered somewhere, with its own status, but for what is said where
	// nothing is and on the operator's pages.
	elsewhere := []string{"method_not_allowed", "not_logged_in", "cross_origin", "role_forbidden", "refund_exceeds", "refund_changed"}
	for _, k := range api.ProblemKinds() {
		answered := false
		for _, item := range doc.Paths.Map() {
			for _, operation := range item.Operations() {
				if r := operation.Responses.Status(k.Status); r != nil && r.Value.Content["application/problem+json"] != nil {
					answered = answered || slices.Contains(codesOf(t, r.Ref), k.Code)
				}
			}
		}
		require.Equal(t, !slices.Contains(elsewhere, k.Code), answered, "is %s answered by an operation?", k.Code)
	}
}

// codesOf are the codes of a response that is described once for all.
func codesOf(t *testing.T, ref string) []string {
	t.Helper()
	doc, err := described()
	require.NoError(t, err)
	response := doc.Components.Responses[strings.TrimPrefix(ref, "#/components/responses/")]
	require.NotNil(t, response, ref)
	var codes []string
	for _, code := range findEnum(response.Value.Content["application/problem+json"].Schema.Value) {
		codes = append(codes, code.(string))
	}
	require.NotEmpty(t, codes, ref)
	return codes
}

// A check that notices nothing would be worse than none.
func TestOpenAPI_NoticesWhatIsNotInIt(t *testing.T) {
	t.Parallel()
	b := setup(t, setupOptions{})
	id := b.accept(t, "1")
	for name, change := range map[string]func(*watchedCall){
		"a member too many": func(c *watchedCall) { c.replace(`"queue_id"`, `"colour":"red","queue_id"`) },
		"one too few":       func(c *watchedCall) { c.replace(`"archived":false,`, ``) },
		"another type":      func(c *watchedCall) { c.replace(`"archived":false`, `"archived":"no"`) },
		"an unknown word":   func(c *watchedCall) { c.replace(`"status":"pending"`, `"status":"lost"`) },
		"no request id":     func(c *watchedCall) { c.w.Header().Del("X-Request-Id") },
		"no limit":          func(c *watchedCall) { c.w.Header().Del("RateLimit") },
		"another status":    func(c *watchedCall) { c.w.Code = http.StatusTeapot },
		"another media":     func(c *watchedCall) { c.w.Header().Set("Content-Type", "text/html") },
		"another token":     func(c *watchedCall) { c.r.Header.Set("Authorization", "Bearer "+ordersToken) },
	} {
		c := watchCall(t, b, get(fmt.Sprintf("/api/webhooks/events/%d", id)))
		require.NoError(t, c.hold(b.deps))
		change(c)
		require.Error(t, c.hold(b.deps), name)
	}
	problem := watchCall(t, b, get("/api/webhooks/events/404"))
	require.NoError(t, problem.hold(b.deps))
	problem.replace(`"code":"event_not_found"`, `"code":"run_not_found"`)
	require.Error(t, problem.hold(b.deps), "a problem of another operation")
}

// findEnum returns the codes that a schema narrows a problem to.
func findEnum(schema *openapi3.Schema) []any {
	for _, all := range schema.AllOf {
		if found := findEnum(all.Value); found != nil {
			return found
		}
	}
	if code := schema.Properties["code"]; code != nil && code.Ref == "" {
		return code.Value.Enum
	}
	return nil
}
