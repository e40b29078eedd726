package jobs_test

import (
	"testing"
	"time"

	"github.com/shopspring/decimal"
	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/jobs"
	"github.com/conciliar/conciliar/jobs/provider/mercadopago"
	"github.com/conciliar/conciliar/jobs/provider/mercadopago/simulator"
	"github.com/conciliar/conciliar/store"
	"github.com/conciliar/conciliar/store/order"
	"github.com/conciliar/conciliar/store/storetest/fixture"
)

// sellerAna and sellerBruno are the sellers of the marketplaces in tests.
const (
	sellerAna   = int64(2001)
	sellerBruno = int64(2002)
)

// A marketplace is a world with two sellers, whose deliveries the application's secret
// signs.
type marketplace struct{ *world }

// tokens are the sellers' access tokens.
var tokens = map[int64]string{sellerAna: "TEST-ana", sellerBruno: "TEST-bruno"}

func newMarketplace(t *testing.T) marketplace {
	t.Helper()
	sellers := jobs.NewSellers(mercadopago.Source)
	w := newWorld(t, worldSpec{
		sim: simulator.Config{Sellers: []simulator.Seller{{CollectorID: sellerAna, AccessToken: tokens[sellerAna]}, {CollectorID: sellerBruno, AccessToken: tokens[sellerBruno]}}},
		jobs: func(c *jobs.Config) {
			c.Backoff = jobs.Backoff{Waits: []time.Duration{5 * time.Second}, Attempts: 7}
		},
		deps: func(d *jobs.Deps) {
			d.Sellers = sellers
			*d = d.WithProbeEvery(probeEvery)
		},
	})
	m := marketplace{w}
	m.declare(t, sellerAna, sellerBruno)
	m.start(t)
	return m
}

// declare makes these the sellers that are configured.
func (m marketplace) declare(t *testing.T, ids ...int64) {
	t.Helper()
	clients, accounts, stored := map[string]jobs.Client{}, []string{}, []store.Seller{}
	for _, id := range ids {
		account := decimal.NewFromInt(id).String()
		client, err := m.client.For(tokens[id], account)
		require.NoError(t, err)
		clients[account] = client
		accounts = append(accounts, account)
		stored = append(stored, store.Seller{CollectorID: account, Name: "seller " + account, TokenSHA256: []byte(tokens[id])})
	}
	m.deps.Sellers.Use(clients)
	m.UseSellers(accounts)
	require.NoError(t, m.KeepSellers(t.Context(), mercadopago.Source, stored, true))
}

// order registers an order of a seller, 0 for the main account, and pays it.
func (m marketplace) order(t *testing.T, reference string, seller int64) (paymentID string) {
	t.Helper()
	terms := order.Terms{Amount: decimal.NewFromInt(150), Currency: "ARS"}
	if seller != 0 {
		terms.CollectorID = decimal.NewFromInt(seller).String()
	}
	_, err := m.RegisterOrder(t.Context(), reference, terms)
	require.NoError(t, err)
	return m.payTo(reference, seller)
}

func (m marketplace) payTo(reference string, seller int64) string {
	return m.sim.CreatePayment(simulator.PaymentSpec{
		Reference: reference, Amount: decimal.NewFromInt(150), Status: simulator.Approved, StatusDetail: "accredited", CollectorID: seller,
	})
}

func (m marketplace) status(t *testing.T, reference string) order.Status {
	t.Helper()
	o, err := m.Order(t.Context(), reference)
	require.NoError(t, err)
	return o.Status
}

func (m marketplace) awaitPaid(t *testing.T, references ...string) {
	t.Helper()
	for _, reference := range references {
		fixture.Await(t, func() bool { return m.status(t, reference) == order.StatusPaid })
	}
}

// notify tells of a payment and returns the event.
func (m marketplace) notify(t *testing.T, paymentID string) int64 {
	t.Helper()
	require.True(t, m.sim.Notify(t.Context(), paymentID).Acknowledged())
	return look[int64](t, m.world, `SELECT max(id) FROM webhook_queue WHERE resource_id = $1`, paymentID)
}

