package main

import (
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// translations are the languages of the pages that are there in more than English,
// with their names as the line on top of each page says them.
var translations = []struct{ language, name string }{{"en", "English"}, {"es", "Español"}, {"pt-BR", "Português"}}

// translatedPages are the pages that are there in every language, by their English names.
func translatedPages(t *testing.T) []string {
	t.Helper()
	names := []string{"README.md", "docs/quick-start.md", "docs/integrate.md", "docs/test-mode.md"}
	for _, page := range pages(t) {
		if path.Dir(page) == "docs/playbooks" {
			names = append(names, page)
		}
	}
	return names
}

// inLanguage is where a page is in a language.
func inLanguage(language, page string) string {
	switch {
	case language == "en":
		return page
	case page == "README.md":
		return "README." + language + ".md"
	}
	return "docs/" + language + strings.TrimPrefix(page, "docs")
}

var remark = regexp.MustCompile(`(?m)\s*(^|\s)# .*$`)

// A pageShape is what the languages of a page have in common.
type pageShape struct {
	title    string // up to the colon, where it is a name
	headings []string
	blocks   []string // without remarks
	spans    []string
	links    []string // to the English pages, without anchors of translated ones
	lines    []string // how each line of a table or list begins
}

func shapeOf(t *testing.T, name string, translated map[string]string) pageShape {
	t.Helper()
	text := readDoc(t, name)
	var shape pageShape
	for _, block := range fenced.FindAllString(text, -1) {
		shape.blocks = append(shape.blocks, remark.ReplaceAllString(block, ""))
	}
	text = fenced.ReplaceAllString(text, "")
	for _, found := range heading.FindAllStringSubmatch(text, -1) {
		shape.headings = append(shape.headings, found[1])
	}
	if code, _, isPlaybook := strings.Cut(heading.FindStringSubmatch(text)[2], ": "); isPlaybook {
		shape.title = code
	}
	shape.spans = codeSpan.FindAllString(text, -1)
	slices.Sort(shape.spans)
	shape.spans = slices.Compact(shape.spans)
	_, below, found := strings.Cut(text, " · ")
	require.True(t, found, "%s has no line with its languages", name)
	_, below, _ = strings.Cut(below, "\n")
	for _, link := range links(below) {
		if target, anchor, _ := strings.Cut(link, "#"); target != "" && !strings.Contains(link, "://") {
			link = path.Join(path.Dir(name), target)
			if english, isTranslated := translated[link]; isTranslated {
				link = english
			} else if anchor != "" {
				link += "#" + anchor
			}
		}
		shape.links = append(shape.links, link)
	}
	slices.Sort(shape.links)
	for line := range strings.Lines(text) {
		if found := regexp.MustCompile(`^(- \[ \]|-|\d+\.) `).FindString(line); found != "" {
			shape.lines = append(shape.lines, found)
		} else if strings.HasPrefix(line, "|") {
			shape.lines = append(shape.lines, strings.Repeat("|", strings.Count(line, "|")))
		}
	}
	return shape
}

// Who reads a page in another language finds all of it: the same sections, commands,
// names, links, rows and steps.
func TestTranslations_HaveWhatTheEnglishPageHas(t *testing.T) {
	t.Parallel()
	for _, from := range translations {
		translated := map[string]string{}
		for _, page := range translatedPages(t) {
			translated[inLanguage(from.language, page)] = page
		}
		for _, page := range translatedPages(t) {
			name := inLanguage(from.language, page)
			var choice []string
			for _, to := range translations {
				relative, err := filepath.Rel(path.Dir(name), inLanguage(to.language, page))
				require.NoError(t, err)
				if to == from {
					choice = append(choice, to.name)
				} else {
					choice = append(choice, "["+to.name+"]("+filepath.ToSlash(relative)+")")
				}
			}
			lines := strings.SplitN(readDoc(t, name), "\n", 4)
			require.Equal(t, strings.Join(choice, " · "), lines[2], "%s, third line", name)
			if from.language != "en" {
				english := map[string]string{}
				for _, page := range translatedPages(t) {
					english[page] = page
				}
				require.Equal(t, shapeOf(t, page, english), shapeOf(t, name, translated), name)
			}
		}
	}
}

func TestTranslations_AreOfPagesThatAreThere(t *testing.T) {
	t.Parallel()
	there := translatedPages(t)
	for _, page := range pages(t) {
		for _, to := range translations[1:] {
			if rest, isTranslation := strings.CutPrefix(page, "docs/"+to.language+"/"); isTranslation {
				require.Contains(t, there, "docs/"+rest, page)
			}
		}
	}
}
