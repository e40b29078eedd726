package config

import (
	"errors"
	"regexp"
	"slices"
	"strings"
	"time"

	yaml "go.yaml.in/yaml/v4"
)

// A SourcesFile is SOURCES_FILE: the senders of webhooks that are declared.
type SourcesFile struct {
	declaredFile

	// allowPrivate is ORDER_EVENTS_ALLOW_PRIVATE.
	allowPrivate bool
}

// A Source is a sender of webhooks, as SOURCES_FILE declares it. What its values mean
// is not known here: see SourcesFile.Watch.
type Source struct {
	Name string
	// Path is where its deliveries arrive; empty for one that is only passed onward.
	Path           string
	Verify         SourceVerify
	ID, Type, Time SourcePlace
	// Topics are the topics that are passed onward, of the source that is not a sender
	// of its own.
	Topics []string
	// Forward is where its events go on to; nil for nowhere.
	Forward *SourceForward
}

// SourceVerify says how deliveries are verified.
type SourceVerify struct {
	Scheme, Algorithm, Encoding, Header, Prefix, Manifest string
	Secrets                                               []Secret
	// Tolerance is nil when it is not said.
	Tolerance *time.Duration
}

// A SourcePlace says where something stands: in a header, or by a JSON Pointer.
type SourcePlace struct {
	Header string `yaml:"header"`
	JSON   string `yaml:"json"`
}

// A SourceForward says where events go on to.
type SourceForward struct {
	URL Secret
	// Headers and Body are templates; those of Credentials are not, and are secret.
	Headers     map[string]string
	Credentials map[string]Secret
	Body        string
	Accept      []string
	Retry       []time.Duration
	// AllowPrivate permits http, and addresses that are not on the public internet.
	AllowPrivate bool
}

// SourcesInUse are the senders with the digest of their file alone: processes that
// have their secrets from elsewhere have the same.
type SourcesInUse struct {
	Sources []Source
	Digest  string
}

// PassedOnward is the one name that no sender has: the source of payments, of which
// topics may be passed onward.
const PassedOnward = "mercadopago"

// Watch reads the file, and keeps what it declares current while the file and those
// that it names change. Without a file there are no senders. check says what is wrong
// with one of them, in errors that may name its Field; they are told with line and
// column. The error is a Problems.
func (f SourcesFile) Watch(check func(Source) error) (*Watched[SourcesInUse], error) {
	return watchDeclared(sourcesVariable, func(read ReadFile) (SourcesInUse, error) { return f.loadSources(read, check) })
}

const sourcesVariable = "SOURCES_FILE"

// sourcesDocument is what the file holds.
type sourcesDocument struct {
	versioned `yaml:",inline"`

	Sources []sourceDoc `yaml:"sources"`
}

// A sourceDoc is one sender with its place in the file.
type sourceDoc struct {
	Name    string         `yaml:"name"`
	Path    string         `yaml:"path"`
	Verify  *verifyDoc     `yaml:"verify"`
	ID      SourcePlace    `yaml:"id"`
	Type    SourcePlace    `yaml:"type"`
	Time    SourcePlace    `yaml:"time"`
	Topics  []string       `yaml:"topics"`
	Forward *forwardingDoc `yaml:"forward"`

	declared `yaml:"-"`
}

type verifyDoc struct {
	Scheme     string   `yaml:"scheme"`
	Algorithm  string   `yaml:"algorithm"`
	Encoding   string   `yaml:"encoding"`
	Header     string   `yaml:"header"`
	Prefix     string   `yaml:"prefix"`
	Manifest   string   `yaml:"manifest"`
	SecretEnv  []string `yaml:"secret_env"`
	SecretFile []string `yaml:"secret_file"`
	Tolerance  string   `yaml:"tolerance"`
}

