package cli

import (
	"context"
	"io"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"godwit.dev/infra/render"
	"godwit.dev/infra/spec"
	"godwit.dev/runtime/fault"
)

// Every target is rendered and deployed, by tools that one can be told how to get.
func TestEveryTargetIsRendered(t *testing.T) {
	p := &program{}
	all := p.renderers()
	if diff := cmp.Diff(slices.Sorted(slices.Values(spec.TargetNames())), slices.Sorted(maps.Keys(all))); diff != "" {
		t.Errorf("targets (-spec +rendered):\n%s", diff)
	}
	everywhere := map[string]bool{"bash": true, "install": true, "tar": true, "ln": true}
	for _, text := range []string{
		"model: m.onnx\nauth: none\nimage: europe-docker.pkg.dev/acme/models/m\ntargets: {awslambda: {}, cloudrun: {region: europe-west1}, azurefunctions: {}, knative: {}, sagemaker: {}, vertexai: {region: europe-west1}, azureml: {}, edge: {}}\n",
		"model: m.onnx\nauth: none\nimage: acme.azurecr.io/m\ntargets: {azureml: {}, edge: {runtime: greengrass}}\n",
		"model: m.onnx\nauth: none\nimage: acme.azurecr.io/m\ntargets: {edge: {runtime: iotedge, iotedge: {hub: acme, device: a}}}\n",
		"model: m.onnx\nauth: none\ntargets: {edge: {runtime: greengrass, greengrass: {bucket: acme, target: 'arn:aws:iot:eu-west-1:123456789012:thing/a'}}}\n",
	} {
		s, err := spec.Parse(spec.FileName, []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		for _, target := range s.Targets.Names() {
			how := all[target]
			r := &rendering{spec: s, options: &renderOptions{target: target}}
			if how.some != nil {
				r.deployment = how.some(s)
			}
			commands, err := how.commands(r)
			if err != nil || len(commands) == 0 {
				t.Errorf("%s: %v, %v", target, commands, err)
			}
			for _, tool := range how.needs {
				commands = append(commands, render.Command{Args: []string{tool}})
			}
			for _, c := range commands {
				if tool := c.Args[0]; getTool[tool] == "" && !everywhere[tool] {
					t.Errorf("%s: nobody is told how to get %s", target, tool)
				}
			}
		}
	}
}

// The one deployment that some is stands for is one that could be rendered.
func TestPlaceholdersAreTakenByRenderers(t *testing.T) {
	s, err := spec.Parse(spec.FileName, []byte("model: m.onnx\nauth: none\nimage: europe-docker.pkg.dev/acme/models/m:1\ntargets: {cloudrun: {region: europe-west1}, azurefunctions: {}, knative: {}, vertexai: {region: europe-west1}, edge: {}}\n"))
	if err != nil {
		t.Fatal(err)
	}
	p := &program{}
	for target, how := range p.renderers() {
		if how.refuses == nil || s.Targets.Common(target) == nil {
			continue
		}
		if err := how.refuses(s); err != nil {
			t.Errorf("%s: %v", target, err)
		}
	}
}

// What a renderer writes at the root for some functions only is named, so that it
// goes when it is written no longer; and nothing else is.
func TestOptionalNamesAreThoseOfSomeGoldens(t *testing.T) {
	folders := map[string]string{"knative": "knative/testdata/golden", "cloudrun": "infra/google/testdata/golden", "vertexai": "infra/google/testdata/golden",
		"azurefunctions": "infra/azure/testdata/golden/functions", "azureml": "infra/azure/testdata/golden/ml", "edge": "infra/edge/testdata/golden"}
	for target, how := range pureRenderers() {
		all, err := filepath.Glob(filepath.Join("../..", folders[target], "*"))
		if err != nil {
			t.Fatal(err)
		}
		times, n := map[string]int{}, 0
		for _, dir := range all {
			entries, err := os.ReadDir(dir)
			if err != nil {
				t.Fatal(err)
			}
			_, err = os.Stat(filepath.Join(dir, "model.json"))
			if vertex := err == nil; filepath.Base(filepath.Dir(filepath.Dir(filepath.Dir(dir)))) == "google" && vertex != (target == "vertexai") {
				continue
			}
			n++
			for _, e := range entries {
				times[e.Name()]++
			}
		}
		if n < 3 {
			t.Fatalf("%s: %d goldens", target, n)
		}
		seen := map[string]bool{}
		for name, k := range times {
			i := slices.IndexFunc(how.optional, func(pattern string) bool {
				ok, err := path.Match(pattern, name)
				return ok && err == nil
			})
			if k < n != (i >= 0) {
				t.Errorf("%s: %s is in %d of %d folders, and optional: %v", target, name, k, n, i >= 0)
			}
			if i >= 0 {
				seen[how.optional[i]] = true
			}
		}
		for _, pattern := range how.optional {
			if !seen[pattern] {
				t.Errorf("%s: %s is in no golden", target, pattern)
			}
		}
	}
}

func TestRepository(t *testing.T) {
	for image, want := range map[string]string{"": "", "acme/m": "acme/m", "acme/m:1": "acme/m", "localhost:5000/m": "localhost:5000/m", "localhost:5000/m:1": "localhost:5000/m"} {
		if got := repository(image); got != want {
			t.Errorf("%s: got %s, want %s", image, got, want)
		}
	}
}

// An interrupt ends the tool, and is told from its failing; nothing comes after it.
func TestToolsStopWhenTheyAreInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	up := make(chan struct{})
	p := &program{Env: Env{Stdout: writer(func(b []byte) { close(up) }), Stderr: io.Discard}}
	go func() { <-up; cancel() }()
	err := p.runTool(ctx, t.TempDir(), render.Command{Args: []string{"sh", "-c", "echo up; exec sleep 600"}})
	if fault.CodeOf(err) != fault.Canceled || fault.Canceled.Exit() != 130 {
		t.Errorf("got %v", err)
	}
	err = p.runTool(t.Context(), t.TempDir(), render.Command{Args: []string{"sh", "-c", "exit 3"}})
	if fault.CodeOf(err) != fault.Internal || !strings.Contains(err.Error(), "exit status 3") {
		t.Errorf("got %v", err)
	}
}

