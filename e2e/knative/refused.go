package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml"

	"godwit.dev/infra/render"
	"godwit.dev/infra/spec"
	"godwit.dev/knative"
)

// fault is a row of knative/testdata/refused.yaml.
type fault struct {
	Name, Spec, Want, File, Path, Tier string
	Image                              *string
	Patch                              []operation
}

// operation is one of a JSON patch: add, replace or remove.
type operation struct {
	Op, Path string
	Value    any
}

const digest = "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"

// refusedAll wants each fault refused twice: by us before there is a manifest,
// and in a manifest, which we would not write, by the cluster, with the field's
// path. What was spoiled is admitted as it was.
func refusedAll(a *api, golden, file string) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	var all []fault
	if err := yaml.UnmarshalWithOptions(text, &all, yaml.Strict()); err != nil {
		return err
	}
	if len(all) < 40 {
		return fmt.Errorf("want at least 40 faults, got %d", len(all))
	}
	c, err := a.client()
	if err != nil {
		return err
	}
	var wrong []error
	by := map[string]int{}
	admitted := map[string]bool{}
	for _, f := range all {
		who, err := f.ask(c, golden, admitted)
		if err != nil {
			wrong = append(wrong, fmt.Errorf("%s: %w", f.Name, err))
			continue
		}
		by[who]++
	}
	fmt.Printf("%d faults refused before rendering, and with the field's path by Knative's webhook (%d), a pod's dry run in it (%d) and the API server (%d)\n",
		len(all)-len(wrong), by["webhook"], by["pod"], by["server"])
	return errors.Join(wrong...)
}

// ask is who in the cluster refuses the fault.
func (f *fault) ask(c *client, golden string, admitted map[string]bool) (who string, err error) {
	if err := f.ours(); err != nil {
		return "", err
	}
	if f.File == "" {
		f.File = "plain/base/service.yaml"
	}
	text, err := os.ReadFile(filepath.Join(golden, filepath.FromSlash(f.File)))
	if err != nil {
		return "", err
	}
	var object any
	if err := yaml.Unmarshal(text, &object); err != nil {
		return "", err
	}
	if !admitted[f.File] {
		if status, said, err := c.create(object); err != nil || status != http.StatusCreated {
			return "", fmt.Errorf("want %s as it is admitted, got %d: %s, %w", f.File, status, said, err)
		}
		admitted[f.File] = true
	}
	for _, op := range f.Patch {
		if object, err = op.apply(object); err != nil {
			return "", err
		}
	}
	status, said, err := c.create(object)
	if err != nil {
		return "", err
	}
	if status < 400 || status >= 500 || !names(said, f.Path) {
		return "", fmt.Errorf("want it refused for %s, got %d: %s", f.Path, status, said)
	}
	switch webhook := strings.HasPrefix(said, `admission webhook "`); {
	case webhook && strings.Contains(said, "dry run failed"):
		who = "pod"
	case webhook:
		who = "webhook"
	default:
		who = "server"
	}
	return who, nil
}

// ours wants that we refuse the spec as the row says.
func (f *fault) ours() error {
	text := f.Spec
	if strings.HasPrefix(text, "{") {
		text = "model: m.onnx\nauth: none\ntargets: {knative: " + text + "}\n"
	}
	image := "registry.example.com/acme/m@" + digest
	if f.Image != nil {
		image = *f.Image
	}
	s, err := spec.Parse(spec.FileName, []byte(text))
	if err == nil {
		_, err = knative.Render(&render.Deployment{Spec: s, Digest: digest, Image: image, ModelBytes: 1 << 20})
	}
	if err == nil || !strings.Contains(err.Error(), f.Want) {
		return fmt.Errorf("want it refused before rendering with %q, got %w", f.Want, err)
	}
	return nil
}

