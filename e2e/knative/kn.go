package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/google/go-cmp/cmp"

	"godwit.dev/infra/render"
	"godwit.dev/knative"
)

// A knRun asks Knative's own kn, through a shell, and looks at what the API
// server then has.
type knRun struct {
	c                  *client
	program, manifests string
}

// knAll runs the line that is printed for each variant, and wants the Service
// that the server makes of the manifests, but for what KnCannot names.
func knAll(a *api, program, manifests string) error {
	c, err := a.client()
	if err != nil {
		return err
	}
	k := &knRun{c, program, manifests}
	var wrong []error
	for i := range variants {
		if err := k.same(&variants[i]); err != nil {
			wrong = append(wrong, fmt.Errorf("%s: %w", variants[i].name, err))
		}
	}
	if err := k.traffic(); err != nil {
		wrong = append(wrong, fmt.Errorf("traffic: %w", err))
	}
	if len(wrong) == 0 {
		fmt.Printf("kn makes of %d printed lines the Services that the manifests are, and of another one the traffic\n", len(variants))
	}
	return errors.Join(wrong...)
}

// run is a printed line of kn's with more flags behind it.
func (k *knRun) run(line, more string) error {
	rest, ok := strings.CutPrefix(line, "kn ")
	if !ok {
		return fmt.Errorf("want a line of kn, got %q", line)
	}
	cmd := exec.Command("sh", "-c", render.Shell(k.program)+" "+rest+" "+more)
	cmd.Env = append(os.Environ(), "HOME="+k.manifests) // no settings and plugins of whoever runs this
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w", bytes.TrimSpace(out), err)
	}
	return nil
}

// same wants what the line makes to be what the manifest is.
func (k *knRun) same(v *variant) error {
	d, err := v.deployment()
	if err != nil {
		return err
	}
	name := "/namespaces/" + d.Spec.Targets.Knative.Namespace + "/services"
	if err := k.run(knative.KnLine(d), "--no-wait"); err != nil {
		return err
	}
	made, err := k.c.json(http.MethodGet, name+"/"+d.Spec.Name, nil)
	if err != nil {
		return err
	}
	if _, err := k.c.json(http.MethodDelete, name+"/"+d.Spec.Name, nil); err != nil {
		return err
	}
	manifest, err := k.manifest(d, v.name)
	if err != nil {
		return err
	}
	want, err := k.c.json(http.MethodPost, name+"?dryRun=All", manifest)
	if err != nil {
		return err
	}
	for _, path := range knative.KnCannot(d) {
		if path != "spec.traffic" && !without(want, strings.Split(strings.NewReplacer("[", ".", "]", "").Replace(path), ".")) {
			return fmt.Errorf("want %s in the manifest, as kn is said to have no flag for it", path)
		}
	}
	if d.Spec.Targets.Knative.Traffic != nil { // a line of its own
		without(want, []string{"spec", "traffic"})
		without(made, []string{"spec", "traffic"})
	}
	bare(want)
	bare(made)
	if diff := cmp.Diff(want, made); diff != "" {
		return fmt.Errorf("(-manifest +kn):\n%s", diff)
	}
	return nil
}