type writer func(b []byte)

func (w writer) Write(b []byte) (int, error) { w(b); return len(b), nil }

// What follows the answer is the tools' to read.
func TestReadLineTakesNoMoreThanALine(t *testing.T) {
	r := strings.NewReader(" yes \nfor the tool\nand no end")
	for _, want := range []string{"yes", "for the tool"} {
		if got, err := readLine(r); got != want || err != nil {
			t.Errorf("got %q, %v, want %q", got, err, want)
		}
	}
	if got, err := readLine(r); got != "and no end" || err != io.EOF {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestFormOfATarget(t *testing.T) {
	for text, want := range map[string]bool{
		"awslambda: {}": false, "awslambda: {package: image}": true, "azurefunctions: {}": false, "azurefunctions: {plan: premium}": false,
		"azurefunctions: {plan: containerapps}": true, "edge: {}": false, "edge: {runtime: greengrass}": false, "edge: {runtime: iotedge}": true,
		"knative: {}": true, "cloudrun: {}": true, "sagemaker: {}": true, "vertexai: {}": true, "azureml: {}": true,
	} {
		s, err := spec.Parse(spec.FileName, []byte("model: m.onnx\nauth: none\nimage: ghcr.io/acme/m\ntargets: {"+text+"}\n"))
		if err != nil {
			t.Fatal(err)
		}
		target := s.Targets.Names()[0]
		if got := inImage(s, target); got != want {
			t.Errorf("%s: got %v", text, got)
		}
		if form, err := formOf(&packageOptions{target: target, push: true}, s); (err == nil) != want || want && form.suffix != asImage.suffix {
			t.Errorf("%s: pushed as %q, %v", text, form.suffix, err)
		}
	}
}
