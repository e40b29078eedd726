package e2e

import (
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v4"

	"github.com/conciliar/conciliar/config"
	"github.com/conciliar/conciliar/store/storetest"
)

// workload is what this test reads of a Deployment or a Job.
type workload struct {
	Spec struct {
		Template struct {
			Spec struct {
				Containers []struct {
					Args           []string
					LivenessProbe  probe `yaml:"livenessProbe"`
					ReadinessProbe probe `yaml:"readinessProbe"`
				}
			}
		}
	}
}

type probe struct {
	HTTPGet struct{ Path string } `yaml:"httpGet"`
}

func readWorkload(t *testing.T, name string) workload {
	t.Helper()
	var w workload
	first, _, _ := strings.Cut(readDoc(t, "deploy/kubernetes/base/"+name), "\n---\n")
	require.NoError(t, yaml.Unmarshal([]byte(first), &w))
	require.Len(t, w.Spec.Template.Spec.Containers, 1, name)
	return w
}

// What .ci/kubernetes finds well-formed also runs: the Job migrates, and each Deployment's
// process answers at its probes.
func TestDeploy_KubernetesStartsWhatAnswers(t *testing.T) {
	t.Parallel()
	_, provider := newProvider(t)
	environ := environment(storetest.EmptyURL(t), provider, nil)
	got := execute(t, environ, readWorkload(t, "migrate.yaml").Spec.Template.Spec.Containers[0].Args...)
	require.Equal(t, exitDone, got.code, got.err)
	for _, name := range []string{"api.yaml", "worker.yaml"} {
		c := readWorkload(t, name).Spec.Template.Spec.Containers[0]
		require.Equal(t, "serve", c.Args[0])
		_, service := serve(t, environ, c.Args[1:]...)
		status, body := get(t, service+c.LivenessProbe.HTTPGet.Path, "")
		require.Equal(t, http.StatusOK, status, body)
		awaitBody(t, service+c.ReadinessProbe.HTTPGet.Path, "", `"status":"ready"`)
	}
}

// The Secret is made of the file that init writes, by the line of docs/deploy.md: kubectl
// takes quotes for a part of the value.
func TestDeploy_KubernetesReadsTheFileOfInit(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	address := "postgres://conciliar@db.example/conciliar?sslmode=verify-full&target_session_attrs=read-write"
	got := execute(t, []string{"DATABASE_URL=" + address}, "init", "--simulator", "--file", filepath.Join(dir, "conciliar.env"))
	require.Equal(t, exitDone, got.code, got.err)
	line := regexp.MustCompile(`(?m)^sed .*conciliar\.env.*secret\.env$`).FindString(readDoc(t, "docs/deploy.md"))
	require.NotEmpty(t, line)
	cmd := exec.CommandContext(t.Context(), "sh", "-c", line)
	cmd.Dir = dir
	require.NoError(t, cmd.Run())
	content, err := os.ReadFile(filepath.Join(dir, "secret.env"))
	require.NoError(t, err)
	var environ []string
	for line := range strings.Lines(string(content)) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
			environ = append(environ, line)
		}
	}
	cfg, err := config.Load(environ)
	require.NoError(t, err)
	read, err := url.Parse(cfg.DatabaseURL.Reveal())
	require.NoError(t, err)
	require.Equal(t, "read-write", read.Query().Get("target_session_attrs"))
}
