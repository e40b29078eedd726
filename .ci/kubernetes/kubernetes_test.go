// Package kubernetes holds deploy/kubernetes against what reads it: kustomize renders it,
// and Kubernetes' own types take it. It is a module of its own, so that nobody who builds
// Conciliar needs these.
package kubernetes

import (
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"sigs.k8s.io/json"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
)

const deploy = "../../deploy"

// contentHash ends the name of a ConfigMap that kustomize makes, so that pods start again
// when it changes.
var contentHash = regexp.MustCompile(`-[0-9a-z]{10}$`)

// objects are what a kustomization makes, by kind and name.
type objects map[string]metav1.Object

// render is what `kubectl apply -k` would send.
func render(t *testing.T, folder string) objects {
	t.Helper()
	made, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).
		Run(filesys.MakeFsOnDisk(), filepath.Join(deploy, "kubernetes", folder))
	require.NoError(t, err)
	found := objects{}
	for _, r := range made.Resources() {
		text, err := r.MarshalJSON()
		require.NoError(t, err)
		into, known := map[string]metav1.Object{
			"apps/v1 Deployment":            &appsv1.Deployment{},
			"batch/v1 Job":                  &batchv1.Job{},
			"v1 ConfigMap":                  &corev1.ConfigMap{},
			"v1 Service":                    &corev1.Service{},
			"networking.k8s.io/v1 Ingress":  &networkingv1.Ingress{},
			"policy/v1 PodDisruptionBudget": &policyv1.PodDisruptionBudget{},
		}[r.GetApiVersion()+" "+r.GetKind()]
		require.True(t, known, "%s %s", r.GetApiVersion(), r.GetKind())
		// As the API server does, and other than encoding/json, this minds capitals.
		unknown, err := json.UnmarshalStrict(text, into)
		require.NoError(t, err)
		require.Empty(t, unknown, "%s %s", r.GetKind(), r.GetName())
		found[r.GetKind()+" "+contentHash.ReplaceAllString(r.GetName(), "")] = into
	}
	return found
}

// pods are the templates of all that runs.
func (o objects) pods() map[string]corev1.PodTemplateSpec {
	found := map[string]corev1.PodTemplateSpec{}
	for name, object := range o {
		switch it := object.(type) {
		case *appsv1.Deployment:
			found[name] = it.Spec.Template
		case *batchv1.Job:
			found[name] = it.Spec.Template
		}
	}
	return found
}

func TestKubernetes_EachFolderIsAnInstallation(t *testing.T) {
	t.Parallel()
	split := []string{
		"ConfigMap conciliar-settings", "Job conciliar-migrate", "Service conciliar", "Ingress conciliar",
		"Deployment conciliar-api", "PodDisruptionBudget conciliar-api",
		"Deployment conciliar-worker", "PodDisruptionBudget conciliar-worker",
	}
	for folder, want := range map[string][]string{
		"base": split, "overlays/example": split,
		"overlays/single": {split[0], split[1], split[2], split[3], split[4]},
	} {
		made := render(t, folder)
		names := []string{}
		for name := range maps.Keys(made) {
			names = append(names, name)
		}
		require.ElementsMatch(t, want, names, folder)
	}
}

func TestKubernetes_NoPodMayMoreThanItNeeds(t *testing.T) {
	t.Parallel()
	for _, folder := range []string{"base", "overlays/example", "overlays/single"} {
		for name, pod := range render(t, folder).pods() {
			require.False(t, *pod.Spec.AutomountServiceAccountToken, name)
			require.False(t, *pod.Spec.EnableServiceLinks, name)
			require.True(t, *pod.Spec.SecurityContext.RunAsNonRoot, name)
			require.EqualValues(t, 65532, *pod.Spec.SecurityContext.RunAsUser, "the image's user")
			require.Equal(t, corev1.SeccompProfileTypeRuntimeDefault, pod.Spec.SecurityContext.SeccompProfile.Type, name)
			require.Len(t, pod.Spec.Containers, 1, name)
			c := pod.Spec.Containers[0]
			require.True(t, *c.SecurityContext.ReadOnlyRootFilesystem, name)
			require.False(t, *c.SecurityContext.AllowPrivilegeEscalation, name)
			require.Equal(t, []corev1.Capability{"ALL"}, c.SecurityContext.Capabilities.Drop, name)
			require.False(t, c.Resources.Limits.Memory().IsZero(), name)
			require.Empty(t, c.Env, "settings come from the ConfigMap and the Secret")
		}
	}
}

// The Service's port, the probes' and the selectors lead to what is there.
func TestKubernetes_ReferencesLeadSomewhere(t *testing.T) {
	t.Parallel()
	for _, folder := range []string{"base", "overlays/example", "overlays/single"} {
		made := render(t, folder)
		service := made["Service conciliar"].(*corev1.Service)
		backend := made["Ingress conciliar"].(*networkingv1.Ingress).Spec.Rules[0].HTTP.Paths[0].Backend.Service
		require.Equal(t, service.Name, backend.Name)
		require.Equal(t, service.Spec.Ports[0].Name, backend.Port.Name)
		selected := 0
		for name, pod := range made.pods() {
			c := pod.Spec.Containers[0]
			require.Equal(t, made["ConfigMap conciliar-settings"].GetName(), c.EnvFrom[0].ConfigMapRef.Name, name)
			require.Equal(t, "conciliar", c.EnvFrom[1].SecretRef.Name, name)
			d, isDeployment := made[name].(*appsv1.Deployment)
			if !isDeployment {
				continue
			}
			require.True(t, selects(d.Spec.Selector, pod), name)
			require.True(t, selects(pod.Spec.TopologySpreadConstraints[0].LabelSelector, pod), name)
			for _, probe := range []*corev1.Probe{c.LivenessProbe, c.ReadinessProbe} {
				require.Equal(t, c.Ports[0].Name, probe.HTTPGet.Port.String(), name)
			}
			if selects(metav1.SetAsLabelSelector(service.Spec.Selector), pod) {
				selected++
				require.Equal(t, c.Ports[0].Name, service.Spec.Ports[0].TargetPort.String())
			}
			budget, has := made["PodDisruptionBudget "+d.Name].(*policyv1.PodDisruptionBudget)
			require.Equal(t, *d.Spec.Replicas > 1, has, "a budget for one process would hold up every drain")
			if has {
				require.True(t, selects(budget.Spec.Selector, pod), name)
			}
		}
		require.Equal(t, 1, selected, "the Service leads to receivers alone")
	}
}

func selects(s *metav1.LabelSelector, pod corev1.PodTemplateSpec) bool {
	selector, err := metav1.LabelSelectorAsSelector(s)
	return err == nil && !selector.Empty() && selector.Matches(labels.Set(pod.Labels))
}

// deploy/conciliar.env.example has every variable that the service reads; a test of
// cmd/conciliar holds it to that.
func TestKubernetes_SettingsAreVariables(t *testing.T) {
	t.Parallel()
	example, err := os.ReadFile(filepath.Join(deploy, "conciliar.env.example"))
	require.NoError(t, err)
	for _, folder := range []string{"base", "overlays/example", "overlays/single"} {
		settings := render(t, folder)["ConfigMap conciliar-settings"].(*corev1.ConfigMap)
		require.NotEmpty(t, settings.Data)
		for name := range settings.Data {
			require.Regexp(t, `(?m)^(# )?`+name+`=`, string(example))
		}
	}
}
