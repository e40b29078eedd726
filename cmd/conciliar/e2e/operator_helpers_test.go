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
	resp, _ := o.send(t, http.MethodPost, "/dashboard/login", "application/x-www-form-urlencoded", url.Values{"password": {password}}.Encode())
	return resp
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
	resp, err := o.client.Do(req)
	require.NoError(t, err)
	defer func() { require.NoError(t, resp.Body.Close()) }()
	text, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return resp, string(text)
}
