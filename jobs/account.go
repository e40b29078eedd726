package jobs

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/conciliar/conciliar/store"
)

const (
	// accountLook is how often a process looks whether the account of the ledger is
	// known, and accountAsk how many looks lie between two questions to a provider at
	// most: it is asked after the first one, two, four and eight, too.
	accountLook = 2 * time.Second
	accountAsk  = 15
	// accountTimeout bounds one question or look, accountStart the question of a
	// process that starts: it may not keep webhooks waiting for long.
	accountTimeout = 10 * time.Second
	accountStart   = 3 * time.Second
)

// An AccountKeeper finds out which account the ledger belongs to: payments to other
// accounts never pay an order.
type AccountKeeper struct {
	store *store.Store
	// ask asks the provider which account our credentials are of.
	ask    func(context.Context) (string, error)
	logger *slog.Logger
	asked  bool
}

// NewAccountKeeper returns one that asks the provider by ask. The answer is kept for
// all processes.
func NewAccountKeeper(storage *store.Store, ask func(context.Context) (string, error), logger *slog.Logger) *AccountKeeper {
	return &AccountKeeper{store: storage, ask: ask, logger: logger}
}

// Start asks once, for a few seconds at most. The error is a *store.OtherAccountError
// when our credentials are of another account than the ledger; a provider that does not
// answer is none, for Run asks again.
func (k *AccountKeeper) Start(ctx context.Context) error {
	return k.question(ctx, accountStart)
}

// Run asks until there was an answer and returns then, or when ctx is done. Where the
// account was not known when payments were settled, the orders concerned are folded
// again. The error is that of Start.
func (k *AccountKeeper) Run(ctx context.Context) error {
	tick := time.Tick(accountLook)
	for looks := 1; ; looks++ {
		done, err := k.look(ctx)
		if err != nil && ctx.Err() == nil {
			k.logger.WarnContext(ctx, "the account of the ledger could not be read", "error", err)
		}
		if done && k.asked {
			return nil
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick:
		}
		if !k.asked && (looks&(looks-1) == 0 || looks%accountAsk == 0) {
			if err := k.question(ctx, accountTimeout); err != nil {
				return err
			}
		}
	}
}

func (k *AccountKeeper) question(ctx context.Context, limit time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	account, err := k.ask(ctx)
	if err == nil {
		err = k.store.KeepAccount(ctx, account)
	}
	if _, ok := errors.AsType[*store.OtherAccountError](err); ok {
		return err
	}
	k.asked = err == nil
	if err != nil && !errors.Is(context.Cause(ctx), context.Canceled) {
		k.logger.WarnContext(ctx, "the account of the access token is not known", "error", err)
	}
	return nil
}

// look reads the account and has orders folded again. It reports whether there is
// nothing left to do.
func (k *AccountKeeper) look(ctx context.Context) (done bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, accountTimeout)
	defer cancel()
	account, err := k.store.LoadAccount(ctx)
	if err != nil || account == "" {
		return false, err
	}
	return k.store.FoldForeign(ctx)
}