// traffic shares the traffic of two revisions by the printed line.
func (k *knRun) traffic() error {
	const ns = "default"
	stable := variant{name: "stable"}
	canary := variant{name: "split", keys: "maxScale: 7, traffic: {stable: m-00001, canary: 20%}"}
	first, err := stable.deployment()
	if err != nil {
		return err
	}
	second, err := canary.deployment()
	if err != nil {
		return err
	}
	revision := func(name string) error {
		var err error
		for range 300 {
			if _, err = k.c.json(http.MethodGet, "/namespaces/"+ns+"/revisions/"+name, nil); err == nil {
				return nil
			}
			time.Sleep(100 * time.Millisecond)
		}
		return err
	}
	// A name of its own: nothing collects what the Services before it have left.
	first.Spec.Name, second.Spec.Name = "split", "split"
	second.Spec.Targets.Knative.Traffic.Stable = "split-00001"
	if err := errors.Join(k.run(knative.KnLine(first), "--no-wait"), revision("split-00001")); err != nil {
		return err
	}
	if err := errors.Join(k.run(knative.KnLine(second), "--no-wait --force"), revision(knative.RevisionName(second))); err != nil {
		return err
	}
	if err := k.run(knative.KnTraffic(second), "--no-wait"); err != nil {
		return err
	}
	made, err := k.c.json(http.MethodGet, "/namespaces/"+ns+"/services/split", nil)
	if err != nil {
		return err
	}
	files, err := knative.Render(second)
	if err != nil {
		return err
	}
	for _, f := range files {
		if f.Path != "base/service.yaml" {
			continue
		}
		var service struct {
			Spec struct{ Traffic []map[string]any }
		}
		if err := yaml.Unmarshal(f.Data, &service); err != nil {
			return err
		}
		want, err := json.Marshal(service.Spec.Traffic)
		if err != nil {
			return err
		}
		var wanted any
		if err := json.Unmarshal(want, &wanted); err != nil {
			return err
		}
		if diff := cmp.Diff(wanted, made["spec"].(map[string]any)["traffic"]); diff != "" {
			return fmt.Errorf("(-manifest +kn):\n%s", diff)
		}
		_, err = k.c.json(http.MethodDelete, "/namespaces/"+ns+"/services/split", nil)
		return err
	}
	return errors.New("want base/service.yaml, got none")
}

// manifest is the Service among what kustomize has made of a variant's overlay.
func (k *knRun) manifest(d *render.Deployment, name string) (any, error) {
	text, err := os.ReadFile(filepath.Join(k.manifests, name+"."+strings.ReplaceAll(knative.Overlay(d), "/", ".")+".yaml"))
	if err != nil {
		return nil, err
	}
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	for {
		var object map[string]any
		switch err := decoder.Decode(&object); {
		case errors.Is(err, io.EOF):
			return nil, fmt.Errorf("%s: want a Service, got none", name)
		case err != nil:
			return nil, err
		case object["kind"] == "Service":
			return object, nil
		}
	}
}

// bare takes away what the server and kn write beside what was asked for.
func bare(service map[string]any) {
	delete(service, "status")
	notes := func(in any) {
		meta, _ := in.(map[string]any)
		for key := range meta {
			switch key {
			case "name", "namespace", "labels", "annotations":
			default:
				delete(meta, key)
			}
		}
		annotations, _ := meta["annotations"].(map[string]any)
		for key := range annotations {
			if strings.HasPrefix(key, "client.knative.dev/") || key == "serving.knative.dev/creator" || key == "serving.knative.dev/lastModifier" {
				delete(annotations, key)
			}
		}
		if len(annotations) == 0 {
			delete(meta, "annotations")
		}
	}
	notes(service["metadata"])
	spec, _ := service["spec"].(map[string]any)
	template, _ := spec["template"].(map[string]any)
	notes(template["metadata"])
}

// without takes what is at steps out of v, the last one of a list, and reports
// whether it was there.
func without(v any, steps []string) bool {
	var put func(any)
	for i, s := range steps {
		last := i == len(steps)-1
		switch in := v.(type) {
		case map[string]any:
			there, ok := in[s]
			if !ok {
				return false
			}
			if last {
				delete(in, s)
				return true
			}
			v, put = there, func(to any) { in[s] = to }
		case []any:
			n, err := strconv.Atoi(s)
			if err != nil || n >= len(in) {
				return false
			}
			if last {
				put(append(in[:n:n], in[n+1:]...))
				return true
			}
			v, put = in[n], func(to any) { in[n] = to }
		default:
			return false
		}
	}
	return false
}

// json asks the server about Services and Revisions.
func (c *client) json(method, path string, object any) (map[string]any, error) {
	body, err := json.Marshal(object)
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(context.Background(), method, c.api.url+"/apis/serving.knative.dev/v1"+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	if object == nil {
		req.Body, req.ContentLength = nil, 0
	}
	req.Header.Set("Authorization", "Bearer "+c.api.token)
	req.Header.Set("Content-Type", "application/json")
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode >= 300 {
		return nil, fmt.Errorf("%s %s: %d: %s", method, path, resp.StatusCode, text)
	}
	var out map[string]any
	if err := json.Unmarshal(text, &out); err != nil {
		return nil, err
	}
	return out, nil
}