type forwardingDoc struct {
	URL         string            `yaml:"url"`
	URLEnv      string            `yaml:"url_env"`
	URLFile     string            `yaml:"url_file"`
	Headers     map[string]string `yaml:"headers"`
	HeadersEnv  map[string]string `yaml:"headers_env"`
	HeadersFile map[string]string `yaml:"headers_file"`
	Body        string            `yaml:"body"`
	Accept      []string          `yaml:"accept"`
	Retry       []string          `yaml:"retry"`
}

// UnmarshalYAML implements yaml.Unmarshaler.
func (d *sourceDoc) UnmarshalYAML(node *yaml.Node) error {
	type plain sourceDoc
	err := node.Load((*plain)(d), yaml.WithKnownFields())
	d.node = node
	return err
}

var (
	sourceName = regexp.MustCompile(`^[a-z0-9-]{1,32}$`)
	sourcePath = regexp.MustCompile(`^(/[A-Za-z0-9._~-]+)+$`)
)

// ownPaths are where the service has paths of its own; a sender's is not below them.
var ownPaths = []string{"/api", "/dashboard", "/riverui", "/livez", "/readyz", "/metrics", "/openapi.yaml"}

// hooksPath is where senders have their paths, unless they say otherwise.
const hooksPath = "/hooks/"

func (f SourcesFile) loadSources(read ReadFile, check func(Source) error) (SourcesInUse, error) {
	if !f.IsSet() {
		return SourcesInUse{}, nil
	}
	var doc sourcesDocument
	digest, err := f.load(read, &doc)
	if err != nil {
		return SourcesInUse{}, err
	}
	found := SourcesInUse{Digest: digest}
	var problems []error
	names, paths := map[string]bool{}, map[string]bool{}
	for _, d := range doc.Sources {
		source, err := f.source(d, read)
		if err == nil {
			err = checked(d, source, check)
		}
		switch {
		case err != nil:
		case names[source.Name]:
			err = d.wrongAt("name", "this name is there already")
		case source.Path != "" && paths[source.Path]:
			err = d.wrongAt("path", "another source has this path")
		}
		if err != nil {
			problems = append(problems, err)
			continue
		}
		names[source.Name], paths[source.Path] = true, true
		found.Sources = append(found.Sources, source)
	}
	return found, errors.Join(problems...)
}

// checked tells where in the file what check finds is.
func checked(d sourceDoc, source Source, check func(Source) error) error {
	err := check(source)
	if err == nil {
		return nil
	}
	all := []error{err}
	if several, ok := err.(interface{ Unwrap() []error }); ok {
		all = several.Unwrap()
	}
	for i, err := range all {
		var at interface{ Field() string }
		field := ""
		if errors.As(err, &at) {
			field = at.Field()
		}
		all[i] = d.wrongAt(field, err.Error())
	}
	return errors.Join(all...)
}

// source makes a sender of its declaration.
func (f SourcesFile) source(d sourceDoc, read ReadFile) (Source, error) {
	source := Source{Name: d.Name, Path: d.Path, ID: d.ID, Type: d.Type, Time: d.Time, Topics: d.Topics}
	if !sourceName.MatchString(d.Name) {
		return Source{}, d.wrongAt("name", "name must be 1 to 32 of a to z, 0 to 9 and -")
	}
	var err error
	switch {
	case d.Name == PassedOnward:
		if d.Path != "" || d.Verify != nil || d.ID != (SourcePlace{}) || d.Type != (SourcePlace{}) || d.Time != (SourcePlace{}) {
			return Source{}, d.wrong(PassedOnward + " has topics and forward only")
		}
		if len(d.Topics) == 0 || d.Forward == nil {
			return Source{}, d.wrong(PassedOnward + " needs topics and forward")
		}
	case d.Topics != nil:
		return Source{}, d.wrongAt("topics", "topics belongs to "+PassedOnward)
	case d.Verify == nil:
		return Source{}, d.wrong("needs verify")
	default:
		if source.Path, err = d.path(); err != nil {
			return Source{}, err
		}
		if source.Verify, err = f.verify(d, read); err != nil {
			return Source{}, err
		}
	}
	if d.Forward != nil {
		if source.Forward, err = f.forward(d, read); err != nil {
			return Source{}, err
		}
	}
	return source, nil
}

