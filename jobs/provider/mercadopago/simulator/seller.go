package simulator

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"sync/atomic"
)

// A Seller is an account beside the simulator's own, linked to the same application: a
// marketplace's. What it is paid is shown to its own access token alone.
type Seller struct {
	// CollectorID is the account.
	CollectorID int64
	// AccessToken is the bearer token of its calls.
	AccessToken string
	// Secret signs its notifications; the simulator's own when empty, as the
	// application's signs those of its sellers.
	Secret string
}

// Actions of a notification about a seller's consent.
const (
	ConsentGiven     = "application.authorized"
	ConsentWithdrawn = "application.deauthorized"
)

// A seller is one with its faults.
type seller struct {
	Seller

	token           atomic.Pointer[string]
	revoked, outage atomic.Bool
}

// newSellers checks sellers.
func newSellers(sellers []Seller, main int64) (map[int64]*seller, []error) {
	byID, problems := map[int64]*seller{}, []error(nil)
	for _, one := range sellers {
		switch {
		case one.CollectorID <= 0 || one.CollectorID == main || byID[one.CollectorID] != nil:
			problems = append(problems, fmt.Errorf("seller %d: not an account of its own", one.CollectorID))
		case one.AccessToken == "":
			problems = append(problems, fmt.Errorf("seller %d: no AccessToken", one.CollectorID))
		}
		byID[one.CollectorID] = &seller{Seller: one}
		byID[one.CollectorID].token.Store(&one.AccessToken)
	}
	return byID, problems
}

// SetSellerRevoked makes a seller's access token one that is not accepted any more, or
// again.
func (s *Simulator) SetSellerRevoked(collectorID int64, on bool) {
	s.sellers[collectorID].revoked.Store(on)
}

// SetSellerToken replaces a seller's access token, as another consent does.
func (s *Simulator) SetSellerToken(collectorID int64, token string) {
	s.sellers[collectorID].token.Store(&token)
}

// SetSellerOutage makes the API unavailable to a seller alone, or available again.
func (s *Simulator) SetSellerOutage(collectorID int64, on bool) {
	s.sellers[collectorID].outage.Store(on)
}

// NotifyConnect tells that a seller linked its account, or withdrew its consent.
func (s *Simulator) NotifyConnect(ctx context.Context, collectorID int64, action string) Result {
	if s.sellers[collectorID] == nil {
		return Result{Err: errors.New("unknown seller")}
	}
	n := s.notified.Add(1)
	chance := draws(s.cfg.Seed, forEnvelope, n, uint64(collectorID)) //nolint:gosec // an account is positive
	requestID, ts := s.stamp(chance, s.now())
	id := strconv.FormatInt(collectorID, 10)
	body := encoded(notificationBody{
		Action: action, APIVersion: "v1", Data: object{"id": id}, DateCreated: s.now().UTC().Format("2006-01-02T15:04:05.000Z"),
		ID: numberOrText(true, 100_000_000_000+chance.Int64N(800_000_000_000)), LiveMode: s.cfg.LiveMode, Type: "mp-connect",
		UserID: numberOrText(chance.IntN(2) == 0, collectorID),
	})
	return s.sendMade(s.request(ctx, s.seal(s.cfg.Secret, "mp-connect", id, requestID, ts, 0, body)))
}

// accountKey is where a call's context has the account whose token it bears.
type accountKey struct{}

// accountOf is the account that makes a call.
func (s *Simulator) accountOf(ctx context.Context) int64 {
	if id, is := ctx.Value(accountKey{}).(int64); is {
		return id
	}
	return s.cfg.CollectorID
}

// authorized is the account whose token a call bears. It is false when the token is
// nobody's, and down is true when the API is unavailable to the account.
func (s *Simulator) authorized(r *http.Request) (account int64, down, ok bool) {
	bears := func(token string) bool {
		return subtle.ConstantTimeCompare([]byte(r.Header.Get("Authorization")), []byte("Bearer "+token)) == 1
	}
	for id, one := range s.sellers {
		if bears(*one.token.Load()) {
			return id, one.outage.Load(), !one.revoked.Load()
		}
	}
	return s.cfg.CollectorID, false, bears(s.cfg.AccessToken) && !s.revoked.Load()
}

// shows reports whether an account may see what a collector was paid: a seller's is
// shown to itself, and everything else to the simulator's own account.
func (s *Simulator) shows(account, collectorID int64) bool {
	if s.sellers[collectorID] != nil {
		return account == collectorID
	}
	return account == s.cfg.CollectorID
}

// secretOf is the secret that signs notifications about what a collector was paid.
func (s *Simulator) secretOf(collectorID int64) string {
	if one := s.sellers[collectorID]; one != nil && one.Secret != "" {
		return one.Secret
	}
	return s.cfg.Secret
}
