package mercadopago

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"math"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/time/rate"

	"github.com/conciliar/conciliar/jobs/provider"
)

const (
	// DefaultBaseURL is Mercado Pago's API.
	DefaultBaseURL = "https://api.mercadopago.com"

	defaultTimeout   = 10 * time.Second
	defaultMaxBody   = 1 << 20
	defaultUserAgent = "conciliar"

	// pageBodies is how many times the body of one payment a page of a search
	// may have: a payment has about 6 KiB, a page up to 50 of them.
	pageBodies = 8

	maxResponseHeader = 256 << 10
	maxIdleConns      = 64
)

// A Config says how to reach Mercado Pago. It does not print its access token.
type Config struct {
	// BaseURL is where the API is; DefaultBaseURL when empty.
	BaseURL string
	// AccessToken is the API credential; required.
	AccessToken string `json:"-"`
	// AccountID is the account that the access token belongs to, named in the calls
	// that ask for it; empty when it isn't known.
	AccountID string
	// Transport carries the calls; when nil, one of our own.
	Transport http.RoundTripper `json:"-"`
	// Timeout bounds one call, from the request to the last byte; 10 s when 0.
	Timeout time.Duration
	// MaxBody bounds the answer about one payment, in bytes after decompression;
	// 1 MiB when 0. A page of a search may have eight times as many.
	MaxBody int64
	// RateLimit is how many calls are made in a second at most, and in one burst;
	// 0 means any number.
	RateLimit float64
	// UserAgent names us to Mercado Pago; "conciliar" when empty.
	UserAgent string
	// Registerer takes the metrics of calls; nil for none.
	Registerer prometheus.Registerer `json:"-"`
	// Now is the clock that a date in Retry-After is held against.
	Now func() time.Time `json:"-"`
}

// String says what this is and nothing of what is in it.
func (c Config) String() string { return "mercadopago.Config" }

// Format is String, for every verb.
func (c Config) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, c.String()) }

// LogValue is String, for log/slog.
func (c Config) LogValue() slog.Value { return slog.StringValue(c.String()) }

// A Client asks Mercado Pago's API. It reads, asks for reports, and gives money back; it
// makes one attempt per call and follows no redirect. It is safe for concurrent use and cannot print its
// access token.
//
// Its errors are *provider.Error. One that comes of the caller's own context
// still answers to errors.Is with context.Canceled or context.DeadlineExceeded,
// and says nothing about Mercado Pago.
type Client struct {
	base      *url.URL
	http      *http.Client
	token     *atomic.Pointer[accessToken]
	timeout   time.Duration
	maxBody   int64
	limiter   *rate.Limiter
	userAgent string
	accountID string
	metrics   *metrics
	now       func() time.Time
}

// An accessToken is what is done with one. Closures: whatever prints it finds
// addresses, no token.
type accessToken struct {
	authorize func(http.Header)
	// redact takes it, and earlier ones, out of a text.
	redact func(string) string
}

// UseAccessToken replaces the access token; calls under way end with the one that
// they began with. On an error the old one stays.
func (c *Client) UseAccessToken(token string) error {
	switch {
	case token == "":
		return errors.New("no access token")
	case strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r > '~' }):
		return errors.New("the access token has characters that no token has, such as spaces or line ends")
	}
	redact := func(s string) string { return s }
	if before := c.token.Load(); before != nil {
		redact = before.redact
	}
	c.token.Store(&accessToken{
		authorize: func(h http.Header) { h.Set("Authorization", "Bearer "+token) },
		redact:    func(s string) string { return redact(strings.ReplaceAll(s, token, "[redacted]")) },
	})
	return nil
}

