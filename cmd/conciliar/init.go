package main

import (
	"bufio"
	"cmp"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/conciliar/conciliar/config"
)

const (
	settingsFile = "conciliar.env"
	// ownDatabase is a database of that name on this machine, by its socket.
	ownDatabase = "postgres:///conciliar"
	// simulatorURL is where 'conciliar simulate --listen 127.0.0.1:9090' answers.
	simulatorURL   = "http://127.0.0.1:9090"
	simulatorToken = "TEST-simulator"
)

// A credential is a setting that only the provider's panel knows.
type credential struct{ name, question string }

var credentials = []credential{
	{"MERCADOPAGO_ACCESS_TOKEN", "Access token (Your integrations > Credentials)"},
	{"MERCADOPAGO_WEBHOOK_SECRETS", "Secret signature (Your integrations > Webhooks)"},
}

func newInit(std stdio) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "init",
		Short: "Write a file of settings with fresh tokens",
		Long: `Writes conciliar.env, which only its owner can read: fresh tokens, the operator's
password, the database, and Mercado Pago's access token and webhook secret. Every other
variable stands in it as a comment.

DATABASE_URL, MERCADOPAGO_ACCESS_TOKEN and MERCADOPAGO_WEBHOOK_SECRETS are taken from
the environment, also as the path of a file (…_FILE), else asked for at a terminal.
Without the last two the settings are for the simulator, at MERCADOPAGO_BASE_URL or its
usual address. What the service would refuse is not written, and an existing file is
left as it is.`,
		Example: "  conciliar init\n  conciliar init --simulator\n  conciliar init --file /etc/conciliar/conciliar.env",
		Args:    noArgs,
	}
	path := cmd.Flags().String("file", settingsFile, "the file to write")
	simulator := cmd.Flags().Bool("simulator", false, "ask nothing; Mercado Pago is the simulator on this machine")
	cmd.RunE = func(*cobra.Command, []string) error {
		values, err := settingsFor(std, *simulator)
		if err != nil {
			return err
		}
		content, err := config.EnvFile(values)
		if err != nil {
			return usagef("%w", err)
		}
		if err := refused(values); err != nil {
			return err
		}
		if err := writeNew(*path, content); err != nil {
			return err
		}
		_, err = fmt.Fprint(std.out, nextSteps(std.called(), *path, values))
		return err
	}
	return cmd
}

// settingsFor are the settings that differ from their defaults.
func settingsFor(std stdio, simulator bool) (map[string]string, error) {
	values := map[string]string{}
	for _, v := range config.Variables() {
		if v.Client() == "" && v.Name != "OPERATOR_PASSWORD" {
			continue
		}
		values[v.Name] = freshSecret()
	}
	ask := asker(std, simulator, values)
	if err := ask("DATABASE_URL", "PostgreSQL ["+ownDatabase+"]", false); err != nil {
		return nil, err
	}
	if !isGiven(values, "DATABASE_URL") {
		values["DATABASE_URL"] = ownDatabase
	}
	// One of the two alone is a mistake, which the service would refuse.
	for _, c := range credentials {
		if simulator {
			break
		}
		if err := ask(c.name, c.question+"; empty for the simulator", true); err != nil {
			return nil, err
		}
		simulator = !slices.ContainsFunc(credentials, func(c credential) bool {
			return isGiven(values, c.name) || std.env(c.name) != "" || std.env(c.name+"_FILE") != ""
		})
	}
	if simulator {
		for _, c := range credentials {
			delete(values, c.name+"_FILE")
		}
		values["MERCADOPAGO_ACCESS_TOKEN"], values["MERCADOPAGO_WEBHOOK_SECRETS"] = simulatorToken, freshSecret()
		values["MERCADOPAGO_BASE_URL"] = cmp.Or(std.env("MERCADOPAGO_BASE_URL"), simulatorURL)
	}
	return values, nil
}

// isGiven reports whether a variable has a value, or a file with it.
func isGiven(values map[string]string, name string) bool {
	return values[name] != "" || values[name+"_FILE"] != ""
}

// refused says what the service would not start with.
func refused(values map[string]string) error {
	environ := make([]string, 0, len(values))
	for name, value := range values {
		environ = append(environ, name+"="+value)
	}
	_, err := config.Load(environ)
	return err
}

// asker returns what sets a value: from the environment, else from what is typed at the
// terminal; none when there is no terminal, or nothing is to be asked.
func asker(std stdio, quiet bool, values map[string]string) func(name, question string, secret bool) error {
	terminal, isFile := std.in.(*os.File)
	asks := isFile && !quiet && term.IsTerminal(int(terminal.Fd()))
	lines := bufio.NewReader(std.in)
	return func(name, question string, secret bool) error {
		if path := std.env(name + "_FILE"); path != "" {
			absolute, err := filepath.Abs(path)
			values[name+"_FILE"] = absolute
			if err != nil || std.env(name) == "" {
				return err
			}
		}
		if value := std.env(name); value != "" || !asks {
			values[name] = value
			return nil
		}
		_, _ = fmt.Fprint(std.err, question+": ")
		var line string
		var err error
		if secret {
			var typed []byte
			typed, err = term.ReadPassword(int(terminal.Fd()))
			line = string(typed)
			_, _ = fmt.Fprintln(std.err)
		} else {
			line, err = lines.ReadString('\n')
		}
		if err != nil && !errors.Is(err, io.EOF) {
			return fmt.Errorf("read %s: %w", name, err)
		}
		values[name] = strings.TrimSpace(line)
		return nil
	}
}

// freshSecret is a secret of 192 bits.
func freshSecret() string {
	var b [24]byte
	_, _ = rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}

// writeNew writes a file that must not be there yet, for its owner's eyes alone.
func writeNew(path string, content []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600) //nolint:gosec // the person's own choice
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%s is there already and was left as it is; --file names another", path)
	}
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return errors.Join(err, os.Remove(path)) // half a file would start a service without its guards
	}
	return nil
}

// nextSteps says how to go on.
func nextSteps(program, path string, values map[string]string) string {
	at := path
	if !strings.Contains(at, "/") {
		at = "./" + at
	}
	text := "Wrote " + path + ". Next:\n\n  set -a; . " + at + "; set +a\n  " + program + " migrate\n  " + program + " serve\n\n"
	if values["MERCADOPAGO_BASE_URL"] != "" {
		return text + "It is for the simulator: docs/quick-start.md pays a first order with it.\n"
	}
	return text + program + " doctor then says what is missing.\n"
}
