package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/shopspring/decimal"
	"github.com/spf13/cobra"

	"github.com/conciliar/conciliar/api"
	"github.com/conciliar/conciliar/config"
	"github.com/conciliar/conciliar/jobs"
	"github.com/conciliar/conciliar/jobs/provider/mercadopago"
	moneyreport "github.com/conciliar/conciliar/jobs/provider/mercadopago/report"
	"github.com/conciliar/conciliar/store"
	"github.com/conciliar/conciliar/store/order"
	"github.com/conciliar/conciliar/store/payout"
)

func newPayouts(std stdio) *cobra.Command {
	return group("payouts", "Mercado Pago's payouts, and what each of them is made of",
		newPayoutsList(std), newPayoutsShow(std), newPayoutsImport(std), newPayoutsSync(std))
}

func newPayoutsList(std stdio) *cobra.Command {
	return listCommand(std, listSpec[store.PayoutFilter, store.Payout, api.PayoutDocument, store.MoneyPlace]{
		short: "List payouts, the latest first",
		long: `Lists payouts. One is open while movements are missing, by UNEXPLAINED, or while
no balance before it is known.`,
		example: "  conciliar payouts list --since 30d\n  conciliar payouts list --state open",
		order:   "latest",
		flags: func(cmd *cobra.Command, filter *store.PayoutFilter) {
			wordFlag(cmd, (*string)(&filter.State), "state", "only in this state", order.Words(payout.States()))
			cmd.Flags().StringVar(&filter.Currency, "currency", "", "only in this currency, for example ARS")
			timeFlags(std, cmd, &filter.Since, &filter.Until)
		},
		read: (*store.Store).Payouts, document: api.NewPayoutDocument,
		header: "PAYOUT\tPAID\tAMOUNT\tCURRENCY\tSTATE\tUNEXPLAINED\tKEPT\tACCOUNT",
		row: func(p api.PayoutDocument) []any {
			return []any{p.ID, p.PaidAt, p.Amount, p.Currency, string(p.State), p.UnexplainedAmount, p.BalanceKept, p.CollectorID}
		},
	})
}

func newPayoutsShow(std stdio) *cobra.Command {
	cmd := &cobra.Command{
		Use: "show PAYOUT", Short: "Show a payout with what makes it up", Example: "  conciliar payouts show 70012345",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) != 1 || args[0] == "" {
				return usagef("%s takes the id of one payout", nameOf(cmd))
			}
			return nil
		},
	}
	limit, asJSON := cmd.Flags().Int("limit", listRows, "how many movements at most, latest first"), jsonFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if *limit < 1 {
			return usagef("--limit must be at least 1")
		}
		return withStore(cmd.Context(), std, func(storage *store.Store) error {
			found, err := storage.Payout(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			movements, err := storage.PayoutMovements(cmd.Context(), found.ID, store.PageOf[store.MoneyPlace]{Limit: *limit})
			if err != nil {
				return err
			}
			doc := api.NewPayoutDetailDocument(found, movements)
			if err := printResult(std, *asJSON, doc, func(r *printout) { showPayout(r, doc) }); err != nil || *asJSON {
				return err
			}
			if doc.Movements.NextCursor != nil {
				_, err = fmt.Fprintf(std.err, "these are the latest %d movements; --limit shows more\n", len(doc.Movements.Items))
			}
			return err
		})
	}
	return cmd
}

func showPayout(r *printout, p api.PayoutDetailDocument) {
	r.row("payout", p.ID)
	r.row("paid", p.PaidAt)
	r.row("amount", p.Amount+" "+p.Currency)
	r.row("state", string(p.State))
	r.row("balance before", p.OpeningBalance)
	r.row("balance kept", p.BalanceKept)
	r.row("unexplained", p.UnexplainedAmount)
	section(r, "made of", "WHAT\tMERCADO PAGO SAYS\tMOVEMENTS\tAMOUNT", p.Parts, func(part api.PayoutPartDocument) []any {
		return []any{part.Class, part.Description, part.Movements, part.Amount}
	})
	section(r, "movements", "MOVEMENT\tHAPPENED\tWHAT\tMERCADO PAGO SAYS\tPAYMENT\tORDER\tCREDIT\tDEBIT", p.Movements.Items, func(m api.MovementDocument) []any {
		return []any{m.ID, m.HappenedAt, m.Class, m.Description, m.PaymentID, m.OrderReference, m.Credit, m.Debit}
	})
}