// NewClient returns a client, or an error that names the field that is wrong.
func NewClient(cfg Config) (*Client, error) {
	base, err := parseBaseURL(cfg.BaseURL)
	if err != nil {
		return nil, err
	}
	switch {
	case cfg.AccountID != "" && !validID(cfg.AccountID):
		return nil, errors.New("the account's id is not an id")
	case cfg.Timeout < 0 || cfg.MaxBody < 0 || cfg.RateLimit < 0 || math.IsNaN(cfg.RateLimit):
		return nil, errors.New("timeout, body limit and rate limit must not be negative")
	}
	transport := cfg.Transport
	if transport == nil {
		transport = NewTransport()
	}
	c := &Client{
		base:  base,
		token: &atomic.Pointer[accessToken]{},
		http: &http.Client{
			Transport: transport,
			// A redirect is an answer that we don't expect; the token stays here.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
		timeout:   cmp.Or(cfg.Timeout, defaultTimeout),
		maxBody:   cmp.Or(cfg.MaxBody, defaultMaxBody),
		limiter:   rate.NewLimiter(rate.Inf, 0),
		userAgent: cmp.Or(cfg.UserAgent, defaultUserAgent),
		accountID: cfg.AccountID,
		metrics:   newMetrics(cfg.Registerer),
		now:       cfg.Now,
	}
	if err := c.UseAccessToken(cfg.AccessToken); err != nil {
		return nil, err
	}
	if cfg.RateLimit > 0 {
		c.limiter = rate.NewLimiter(rate.Limit(cfg.RateLimit), int(min(math.Ceil(cfg.RateLimit), math.MaxInt32)))
	}
	if c.now == nil {
		c.now = time.Now
	}
	return c, nil
}

// For returns a client that asks with another account's access token. Both share the
// connections, the rate limit and the metrics.
func (c *Client) For(accessToken, accountID string) (*Client, error) {
	other, err := NewClient(Config{
		BaseURL: c.base.String(), AccessToken: accessToken, AccountID: accountID, Transport: c.http.Transport,
		Timeout: c.timeout, MaxBody: c.maxBody, UserAgent: c.userAgent, Now: c.now,
	})
	if err != nil {
		return nil, err
	}
	other.limiter, other.metrics = c.limiter, c.metrics
	return other, nil
}

func parseBaseURL(s string) (*url.URL, error) {
	base, err := url.Parse(cmp.Or(s, DefaultBaseURL))
	switch {
	case err != nil: // its text repeats s, which may hold a password
		return nil, errors.New("the base URL can't be read")
	case base.Scheme != "https" && base.Scheme != "http" || base.Host == "":
		return nil, errors.New("the base URL is not an http or https address")
	case base.User != nil || base.RawQuery != "" || base.Fragment != "":
		return nil, errors.New("the base URL has more than scheme, host and path")
	case base.Scheme == "http" && (base.Hostname() == "mercadopago.com" || strings.HasSuffix(base.Hostname(), ".mercadopago.com")):
		return nil, errors.New("the base URL would send the access token to Mercado Pago unencrypted")
	}
	return base, nil
}

// NewTransport is what carries a client's calls unless its configuration names
// another.
func NewTransport() http.RoundTripper {
	t, isTransport := http.DefaultTransport.(*http.Transport)
	if !isTransport { // somebody replaced it, and meant it
		return http.DefaultTransport
	}
	t = t.Clone()
	t.MaxIdleConns, t.MaxIdleConnsPerHost = maxIdleConns, maxIdleConns
	t.MaxResponseHeaderBytes = maxResponseHeader
	return t
}

// String says where the API is, and nothing secret.
func (c *Client) String() string { return "mercadopago.Client(" + c.base.String() + ")" }

// CloseIdleConnections closes what connections no call is using.
func (c *Client) CloseIdleConnections() { c.http.CloseIdleConnections() }

// ReadPayment reads an answer that was kept, see DecodePayment.
func (c *Client) ReadPayment(raw []byte) (provider.Payment, error) { return DecodePayment(raw) }

// SearchPayments fetches one page: GET /v1/payments/search. What a search finds
// lags behind what Payment reads, by minutes.
func (c *Client) SearchPayments(ctx context.Context, query provider.SearchQuery) (provider.SearchPage, error) {
	values, err := searchValues(query)
	if err != nil {
		return provider.SearchPage{}, &provider.Error{Kind: provider.Unexpected, Err: fmt.Errorf("not asked: %w", err)}
	}
	u := c.base.JoinPath("v1", "payments", "search")
	u.RawQuery = values.Encode()
	answer, err := c.get(ctx, operationSearch, u, nil, pageBodies*c.maxBody)
	if err != nil {
		return provider.SearchPage{}, noPayment(err)
	}
	page, err := DecodeSearchPage(answer.body)
	if err != nil {
		return provider.SearchPage{}, notUnderstood(answer.statusCode, err)
	}
	return page, nil
}

// SearchOrders fetches one page: GET /v1/orders. With test credentials it is refused.
func (c *Client) SearchOrders(ctx context.Context, query provider.OrderQuery) (provider.OrderPage, error) {
	u := c.base.JoinPath("v1", "orders")
	u.RawQuery = orderSearchValues(query).Encode()
	answer, err := c.get(ctx, operationOrderSearch, u, nil, pageBodies*c.maxBody)
	if err != nil {
		return provider.OrderPage{}, noPayment(err)
	}
	page, err := decodeOrderPage(answer.body)
	if err != nil {
		return provider.OrderPage{}, notUnderstood(answer.statusCode, err)
	}
	return page, nil
}

// IsTest reports whether a delivery's body says of itself that it is the panel's
// test.
func (*Client) IsTest(body []byte) bool { return TestBody(body) }

// CheckCredentials asks who we are, which changes nothing and depends on no
// payment. Nil means that Mercado Pago accepts our access token.
func (c *Client) CheckCredentials(ctx context.Context) error {
	_, err := c.Account(ctx)
	return err
}

// Account returns the id of the account that the access token belongs to:
// GET /users/me, the call that the official SDKs have for it. It is the
// collector of the payments that this account is paid.
func (c *Client) Account(ctx context.Context) (string, error) {
	answer, err := c.get(ctx, operationAccount, c.base.JoinPath("users", "me"), nil, c.maxBody)
	if err != nil {
		return "", noPayment(err)
	}
	o, err := readObject(answer.body)
	if err != nil {
		return "", notUnderstood(answer.statusCode, fmt.Errorf("account: %w", err))
	}
	id := o.id("id")
	if id == "" {
		return "", notUnderstood(answer.statusCode, errors.New("account: id is missing or is not an id"))
	}
	return id, nil
}

// An answer is a success, whichever of the 2xx it is.
type answer struct {
	statusCode int
	body       []byte
}

// get reads an answer of limited length.
func (c *Client) get(ctx context.Context, op operation, u *url.URL, header http.Header, limit int64) (answer, error) {
	return c.read(ctx, request{operation: op, url: u, header: header}, limit)
}

// read makes a call and reads its answer, of limited length.
func (c *Client) read(ctx context.Context, r request, limit int64) (a answer, err error) {
	r.read = func(resp *http.Response) error {
		body, err := io.ReadAll(io.LimitReader(resp.Body, limit+1))
		if err != nil {
			return c.failure(ctx, err, resp.StatusCode)
		}
		if int64(len(body)) > limit {
			return notUnderstood(resp.StatusCode, fmt.Errorf("the answer is longer than %d bytes", limit))
		}
		a = answer{resp.StatusCode, body}
		return nil
	}
	err = c.do(ctx, r)
	return a, err
}

// A request is one call.
type request struct {
	operation operation
	// method is GET when empty, accept JSON, timeout the client's when 0.
	method  string
	url     *url.URL
	header  http.Header
	body    []byte
	accept  string
	timeout time.Duration
	// read takes a success; its error is the call's. Nil for an answer that says nothing
	// more.
	read func(*http.Response) error
	// refused is shown an answer without success, and reports whether it took it as an answer.
	// Nil where the status says all.
	refused func(statusCode int, body []byte) bool
}

// admission is the key of a context whose next call has had its turn.
type admission struct{}

// Admit waits for the turn of one call, and returns the context to make it with. Its
// error is that of a call that never had its turn.
func (c *Client) Admit(ctx context.Context) (context.Context, error) {
	if err := c.limiter.Wait(ctx); err != nil {
		return ctx, c.waitFailure(ctx)
	}
	return context.WithValue(ctx, admission{}, &atomic.Bool{}), nil
}

// do waits for its turn, makes one attempt and counts it.
func (c *Client) do(ctx context.Context, r request) error {
	if used, is := ctx.Value(admission{}).(*atomic.Bool); !is || !used.CompareAndSwap(false, true) {
		if err := c.limiter.Wait(ctx); err != nil {
			return c.waitFailure(ctx)
		}
	}
	began := time.Now()
	err := c.call(ctx, r)
	c.metrics.record(r.operation, err, time.Since(began))
	return err
}

// call makes one attempt. net/http may send a request again on a new connection
// when the one that it kept turns out to be closed before any answer came: one with a
// body of which something was written only where it has an idempotency key.
func (c *Client) call(ctx context.Context, r request) error {
	call, cancel := context.WithTimeout(ctx, cmp.Or(r.timeout, c.timeout))
	defer cancel()
	req, err := http.NewRequestWithContext(call, cmp.Or(r.method, http.MethodGet), r.url.String(), bytes.NewReader(r.body))
	if err != nil {
		return &provider.Error{Kind: provider.Unexpected, Err: errors.New("not asked: the request can't be made")}
	}
	maps.Copy(req.Header, r.header)
	c.token.Load().authorize(req.Header)
	req.Header.Set("Accept", cmp.Or(r.accept, "application/json"))
	req.Header.Set("User-Agent", c.userAgent)
	if len(r.body) > 0 {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return c.failure(ctx, err, 0)
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		// A little is read so that the connection can be used again; an error here
		// can't tell more than the status.
		body, err := io.ReadAll(io.LimitReader(resp.Body, maxErrorBody))
		if err == nil && r.refused != nil && r.refused(resp.StatusCode, body) {
			return nil
		}
		return c.answered(resp)
	}
	if r.read == nil {
		_, _ = io.CopyN(io.Discard, resp.Body, maxErrorBody)
		return nil
	}
	return r.read(resp)
}
