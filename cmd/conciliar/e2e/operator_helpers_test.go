package e2e

import (
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// An operatorClient is an operator without a browser: a client that keeps
// cookies.
type operatorClient struct {
	service string
	client  *http.Client
}

func newOperator(t *testing.T, service string) *operatorClient {
	t.Helper()
	jar, err := cookiejar.New(nil)
	require.NoError(t, err)
	return &operatorClient{service: service, client: &http.Client{Jar: jar}}
}

// logIn submits the form and returns the answer at the end of the redirects,
// without its body.
func (o *operatorClient) logIn(t *testing.T, password string) *http.Response {
	t.Helper()
	return o.logInAs(t, "", password)
}

// logInAs is logIn of a named operator.
func (o *operatorClient) logInAs(t *testing.T, name, password string) *http.Response {
	t.Helper()
	form := url.Values{"username": {name}, "password": {password}}.Encode()
	resp, _ := o.send(t, http.MethodPost, "/dashboard/login", "application/x-www-form-urlencoded", form)
	return resp
}

// isIn reports whether the client is logged in.
func (o *operatorClient) isIn(t *testing.T) bool {
	t.Helper()
	resp, _ := o.send(t, http.MethodGet, "/dashboard", "", "")
	return resp.StatusCode == http.StatusOK && resp.Request.URL.Path == "/dashboard"
}

// riverUI calls River UI's API and returns its answer.
func (o *operatorClient) riverUI(t *testing.T, method, path, body string) (status int, answer string) {
	t.Helper()
	resp, answer := o.send(t, method, "/riverui/api/"+path, "application/json", body)
	return resp.StatusCode, answer
}

func (o *operatorClient) send(t *testing.T, method, path, contentType, body string) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, o.service+path, strings.NewReader(body))
	require.NoError(t, err)
	req.Header.Set("Content-Type", contentType)
	req.Header.Set("Origin", o.service) // as a browser does
	resp, err := o.client.Do(req)
	require.NoError(t, err)
	defer func() { require.NoError(t, resp.Body.Close()) }()
	text, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return resp, string(text)
}
