package api_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"

	"github.com/conciliar/conciliar/api"
)

// described is the API's description, as it is served.
var described = sync.OnceValues(func() (*openapi3.T, error) {
	raw, err := os.ReadFile("openapi.yaml")
	if err != nil {
		return nil, err
	}
	doc, err := openapi3.NewLoader().LoadFromData(raw)
	if err != nil {
		return nil, err
	}
	return doc, doc.Validate(context.Background())
})

// pathParameter is a parameter in a path of the description.
var pathParameter = regexp.MustCompile(`\{([a-z_]+)\}`)

// A describedPath is a path of the description, and what calls of it look like.
type describedPath struct {
	path    string
	item    *openapi3.PathItem
	names   []string
	pattern *regexp.Regexp
}

// describedPaths are those of the description. One is preferred to another with a
// parameter in its place.
var describedPaths = sync.OnceValue(func() []describedPath {
	doc, err := described()
	if err != nil {
		return nil
	}
	var all []describedPath
	for path, item := range doc.Paths.Map() {
		d := describedPath{path: path, item: item}
		for _, name := range pathParameter.FindAllStringSubmatch(path, -1) {
			d.names = append(d.names, name[1])
		}
		quoted := regexp.MustCompile(`\\\{[a-z_]+\\\}`).ReplaceAllString(regexp.QuoteMeta(path), `([^/]+)`)
		d.pattern = regexp.MustCompile("^" + quoted + "$")
		all = append(all, d)
	}
	slices.SortFunc(all, func(a, b describedPath) int { return len(a.names) - len(b.names) })
	return all
})

// operationOf finds the operation that describes a call; nil when none does.
func operationOf(doc *openapi3.T, r *http.Request) (*routers.Route, map[string]string) {
	for _, d := range describedPaths() {
		operation := d.item.GetOperation(r.Method)
		if operation == nil {
			continue
		}
		found := d.pattern.FindStringSubmatch(r.URL.EscapedPath())
		if found == nil {
			continue
		}
		values := map[string]string{}
		for i, name := range d.names {
			value, err := url.PathUnescape(found[i+1])
			if err != nil {
				value = found[i+1]
			}
			values[name] = value
		}
		return &routers.Route{Spec: doc, Path: d.path, PathItem: d.item, Method: r.Method, Operation: operation}, values
	}
	return nil, nil
}

// textOf is the media type of an answer that is described as text; empty for
// JSON.
func textOf(operation *openapi3.Operation, status int) string {
	response := operation.Responses.Status(status)
	if response == nil {
		return ""
	}
	for media := range response.Value.Content {
		if !strings.HasSuffix(media, "json") {
			return media
		}
	}
	return ""
}

// isPage tells whether the call is for a page, which no description is about.
func isPage(deps api.Deps, r *http.Request) bool {
	return slices.ContainsFunc(api.Routes(deps), func(known api.Route) bool {
		prefix, all := strings.CutSuffix(known.Path, "*page")
		return !known.Described && (r.URL.Path == known.Path || all && strings.HasPrefix(r.URL.Path, prefix))
	})
}

// A watched call remembers its body as far as the handler read it.
type watched struct {
	io.ReadCloser
	read bytes.Buffer
}

func (w *watched) Read(p []byte) (int, error) {
	n, err := w.ReadCloser.Read(p)
	w.read.Write(p[:n])
	return n, err
}

// watch lets the request's body be held against the description afterwards.
func watch(r *http.Request) *watched {
	if r.Body == nil || r.Body == http.NoBody {
		return &watched{}
	}
	w := &watched{ReadCloser: r.Body}
	r.Body = w
	return w
}

