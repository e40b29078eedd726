package main

import (
	"fmt"
	"io"
	"log/slog"
	"os"
	"time"

	"github.com/lmittmann/tint"
	"golang.org/x/term"

	"github.com/conciliar/conciliar/config"
)

// newLogger returns the program's logger: tint for a person at a terminal,
// JSON for machines.
//
// A person who sets NO_COLOR (https://no-color.org), or whose terminal is dumb,
// gets no colours.
func newLogger(std stdio, cfg config.Log) *slog.Logger { return newLoggerOn(std.err, std, cfg) }

// newServiceLogger returns the logger of a service, which waits for no reader, and
// what must be closed at its end.
func newServiceLogger(std stdio, cfg config.Log) (*slog.Logger, *logPipe) {
	pipe := newLogPipe(std.err, func(lines int64) {
		newLogger(std, cfg).Warn("log lines dropped: nobody read them in time", "lines", lines)
	})
	return newLoggerOn(pipe, std, cfg), pipe
}

// newLoggerOn is newLogger on w, in the form that fits std's.
func newLoggerOn(w io.Writer, std stdio, cfg config.Log) *slog.Logger {
	format := cfg.LogFormat
	if format == "auto" {
		format = "json"
		if isTerminal(std.err) {
			format = "tint"
		}
	}
	if format == "tint" {
		noColor := std.env("NO_COLOR") != "" || std.env("TERM") == "dumb"
		return slog.New(tint.NewTextHandler(w, &tint.Options{Level: cfg.LogLevel.Level, TimeFormat: time.TimeOnly, NoColor: noColor, ReplaceAttr: escapeControl}))
	}
	return slog.New(slog.NewJSONHandler(w, &slog.HandlerOptions{Level: cfg.LogLevel.Level}))
}

// escapeControl keeps what a sender wrote from steering the terminal that shows it:
// tint writes control characters as they are. Line ends it quotes in attributes, so
// that a stack can be read, and not in the message.
func escapeControl(_ []string, attr slog.Attr) slog.Attr {
	var text string
	switch value := attr.Value.Resolve(); value.Kind() {
	case slog.KindString:
		text = value.String()
	case slog.KindAny:
		text = fmt.Sprint(value.Any())
	default:
		return attr
	}
	may := "\n\t"
	if attr.Key == slog.MessageKey {
		may = ""
	}
	if clean := printable(text, may); clean != text {
		attr.Value = slog.StringValue(clean)
	}
	return attr
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// atLeast returns a logger that drops what is below level. River tells a lot
// of what our own lines say already.
func atLeast(logger *slog.Logger, level slog.Level) *slog.Logger { //nolint:unparam // which level is the caller's to say
	return slog.New(&levelHandler{Handler: logger.Handler(), level: level})
}
