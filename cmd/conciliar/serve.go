package main

import (
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/conciliar/conciliar/config"
)

func newServe(std stdio) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Run the service: HTTP and workers",
		Long: `Receives webhooks, settles orders and serves operators until SIGINT or SIGTERM;
it then stops within ten seconds. Several processes may share one database;
--only splits them into receivers and workers. A worker answers only health
checks, at its own HTTP_ADDR.

Configuration comes from the environment. Each variable may also be given as
NAME_FILE, the path of a file to read it from. Lists are separated by commas.
Secrets, tokens, operators, sellers and the certificate are read from their files
again when these change, and at once on SIGHUP, which ends nothing.

` + variableTable(),
		Example: "  conciliar serve\n  conciliar serve --only worker",
		Args:    noArgs,
	}
	only := cmd.Flags().String("only", "", "run one half: api (receives, works no jobs) or worker")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		does := role{api: true, worker: true}
		switch *only {
		case "":
		case "api":
			does.worker = false
		case "worker":
			does.api = false
		default:
			return usagef("--only takes api or worker")
		}
		// From here on a hangup means to read the settings again, and ends nothing.
		hangups := make(chan os.Signal, 1)
		signal.Notify(hangups, syscall.SIGHUP)
		defer signal.Stop(hangups)
		settings, err := watchSettings(std.environ)
		if err != nil {
			return err
		}
		cfg := settings.Value()
		// A log reader that went away is no reason to end.
		signal.Ignore(syscall.SIGPIPE)
		logger, pipe := newServiceLogger(std, cfg.Log)
		defer pipe.Close()
		a, err := newApp(cmd.Context(), cfg, does, logger)
		if err != nil {
			return unlessStopped(cmd.Context(), err)
		}
		registerLogMetrics(a.metrics, pipe)
		a.hangups = hangups
		a.followSettings(settings)
		logger.LogAttrs(cmd.Context(), slog.LevelInfo, "settings", config.Effective(cfg)...)
		a.warnOfSettings(cmd.Context(), cfg, logger)
		ln, err := (&net.ListenConfig{}).Listen(cmd.Context(), "tcp", string(cfg.HTTPAddr))
		if err != nil {
			a.close()
			return unlessStopped(cmd.Context(), fmt.Errorf("HTTP_ADDR: %w", err))
		}
		logger.Info("serving", "address", ln.Addr().String(), "version", version, "api", does.api, "worker", does.worker)
		collectLess()
		return a.run(cmd.Context(), ln)
	}
	return cmd
}

// variableTable lists the environment for --help.
func variableTable() string {
	var b strings.Builder
	table := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	for _, v := range config.Variables() {
		value := v.Default
		if v.Required {
			value = "required"
		}
		_, _ = fmt.Fprintf(table, "  %s\t%s\t%s\n", v.Name, value, v.Meaning)
	}
	_ = table.Flush()
	return strings.TrimRight(b.String(), "\n")
}