// hold holds a call and its answer against the description: every answer, and
// every call that was accepted.
func hold(deps api.Deps, r *http.Request, body *watched, w *httptest.ResponseRecorder) error {
	doc, err := described()
	if err != nil {
		return err
	}
	if path.Clean(r.URL.Path) == api.WebhookPath {
		r.URL.Path = api.WebhookPath // a slash more is the same path
	}
	if clean := path.Clean(r.URL.Path); strings.HasPrefix(clean, "/hooks/") {
		r.URL.Path = clean
	} else if clean == ownHookPath {
		r.URL.Path = "/hooks/own" // the answers are those of the common path
	}
	route, values := operationOf(doc, r)
	if route == nil && isPage(deps, r) {
		return nil
	}
	if w.Code >= http.StatusBadRequest {
		var p api.Problem
		if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil {
			return err
		}
		if route == nil || p.Code == "not_found" || p.Code == "method_not_allowed" {
			return holdProblem(doc, w)
		}
	}
	if route == nil {
		return fmt.Errorf("%s %s answered %d and is not described", r.Method, r.URL.EscapedPath(), w.Code)
	}
	asked := &openapi3filter.RequestValidationInput{Request: r, PathParams: values, Route: route, Options: &openapi3filter.Options{
		IncludeResponseStatus: true, SkipSettingDefaults: true, AuthenticationFunc: authenticate(deps),
	}}
	// A body that is not JSON has nothing to be held against.
	if text := textOf(route.Operation, w.Code); text != "" {
		asked.Options.ExcludeResponseBody = true
		if !strings.HasPrefix(w.Header().Get("Content-Type"), text) {
			return fmt.Errorf("%s %s answered %q and not %s", r.Method, r.URL, w.Header().Get("Content-Type"), text)
		}
	}
	err = openapi3filter.ValidateResponse(context.Background(), &openapi3filter.ResponseValidationInput{
		RequestValidationInput: asked, Status: w.Code, Header: w.Header(),
		Body: io.NopCloser(bytes.NewReader(w.Body.Bytes())), Options: asked.Options,
	})
	if err != nil {
		return fmt.Errorf("the answer of %s %s, %d %s, is not as described: %w", r.Method, r.URL, w.Code, shortened(w.Body.String()), err)
	}
	if w.Code >= http.StatusBadRequest {
		return nil
	}
	if err := holdRequest(asked, body.read.Bytes()); err != nil {
		return fmt.Errorf("%s %s was accepted with %q, against the description: %w", r.Method, r.URL, body.read.Bytes(), err)
	}
	return nil
}

func holdRequest(asked *openapi3filter.RequestValidationInput, body []byte) error {
	r := asked.Request.Clone(context.Background())
	r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	if len(body) > 0 && r.Header.Get("Content-Type") == "" {
		r.Header.Set("Content-Type", "application/json") // what a body is taken for
	}
	asked.Request = r
	operation := asked.Route.Operation
	if operation.RequestBody != nil && operation.RequestBody.Value.Content.Get("any/thing") != nil {
		asked.Options.ExcludeRequestBody = true
	}
	if len(body) > 0 && operation.RequestBody == nil && asked.Request.Method != http.MethodGet && string(body) != "{}" {
		return fmt.Errorf("a body where none is described")
	}
	return openapi3filter.ValidateRequest(context.Background(), asked)
}

// authenticate wants the token of the operation's own list.
func authenticate(deps api.Deps) openapi3filter.AuthenticationFunc {
	return func(_ context.Context, in *openapi3filter.AuthenticationInput) error {
		token := strings.Trim(in.RequestValidationInput.Request.Header.Get("Authorization")[len("Bearer "):], " ")
		if !slices.Contains(tokensOf(deps, in.SecuritySchemeName), token) {
			return fmt.Errorf("the token is none of %s", in.SecuritySchemeName)
		}
		return nil
	}
}

func tokensOf(deps api.Deps, scheme string) []string {
	return map[string][]string{
		"statusToken": deps.Tokens.Status, "processQueueToken": deps.Tokens.ProcessQueue,
		"reconcileToken": deps.Tokens.Reconcile, "ordersToken": deps.Tokens.Orders,
	}[scheme]
}

// holdProblem holds what no operation answers against the description of
// problems.
func holdProblem(doc *openapi3.T, w *httptest.ResponseRecorder) error {
	var value any
	if err := json.Unmarshal(w.Body.Bytes(), &value); err != nil {
		return err
	}
	if err := doc.Components.Schemas["Problem"].Value.VisitJSON(value, openapi3.EnableJSONSchema2020()); err != nil {
		return err
	}
	for _, name := range []string{"X-Request-Id", "RateLimit", "RateLimit-Policy"} {
		if w.Header().Get(name) == "" {
			return fmt.Errorf("no %s in a %d", name, w.Code)
		}
	}
	return nil
}

// A watchedCall is a call with its answer, to be changed.
type watchedCall struct {
	r    *http.Request
	body *watched
	w    *httptest.ResponseRecorder
}

func watchCall(t *testing.T, b *bundle, c call) *watchedCall {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), c.method, c.target, c.body)
	r.Header = c.header
	watchedCall := &watchedCall{r: r, body: watch(r), w: httptest.NewRecorder()}
	b.ServeHTTP(watchedCall.w, r)
	return watchedCall
}

func (c *watchedCall) hold(deps api.Deps) error { return hold(deps, c.r, c.body, c.w) }

// replace changes the answer's body.
func (c *watchedCall) replace(old, with string) {
	c.w.Body = bytes.NewBufferString(strings.Replace(c.w.Body.String(), old, with, 1))
}

// shortened is enough of a body to know it by.
func shortened(text string) string {
	return text[:min(len(text), 2000)]
}