func (m marketplace) seller(t *testing.T, id int64) store.SellerStatus {
	t.Helper()
	st, err := m.Status(t.Context())
	require.NoError(t, err)
	for _, seller := range st.Sellers {
		if seller.CollectorID == decimal.NewFromInt(id).String() {
			return seller
		}
	}
	t.Fatalf("seller %d is not in the status", id)
	return store.SellerStatus{}
}

// Each payment is read with the token of the account that was paid: the notification
// names it. One seller's revoked token holds that seller's events alone, without a
// spent attempt, and they settle once the token works again.
func TestSellers_OneWhoseTokenIsRevokedHoldsItsOwnEventsAlone(t *testing.T) {
	t.Parallel()
	m := newMarketplace(t)
	m.notify(t, m.order(t, "main-1", 0))
	m.notify(t, m.order(t, "ana-1", sellerAna))
	m.notify(t, m.order(t, "bruno-1", sellerBruno))
	m.awaitPaid(t, "main-1", "ana-1", "bruno-1")

	m.sim.SetSellerRevoked(sellerAna, true)
	held := m.notify(t, m.order(t, "ana-2", sellerAna))
	fixture.Await(t, func() bool {
		return look[string](t, m.world, `SELECT status FROM webhook_queue_status WHERE id = $1`, held) == store.StatusHeld
	})
	m.notify(t, m.order(t, "main-2", 0))
	m.notify(t, m.order(t, "bruno-2", sellerBruno))
	m.awaitPaid(t, "main-2", "bruno-2")
	require.Equal(t, store.ReasonCredentialsRejected, m.seller(t, sellerAna).Reason)
	require.Equal(t, store.CircuitClosed, m.seller(t, sellerBruno).Circuit)
	main, err := m.Provider(t.Context())
	require.NoError(t, err)
	require.Equal(t, store.CircuitClosed, main.Circuit)
	require.Equal(t, order.StatusPending, m.status(t, "ana-2"))

	m.sim.SetSellerRevoked(sellerAna, false)
	m.awaitPaid(t, "ana-2")
	require.Equal(t, 1, look[int](t, m.world, `SELECT attempts FROM webhook_queue WHERE id = $1`, held), "it was held, not tried in vain")
	fixture.Await(t, func() bool { return m.seller(t, sellerAna).Circuit == store.CircuitClosed })
}

// An outage that one seller meets is no other's.
func TestSellers_AnOutageOfOneIsNotTheOthers(t *testing.T) {
	t.Parallel()
	m := newMarketplace(t)
	m.sim.SetSellerOutage(sellerBruno, true)
	orders := []string{"bruno-1", "bruno-2", "bruno-3", "bruno-4", "bruno-5", "bruno-6"}
	for _, reference := range orders {
		m.notify(t, m.order(t, reference, sellerBruno))
	}
	m.notify(t, m.order(t, "ana-1", sellerAna))
	m.awaitPaid(t, "ana-1")
	fixture.Await(t, func() bool { return m.seller(t, sellerBruno).Reason == store.ReasonUnavailable })
	require.Equal(t, store.CircuitClosed, m.seller(t, sellerAna).Circuit)

	m.sim.SetSellerOutage(sellerBruno, false)
	m.awaitPaid(t, orders...)
	require.Zero(t, look[int](t, m.world, `SELECT count(*) FROM webhook_dead_letter WHERE state = 'open'`))
}

