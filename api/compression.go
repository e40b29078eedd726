package api

import (
	"net/http"
	"sync"

	"github.com/klauspost/compress/gzhttp"
)

const (
	// compressedFrom is how many bytes an answer has that is worth compressing.
	compressedFrom = 1 << 10
	// compressedJitter is by how many bytes an answer is lengthened at most, by its
	// content: the same content is as long each time, so that nothing is gained by asking
	// again, and what differs by a guess differs by more than the guess.
	compressedJitter = 64
)

// compression wraps handlers. It is made at first need: it tries a compressor out then.
var compression = sync.OnceValue(func() func(http.Handler) http.HandlerFunc {
	// zstd is left out: not every browser asks for it, and gzip is enough for pages.
	wrap, err := gzhttp.NewWrapper(gzhttp.MinSize(compressedFrom), gzhttp.EnableZstd(false), gzhttp.RandomJitter(compressedJitter, 0, false))
	if err != nil {
		panic(err) // its options are ours, and the tests start it
	}
	return wrap
})

// compress answers as a handler does, compressed where the caller can read that.
func compress(h http.Handler) http.HandlerFunc { return compression()(h) }

// compressed answers as h does, compressed where that tells a listener nothing.
func (a *api) compressed(h http.Handler) http.Handler {
	zipped := compress(h)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if a.mayCompress(r) {
			zipped.ServeHTTP(w, r)
			return
		}
		h.ServeHTTP(w, r)
	})
}

// mayCompress reports whether no other site's page can have made the call. A page shows
// what its address says beside what only an operator may see; where the two are
// compressed together, the length of the answer says whether they are alike, to anyone
// who sees lengths and can choose the address (BREACH). Browsers say where a call comes from
// wherever there is TLS; without TLS there is nothing to be learned from a length.
func (a *api) mayCompress(r *http.Request) bool {
	switch r.Header.Get("Sec-Fetch-Site") {
	case "same-origin", "none":
		return true
	case "":
		return !a.sources.secure(r)
	}
	return false
}
