package simulator

import "sync/atomic"

// Stats counts the API calls.
type Stats struct {
	Gets     int64 // GETs of a payment, whatever the answer
	Searches int64 // searches, whatever the answer
	Users    int64 // GETs of /users/me, whatever the answer
	// MerchantOrders counts GETs of a merchant order, whatever the answer.
	MerchantOrders int64
	// Resources counts GETs of a resource that is about a payment, whatever the
	// answer.
	Resources     int64
	OrderSearches int64 // searches of orders, whatever the answer
	Answered      int64 // GETs answered with a payment
	NotFound      int64 // GETs answered 404
	RateLimited   int64 // calls answered 429
	Errors5xx     int64 // calls answered 500 as a fault
	Outages       int64 // calls refused in an outage
	Unauthorized  int64 // calls without the right token
	Payments      int   // payments that exist
	// MaxGets is the largest number of GETs of one payment, whatever the
	// answer, and MaxGetsPayment is that payment's id.
	MaxGets        int64
	MaxGetsPayment string
}

// counters are what Stats is made from.
type counters struct {
	gets, searches, users, merchantOrders     atomic.Int64
	resources, orderSearches, reports         atomic.Int64
	answered, notFound, rateLimited, error5xx atomic.Int64
	outages, unauthorized                     atomic.Int64
}

// Stats returns the counts so far.
func (s *Simulator) Stats() Stats {
	c := &s.counters
	stats := Stats{
		Gets:           c.gets.Load(),
		Searches:       c.searches.Load(),
		Users:          c.users.Load(),
		MerchantOrders: c.merchantOrders.Load(),
		Resources:      c.resources.Load(),
		OrderSearches:  c.orderSearches.Load(),
		Answered:       c.answered.Load(),
		NotFound:       c.notFound.Load(),
		RateLimited:    c.rateLimited.Load(),
		Errors5xx:      c.error5xx.Load(),
		Outages:        c.outages.Load(),
		Unauthorized:   c.unauthorized.Load(),
	}
	for _, p := range s.paymentsSoFar() {
		stats.Payments++
		if gets := p.gets.Load(); gets > stats.MaxGets {
			stats.MaxGets, stats.MaxGetsPayment = gets, p.current.Load().state.ID
		}
	}
	return stats
}

// Gets counts the GETs of each payment, by its id, whatever the answers.
func (s *Simulator) Gets() map[string]int64 {
	gets := make(map[string]int64)
	for _, p := range s.paymentsSoFar() {
		gets[p.current.Load().state.ID] = p.gets.Load()
	}
	return gets
}

// paymentsSoFar is the payments that exist, in the order of their creation.
// Later payments do not show in it.
func (s *Simulator) paymentsSoFar() []*payment {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.created
}
