package jobs

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/conciliar/conciliar/store"
)

const (
	// accountLook is how often a process looks whether the account of the books is
	// known, and accountAsk how many looks lie between two questions to a provider.
	accountLook = 2 * time.Second
	accountAsk  = 15
	// accountTimeout bounds one question or look.
	accountTimeout = 10 * time.Second
)

// KeepAccount finds out which account the books belong to, and returns once that is
// settled or ctx is done: payments to other accounts never pay an order. It asks the
// provider by ask, whose answer is kept for all processes; nil in a process that
// asks no provider. Where the account was not known when payments were settled, the
// orders concerned are folded again.
//
// The error is a *store.OtherAccountError when our credentials are of another
// account than the one that was kept.
func KeepAccount(ctx context.Context, storage *store.Store, ask func(context.Context) (string, error), logger *slog.Logger) error {
	tick := time.NewTicker(accountLook)
	defer tick.Stop()
	asked := ask == nil
	for looks := 0; ; looks++ {
		if !asked && looks%accountAsk == 0 {
			err := askAccount(ctx, storage, ask)
			var other *store.OtherAccountError
			if errors.As(err, &other) {
				return err
			}
			asked = err == nil
			if err != nil && ctx.Err() == nil {
				logger.WarnContext(ctx, "the account of the access token is not known", "error", err)
			}
		}
		done, err := lookAtAccount(ctx, storage, ask != nil)
		if err != nil && ctx.Err() == nil {
			logger.WarnContext(ctx, "the account of the books could not be read", "error", err)
		}
		if done && asked {
			return nil
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

func askAccount(ctx context.Context, storage *store.Store, ask func(context.Context) (string, error)) error {
	ctx, cancel := context.WithTimeout(ctx, accountTimeout)
	defer cancel()
	account, err := ask(ctx)
	if err != nil {
		return err
	}
	return storage.KeepAccount(ctx, account)
}

// lookAtAccount reads the account, and has orders folded again when this process
// works jobs. It reports whether there is nothing left to do.
func lookAtAccount(ctx context.Context, storage *store.Store, works bool) (done bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, accountTimeout)
	defer cancel()
	known, err := storage.LoadAccount(ctx)
	if err != nil || !known || !works {
		return known, err
	}
	return storage.FoldForeign(ctx)
}
