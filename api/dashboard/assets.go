package dashboard

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"net/http"
	"path"
	"strings"
	"time"
)

const (
	// Base is the path that everything here is below.
	Base = "/dashboard"
	// AssetsPath is where Assets expects to be mounted.
	AssetsPath = Base + "/assets/"
)

//go:embed assets
var assetFiles embed.FS

// An asset is one file that pages load.
type asset struct {
	contentType string
	body        []byte
}

// loadAssets returns the assets by their public name, which holds a part of
// their content's hash, and the public path of each by its own name.
func loadAssets() (byName map[string]asset, paths map[string]string, err error) {
	types := map[string]string{".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml"}
	entries, err := assetFiles.ReadDir("assets")
	if err != nil {
		return nil, nil, fmt.Errorf("assets: %w", err)
	}
	byName, paths = map[string]asset{}, map[string]string{}
	for _, entry := range entries {
		body, err := assetFiles.ReadFile("assets/" + entry.Name())
		if err != nil {
			return nil, nil, fmt.Errorf("assets: %w", err)
		}
		ext := path.Ext(entry.Name())
		if types[ext] == "" {
			return nil, nil, fmt.Errorf("assets: %s has no known type", entry.Name())
		}
		sum := sha256.Sum256(body)
		public := strings.TrimSuffix(entry.Name(), ext) + "." + hex.EncodeToString(sum[:8]) + ext
		byName[public] = asset{contentType: types[ext], body: body}
		paths[entry.Name()] = AssetsPath + public
	}
	return byName, paths, nil
}

// Assets serves what pages load, at AssetsPath. It is open: the login page
// needs it. A name changes with its content, so what was loaded is kept for
// good, and an old page that asks a new release for its old style gets 404.
func Assets() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s, err := loadedSite()
		if err != nil {
			http.Error(w, "assets are not available", http.StatusInternalServerError)
			return
		}
		found, ok := s.assets[strings.TrimPrefix(r.URL.Path, AssetsPath)]
		if !ok {
			http.NotFound(w, r)
			return
		}
		h := w.Header()
		h.Set("Content-Type", found.contentType)
		h.Set("Cache-Control", "public, max-age=31536000, immutable")
		h.Set("X-Content-Type-Options", "nosniff")
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(found.body))
	})
}
