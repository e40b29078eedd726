package dashboard

import (
	"bytes"
	"embed"
	"fmt"
	"html/template"
	"net/http"
	"path"
	"strings"
	"sync"
	"time"

	"golang.org/x/text/language"

	"github.com/conciliar/conciliar/store"
)

//go:embed pages/*.html
var pageFiles embed.FS

// A site is what all pages share, and what never changes.
type site struct {
	catalogues []catalogue
	matcher    language.Matcher
	assets     map[string]asset
	assetPaths map[string]string
	// days is the zone of the merchant's days; UTC when nil.
	days *time.Location
	// pages are the templates by the name of their file, without .html, parsed once.
	pages map[string]func() (*template.Template, error)
}

// loadedSite loads the site once: it is part of the program.
var loadedSite = sync.OnceValues(loadSite)

func loadSite() (*site, error) {
	s := &site{pages: map[string]func() (*template.Template, error){}}
	var err error
	if s.catalogues, err = loadCatalogues(); err != nil {
		return nil, err
	}
	tags := make([]language.Tag, len(s.catalogues))
	for i, c := range s.catalogues {
		tags[i] = c.tag
	}
	s.matcher = language.NewMatcher(tags)
	if s.assets, s.assetPaths, err = loadAssets(); err != nil {
		return nil, err
	}
	return s, s.loadPages()
}

// naming is the site whose texts name the provider.
func (s *site) naming(provider string) *site {
	named := *s
	named.catalogues = make([]catalogue, len(s.catalogues))
	for i, c := range s.catalogues {
		texts := make(map[string]string, len(c.text))
		for key, text := range c.text {
			texts[key] = strings.ReplaceAll(text, "{provider}", provider)
		}
		named.catalogues[i] = catalogue{code: c.code, tag: c.tag, text: texts}
	}
	return &named
}

// loadPages parses the layout and the parts, which are the files whose names begin with
// an underscore, and each page with a copy of them when it is first shown: all of them
// are two thirds of what an idle process has in memory.
func (s *site) loadPages() error {
	funcs := template.FuncMap{"part": newPart, "asset": s.assetPath}
	base, err := template.New("base").Funcs(funcs).ParseFS(pageFiles, "pages/_*.html")
	if err != nil {
		return fmt.Errorf("parts: %w", err)
	}
	entries, err := pageFiles.ReadDir("pages")
	if err != nil {
		return fmt.Errorf("pages: %w", err)
	}
	for _, entry := range entries {
		name, isPage := strings.CutSuffix(entry.Name(), ".html")
		if !isPage || strings.HasPrefix(name, "_") {
			continue
		}
		s.pages[name] = sync.OnceValues(func() (*template.Template, error) {
			own, err := base.Clone()
			if err == nil {
				own, err = own.ParseFS(pageFiles, path.Join("pages", entry.Name()))
			}
			if err != nil {
				return nil, fmt.Errorf("page %s: %w", name, err)
			}
			return own, nil
		})
	}
	return nil
}

// assetPath is where a page loads an asset from.
func (s *site) assetPath(name string) (string, error) {
	public, ok := s.assetPaths[name]
	if !ok {
		return "", fmt.Errorf("there is no asset %q", name)
	}
	return public, nil
}

// A page is what a template is given. Its methods are those of its reader.
type page struct {
	*reader

	// Title is the key of its title. Name, when set, is what the page is about
	// and stands before it.
	Title, Name string
	// About and ID make the name of what has an id: About is its text's key.
	About string
	ID    int64
	// Nav is the part of the navigation that it belongs to.
	Nav string
	// Body is what the page's own template shows.
	Body any
	// Refresh is true for a page that is about what moves.
	Refresh bool
	// RefreshEvery is after how many seconds it is asked for again; 0 for as usual.
	// Reload is true where that brings another page.
	RefreshEvery int
	Reload       bool
	// Notice says what an action did: a key below notice.
	Notice string
	// NoticeArgs are the arguments of its text.
	NoticeArgs []any
	// Path is the page's own address without its preferences, for the switches.
	Path  string
	query map[string][]string
	// Version is the program's; empty on pages for anybody.
	Version string
	// Who is logged in, and what they may do.
	Who  string
	Role Role
	// Refunds is true where somebody may refund.
	Refunds bool
	// work is what waits for a person, which the navigation shows.
	work store.OpenWork
	// Bare is true for a page without navigation.
	Bare bool
}

// May reports whether the reader's role is at least the one named.
func (p *page) May(role Role) bool { return p.Role.Allows(role) }

// refreshEvery is after how many seconds a page about what moves is asked for again.
const refreshEvery = 15

// Every is after how many seconds the page is asked for again; 0 for never.
func (p *page) Every() int {
	if p.RefreshEvery == 0 && p.Refresh {
		return refreshEvery
	}
	return p.RefreshEvery
}

// AsOf is the moment that the page shows.
func (p *page) AsOf() time.Time { return p.now }

// A part is what a template's part is given: the page, for its reader, and the
// value that it is about.
type part struct {
	*page

	V any
	// Args are further values.
	Args []any
}

func newPart(p any, v any, args ...any) (part, error) {
	switch p := p.(type) {
	case *page:
		return part{page: p, V: v, Args: args}, nil
	case part:
		return part{page: p.page, V: v, Args: args}, nil
	}
	return part{}, fmt.Errorf("a part of %T", p)
}

// render writes a page, whole or not at all.
func (s *site) render(w http.ResponseWriter, r *http.Request, status int, name string, p *page) error {
	parse, ok := s.pages[name]
	if !ok {
		return fmt.Errorf("there is no page %q", name)
	}
	t, err := parse()
	if err != nil {
		return err
	}
	p.Path = localPath(r.URL.Path, "")
	p.query = r.URL.Query()
	var body bytes.Buffer
	if err := t.ExecuteTemplate(&body, "layout", p); err != nil {
		return fmt.Errorf("page %s: %w", name, err)
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Language", p.Lang())
	h.Add("Vary", "Accept-Language, Cookie")
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	if r.Method == http.MethodHead {
		return nil
	}
	// A reader who has gone away is nobody's error.
	_, _ = w.Write(body.Bytes())
	return nil
}
