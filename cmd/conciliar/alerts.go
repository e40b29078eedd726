package main

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/conciliar/conciliar/api"
	"github.com/conciliar/conciliar/config"
	"github.com/conciliar/conciliar/jobs"
	"github.com/conciliar/conciliar/jobs/health"
	"github.com/conciliar/conciliar/store"
)

func newAlerts(std stdio) *cobra.Command {
	return group("alerts", "Look up alerts, and test their delivery", newAlertsList(std), newAlertsTest(std))
}

func newAlertsList(std stdio) *cobra.Command {
	return listCommand(std, listSpec[store.AlertFilter, store.Alert, api.AlertDocument, int64]{
		short: "List alerts, newest first; open ones by default",
		long: `Lists alerts. Each code has a playbook in docs/playbooks: what it means for
money, and what to do. SENT is when a message last mentioned it.`,
		example: "  conciliar alerts list\n  conciliar alerts list --state all --since 7d",
		flags: func(cmd *cobra.Command, filter *store.AlertFilter) {
			stateFlag(cmd, &filter.State, store.AlertOpen, store.AlertStates())
			wordFlag(cmd, &filter.Code, "code", "only with this code", api.AlertCodes())
			timeFlags(std, cmd, &filter.Since, &filter.Until)
		},
		read: (*store.Store).Alerts, document: api.NewAlertDocument,
		header: "ALERT\tCODE\tHEALTH\tOPENED\tCLOSED\tSENT\tREMINDERS\tDETAIL",
		row: func(a api.AlertDocument) []any {
			return []any{a.ID, a.Code, a.Health, a.OpenedAt, a.ClosedAt, a.LastSentAt, a.Reminders, string(a.Detail)}
		},
	})
}

// An alertTest is what `alerts test --json` prints.
type alertTest struct {
	Delivered bool `json:"delivered"`
	// Status is the answer's; 0 when none came.
	Status int `json:"status"`
	// Answer is the beginning of the receiver's answer, or why there is none.
	Answer string `json:"answer"`
}

func newAlertsTest(std stdio) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "test",
		Short: "Send one test message to ALERT_WEBHOOK_URL",
		Long: `Sends one message that says it is a test and prints the answer. Exits 1 if it was
not accepted. Needs only ALERT_WEBHOOK_URL.`,
		Example: "  conciliar alerts test",
		Args:    noArgs,
	}
	asJSON := jsonFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		cfg, err := config.LoadAlerts(std.environ)
		if err != nil {
			return err
		}
		if cfg.AlertWebhookURL.Reveal() == "" {
			return config.Problems{{Variable: "ALERT_WEBHOOK_URL", Text: "is empty, so alerts are sent nowhere"}}
		}
		sender, err := jobs.NewAlertSender(cfg.AlertWebhookURL.Reveal())
		if err != nil {
			return err
		}
		answer, err := sender.Send(cmd.Context(), health.NewTestMessage(time.Now()))
		result := alertTest{Delivered: err == nil && answer.Accepted(), Status: answer.Status, Answer: answer.Text}
		if err != nil {
			result.Answer = err.Error()
		}
		return printVerdict(std, *asJSON, result.Delivered, result, func(r *printout) { r.printf("%s\n", result) })
	}
	return cmd
}

// String is the result for people.
func (r alertTest) String() string {
	switch {
	case r.Status == 0:
		return "not delivered: " + printable(r.Answer, "")
	case r.Delivered:
		return fmt.Sprintf("delivered: HTTP %d, %s", r.Status, printable(r.Answer, ""))
	}
	return fmt.Sprintf("not delivered: HTTP %d, %s", r.Status, printable(r.Answer, ""))
}
