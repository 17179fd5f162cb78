// Package deploy has no code: its tests hold the chart, the image and the
// compose file to what docs/operations says about them.
package deploy

import (
	"bytes"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the golden renders anew")

// tool is a program of bin/tools; `make tools` builds all of them.
func tool(t *testing.T, name string) string {
	t.Helper()
	path, err := filepath.Abs(filepath.Join("..", "bin", "tools", name))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); err != nil {
		t.Skipf("SKIPPED: bin/tools/%s is not there; `make tools` builds it", name)
	}
	return path
}

func matrix(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob("helm/testdata/*.values.yaml")
	if err != nil || len(files) < 4 {
		t.Fatalf("%d files of values: %v", len(files), err)
	}
	return files
}

func golden(values string) string { return strings.Replace(values, ".values.", ".golden.", 1) }

func render(helm string, args ...string) ([]byte, error) {
	var out, bad bytes.Buffer
	cmd := exec.Command(helm, append([]string{"template", "board", "helm", "-n", "shingle"}, args...)...) // #nosec G204 -- a tool of ours
	cmd.Stdout, cmd.Stderr = &out, &bad
	if err := cmd.Run(); err != nil {
		return bad.Bytes(), err
	}
	return out.Bytes(), nil
}

func TestChartRendersAsKept(t *testing.T) {
	helm := tool(t, "helm")
	for _, values := range matrix(t) {
		t.Run(filepath.Base(values), func(t *testing.T) {
			if out, err := exec.Command(helm, "lint", "--strict", "helm", "-f", values).CombinedOutput(); err != nil { // #nosec G204 -- a tool of ours
				t.Fatalf("helm lint: %s", out)
			}
			got, err := render(helm, "-f", values)
			if err != nil {
				t.Fatalf("helm template: %s", got)
			}
			if *update {
				if err := os.WriteFile(golden(values), got, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden(values))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), string(got)); diff != "" {
				t.Errorf("the render changed; `go test ./deploy -update` when it should:\n%s", diff)
			}
		})
	}
}

func TestChartRefusesWhatCannotWork(t *testing.T) {
	helm := tool(t, "helm")
	for why, set := range map[string]string{
		"a secret as a plain setting": "settings.SHINGLE_STRIPE_KEY=sk_live_1",
		"an error receiver in plain":  "settings.SHINGLE_SENTRY_DSN=https://k@errors.example/1",
		"a setting of no such kind":   "settings.STRIPE_KEY=1",
		"an unknown value":            "serve.replica=3",
		"a host with a scheme":        "platformHost=https://platform.example.com",
		"two nodes of Typesense":      "typesense.replicas=2",
		"no Redis at all":             "redis.enabled=false",
		"an unknown way in":           "expose.type=gateway",
		"a file store of no kind":     "files.url=ftp://files",
		"a backup to nowhere":         "backup.enabled=true",
		"a backup without a past":     "backup.enabled=true,backup.existingClaim=x,backup.keep=0",
	} {
		if out, err := render(helm, "--set", set); err == nil {
			t.Errorf("%s (%s) renders:\n%.300s", why, set, out)
		}
	}
}

// TestKubernetesKnowsTheChart validates against Kubernetes' own schemas.
func TestKubernetesKnowsTheChart(t *testing.T) {
	validate := tool(t, "kubectl-validate")
	for _, values := range matrix(t) {
		raw, err := os.ReadFile(golden(values))
		if err != nil {
			t.Fatal(err)
		}
		dir := t.TempDir()
		var known []string
		for doc := range strings.SplitSeq(string(raw), "\n---\n") {
			if strings.Contains(doc, "apiVersion:") && !regexp.MustCompile(`(?m)^apiVersion: (monitoring\.coreos\.com|postgresql\.cnpg\.io)/`).MatchString(doc) {
				known = append(known, doc)
			}
		}
		file := filepath.Join(dir, "all.yaml")
		if err := os.WriteFile(file, []byte(strings.Join(known, "\n---\n")), 0o600); err != nil {
			t.Fatal(err)
		}
		if out, err := exec.Command(validate, file).CombinedOutput(); err != nil { // #nosec G204 -- a tool of ours
			t.Errorf("%s: %s", values, out)
		}
	}
}

// pod is the part of a rendered object that security depends on.
type pod struct {
	AutomountServiceAccountToken *bool `yaml:"automountServiceAccountToken"`
	SecurityContext              struct {
		RunAsNonRoot bool `yaml:"runAsNonRoot"`
	} `yaml:"securityContext"`
	Containers []struct {
		Name            string `yaml:"name"`
		SecurityContext struct {
			AllowPrivilegeEscalation *bool `yaml:"allowPrivilegeEscalation"`
			ReadOnlyRootFilesystem   bool  `yaml:"readOnlyRootFilesystem"`
			Capabilities             struct {
				Drop []string `yaml:"drop"`
			} `yaml:"capabilities"`
		} `yaml:"securityContext"`
		Env []struct {
			Name  string `yaml:"name"`
			Value string `yaml:"value"`
		} `yaml:"env"`
		Resources struct {
			Limits map[string]string `yaml:"limits"`
		} `yaml:"resources"`
	} `yaml:"containers"`
}

