package api_test

import (
	"compress/gzip"
	"io"
	"net/http"
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestCompression_IsForPagesThatNoOtherSiteAskedFor(t *testing.T) {
	t.Parallel()
	b := setup(t, setupOptions{})
	v := b.visitor()
	v.logIn(t)
	secured := b.visitor()
	secured.tls = true
	secured.logIn(t)
	// A page says when it was made, by the clock of the machine.
	timeless := func(page string) string {
		return regexp.MustCompile(`<time[^>]*>[^<]*</time>`).ReplaceAllString(page, "")
	}
	plain := timeless(v.get(t, "/dashboard/orders").Body.String())
	require.Greater(t, len(plain), 4000)
	river := regexp.MustCompile(`/riverui/assets/[^"]+\.js`).FindString(v.get(t, "/riverui/").Body.String())
	require.NotEmpty(t, river)
	for name, c := range map[string]struct {
		v          *visitor
		path, site string
		compressed bool
	}{
		"a link of ours":            {secured, "/dashboard/orders", "same-origin", true},
		"an address that was typed": {secured, "/dashboard/orders", "none", true},
		"another site's link":       {secured, "/dashboard/orders", "cross-site", false},
		"a neighbour's":             {secured, "/dashboard/orders", "same-site", false},
		"an unknown word":           {secured, "/dashboard/orders", "elsewhere", false},
		"an old browser":            {secured, "/dashboard/orders", "", false},
		"without TLS":               {v, "/dashboard/orders", "", true},
		"River UI":                  {v, river, "same-origin", true},
		"River UI, another site's":  {v, river, "cross-site", false},
	} {
		w := c.v.visit(t, http.MethodGet, c.path, "", "Accept-Encoding", "gzip, deflate, br, zstd", "Sec-Fetch-Site", c.site)
		require.Equal(t, http.StatusOK, w.Code, name)
		if !c.compressed {
			require.Empty(t, w.Header().Get("Content-Encoding"), name)
			continue
		}
		require.Equal(t, "gzip", w.Header().Get("Content-Encoding"), name)
		require.Contains(t, w.Header().Values("Vary"), "Accept-Encoding", name)
		zipped := w.Body.Len()
		reader, err := gzip.NewReader(w.Body)
		require.NoError(t, err, name)
		whole, err := io.ReadAll(reader)
		require.NoError(t, err, name)
		require.Less(t, zipped, len(whole)/2, name)
		if c.path != river {
			require.Equal(t, plain, timeless(string(whole)), name)
		}
	}
	w := v.visit(t, http.MethodGet, "/dashboard/orders", "", "Accept-Encoding", "identity")
	require.Empty(t, w.Header().Get("Content-Encoding"), "who cannot read it")
	require.Equal(t, plain, timeless(w.Body.String()))

	// What all pages load is kept by browsers, and has no secret.
	style := regexp.MustCompile(`/dashboard/assets/style\.[0-9a-f]+\.css`).FindString(plain)
	w = b.visitor().visit(t, http.MethodGet, style, "", "Accept-Encoding", "gzip")
	require.Equal(t, "gzip", w.Header().Get("Content-Encoding"))
	require.Contains(t, w.Header().Values("Vary"), "Accept-Encoding")
	require.Equal(t, "public, max-age=31536000, immutable", w.Header().Get("Cache-Control"))
}
