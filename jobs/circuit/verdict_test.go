package circuit_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/conciliar/conciliar/jobs/circuit"
	"github.com/conciliar/conciliar/jobs/provider"
	"github.com/conciliar/conciliar/store"
	"github.com/conciliar/conciliar/store/order"
	"github.com/conciliar/conciliar/store/storetest"
)

// main is the account that asks.
var main = store.Account{Source: "mercadopago"}

// A fakeProvider answers each of its questions alike.
type fakeProvider struct {
	// payment, search and account are the errors, nil for an answer.
	payment, search, account error
	// shows are the payments that a search finds.
	shows []string
}

func (f *fakeProvider) Payment(_ context.Context, id string) (provider.Payment, error) {
	return provider.Payment{ID: id}, f.payment
}

func (f *fakeProvider) CheckCredentials(context.Context) error { return f.account }

func (f *fakeProvider) SearchPayments(context.Context, provider.SearchQuery) (provider.SearchPage, error) {
	var page provider.SearchPage
	for _, id := range f.shows {
		page.Payments = append(page.Payments, provider.Payment{ID: id})
	}
	return page, f.search
}

func newStore(t *testing.T) *store.Store {
	t.Helper()
	s, err := store.New(storetest.Pool(t), store.Options{
		Rules: order.Rules{Mode: order.ModeAny}, UnknownOrder: store.UnknownOrderWait, Logger: slog.New(slog.DiscardHandler),
	})
	require.NoError(t, err)
	return s
}

// All and Provider make it the one account that there is.
func (*fakeProvider) All() []store.Account { return []store.Account{main} }

func (f *fakeProvider) Provider(account store.Account) circuit.Provider {
	if account != main {
		return nil
	}
	return f
}

func newCircuits(s *store.Store, f *fakeProvider) *circuit.Circuits {
	return circuit.New(s, f, circuit.DefaultTiming(), slog.New(slog.DiscardHandler))
}

func answers(kind provider.ErrorKind) *provider.Error {
	return &provider.Error{Kind: kind, Err: errors.New("as the test says")}
}

var (
	// noSign are the kinds of answers that say nothing against the provider.
	noSign = []provider.ErrorKind{provider.NotFound, provider.RateLimited, provider.Unexpected, provider.Locked, provider.Odd}
	// anyKind are all kinds.
	anyKind = append([]provider.ErrorKind{provider.Unauthorized, provider.Forbidden, provider.Unavailable, provider.Unreadable}, noSign...)
)

// Whatever payments answer, and whatever who we are answers: as long as a payment
// can be read, nothing is held. Most of the others can't be.
func TestJudge_APaymentThatCanBeReadIsTheProof(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	rapid.Check(t, func(r *rapid.T) {
		f := &fakeProvider{shows: []string{"readable"}}
		if kind, ok := map[bool]provider.ErrorKind{true: rapid.SampledFrom(anyKind).Draw(r, "account")}[rapid.Bool().Draw(r, "account fails")]; ok {
			f.account = answers(kind)
		}
		circuits := newCircuits(s, f)
		kinds := rapid.OneOf(rapid.Just(provider.Unavailable), rapid.Just(provider.Unavailable), rapid.SampledFrom(anyKind))
		for i, kind := range rapid.SliceOfN(kinds, 1, 30).Draw(r, "answers") {
			q := circuit.Question{Account: main, About: fmt.Sprint(i), Began: time.Now(), Last: rapid.Bool().Draw(r, "last")}

			v := circuits.Judge(t.Context(), q, answers(kind))

			require.Equal(r, circuit.Retry, v.Decision)
			require.False(r, circuits.Holds(t.Context(), main))
			if kind == provider.Odd || kind == provider.Forbidden {
				require.True(r, v.OneOnly, "it is about this payment alone")
			}
		}
	})
}