func newPayoutsImport(std stdio) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "import FILE",
		Short: "Book a release report that was downloaded from Mercado Pago's panel",
		Long: `Books the rows of a release report (CSV) and explains the payouts. The same row in
two files is one movement, and the same file again changes nothing; an import that
was killed continues where it was when it is run again. A file with a row that can't
be read books none, and the row and column are named.

A total row that is not what the rows come to is told on the standard error output.`,
		Example: "  conciliar payouts import release-report-2026-01.csv\n  conciliar payouts import seller.csv --collector-id 2001",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) != 1 {
				return usagef("%s takes one file", nameOf(cmd))
			}
			return nil
		},
	}
	collector := cmd.Flags().String("collector-id", "", "the account that the report is of (default: the main account)")
	currency := cmd.Flags().String("currency", "", "the currency of rows that name none, for example ARS")
	asJSON := jsonFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		file, err := os.Open(args[0])
		if err != nil {
			return usageError{err}
		}
		defer func() { _ = file.Close() }()
		return withApp(cmd.Context(), std, func(a *app, cfg config.Config) error {
			account, err := reportAccount(cmd.Context(), a.store, *collector, cfg.CollectorID)
			if err != nil {
				return err
			}
			bar := newProgress(std)
			result, err := jobs.ReportImport{
				Store: a.store, Open: releaseReader(account, *currency), Source: mercadopago.Source, CollectorID: account,
				Name: filepath.Base(args[0]), By: commandActor().Name, Progress: bar.show,
			}.Run(cmd.Context(), file)
			bar.end()
			if err != nil {
				return err
			}
			warnOfTotals(std, result)
			return printResult(std, *asJSON, result, func(r *printout) { showImport(r, result) })
		})
	}
	return cmd
}

func newPayoutsSync(std stdio) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "sync",
		Short: "Book the release reports that Mercado Pago has ready",
		Long: `Downloads every release report that is ready and not booked yet, of the main account
and of each seller, books its rows and explains the payouts. It asks for no report and
needs no MONEY_REPORTS.

A report that can't be booked is told at the end, and the others are booked.`,
		Example: "  conciliar payouts sync",
		Args:    noArgs,
	}
	asJSON := jsonFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		return withApp(cmd.Context(), std, func(a *app, cfg config.Config) error {
			client, err := a.connect(cmd.Context(), cfg)
			if err != nil {
				return err
			}
			bar := newProgress(std)
			results, failed := jobs.NewReportFetcher(a.jobsDeps(cfg, client)).Sync(cmd.Context(), commandActor().Name,
				func(name string) func(float64, string) {
					return func(share float64, doing string) { bar.show(share, name+": "+doing) }
				})
			bar.end()
			for _, result := range results {
				warnOfTotals(std, result)
			}
			return cmp.Or(printResult(std, *asJSON, results, func(r *printout) {
				r.row("reports booked", len(results))
				section(r, "reports", "REPORT\tROWS\tMOVEMENTS\tNEW", results, func(result jobs.ReportResult) []any {
					return []any{result.Name, result.Rows, result.Movements, result.New}
				})
			}), failed)
		})
	}
	return cmd
}

// releaseReader reads reports of an account.
func releaseReader(account, currency string) func(io.Reader) (jobs.ReportReader, error) {
	return func(file io.Reader) (jobs.ReportReader, error) { return openReport(file, account, currency) }
}

func openReport(file io.Reader, account, currency string) (jobs.ReportReader, error) {
	return moneyreport.NewReader(file, moneyreport.Options{CollectorID: account, Currency: currency})
}

// moneyReports are the jobs' settings of a mode.
func moneyReports(mode config.MoneyReports) jobs.MoneyReports {
	reports := jobs.MoneyReports{Open: openReport}
	if mode != "off" {
		reports.Mode = string(mode)
	}
	return reports
}

// reportAccount is whose report it is: the one that was named, or the main account.
func reportAccount(ctx context.Context, storage *store.Store, named, configured string) (string, error) {
	account := cmp.Or(named, configured)
	if account != "" {
		return account, nil
	}
	account, err := storage.LoadAccount(ctx)
	if err == nil && account == "" {
		err = usagef("the account is not known yet: name it with --collector-id")
	}
	return account, err
}

// warnOfTotals says where a report's total is not what its rows come to.
func warnOfTotals(std stdio, result jobs.ReportResult) {
	for _, sum := range result.Totals {
		if sum.Difference != nil && !sum.Difference.IsZero() {
			_, _ = fmt.Fprintf(std.err, "warning: the report's total is %s %s, and its rows come to %s: rows may be missing\n",
				sum.Total, sum.Currency, sum.Total.Sub(*sum.Difference))
		}
	}
}

func showImport(r *printout, result jobs.ReportResult) {
	r.row("file", result.Name)
	r.row("rows", result.Rows)
	r.row("movements", result.Movements)
	r.row("new movements", result.New)
	r.row("imported before", result.Known)
	section(r, "totals", "CURRENCY\tBALANCE BEFORE\tCREDIT\tDEBIT\tTOTAL\tDIFFERENCE", result.Totals, func(s jobs.ReportSum) []any {
		return []any{s.Currency, amountCell(s.Initial), s.Credit, s.Debit, amountCell(s.Total), amountCell(s.Difference)}
	})
}

// amountCell is an amount that may not be there.
func amountCell(d *decimal.Decimal) string {
	if d == nil {
		return ""
	}
	return d.String()
}
