package api

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"net/http"
	"net/netip"
	"strings"
	"sync/atomic"
	"time"

	"github.com/gin-gonic/gin"
)

// A tokenName names a token in logs and in the audit trail: the first eight
// hexadecimal digits of its SHA-256. It cannot be turned back into the token.
type tokenName string

func nameOf(sum [sha256.Size]byte) tokenName { return tokenName(hex.EncodeToString(sum[:4])) }

// A tokenAuth admits calls by their bearer token (RFC 6750, section 2.1). It keeps
// the tokens' hashes only: comparing hashes takes the same time whatever the
// tokens have in common, their lengths included.
type tokenAuth struct {
	hashes atomic.Pointer[map[access][][sha256.Size]byte]
	// failed limits wrong tokens by address. A right token always passes.
	failed *limiter[addressKey]
}

func newTokenAuth(tokens Tokens, failed *limiter[addressKey]) *tokenAuth {
	g := &tokenAuth{failed: failed}
	g.use(tokens)
	return g
}

// use replaces the tokens that are admitted.
func (g *tokenAuth) use(tokens Tokens) {
	hashes := map[access][][sha256.Size]byte{}
	for scope, list := range map[access][]string{
		accessStatus: tokens.Status, accessProcessQueue: tokens.ProcessQueue,
		accessReconcile: tokens.Reconcile, accessOrders: tokens.Orders,
	} {
		for _, token := range list {
			hashes[scope] = append(hashes[scope], sha256.Sum256([]byte(token)))
		}
	}
	g.hashes.Store(&hashes)
}

// listsOf are the lists of tokens that open a route, the one that sees most first.
func listsOf(scope access) []access {
	if scope == accessRecords {
		return []access{accessProcessQueue, accessStatus}
	}
	return []access{scope}
}

// admit returns the name of the token that the call carries and the list that it
// is in, or a problem.
func (g *tokenAuth) admit(c *gin.Context, scope access, now time.Time, remote netip.Addr) (tokenName, access, error) {
	token, given := bearer(c.Request.Header)
	if given {
		sum := sha256.Sum256([]byte(token))
		for _, list := range listsOf(scope) {
			match := 0
			for _, known := range (*g.hashes.Load())[list] {
				match |= subtle.ConstantTimeCompare(sum[:], known[:])
			}
			if match == 1 {
				return nameOf(sum), list, nil
			}
		}
	}
	if err := g.failed.chargeFor(c, now, keyOf(remote), "Too many calls without a valid token from this address."); err != nil {
		return "", 0, err
	}
	p := newProblem(problemUnauthorized, "This endpoint needs a bearer token; the call has none.")
	p.authenticate = `Bearer realm="conciliar"`
	if given {
		p.detail = "The token is not valid for this endpoint."
		p.authenticate += `, error="invalid_token"`
	}
	return "", 0, p
}

// bearer returns the one bearer token of a call. Two Authorization headers are
// none: a proxy in between may have judged the other one.
func bearer(h http.Header) (token string, given bool) {
	values := h["Authorization"]
	if len(values) != 1 {
		return "", false
	}
	scheme, token, found := strings.Cut(values[0], " ")
	if !found || !strings.EqualFold(scheme, "Bearer") {
		return "", false
	}
	token = strings.Trim(token, " ")
	return token, token != ""
}

// validToken accepts visible ASCII, which is what a header carries unchanged.
func validToken(token string) bool {
	for i := range len(token) {
		if token[i] <= ' ' || token[i] > '~' {
			return false
		}
	}
	return token != ""
}
