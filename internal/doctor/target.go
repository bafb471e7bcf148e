package doctor

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"godwit.dev/infra/data"
	"godwit.dev/infra/spec"
)

// target is what the spec asks of one platform, in the words of this package.
type target struct {
	name    string
	choices []string // as package data has them
	arch    string   // asked for; "" leaves it to the package
	program string   // what is started in an archive or folder
	memory  int64    // asked for, in bytes; 0 is not known
	because string   // why memory is not known
	gpu     bool
	common  *spec.Common
	public  string // the key that lets everybody reach it; "" if nothing does
	kinds   []Kind // what it takes
	system  data.System
}

// base is the system in words.
func (t *target) base() string {
	switch t.system.Name {
	case "":
		return "the platform's system"
	case "the device's own":
		return "the device"
	}
	return strings.Replace(t.system.Name, "'s own", "'s base", 1)
}

// describe reads the spec, and what it asks of the platform.
func (e *exam) describe(name string) {
	e.t = target{name: name, program: "fn-server", kinds: []Kind{Image}}
	s, err := e.load()
	if err != nil {
		e.add(Finding{Code: "spec", Level: Error, Where: spec.FileName, What: "godwit.yaml cannot be used: " + plain(err) + ".",
			Why: "The function does not start with it, and packaging refuses it.", Do: hint(err, "Correct it; docs/spec.md has every key.")})
	}
	e.spec = s
	targets := &spec.Targets{}
	if s != nil {
		targets = &s.Targets
		if !slices.Contains(targets.Names(), name) {
			with, err := withTarget(s, name)
			if err != nil {
				e.add(Finding{Code: "spec-target", Level: Error, Where: "targets." + name, What: fmt.Sprintf("godwit.yaml has no targets.%s, and its defaults do not fit: %s.", name, plain(err)),
					Why: "The function refuses to start there.", Do: hint(err, "Add the target.")})
			} else {
				targets = &with.Targets
				e.add(Finding{Code: "no-target", Level: Note, Where: "targets", What: fmt.Sprintf("godwit.yaml has no targets.%s.", name), Why: "The target's defaults hold.", Do: fmt.Sprintf("Add %s: {} below targets.", name)})
			}
		}
	}
	e.t.from(targets)
	if e.a.Kind == Image && name == "awslambda" {
		e.t.choose("package", "image")
	}
	e.t.system, _ = data.FindSystem(name, e.t.choices...)
	if e.t.system.Root == "" && e.a.Root == "" && name == "edge" {
		e.t.system.Root = "/opt/function"
	}
	e.platform()
}

func (e *exam) load() (*spec.Spec, error) {
	if e.a.Kind == ModelFile {
		return spec.New(e.a.model)
	}
	if e.a.Dir == "" {
		return nil, nil
	}
	text, err := os.ReadFile(filepath.Join(e.a.Dir, spec.FileName))
	if err != nil {
		return nil, fmt.Errorf("want %s at the package's root, got none", spec.FileName)
	}
	return spec.Parse(spec.FileName, text)
}

// withTarget is the spec of a function like s that names the target, without
// anything else about it.
func withTarget(s *spec.Spec, name string) (*spec.Spec, error) {
	auth := s.Auth.Mode
	if auth == "jwt" {
		auth = "key" // which says no more than its mode, and fits where tokens do
	}
	return spec.Parse(spec.FileName, fmt.Appendf(nil, "model: m.onnx\nauth: %s\ntargets: {%s: {}}\n", auth, name))
}

func (t *target) choose(key, value string) {
	t.choices = slices.DeleteFunc(t.choices, func(c string) bool { return strings.HasPrefix(c, key+"=") })
	t.choices = append(t.choices, key+"="+value)
}

func (t *target) when(condition bool, choice string) {
	if condition {
		t.choices = append(t.choices, choice)
	}
}