// What an answer says never votes: not when nothing at all could vouch for the
// provider, either.
func TestJudge_WhatAnAnswerSaysIsNotAnOutage(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	rapid.Check(t, func(r *rapid.T) {
		f := &fakeProvider{payment: answers(provider.Unavailable), search: answers(provider.Unavailable), account: answers(provider.Unavailable)}
		circuits := newCircuits(s, f)
		for i, kind := range rapid.SliceOfN(rapid.SampledFrom(noSign), 1, 30).Draw(r, "answers") {
			q := circuit.Question{Account: main, About: fmt.Sprint(i), Began: time.Now(), Last: true}
			require.Equal(r, circuit.Retry, circuits.Judge(t.Context(), q, answers(kind)).Decision)
		}
		require.False(r, circuits.Holds(t.Context(), main))
	})
}

// Anybody may send an unsigned hint, and choose what it asks for.
func TestJudge_AHintDecidesNothing(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	down := answers(provider.Unavailable)
	circuits := newCircuits(s, &fakeProvider{payment: down, search: down, account: down})
	ask := func(about string, hint bool, kind provider.ErrorKind) circuit.Verdict {
		return circuits.Judge(t.Context(), circuit.Question{Account: main, About: about, Began: time.Now(), Hint: hint}, answers(kind))
	}
	for i := range 20 {
		require.Equal(t, circuit.Verdict{}, ask(fmt.Sprint(i), true, provider.Unavailable))
		require.Equal(t, circuit.Verdict{}, ask(fmt.Sprint(i), true, provider.Unauthorized))
	}
	require.False(t, circuits.Holds(t.Context(), main))

	// Nor does it vouch for the provider: two failures count two each, and a third
	// is the fifth.
	for i := range 3 {
		ask(fmt.Sprint(100+i), false, provider.Unavailable)
		ask(fmt.Sprint(200+i), true, provider.NotFound)
	}
	require.True(t, circuits.Holds(t.Context(), main))
	require.Equal(t, circuit.Hold, ask("300", true, provider.Unavailable).Decision, "it waits like all others")
}

// Our credentials are rejected as such when who we are is refused, and payments
// are, too.
func TestJudge_ShutOutNeedsBoth(t *testing.T) {
	t.Parallel()
	unauthorized, forbidden := answers(provider.Unauthorized), answers(provider.Forbidden)
	for name, c := range map[string]struct {
		provider fakeProvider
		decision circuit.Decision
		oneOnly  bool
	}{
		"both":                             {fakeProvider{payment: unauthorized, search: unauthorized, account: unauthorized}, circuit.Hold, false},
		"both, forbidden":                  {fakeProvider{payment: forbidden, search: forbidden, account: forbidden}, circuit.Hold, false},
		"other payments, but not a search": {fakeProvider{payment: forbidden, shows: []string{"1", "2"}, account: forbidden}, circuit.Hold, false},
		"who we are, and not a payment":    {fakeProvider{shows: []string{"1"}, account: unauthorized}, circuit.Retry, true},
		"who we are, and not a search":     {fakeProvider{payment: unauthorized, account: unauthorized}, circuit.Retry, true},
		"this payment alone":               {fakeProvider{payment: unauthorized}, circuit.Retry, true},
		"who we are is not answered":       {fakeProvider{payment: forbidden, shows: []string{"1"}, account: answers(provider.Unavailable)}, circuit.Retry, false},
		"who we are is not there":          {fakeProvider{shows: []string{"1"}, account: answers(provider.Unexpected)}, circuit.Retry, true},
		"who we are is not there, and payments are refused": {
			fakeProvider{payment: unauthorized, search: unauthorized, account: answers(provider.Unexpected)}, circuit.Retry, false,
		},
		"nobody can say": {fakeProvider{search: answers(provider.RateLimited), account: forbidden}, circuit.Retry, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStore(t)
			circuits := newCircuits(s, &c.provider)

			v := circuits.Judge(t.Context(), circuit.Question{Account: main, About: "77", Began: time.Now()}, forbidden)

			require.Equal(t, circuit.Verdict{Decision: c.decision, OneOnly: c.oneOnly}, v)
			state, err := s.Provider(t.Context())
			require.NoError(t, err)
			require.Equal(t, c.decision == circuit.Hold, state.Reason == store.ReasonCredentialsRejected)
		})
	}
}
