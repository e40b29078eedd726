package e2e

import (
	"bufio"
	"net/http"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/store/storetest"
)

// A log reader that stops reading, or goes away, stops nothing.
func TestServe_WaitsForNoLogReader(t *testing.T) {
	t.Parallel()
	for name, leave := range map[string]func(reader *os.File) error{
		"stopped": func(*os.File) error { return nil },
		"gone":    (*os.File).Close,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, provider := newProvider(t)
			reader, writer, err := os.Pipe()
			require.NoError(t, err)
			t.Cleanup(func() { _ = reader.Close() })
			cmd := command(t, environment(storetest.URL(t), provider, map[string]string{"LOG_FORMAT": "json"}), "serve")
			cmd.Stderr = writer
			require.NoError(t, cmd.Start())
			t.Cleanup(func() { _ = cmd.Process.Kill() })
			require.NoError(t, writer.Close())
			service := "http://" + readAddress(t, reader)
			require.NoError(t, leave(reader))

			// Far more than a pipe holds.
			for range 400 {
				status, body := get(t, service+"/api/webhooks/runs/1?"+strings.Repeat("x", 200), statusToken)
				require.Equal(t, http.StatusBadRequest, status, body)
			}
			status, _ := get(t, service+"/readyz", "")
			require.Equal(t, http.StatusOK, status)
			if name == "stopped" {
				_, metrics := get(t, service+"/metrics", statusToken)
				require.Contains(t, metrics, "conciliar_log_lines_dropped_total")
			}

			require.NoError(t, cmd.Process.Signal(os.Interrupt))
			require.NoError(t, cmd.Wait(), "it ends in order")
		})
	}
}

// readAddress reads the log until the service says where it serves.
func readAddress(t *testing.T, log *os.File) string {
	t.Helper()
	pattern := regexp.MustCompile(serveLogPattern)
	lines := bufio.NewScanner(log)
	for lines.Scan() {
		if found := pattern.FindStringSubmatch(lines.Text()); found != nil {
			return found[1]
		}
	}
	t.Fatal("the log ended")
	return ""
}
