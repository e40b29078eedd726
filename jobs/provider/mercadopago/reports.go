package mercadopago

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/conciliar/conciliar/jobs/provider"
)

const (
	operationReportList    operation = "report_list"
	operationReport        operation = "report"
	operationReportRequest operation = "report_request"

	// reportTimeout bounds a download: a million rows have about 200 MB.
	reportTimeout = 10 * time.Minute
	// maxReportName bounds a file's name, in bytes.
	maxReportName = 256
)

// reportURL is a path of the release reports (the reference of reports). Their
// configuration belongs to the account and is not even asked for.
func (c *Client) reportURL(path ...string) *url.URL {
	return c.base.JoinPath(append([]string{"v1", "account", "release_report"}, path...)...)
}

// Reports lists the account's release reports: GET /v1/account/release_report/list.
// What of it can't be read as an entry is left out.
func (c *Client) Reports(ctx context.Context) ([]provider.ReportFile, error) {
	answer, err := c.get(ctx, operationReportList, c.reportURL("list"), nil, pageBodies*c.maxBody)
	if err != nil {
		return nil, noPayment(err)
	}
	files, err := decodeReports(answer.body)
	if err != nil {
		return nil, notUnderstood(answer.statusCode, err)
	}
	return files, nil
}

// decodeReports reads the list of reports.
func decodeReports(raw []byte) ([]provider.ReportFile, error) {
	var entries []json.RawMessage
	if err := json.Unmarshal(raw, &entries); err != nil {
		if !json.Valid(raw) {
			return nil, fmt.Errorf("reports: %w", errNotJSON)
		}
		return nil, errors.New("reports: not a list")
	}
	files := make([]provider.ReportFile, 0, len(entries))
	for _, entry := range entries {
		o, err := readObject(entry)
		name := o.text("file_name")
		if err != nil || !validReportName(name) {
			continue
		}
		status := strings.ToLower(o.text("status"))
		format := strings.ToUpper(o.text("format"))
		file := provider.ReportFile{
			Name: name, Begin: readTime(o.text("begin_date")), End: readTime(o.text("end_date")),
			// Older answers have no status: they list what is ready.
			Ready: status == "processed" || status == "done" || status == "enabled" || status == "", Failed: status == "failed" || status == "error",
			Readable:  format == "CSV" || format == "" && strings.HasSuffix(strings.ToLower(name), ".csv"),
			Requested: o.text("created_from") == "manual", MadeAt: readTime(o.text("date_created")),
		}
		files = append(files, file)
	}
	return files, nil
}

// validReportName tells whether a name can be asked for: nothing that leaves its place
// in a path.
func validReportName(name string) bool {
	return name != "" && len(name) <= maxReportName && name != "list" && name != "config" && name != "task" &&
		!strings.HasPrefix(name, ".") && !strings.ContainsFunc(name, func(r rune) bool { return r <= ' ' || r > '~' || r == '/' || r == '\\' })
}

// Report downloads a release report as it is: GET /v1/account/release_report/{name}.
func (c *Client) Report(ctx context.Context, name string, to io.Writer) error {
	if !validReportName(name) {
		return &provider.Error{Kind: provider.Unexpected, Err: errors.New("not asked: this is not the name of a report")}
	}
	return noPayment(c.do(ctx, request{
		operation: operationReport, url: c.reportURL(name), accept: "text/csv", timeout: reportTimeout,
		read: func(resp *http.Response) error {
			// Apart, so that a full disk is not taken for Mercado Pago's failure.
			body := &watchedReader{r: resp.Body}
			if _, err := io.Copy(to, body); err != nil && body.err == nil {
				return fmt.Errorf("keep the report: %w", err)
			}
			if body.err != nil {
				return c.failure(ctx, body.err, resp.StatusCode)
			}
			return nil
		},
	}))
}

// RequestReport asks for a release report of [begin, end]:
// POST /v1/account/release_report. It is made within minutes, and then listed.
func (c *Client) RequestReport(ctx context.Context, begin, end time.Time) error {
	body, err := json.Marshal(map[string]string{
		"begin_date": begin.UTC().Format(time.RFC3339), "end_date": end.UTC().Format(time.RFC3339),
	})
	if err != nil {
		return fmt.Errorf("ask for a report: %w", err)
	}
	return noPayment(c.do(ctx, request{operation: operationReportRequest, method: http.MethodPost, url: c.reportURL(), body: body}))
}

// A watchedReader keeps the error that reading ended with, but for io.EOF.
type watchedReader struct {
	r   io.Reader
	err error
}

func (w *watchedReader) Read(p []byte) (int, error) {
	n, err := w.r.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		w.err = err
	}
	return n, err
}