// apply is object with the operation done to it.
func (op *operation) apply(object any) (any, error) {
	steps := strings.Split(op.Path, "/")[1:]
	for i, s := range steps {
		steps[i] = strings.NewReplacer("~1", "/", "~0", "~").Replace(s)
	}
	at := object
	var held func([]any) // puts a list in the place of the one that at is
	for _, s := range steps[:len(steps)-1] {
		switch in := at.(type) {
		case map[string]any:
			at, held = in[s], func(l []any) { in[s] = l }
		case []any:
			n, err := strconv.Atoi(s)
			if err != nil || n >= len(in) {
				return nil, fmt.Errorf("patch: want an index below %d, got %q", len(in), s)
			}
			at, held = in[n], nil
		}
	}
	last := steps[len(steps)-1]
	switch in := at.(type) {
	case map[string]any:
		if op.Op == "remove" {
			delete(in, last)
		} else {
			in[last] = op.Value
		}
		return object, nil
	case []any:
		n, err := strconv.Atoi(last)
		if err != nil || n >= len(in) {
			break
		}
		if op.Op == "replace" {
			in[n] = op.Value
			return object, nil
		}
		if op.Op == "remove" && held != nil {
			held(slices.Delete(in, n, n+1))
			return object, nil
		}
	}
	return nil, fmt.Errorf("patch: want a place for %s %s, got %T", op.Op, op.Path, at)
}

// names reports whether what was said names path whole, and not a longer one.
func names(said, path string) bool {
	if field, ok := strings.CutPrefix(path, `unknown field "`); ok && strings.Contains(said, `unknown field "`) {
		return strings.Contains(said, "."+field) // the server says where it is, too
	}
	const around = " ,:;\n\"=()[]"
	for {
		before, after, ok := strings.Cut(said, path)
		if !ok {
			return false
		}
		if (before == "" || strings.IndexByte(around, before[len(before)-1]) >= 0) && (after == "" || strings.IndexByte(around, after[0]) >= 0) {
			return true
		}
		said = after
	}
}

// api is an API server and who asks it.
type api struct{ url, ca, token string }

type client struct {
	api  *api
	http *http.Client
}

func (a *api) client() (*client, error) {
	pem, err := os.ReadFile(a.ca)
	if err != nil {
		return nil, err
	}
	known := x509.NewCertPool()
	if !known.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("want certificates in %s, got none", a.ca)
	}
	return &client{a, &http.Client{Timeout: time.Minute, Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: known}}}}, nil
}

// create is what the server says to a dry run.
func (c *client) create(object any) (status int, said string, err error) {
	o, ok := object.(map[string]any)
	if !ok {
		return 0, "", fmt.Errorf("want an object, got %T", object)
	}
	version, _ := o["apiVersion"].(string)
	group := "/apis/"
	if version == "v1" {
		group = "/api/"
	}
	kind, _ := o["kind"].(string)
	meta, _ := o["metadata"].(map[string]any)
	namespace, _ := meta["namespace"].(string)
	if namespace == "" {
		namespace = "default"
	}
	plural := strings.ToLower(kind) + "s"
	if strings.HasSuffix(kind, "y") {
		plural = strings.ToLower(strings.TrimSuffix(kind, "y")) + "ies"
	}
	place := "namespaces/" + namespace + "/"
	if kind == "Namespace" {
		place = ""
	}
	body, err := json.Marshal(object)
	if err != nil {
		return 0, "", err
	}
	req, err := http.NewRequestWithContext(context.Background(), http.MethodPost,
		c.api.url+group+version+"/"+place+plural+"?dryRun=All&fieldValidation=Strict", bytes.NewReader(body))
	if err != nil {
		return 0, "", err
	}
	req.Header.Set("Authorization", "Bearer "+c.api.token)
	req.Header.Set("Content-Type", "application/json")
	resp, err := c.http.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, "", err
	}
	var s struct{ Message string }
	if err := json.Unmarshal(answer, &s); err != nil {
		return 0, "", fmt.Errorf("want JSON, got %d: %q, %w", resp.StatusCode, answer, err)
	}
	if missing := fmt.Sprintf("namespaces %q not found", namespace); resp.StatusCode == http.StatusNotFound && s.Message == missing && kind != "Namespace" {
		return c.create(map[string]any{"apiVersion": "v1", "kind": "Namespace", "metadata": map[string]any{"name": namespace}}) // it would be made first
	}
	return resp.StatusCode, s.Message, nil
}
