package config

import (
	"fmt"
	"regexp"
	"strings"
)

// plainValue is a value that a shell, systemd and a container engine read alike
// without quotes.
var plainValue = regexp.MustCompile(`^[A-Za-z0-9_@%+=:,./?~-]*$`)

// Client is the variable that a client keeps its token in, for a list of tokens that
// the service takes: STATUS_TOKEN for STATUS_TOKENS.
func (v Variable) Client() string {
	if !strings.HasSuffix(v.Name, "_TOKENS") {
		return ""
	}
	return strings.TrimSuffix(v.Name, "S")
}

// EnvFile writes a file of variables that a shell reads, systemd as an EnvironmentFile
// and a container engine as an env file: those in values are set, every other stands in
// a comment with its default. A variable's value may be given under Name_FILE instead,
// as the path of a file. Below are the tokens under the names that clients use. A value
// that these can't all read is an error, which doesn't hold it.
func EnvFile(values map[string]string) ([]byte, error) {
	var file, clients strings.Builder
	file.WriteString("# Settings of Conciliar. They hold secrets: keep the file to yourself.\n" +
		"# A shell reads them by: set -a; . ./conciliar.env; set +a\n")
	for _, v := range Variables() {
		fmt.Fprintf(&file, "\n# %s\n", v.Meaning)
		name := v.Name
		value, set := values[name]
		if !set {
			name += fileSuffix
			value, set = values[name]
		}
		if !set {
			fmt.Fprintf(&file, "# %s=%s\n", v.Name, v.Default)
			continue
		}
		switch {
		case plainValue.MatchString(value):
		case strings.ContainsAny(value, "'\r\n"):
			return nil, fmt.Errorf("%s holds a quote or a line break, which not every reader of the file takes; a URL writes a quote as %%27", name)
		default:
			value = "'" + value + "'"
		}
		fmt.Fprintf(&file, "%s=%s\n", name, value)
		if client := v.Client(); client != "" && name == v.Name {
			first, _, _ := strings.Cut(value, ",")
			fmt.Fprintf(&clients, "%s=%s\n", client, first)
		}
	}
	if clients.Len() > 0 {
		file.WriteString("\n# The same tokens for clients, which send one.\n" + clients.String())
	}
	return []byte(file.String()), nil
}
