package main

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
)

// podOf reads the Deployment that Knative made, wants the function in it as we
// said, and writes its pod, as JSON, for the API server to judge.
func podOf(file string) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	var d struct {
		Metadata struct{ Namespace string }
		Spec     struct {
			Template struct {
				Metadata struct{ Labels, Annotations map[string]string }
				Spec     json.RawMessage
			}
		}
	}
	if err := json.Unmarshal(text, &d); err != nil {
		return err
	}
	var pod struct {
		Containers []struct {
			Name, Image string
			Env         []struct{ Name, Value string }
			Resources   struct{ Limits, Requests map[string]string }
			Args        []string
		}
	}
	if err := json.Unmarshal(d.Spec.Template.Spec, &pod); err != nil {
		return err
	}
	if len(pod.Containers) != 2 || pod.Containers[0].Name != "user-container" || pod.Containers[1].Name != "queue-proxy" {
		return fmt.Errorf("want the function and queue-proxy, got %+v", pod.Containers)
	}
	function, proxy := pod.Containers[0], pod.Containers[1]
	if !strings.Contains(function.Image, "@sha256:") || function.Resources.Limits["memory"] == "" || function.Resources.Limits["memory"] != function.Resources.Requests["memory"] {
		return fmt.Errorf("want the image by its digest and a memory limit that is requested, got %+v", function)
	}
	env := map[string]string{}
	for _, v := range append(function.Env, proxy.Env...) {
		env[v.Name] = v.Value
	}
	if env["GODWIT_TARGET"] != "knative" || env["PORT"] != "8080" || env["K_SERVICE"] == "" || !strings.Contains(env["SERVING_READINESS_PROBE"], "/v2/health/ready") {
		return fmt.Errorf("want the variables that fn-server reads, and our readiness in queue-proxy's hands, got %v", env)
	}
	return json.NewEncoder(os.Stdout).Encode(map[string]any{
		"apiVersion": "v1", "kind": "Pod",
		"metadata": map[string]any{"generateName": "judged-", "namespace": d.Metadata.Namespace, "labels": d.Spec.Template.Metadata.Labels, "annotations": d.Spec.Template.Metadata.Annotations},
		"spec":     d.Spec.Template.Spec,
	})
}
