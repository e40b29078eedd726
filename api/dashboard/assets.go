package dashboard

import (
	"embed"
	"net/http"
)

//go:embed assets
var assetFiles embed.FS

// Assets serves /dashboard/assets/: what pages are drawn with, which is no
// secret and may be kept.
func Assets() http.Handler {
	files := http.StripPrefix(Base+"/", http.FileServerFS(assetFiles))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == Base+"/assets/" {
			http.NotFound(w, r) // a list of files helps nobody
			return
		}
		w.Header().Set("Cache-Control", "public, max-age=3600")
		files.ServeHTTP(w, r)
	})
}
