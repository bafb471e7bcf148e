package edge

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net"

	"godwit.dev/infra/render"
	"godwit.dev/infra/spec"
)

// The release of Azure IoT Edge's own modules, which is supported for the longest.
const runtimeTag = "1.5"

// iotedge is the deployment of one device and the layer for many.
func iotedge(d *render.Deployment) []render.File {
	m := module(d)
	system := func(image, options string) map[string]any {
		return map[string]any{"type": "docker", "settings": map[string]any{"image": "mcr.microsoft.com/" + image + ":" + runtimeTag, "createOptions": options}}
	}
	hub := system("azureiotedge-hub", `{"HostConfig":{"PortBindings":{"5671/tcp":[{"HostPort":"5671"}],"8883/tcp":[{"HostPort":"8883"}],"443/tcp":[{"HostPort":"443"}]}}}`)
	hub["status"], hub["restartPolicy"] = "running", "always"
	whole := map[string]any{
		"$edgeAgent": map[string]any{"properties.desired": map[string]any{
			"schemaVersion": "1.1",
			"runtime":       map[string]any{"type": "docker", "settings": map[string]any{"minDockerVersion": "v1.25"}},
			"systemModules": map[string]any{"edgeAgent": system("azureiotedge-agent", "{}"), "edgeHub": hub},
			"modules":       map[string]any{d.Spec.Name: m},
		}},
		"$edgeHub": map[string]any{"properties.desired": map[string]any{
			"schemaVersion":                "1.1",
			"routes":                       map[string]any{},
			"storeAndForwardConfiguration": map[string]any{"timeToLiveSecs": 7200},
		}},
	}
	layer := map[string]any{"$edgeAgent": map[string]any{"properties.desired.modules." + d.Spec.Name: m}}
	return []render.File{
		{Path: "deployment.json", Data: indented(map[string]any{"modulesContent": whole})},
		{Path: "layer.json", Data: indented(map[string]any{"content": map[string]any{"modulesContent": layer}})},
	}
}

// module is the container as edgeAgent is told.
func module(d *render.Deployment) map[string]any {
	t := d.Spec.Targets.Edge
	env := map[string]any{}
	set := func(name, value string) { env[name] = map[string]string{"value": value} }
	for name, value := range t.Env {
		set(name, value)
	}
	set("GODWIT_TARGET", "edge")
	set("GODWIT_LISTEN", fmt.Sprintf("0.0.0.0:%d", render.Port)) // of the container; who reaches it PortBindings say
	set("GODWIT_STATE", state(d.Spec))
	set("GODWIT_OUTPUT", state(d.Spec))
	return map[string]any{
		"type": "docker", "version": "1.0", "status": "running", "restartPolicy": "always",
		"env":      env,
		"settings": map[string]any{"image": d.Image, "createOptions": createOptions(d)},
	}
}

// state is the folder of what outlives the container, on the device and within.
func state(s *spec.Spec) string { return "/var/lib/godwit/" + s.Name }

// createOptions is Docker's request that makes the container, in one string as a
// module's twin holds it.
func createOptions(d *render.Deployment) string {
	t := d.Spec.Targets.Edge
	host, port, err := net.SplitHostPort(t.Listen)
	if err != nil {
		host, port = "", fmt.Sprint(render.Port) // the spec has checked its form
	}
	inside := fmt.Sprintf("%d/tcp", render.Port)
	binds := []string{state(d.Spec) + ":" + state(d.Spec)}
	if k := d.Spec.Auth.Key; k != nil && k.File != "" {
		binds = append(binds, k.File+":"+k.File+":ro")
	}
	limits := map[string]any{
		"Binds":          binds,
		"PortBindings":   map[string]any{inside: []any{map[string]string{"HostIp": host, "HostPort": port}}},
		"ReadonlyRootfs": true,
		"CapDrop":        []string{"ALL"},
		"SecurityOpt":    []string{"no-new-privileges"},
		"Tmpfs":          map[string]string{"/tmp": ""},
	}
	if t.CPU > 0 {
		limits["NanoCpus"] = int64(t.CPU) * 1_000_000
	}
	if t.Memory > 0 {
		limits["Memory"] = int64(t.Memory)
		limits["MemorySwap"] = int64(t.Memory) // no swap on top
	}
	switch t.Provider {
	case "cuda", "tensorrt":
		limits["DeviceRequests"] = []any{map[string]any{"Count": -1, "Capabilities": [][]string{{"gpu"}}}}
	case "openvino":
		limits["Devices"] = []any{map[string]string{"PathOnHost": "/dev/dri", "PathInContainer": "/dev/dri", "CgroupPermissions": "rw"}}
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(map[string]any{
		"User":         fmt.Sprintf("%d:%d", render.User, render.User),
		"ExposedPorts": map[string]any{inside: struct{}{}},
		"StopTimeout":  30,
		"HostConfig":   limits,
	}); err != nil {
		panic(err) // maps of texts and numbers alone
	}
	return string(bytes.TrimSpace(b.Bytes()))
}