func TestEveryPodIsLocked(t *testing.T) {
	secret := regexp.MustCompile(`(_DATABASE_URL|_KEY|_SECRET|_SMTP_URL|API_KEY|ACCESS_KEY_ID)$`)
	for _, values := range matrix(t) {
		raw, err := os.ReadFile(golden(values))
		if err != nil {
			t.Fatal(err)
		}
		pods := 0
		for doc := range strings.SplitSeq(string(raw), "\n---\n") {
			var o struct {
				Kind string `yaml:"kind"`
				Spec struct {
					Template struct {
						Spec pod `yaml:"spec"`
					} `yaml:"template"`
					JobTemplate struct {
						Spec struct {
							Template struct {
								Spec pod `yaml:"spec"`
							} `yaml:"template"`
						} `yaml:"spec"`
					} `yaml:"jobTemplate"`
				} `yaml:"spec"`
			}
			if err := yaml.Unmarshal([]byte(doc), &o); err != nil {
				t.Fatalf("%s: %v", values, err)
			}
			if !slices.Contains([]string{"Deployment", "StatefulSet", "Job", "CronJob"}, o.Kind) {
				continue
			}
			pods++
			p := o.Spec.Template.Spec
			if o.Kind == "CronJob" {
				p = o.Spec.JobTemplate.Spec.Template.Spec
			}
			if !p.SecurityContext.RunAsNonRoot || p.AutomountServiceAccountToken == nil || *p.AutomountServiceAccountToken {
				t.Errorf("%s: a %s may run as root or gets a token", values, o.Kind)
			}
			for _, c := range p.Containers {
				s := c.SecurityContext
				if s.AllowPrivilegeEscalation == nil || *s.AllowPrivilegeEscalation || !s.ReadOnlyRootFilesystem || !slices.Equal(s.Capabilities.Drop, []string{"ALL"}) {
					t.Errorf("%s: container %s is not locked: %+v", values, c.Name, s)
				}
				if c.Resources.Limits["memory"] == "" {
					t.Errorf("%s: container %s has no limit of memory", values, c.Name)
				}
				for _, e := range c.Env {
					if secret.MatchString(e.Name) && e.Value != "" {
						t.Errorf("%s: container %s holds %s in plain text", values, c.Name, e.Name)
					}
				}
			}
		}
		if pods < 2 {
			t.Errorf("%s: %d pods", values, pods)
		}
	}
}

// TestComposeHoldsTogether finds what compose itself would only say at the start.
func TestComposeHoldsTogether(t *testing.T) {
	raw, err := os.ReadFile("compose.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Services map[string]struct {
			Image   string         `yaml:"image"`
			Secrets []string       `yaml:"secrets"`
			Env     map[string]any `yaml:"environment"`
			After   map[string]any `yaml:"depends_on"`
			Ports   []string       `yaml:"ports"`
		} `yaml:"services"`
		Secrets map[string]struct {
			File string `yaml:"file"`
		} `yaml:"secrets"`
	}
	// What is merged in (<<) may be said again.
	if err := yaml.UnmarshalWithOptions(raw, &file, yaml.AllowDuplicateMapKey()); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"migrate", "serve", "worker", "postgres", "redis", "typesense"} {
		if _, ok := file.Services[name]; !ok {
			t.Errorf("no service %s", name)
		}
	}
	for name, s := range file.Services {
		for _, secret := range s.Secrets {
			if file.Secrets[secret].File == "" {
				t.Errorf("%s uses the secret %s, which is not declared", name, secret)
			}
		}
		for key, v := range s.Env {
			path, _ := v.(string)
			if strings.HasSuffix(key, "_FILE") && !slices.Contains(s.Secrets, filepath.Base(path)) {
				t.Errorf("%s: %s names %s, which it is not given", name, key, path)
			}
		}
		for other := range s.After {
			if _, ok := file.Services[other]; !ok {
				t.Errorf("%s waits for %s, which is no service", name, other)
			}
		}
		if len(s.Ports) > 0 && name != "serve" {
			t.Errorf("%s is open to the world", name)
		}
	}
}

func TestImageIsBuiltAsMakeBuilds(t *testing.T) {
	image, err := os.ReadFile("Dockerfile")
	if err != nil {
		t.Fatal(err)
	}
	mod, err := os.ReadFile("../go.mod")
	if err != nil {
		t.Fatal(err)
	}
	version := regexp.MustCompile(`(?m)^go (\d+\.\d+)`).FindSubmatch(mod)
	for _, want := range []string{"FROM golang:" + string(version[1]) + "-", "make build", "FROM scratch", "USER 65532:65532"} {
		if !bytes.Contains(image, []byte(want)) {
			t.Errorf("the Dockerfile lacks %q", want)
		}
	}
}

// TestEachAlertHasAPage that begins with the command to type.
func TestEachAlertHasAPage(t *testing.T) {
	raw, err := os.ReadFile("helm/alerts.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var rules struct {
		Groups []struct {
			Rules []struct {
				Alert       string            `yaml:"alert"`
				Expr        string            `yaml:"expr"`
				Annotations map[string]string `yaml:"annotations"`
			} `yaml:"rules"`
		} `yaml:"groups"`
	}
	if err := yaml.Unmarshal(raw, &rules); err != nil {
		t.Fatal(err)
	}
	pages, seen := map[string]bool{}, 0
	for _, g := range rules.Groups {
		for _, r := range g.Rules {
			seen++
			page := r.Annotations["page"]
			pages[filepath.Base(page)] = true
			text, err := os.ReadFile(filepath.Join("..", page))
			if err != nil {
				t.Errorf("%s: %v", r.Alert, err)
				continue
			}
			if !regexp.MustCompile("^# [^\n]+\n\n```sh\n").Match(text) {
				t.Errorf("%s does not begin with a command", page)
			}
			if r.Expr == "" || r.Annotations["summary"] == "" {
				t.Errorf("%s says nothing", r.Alert)
			}
		}
	}
	files, err := filepath.Glob("../docs/operations/incidents/*.md")
	if err != nil || len(files) != len(pages) || seen < 8 {
		t.Errorf("%d alerts, %d pages that they name, %d that are there: %v", seen, len(pages), len(files), err)
	}
}