// The account that a notification names is not signed. The collector of what was
// fetched decides, and a payment to another account than the order's pays nothing.
func TestSellers_TheFetchedCollectorDecides(t *testing.T) {
	t.Parallel()
	m := newMarketplace(t)
	accept := func(paymentID, collectorID string) int64 {
		return fixture.Accept(t, m.Store, store.NewEvent{
			Source: mercadopago.Source, Topic: "payment", ResourceID: paymentID, Work: store.WorkPayment, Origin: store.OriginWebhook,
			Payload: []byte(`{}`), Signed: true, CollectorID: collectorID,
		})
	}
	t.Run("without a name the known payment's seller is asked", func(t *testing.T) {
		t.Parallel()
		id := m.order(t, "known", sellerAna)
		m.notify(t, id)
		m.awaitPaid(t, "known")
		err := m.sim.Move(id, simulator.Refunded, "refunded", decimal.NewFromInt(150))
		require.NoError(t, err)
		event := accept(id, "")
		fixture.Await(t, func() bool { return m.status(t, "known") == order.StatusRefunded })
		require.Equal(t, "2001", look[string](t, m.world, `SELECT collector_id FROM webhook_queue WHERE id = $1`, event))
	})
	t.Run("a stranger's name is the main account's", func(t *testing.T) {
		t.Parallel()
		accept(m.order(t, "stranger", 0), "999")
		m.awaitPaid(t, "stranger")
	})
	t.Run("a seller's payment pays no order of another", func(t *testing.T) {
		t.Parallel()
		m.order(t, "of-main", 0)
		m.notify(t, m.payTo("of-main", sellerBruno))
		fixture.Await(t, func() bool {
			return look[int](t, m.world, `SELECT count(*) FROM anomalies WHERE kind = 'foreign_collector' AND order_reference = 'of-main' AND closed_at IS NULL`) == 1
		})
		require.Equal(t, order.StatusPending, m.status(t, "of-main"))
	})
}

// A run searches every account. A seller that can't be asked does not fail it, and what
// was missed of it is found by the next that can.
func TestSellers_ARunGoesOnWithoutASellerAndComesBackToIt(t *testing.T) {
	t.Parallel()
	m := newMarketplace(t)
	m.sim.SetSellerRevoked(sellerAna, true)
	m.order(t, "main-1", 0)
	m.order(t, "ana-1", sellerAna)
	m.order(t, "bruno-1", sellerBruno)
	run := m.reconcile(t)
	require.Contains(t, run.Note, "seller 2001 was not searched")
	require.NotContains(t, run.Note, "2002")
	m.awaitPaid(t, "main-1", "bruno-1")
	require.Equal(t, order.StatusPending, m.status(t, "ana-1"))
	require.True(t, m.seller(t, sellerAna).Unsearched)
	require.False(t, m.seller(t, sellerBruno).Unsearched)

	// Days go by: the others' windows have long moved on.
	_, err := m.pool.Exec(t.Context(), `UPDATE sellers SET searched_until = now() - interval '5 days' WHERE collector_id = '2001'`)
	require.NoError(t, err)
	m.sim.SetSellerRevoked(sellerAna, false)
	fixture.Await(t, func() bool { return m.seller(t, sellerAna).Circuit == store.CircuitClosed })
	run = m.reconcile(t)
	require.Empty(t, run.Note)
	m.awaitPaid(t, "ana-1")
	require.False(t, m.seller(t, sellerAna).Unsearched)
}

// A seller that withdraws its consent is told of until it gives it again or has another
// token, whether its old token works for a moment still or not.
func TestSellers_WithdrawnConsentStandsUntilThereIsAnother(t *testing.T) {
	t.Parallel()
	m := newMarketplace(t)
	tell := func(action string) {
		require.True(t, m.sim.NotifyConnect(t.Context(), sellerAna, action).Acknowledged())
		m.drain(t)
		require.Equal(t, store.OutcomeKept, look[string](t, m.world, `SELECT outcome FROM webhook_queue ORDER BY id DESC LIMIT 1`))
	}
	tell(simulator.ConsentWithdrawn)
	require.NotNil(t, m.seller(t, sellerAna).DeauthorizedAt)
	require.Nil(t, m.seller(t, sellerBruno).DeauthorizedAt)
	require.Equal(t, store.CircuitClosed, m.seller(t, sellerAna).Circuit, "the token works still")
	tell(simulator.ConsentGiven)
	require.Nil(t, m.seller(t, sellerAna).DeauthorizedAt)

	m.sim.SetSellerRevoked(sellerAna, true)
	tell(simulator.ConsentWithdrawn)
	fixture.Await(t, func() bool { return m.seller(t, sellerAna).Reason == store.ReasonCredentialsRejected })
	require.NoError(t, m.KeepSellers(t.Context(), mercadopago.Source, []store.Seller{
		{CollectorID: "2001", Name: "Ana", TokenSHA256: []byte("another")}, {CollectorID: "2002", Name: "Bruno", TokenSHA256: []byte(tokens[sellerBruno])},
	}, true))
	require.Nil(t, m.seller(t, sellerAna).DeauthorizedAt, "another token is another consent")
}