// path is where the sender's deliveries arrive.
func (d sourceDoc) path() (string, error) {
	if d.Path == "" {
		return hooksPath + d.Name, nil
	}
	below := func(own string) bool { return d.Path == own || strings.HasPrefix(d.Path, own+"/") }
	switch {
	case !sourcePath.MatchString(d.Path) || strings.Contains(d.Path, "/."):
		return "", d.wrongAt("path", "path must begin with a slash and be of letters, digits and . _ ~ -")
	case slices.ContainsFunc(ownPaths, below):
		return "", d.wrongAt("path", "path is one of the service's own")
	}
	return d.Path, nil
}

// verify reads how a sender's deliveries are verified.
func (f SourcesFile) verify(d sourceDoc, read ReadFile) (SourceVerify, error) {
	v := d.Verify
	made := SourceVerify{Scheme: v.Scheme, Algorithm: v.Algorithm, Encoding: v.Encoding, Header: v.Header, Prefix: v.Prefix, Manifest: v.Manifest}
	var err error
	if made.Secrets, err = f.secrets("secret", v.SecretEnv, v.SecretFile, read); err != nil {
		return SourceVerify{}, d.wrongAt("verify", err.Error())
	}
	for _, secret := range made.Secrets {
		if fault := faultOf(secret.Reveal()); fault != "" {
			return SourceVerify{}, d.wrongAt("verify", "secret_env or secret_file has one that "+fault)
		}
	}
	if v.Tolerance != "" {
		tolerance, err := ParseDuration(v.Tolerance)
		if err != nil {
			return SourceVerify{}, d.wrongAt("verify.tolerance", "must be a duration such as 90s, 2m or 7d")
		}
		made.Tolerance = &tolerance
	}
	return made, nil
}

// forward reads where a sender's events go on to.
func (f SourcesFile) forward(d sourceDoc, read ReadFile) (*SourceForward, error) {
	v := d.Forward
	made := SourceForward{Headers: v.Headers, Body: v.Body, Accept: v.Accept, Credentials: map[string]Secret{}, AllowPrivate: f.allowPrivate}
	var err error
	if made.URL, err = f.url(d, read); err != nil {
		return nil, err
	}
	for _, wait := range v.Retry {
		parsed, err := ParseDuration(wait)
		if err != nil {
			return nil, d.wrongAt("forward.retry", "must be durations such as 90s, 2m or 1d")
		}
		made.Retry = append(made.Retry, parsed)
	}
	for name, variable := range v.HeadersEnv {
		if made.Credentials[name], err = f.secret("headers", variable, "", read); err != nil {
			return nil, d.wrongAt("forward.headers_env", err.Error())
		}
	}
	for name, path := range v.HeadersFile {
		if _, twice := made.Credentials[name]; twice {
			return nil, d.wrongAt("forward.headers_file", "has a header that headers_env has, too")
		}
		if made.Credentials[name], err = f.secret("headers", "", path, read); err != nil {
			return nil, d.wrongAt("forward.headers_file", err.Error())
		}
	}
	return &made, nil
}

// url is where a sender's events go on to.
func (f SourcesFile) url(d sourceDoc, read ReadFile) (Secret, error) {
	v := d.Forward
	given := 0
	for _, text := range []string{v.URL, v.URLEnv, v.URLFile} {
		if text != "" {
			given++
		}
	}
	if given != 1 {
		return Secret{}, d.wrongAt("forward", "needs url, url_env or url_file, one of them")
	}
	address := NewSecret(v.URL)
	if v.URL == "" {
		var err error
		if address, err = f.secret("url", v.URLEnv, v.URLFile, read); err != nil {
			return Secret{}, d.wrongAt("forward", err.Error())
		}
	}
	if fault := receiverFault(address.Reveal(), f.allowPrivate); fault != "" {
		return Secret{}, d.wrongAt("forward.url", "url "+fault)
	}
	return address, nil
}