func (t *target) from(all *spec.Targets) {
	t.common = all.Common(t.name)
	if t.common == nil {
		t.common = &spec.Common{Provider: "cpu"}
	}
	machine := func(name string) {
		var state data.State
		if t.memory, _, state = data.Machine(name); state != data.Known {
			t.because = fmt.Sprintf("the memory of %s is not in the table", name)
		}
	}
	switch t.name {
	case "awslambda":
		t.program, t.kinds = "bootstrap", []Kind{Zip, Folder, Image} // sam and cdk zip a folder themselves
		if l := all.AWSLambda; l != nil {
			t.choose("api", l.API)
			t.choose("package", l.Package)
			t.when(l.ResponseStreaming, "stream")
			t.when(l.ManagedInstances != nil, "managed")
			t.when(l.ProvisionedConcurrency > 0, "provisioned")
			t.arch, t.memory, t.gpu = l.Architecture, int64(l.Memory), l.GPU > 0
			if l.API != "none" {
				t.public = "targets.awslambda.api: " + l.API
			}
		} else {
			t.choose("package", "zip")
		}
	case "cloudrun":
		if c := all.CloudRun; c != nil {
			t.when(c.HTTP2, "http2")
			t.when(c.GPU != "", "gpu")
			t.memory, t.gpu = int64(c.Memory), c.GPU != ""
			if c.Ingress == "all" {
				t.public = "targets.cloudrun.ingress: all"
			}
		}
	case "azurefunctions":
		t.kinds = []Kind{Folder, Zip}
		if a := all.AzureFunctions; a != nil {
			t.choose("plan", a.Plan)
			t.memory, t.gpu = int64(a.Memory), a.GPU != ""
			if a.Plan == "containerapps" {
				t.kinds = []Kind{Image}
			}
			if !a.PrivateEndpoint {
				t.public = "targets.azurefunctions without privateEndpoint"
			}
		}
	case "knative":
		if k := all.Knative; k != nil {
			t.memory, t.gpu = int64(k.Memory), k.GPU > 0
			if k.Visibility == "external" {
				t.public = "targets.knative.visibility: external"
			}
		}
	case "sagemaker":
		if s := all.SageMaker; s != nil {
			t.choose("mode", s.Mode)
			t.gpu = t.common.Provider == "cuda" || t.common.Provider == "tensorrt"
			if t.memory = int64(s.Memory); t.memory == 0 {
				machine(s.InstanceType)
			}
		}
	case "vertexai":
		if v := all.VertexAI; v != nil {
			t.when(v.DedicatedEndpoint, "dedicated")
			t.gpu = v.AcceleratorType != ""
			machine(v.MachineType)
		}
	case "azureml":
		if a := all.AzureML; a != nil {
			t.gpu = t.common.Provider != "cpu"
			machine(a.InstanceType)
		}
	case "edge":
		t.kinds = []Kind{Folder, Tar, Zip}
		if d := all.Edge; d != nil {
			t.arch, t.memory = d.Architecture, int64(d.Memory)
			if d.Runtime == "iotedge" {
				t.kinds = []Kind{Image}
			}
			if t.memory == 0 {
				t.because = "godwit.yaml sets no targets.edge.memory"
			}
			t.gpu = t.common.Provider == "cuda" || t.common.Provider == "tensorrt"
			if host, _, err := net.SplitHostPort(d.Listen); err == nil && host != "localhost" && !net.ParseIP(host).IsLoopback() {
				t.public = "targets.edge.listen: " + d.Listen
			}
		}
	}
}

