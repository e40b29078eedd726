package source

import "time"

// At makes a source believe that it is that time.
func (s *Source) At(now time.Time) { s.now = func() time.Time { return now } }
