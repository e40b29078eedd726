package mercadopago

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/jobs/provider"
)

func TestReports_ListsWhatTheReferenceShows(t *testing.T) {
	t.Parallel()
	client := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet || r.URL.Path != "/v1/account/release_report/list" {
			w.WriteHeader(http.StatusTeapot)
			return
		}
		_, _ = io.WriteString(w, `[
			{"id":1,"file_name":"release-1.csv","begin_date":"2026-11-27T00:00:00Z","end_date":"2026-11-27T23:59:59Z","created_from":"schedule",
			 "date_created":"2026-11-28T03:00:00.000-04:00","format":"CSV","status":"processed"},
			{"file_name":"release-2.csv","begin_date":"2026-11-28T00:00:00.000Z","created_from":"manual","format":"CSV","status":"pending"},
			{"file_name":"release-3.xlsx","format":"XLSX","status":"processed"},
			{"file_name":"release-4.csv","status":"failed"},
			{"file_name":"../../users/me"}, {"file_name":null}, 7, {"file_name":"list"}]`)
	})
	files, err := client.Reports(t.Context())
	require.NoError(t, err)
	require.Len(t, files, 4)
	require.Equal(t, provider.ReportFile{
		Name: "release-1.csv", Begin: time.Date(2026, 11, 27, 0, 0, 0, 0, time.UTC), End: time.Date(2026, 11, 27, 23, 59, 59, 0, time.UTC),
		Ready: true, Readable: true, MadeAt: time.Date(2026, 11, 28, 7, 0, 0, 0, time.UTC),
	}, files[0])
	require.True(t, files[1].Requested)
	require.False(t, files[1].Ready)
	require.False(t, files[2].Readable)
	require.True(t, files[3].Failed)
}

func TestReports_WhatIsNoListIsAnError(t *testing.T) {
	t.Parallel()
	for body, kind := range map[string]provider.ErrorKind{`{"files":[]}`: provider.Unexpected, `[{"file_na`: provider.Unreadable, `<html>`: provider.Unreadable} {
		client := serve(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, body) })
		_, err := client.Reports(t.Context())
		requireError(t, err, kind, http.StatusOK)
	}
	client := serve(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNotFound) })
	_, err := client.Reports(t.Context())
	requireError(t, err, provider.Unexpected, http.StatusNotFound)
}

func TestRequestReport_AsksForAPeriodInUTC(t *testing.T) {
	t.Parallel()
	var asked string
	client := serve(t, func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil || r.Method != http.MethodPost || r.URL.Path != "/v1/account/release_report" || r.Header.Get("Content-Type") != "application/json" {
			w.WriteHeader(http.StatusTeapot)
			return
		}
		asked = string(body)
		w.WriteHeader(http.StatusAccepted)
		_, _ = io.WriteString(w, `{"id":1,"status":"pending"}`)
	})
	begin := time.Date(2026, 11, 27, 0, 0, 0, 0, time.FixedZone("", -3*60*60))
	require.NoError(t, client.RequestReport(t.Context(), begin, begin.Add(24*time.Hour)))
	require.JSONEq(t, `{"begin_date":"2026-11-27T03:00:00Z","end_date":"2026-11-28T03:00:00Z"}`, asked)
}

// errorWriter is a disk that is full.
type errorWriter struct{ err error }

func (w errorWriter) Write([]byte) (int, error) { return 0, w.err }

func TestReport_DownloadsWhatItIs(t *testing.T) {
	t.Parallel()
	content := "\uFEFFDATE;SOURCE_ID\r\n" + string(bytes.Repeat([]byte("2026;1\r\n"), 1<<18)) // longer than any JSON answer may be
	client := serve(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/v1/account/release_report/whole.csv":
			_, _ = io.WriteString(w, content)
		case "/v1/account/release_report/cut.csv":
			w.Header().Set("Content-Length", "100")
			_, _ = io.WriteString(w, "DATE")
		default:
			w.WriteHeader(http.StatusNotFound)
		}
	})
	var got bytes.Buffer
	require.NoError(t, client.Report(t.Context(), "whole.csv", &got))
	require.Equal(t, content, got.String())
	requireError(t, client.Report(t.Context(), "cut.csv", io.Discard), provider.Unavailable, http.StatusOK)
	requireError(t, client.Report(t.Context(), "none.csv", io.Discard), provider.Unexpected, http.StatusNotFound)
	for _, name := range []string{"", "a/b", "..", "list", "task", "a b", "a\\b", "á"} {
		requireError(t, client.Report(t.Context(), name, io.Discard), provider.Unexpected, 0)
	}
	full := errors.New("no space left on device")
	err := client.Report(t.Context(), "whole.csv", errorWriter{full})
	require.ErrorIs(t, err, full)
	var failed *provider.Error
	require.NotErrorAs(t, err, &failed, "a full disk is not Mercado Pago's")
}
