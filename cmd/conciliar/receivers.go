package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/conciliar/conciliar/store"
)

func newReceivers(std stdio) *cobra.Command {
	return group("receivers", "Manage receivers: the shop, and those of other senders' webhooks",
		newReceiversList(std),
		changeReceiver(std, &cobra.Command{
			Use:   "stop NAME",
			Short: "Stop sending to a receiver: its messages wait",
			Long: `Sends a receiver nothing until it is started again. Nothing is lost: its messages
wait, in their order. Attempts under way end.`,
			Example: "  conciliar receivers stop order_events",
		}, (*store.Store).StopReceiver, "stopped"),
		changeReceiver(std, &cobra.Command{
			Use:   "start NAME",
			Short: "Start a receiver, and send at once what waits",
			Long: `Starts a receiver that was stopped, or that said by 410 that it is gone, and makes
everything due that waits for its next attempt. Do it too when a receiver that
failed has been mended.`,
			Example: "  conciliar receivers start order_events",
		}, (*store.Store).StartReceiver, "started"))
}

func newReceiversList(std stdio) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "list",
		Short:   "List receivers, with what waits for them",
		Example: "  conciliar receivers list",
		Args:    noArgs,
	}
	asJSON := jsonFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		return printRead(cmd.Context(), std, *asJSON, func(storage *store.Store) (listing[store.Receiver], error) {
			found, err := storage.Receivers(cmd.Context())
			return listing[store.Receiver]{Items: append([]store.Receiver{}, found...)}, err
		}, func(r *printout, listed listing[store.Receiver]) {
			r.header("RECEIVER\tSINCE\tSTOPPED\tREASON\tBY\tPENDING\tFAILED\tDEAD LETTERS\tOLDEST\tCLASS")
			for _, v := range listed.Items {
				r.row(v.Name, v.Since, v.StoppedAt, v.StopReason, v.StoppedBy, v.Pending, v.Failed, v.Dead, v.OldestPendingAt, v.Class)
			}
		})
	}
	return cmd
}

// A receiverChange is what `receivers stop` and `start` print as JSON.
type receiverChange struct {
	Receiver string `json:"receiver"`
	State    string `json:"state"`
}

func changeReceiver(std stdio, cmd *cobra.Command, change func(storage *store.Store, ctx context.Context, name string, by store.Actor) error, state string) *cobra.Command {
	cmd.Args = cobra.ExactArgs(1)
	asJSON := jsonFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return printRead(cmd.Context(), std, *asJSON, func(storage *store.Store) (receiverChange, error) {
			return receiverChange{args[0], state}, change(storage, cmd.Context(), args[0], commandActor())
		}, func(r *printout, done receiverChange) { r.printf("%s is %s\n", done.Receiver, done.State) })
	}
	return cmd
}
