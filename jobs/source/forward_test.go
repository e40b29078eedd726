package source_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/jobs/provider"
	"github.com/conciliar/conciliar/jobs/source"
)

func forwarding(body string, headers map[string]string) source.Spec {
	return source.Spec{
		Name: "sender", Verify: source.Verify{Scheme: "github", Secrets: []string{"k"}},
		Forward: &source.Forward{Body: body, Headers: headers},
	}
}

var anEvent = source.Event{
	QueueID: 7, Source: "sender", Type: "push", ID: "d-1", Time: time.Unix(1700000000, 0), ReceivedAt: time.Unix(1700000001, 0),
	Body: []byte(`{"a":{"b":[1.50,"<x>",true]},"n":12345678901234567890}`),
}

func TestRender_MakesHeadersAndBody(t *testing.T) {
	t.Parallel()
	for template, want := range map[string]string{
		"":               string(anEvent.Body),
		"{{.RawBody}}":   string(anEvent.Body),
		"{{json .Body}}": `{"a":{"b":[1.50,"<x>",true]},"n":12345678901234567890}`,
		`{"t":{{json .Type}},"q":{{.QueueID}},"at":"{{.Time}}","in":"{{.ReceivedAt}}"}`: `{"t":"push","q":7,"at":"2023-11-14T22:13:20Z","in":"2023-11-14T22:13:21Z"}`,
		`{{range $i, $v := .Body.a.b}}{{if $i}},{{end}}{{json $v}}{{end}}`:              `1.50,"<x>",true`,
		`{{with index .Body "absent"}}x{{else}}none{{end}} {{.Source}} {{.ID}}`:         "none sender d-1",
		`{{if and (eq .Type "push") (gt (len .Body.a.b) 2)}}yes{{end}}`:                 "yes",
		`{{range .Body.a.b}}{{$.Type}};{{break}}{{end}}`:                                "push;",
	} {
		s := newSource(t, forwarding(template, map[string]string{"x-type": "{{.Type}}", "X-Fixed": "1"}))
		require.Equal(t, provider.Forward, s.Work())
		require.Equal(t, []source.StatusRange{{First: 200, Last: 299}}, s.Accept())
		message, err := s.Render(anEvent)
		require.NoError(t, err, template)
		require.Equal(t, want, string(message.Body))
		require.Equal(t, "push", message.Headers["X-Type"])
	}
}

func TestRender_FailsRatherThanSendSomethingElse(t *testing.T) {
	t.Parallel()
	for template, want := range map[string]string{
		"{{.Body.absent}}":            `forward.body: line 1:7: executing "" at <.Body.absent>: map has no entry for key "absent"`,
		"{{index .Body.a.b 9}}":       "out of range",
		"{{json .Body}}{{.Body.a.c}}": "no entry",
	} {
		_, err := newSource(t, forwarding(template, nil)).Render(anEvent)
		var failed *source.RenderError
		require.ErrorAs(t, err, &failed)
		require.ErrorContains(t, err, want)
	}
	text := anEvent
	text.Body = []byte("not JSON")
	_, err := newSource(t, forwarding("{{json .Body}}", nil)).Render(text)
	require.ErrorContains(t, err, `no entry for key "Body"`)
	message, err := newSource(t, forwarding("", nil)).Render(text)
	require.NoError(t, err)
	require.Equal(t, "not JSON", string(message.Body))

	text.Type = "a\r\nX-Evil: 1"
	_, err = newSource(t, forwarding("", map[string]string{"X-Type": "{{.Type}}"})).Render(text)
	require.EqualError(t, err, "forward.headers.X-Type: makes what a header cannot carry")
}

func TestRender_IsBoundedInTimeAndSize(t *testing.T) {
	t.Parallel()
	many := anEvent
	many.Body = []byte("[" + strings.Repeat("0,", 200_000) + "0]")
	for template, want := range map[string]string{
		"{{range .Body}}{{range $.Body}}{{range $.Body}}{{end}}{{end}}{{end}}": "takes too long",
		"{{range 1000000000000}}{{end}}":                                       "takes too long",
		"{{range .Body}}{{with json $.Body}}{{end}}{{end}}":                    "takes too long",
		strings.Repeat("{{if json .Body}}{{end}}", 2000):                       "takes too long",
		"{{range .Body}}0123456789{{end}}":                                     "makes more than is allowed: 1048576 bytes",
		`{{$x := "\""}}{{range .Body}}{{$x = json $x}}{{end}}`:                 "makes more than is allowed",
	} {
		_, err := newSource(t, forwarding(template, nil)).Render(many)
		require.ErrorContains(t, err, want, template)
	}
	_, err := newSource(t, forwarding("", map[string]string{"X-Big": "{{.RawBody}}"})).Render(many)
	require.ErrorContains(t, err, "makes more than is allowed: 8192 bytes")
}

func TestNew_RefusesTemplatesThatCouldDoMore(t *testing.T) {
	t.Parallel()
	for template, want := range map[string]string{
		`{{printf "%999999999d" 1}}`:                            "may not call printf",
		`{{print "a" | html}}`:                                  "may not call print",
		`{{call .Body}}`:                                        "may not call call",
		`{{with $x := (slice .RawBody 1)}}{{end}}`:              "may not call slice",
		`{{define "a"}}{{template "a"}}{{end}}{{template "a"}}`: "may not define templates",
		`{{template "a"}}`:                                      "may not use other templates",
		`{{block "a" .}}{{end}}`:                                "may not define templates",
		`{{env "HOME"}}`:                                        `line 1: function "env" not defined`,
		`{{.Bdy}}`:                                              "has no .Bdy; there are .Body, .RawBody",
		`{{range .Body}}{{$.Bdy}}{{end}}`:                       "has no .Bdy",
		"\n{{":                                                  "line 2: ",
		strings.Repeat("x", 64<<10+1):                           "has more than 64 KiB",
	} {
		_, err := source.New(forwarding(template, nil))
		require.ErrorContains(t, err, "forward.body: ", template)
		require.ErrorContains(t, err, want, template)
	}
}

func FuzzRender_IsBounded(f *testing.F) {
	f.Add("{{json .Body}}", []byte(`{"a":1}`))
	f.Add("{{range .Body}}{{.}}{{else}}{{len $}}{{end}}", []byte(`[1]`))
	f.Add(`{{with $x := index .Body "a"}}{{$x}}{{end}}`, []byte(`{}`))
	f.Fuzz(func(t *testing.T, template string, body []byte) {
		s, err := source.New(forwarding(template, map[string]string{"X-A": template}))
		if err != nil {
			var field *source.FieldError
			require.ErrorAs(t, err, &field)
			return
		}
		event := anEvent
		event.Body = body
		message, err := s.Render(event)
		if err != nil {
			var failed *source.RenderError
			require.ErrorAs(t, err, &failed)
			return
		}
		require.LessOrEqual(t, len(message.Body), max(1<<20, len(body)))
		if template == "{{json .Body}}" && json.Valid(body) {
			require.True(t, json.Valid(message.Body))
		}
	})
}
