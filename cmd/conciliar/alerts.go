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
	return group("alerts", "Look up alerts, and try where they are sent", newAlertsList(std), newAlertsTest(std))
}

func newAlertsList(std stdio) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List alerts, newest first: open ones unless told otherwise",
		Long: `Lists alerts. Each code has its playbook in docs/playbooks, which says what it
means for money and what to do. SENT is when a message last spoke of it.`,
		Example: "  conciliar alerts list\n  conciliar alerts list --state all --since 168h",
		Args:    cobra.NoArgs,
	}
	var filter store.AlertFilter
	var when span
	states := append(store.AlertStates(), "all")
	wordFlag(cmd, &filter.State, "state", store.AlertOpen, "only in this state", states)
	cmd.Flags().StringVar(&filter.Code, "code", "", "only of this code, for example dead_letters_open")
	spanFlags(cmd, &when)
	limit, asJSON := limitFlag(cmd), jsonFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) (err error) {
		if err := checkWord("--state", filter.State, states...); err != nil {
			return err
		}
		if err := checkWord("--code", filter.Code, api.AlertCodes()...); err != nil {
			return err
		}
		if filter.Since, filter.Until, err = when.times(time.Now()); err != nil {
			return err
		}
		if filter.State == "all" {
			filter.State = ""
		}
		return withStore(cmd.Context(), std, func(storage *store.Store) error {
			found, err := readList(*limit, func(page store.Page) (store.List[store.Alert], error) {
				return storage.Alerts(cmd.Context(), filter, page)
			})
			if err != nil {
				return err
			}
			documents := listing[api.AlertDocument]{Items: make([]api.AlertDocument, len(found.Items)), More: found.More}
			for i, a := range found.Items {
				documents.Items[i] = api.NewAlertDocument(a)
			}
			return printList(std, *asJSON, documents, "ALERT\tCODE\tHEALTH\tOPENED\tCLOSED\tSENT\tREMINDERS\tDETAIL", func(a api.AlertDocument) []any {
				return []any{a.ID, a.Code, a.Health, a.OpenedAt, a.ClosedAt, a.LastSentAt, a.Reminders, string(a.Detail)}
			})
		})
	}
	return cmd
}

// An alertTest is what `alerts test --json` prints.
type alertTest struct {
	Delivered bool `json:"delivered"`
	// Status is the answer's; 0 when none came.
	Status int `json:"status"`
	// Answer is the begin of what the receiver said, or why it said nothing.
	Answer string `json:"answer"`
}

func newAlertsTest(std stdio) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "test",
		Short: "Send one test message to ALERT_WEBHOOK_URL",
		Long: `Sends one message that says it is a test, tells what came back, and exits 1 when
it was not accepted. Needs ALERT_WEBHOOK_URL alone.`,
		Example: "  conciliar alerts test",
		Args:    cobra.NoArgs,
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
		if *asJSON {
			err = printJSON(std.out, result)
		} else {
			_, err = fmt.Fprintln(std.out, result)
		}
		if err == nil && !result.Delivered {
			return errSilent
		}
		return err
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