// platform decides which processor the package has to be for.
func (e *exam) platform() {
	has := ""
	switch {
	case e.a.Config != nil:
		has = e.a.Config.Arch
	case e.a.Manifest != nil:
		has = strings.TrimPrefix(e.a.Manifest.Platform, "linux/")
	}
	arches := e.t.system.Arch
	e.arch = has
	if machines[e.arch] == 0 || !slices.Contains(arches, e.arch) {
		e.arch = "amd64"
	}
	if e.t.arch != "" && (e.t.name != "edge" || e.a.Manifest == nil) {
		e.arch = e.t.arch
	}
	if os := e.a.Config; os != nil && os.OS != "linux" && os.OS != "" {
		has = os.OS + "/" + has
	}
	if has != "" && has != e.arch {
		want := fmt.Sprintf("%s runs linux/%s", e.t.name, strings.Join(arches, " and linux/"))
		if e.t.arch != "" {
			want = fmt.Sprintf("godwit.yaml asks for architecture: %s", e.t.arch)
		}
		e.add(Finding{Code: "platform", Level: Error, What: fmt.Sprintf("The package is for %s; %s.", has, want),
			Why: "The platform refuses it, or starts it and ends with exec format error.", Do: fmt.Sprintf("Package with --arch %s.", e.arch)})
	} else if d := e.t.arch; e.t.name == "edge" && has != "" && d != "" && has != d {
		e.add(Finding{Code: "platform", Level: Note, Where: "targets.edge.architecture", What: fmt.Sprintf("The package is for %s; godwit.yaml says %s.", has, d),
			Why: "It runs on devices of its own architecture only.", Do: fmt.Sprintf("Package with --arch %s for the others.", d)})
	}
}

// shape compares what the package is with what the platform takes.
func (e *exam) shape(context.Context) error {
	var all []string
	for _, k := range e.t.kinds {
		all = append(all, string(k))
	}
	switch {
	case !e.packaged():
		e.add(Finding{Code: "not-packaged", Level: Unknown, What: fmt.Sprintf("This is a %s, not a package.", e.a.Kind),
			Why: "Programs, libraries and sizes cannot be judged before they are there.", Do: fmt.Sprintf("Run `godwit package --target %s`, then doctor again.", e.t.name)})
	case !slices.Contains(e.t.kinds, e.a.Kind) && (e.a.Kind != Folder || e.a.Manifest != nil || e.t.kinds[0] == Image):
		e.add(Finding{Code: "package-kind", Level: Error, What: fmt.Sprintf("The package comes as %s; %s takes %s.", e.a.Kind, e.t.name, strings.Join(all, " or ")),
			Why: "The platform refuses the upload.", Do: fmt.Sprintf("Package with --target %s.", e.t.name)})
	case e.a.Kind != Image && slices.Contains(e.t.choices, "package=image"):
		e.add(Finding{Code: "package-kind", Level: Error, Where: "targets.awslambda.package", What: fmt.Sprintf("The package is a %s; godwit.yaml says package: image.", e.a.Kind),
			Why: "What is rendered points at an image that was never made.", Do: "Package again, or change godwit.yaml."})
	case e.a.Kind == Image && e.spec != nil && e.spec.Targets.AWSLambda != nil && e.t.name == "awslambda" && e.spec.Targets.AWSLambda.Package == "zip":
		e.add(Finding{Code: "package-kind", Level: Error, Where: "targets.awslambda.package", What: "The package is an image; godwit.yaml says package: zip.",
			Why: "What is rendered points at a zip that was never made.", Do: "Package again, or change godwit.yaml."})
	}
	return nil
}

// facts are the platform's limits for the report.
func (e *exam) facts() {
	e.r.System = fmt.Sprintf("%s; writable: %s; listens on: %s (%s)", e.t.system.Name, e.t.system.Files, e.t.system.Port, e.t.system.Source)
	e.r.Limits = []Limit{}
	for _, key := range data.Keys() {
		l := e.find(key)
		if l.Source.Doc == "" {
			continue
		}
		one := Limit{Key: string(key), State: l.State.String(), Value: l.Value, Text: amount(l), Note: l.Note, Source: l.Source.String()}
		e.r.Limits = append(e.r.Limits, one)
	}
}

// amount is a limit's value for people.
func amount(l data.Limit) string {
	switch {
	case l.State != data.Known:
		return l.State.String()
	case l.Key.Bytes() && l.Value%1_000_000 == 0:
		return fmt.Sprintf("%d MB", l.Value/1_000_000)
	case l.Key.Bytes():
		return Bytes(l.Value)
	case l.Key.Millis():
		return (time.Duration(l.Value) * time.Millisecond).String()
	}
	return fmt.Sprint(l.Value)
}
