package api

import "sync"

const (
	// asksPerSignature is how many events one signature may make that covers no
	// id; deliveries beyond are limited as those without a signature.
	asksPerSignature = 16
	// signaturesKept bounds the memory: twice as many signatures are known.
	signaturesKept = 4096
)

// seenAsks knows what signatures that cover no id were used to ask for lately:
// anyone who has seen one can ask for anything with it. The old ones are forgotten,
// which costs no more than a limit that begins again.
type seenAsks struct {
	mu          sync.Mutex
	young, aged map[string]map[string]bool
}

// tooMany notes what a signature asks for, and reports whether that is more than
// one may.
func (s *seenAsks) tooMany(signature, ask []byte) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	asks, ok := s.young[string(signature)]
	if !ok {
		if asks = s.aged[string(signature)]; asks == nil {
			asks = map[string]bool{}
		}
		if s.young == nil || len(s.young) == signaturesKept {
			s.young, s.aged = map[string]map[string]bool{}, s.young
		}
		s.young[string(signature)] = asks
	}
	if asks[string(ask)] {
		return false
	}
	if len(asks) == asksPerSignature {
		return true
	}
	asks[string(ask)] = true
	return false
}
