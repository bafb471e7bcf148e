package edge_test

import (
	"bytes"
	"encoding/json"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"godwit.dev/infra/edge"
	"godwit.dev/infra/render"
	"godwit.dev/infra/render/rendertest"
	"godwit.dev/infra/spec"
	"godwit.dev/internal/golden"
	"godwit.dev/runtime/fault"
)

const digest = rendertest.Digest

// deployment is what text, a godwit.yaml, becomes.
func deployment(t testing.TB, text string) *render.Deployment {
	t.Helper()
	d := rendertest.Deployment(t, text, "registry.example.com/acme")
	if e := d.Spec.Targets.Edge; e == nil || e.Runtime != "iotedge" {
		d.Image, d.Package = "", d.Spec.Name+".tar.gz"
	}
	return d
}

// on is the same of a target's keys, for callers that nobody checks.
func on(t testing.TB, keys string) *render.Deployment {
	t.Helper()
	return deployment(t, "model: m.onnx\nauth: none\ntargets: {edge: {"+keys+"}}\n")
}

func files(t testing.TB, d *render.Deployment) map[string]string {
	t.Helper()
	return rendertest.Rendered(t, edge.Render, d)
}

// matching is the one file whose path ends so.
func matching(t testing.TB, d *render.Deployment, suffix string) string {
	t.Helper()
	for path, text := range files(t, d) {
		if strings.HasSuffix(path, suffix) {
			return text
		}
	}
	t.Fatalf("no %s", suffix)
	return ""
}

// module and createOptions are what edgeAgent and Docker get.
func module(t testing.TB, d *render.Deployment) map[string]any {
	t.Helper()
	m, _ := rendertest.Within(rendertest.Decoded(t, files(t, d)["deployment.json"]), "modulesContent", "$edgeAgent", "properties.desired", "modules", d.Spec.Name).(map[string]any)
	if m == nil {
		t.Fatal("no module")
	}
	return m
}

func createOptions(t testing.TB, d *render.Deployment) (o map[string]any) {
	t.Helper()
	if err := json.Unmarshal([]byte(rendertest.Within(module(t, d), "settings", "createOptions").(string)), &o); err != nil {
		t.Fatal(err)
	}
	return o
}

const everything = `env: {LEVEL: 'a "word", 100% of $(NAME), $X: \ #'}, cpu: 1.5, memory: 768MiB, listen: '127.0.0.1:9090', architecture: amd64, healthyAfter: 5m, forward: {url: 'https://in.example.com/', queue: 64MiB, maxAge: 1d}`

// variants are what has golden files: each runtime with the examples, all keys, and a GPU.
var variants = []struct{ name, yaml string }{
	{"digits", "digits on targets: {edge: {}}"},
	{"penguins", "penguins on targets: {edge: {}}"},
	{"systemd", "model: fraud.onnx\nauth: key\ntargets: {edge: {" + everything + ", secrets: {GODWIT_API_KEYS: fraud.env, TOKEN: fraud.env, OTHER: other.env}}}\n"},
	{"systemd-gpu", "model: resnet.onnx\nauth: none\ntargets: {edge: {provider: cuda}}\n"},
	{"greengrass-digits", "digits on targets: {edge: {runtime: greengrass}}"},
	{"greengrass", "model: fraud.onnx\nauth: {key: {file: /etc/godwit/keys}}\ntargets: {edge: {runtime: greengrass, " + everything + "}}\n"},
	{"greengrass-aws", "model: fraud.onnx\nauth: none\ntargets: {edge: {runtime: greengrass, memory: 1GiB, greengrass: {bucket: acme-components, target: 'arn:aws:iot:eu-west-1:123456789012:thinggroup/cameras'}}}\n"},
	{"iotedge-digits", "digits on auth: none\ntargets: {edge: {runtime: iotedge}}"},
	{"iotedge", "model: fraud.onnx\nauth: {key: {file: /etc/godwit/keys}}\ntargets: {edge: {runtime: iotedge, " + everything + ", iotedge: {hub: acme, device: gateway-1}}}\n"},
	{"iotedge-gpu", "model: resnet.onnx\nauth: none\ntargets: {edge: {runtime: iotedge, provider: cuda, listen: '0.0.0.0:80', iotedge: {hub: acme, condition: \"tags.site='plant' AND tags.gpu=1\", priority: 7}}}\n"},
}

// text is a variant's godwit.yaml: an example's with the target, or its own.
func text(t testing.TB, v, yaml string) string {
	t.Helper()
	example, keys, ok := strings.Cut(yaml, " on ")
	if !ok {
		return yaml
	}
	return regexp.MustCompile(`(?m)^targets: .*$`).ReplaceAllString(rendertest.Example(t, "../..", example), keys)
}

func TestGolden(t *testing.T) {
	for _, v := range variants {
		t.Run(v.name, func(t *testing.T) {
			golden.Folder(t, "golden/"+v.name, files(t, deployment(t, text(t, v.name, v.yaml))))
		})
	}
}

// What no update of golden files can bless.
func TestEveryDeploymentIsSafe(t *testing.T) {
	for _, v := range variants {
		t.Run(v.name, func(t *testing.T) {
			d := deployment(t, text(t, v.name, v.yaml))
			switch d.Spec.Targets.Edge.Runtime {
			case "systemd":
				unit := files(t, d)["godwit-"+d.Spec.Name+".service"]
				for _, line := range []string{"DynamicUser=yes", "ProtectSystem=strict", "ProtectHome=yes", "PrivateTmp=yes", "NoNewPrivileges=yes", "CapabilityBoundingSet=",
					"Restart=always", "Type=notify", "WatchdogSec=30", "Environment=GODWIT_TARGET=edge", "StateDirectory=godwit/" + d.Spec.Name} {
					if !strings.Contains(unit, "\n"+line+"\n") {
						t.Errorf("no %s", line)
					}
				}
				if gpu := d.Spec.Targets.Edge.Provider != "cpu"; strings.Contains(unit, "PrivateDevices=yes") == gpu {
					t.Errorf("PrivateDevices with provider %s", d.Spec.Targets.Edge.Provider)
				}
			case "greengrass":
				m := rendertest.Within(rendertest.Decoded(t, matching(t, d, ".yaml")), "Manifests", "0")
				if text := matching(t, d, ".yaml"); strings.Contains(text, "RequiresPrivilege") {
					t.Error("as root")
				}
				if got := rendertest.Within(m, "Lifecycle", "Setenv", "GODWIT_TARGET"); got != "edge" {
					t.Errorf("target %v", got)
				}
				if got := rendertest.Within(m, "Artifacts", "0", "Permission", "Read"); got != "OWNER" {
					t.Errorf("read by %v", got)
				}
			case "iotedge":
				m, o := module(t, d), createOptions(t, d)
				if got := rendertest.Within(m, "settings", "image"); got != d.Image || !strings.Contains(d.Image, "@sha256:") {
					t.Errorf("image %v", got)
				}
				host := rendertest.Within(o, "HostConfig").(map[string]any)
				if diff := cmp.Diff(map[string]any{"User": "65532:65532", "ReadonlyRootfs": true, "CapDrop": []any{"ALL"}, "SecurityOpt": []any{"no-new-privileges"}},
					map[string]any{"User": o["User"], "ReadonlyRootfs": host["ReadonlyRootfs"], "CapDrop": host["CapDrop"], "SecurityOpt": host["SecurityOpt"]}); diff != "" {
					t.Errorf("security (-want +got):\n%s", diff)
				}
				if host["Privileged"] != nil || host["NetworkMode"] != nil || host["PidMode"] != nil {
					t.Errorf("the device's own: %v", host)
				}
				if got := rendertest.Within(m, "env", "GODWIT_TARGET", "value"); got != "edge" {
					t.Errorf("target %v", got)
				}
			}
		})
	}
}

// Every key of the target, changed once, changes what is rendered or run, is
// refused, or is in the package's godwit.yaml alone, for each runtime.
func TestEveryKeyArrives(t *testing.T) {
	const aws, azure = "greengrass: {bucket: aaa, target: 'arn:aws:iot:eu-west-1:123456789012:thing/a'}", "iotedge: {hub: acme, device: a}"
	tests := map[string]struct {
		changed string
		base    string // what goes without saying beside it
		// in is where it arrives, by runtime: a text of a file or command.
		in map[string]string
	}{
		"Architecture":      {"architecture: amd64", "", map[string]string{"greengrass": "architecture: amd64", "systemd": "", "iotedge": ""}},
		"CPU":               {"cpu: 1.5", "", map[string]string{"systemd": "CPUQuota=150%\n", "greengrass": `"cpus": 1.5`, "iotedge": `\"NanoCpus\":1500000000`}},
		"Memory":            {"memory: 64MiB", "", map[string]string{"systemd": "MemoryMax=67108864\n", "greengrass": `"memory": 65536`, "iotedge": `\"Memory\":67108864`}},
		"Listen":            {"listen: '127.0.0.2:81'", "", map[string]string{"systemd": "http://127.0.0.2:81/", "greengrass": "http://127.0.0.2:81/", "iotedge": `\"HostIp\":\"127.0.0.2\",\"HostPort\":\"81\"`}},
		"Greengrass":        {aws, "", map[string]string{"greengrass": "s3://aaa/dev.godwit.m/"}},
		"Greengrass.Bucket": {"greengrass: {bucket: bbb, target: 'arn:aws:iot:eu-west-1:123456789012:thing/a'}", aws, map[string]string{"greengrass": "s3://bbb/dev.godwit.m/"}},
		"Greengrass.Target": {"greengrass: {bucket: aaa, target: 'arn:aws:iot:eu-west-2:123456789012:thing/a'}", aws, map[string]string{"greengrass": `"targetArn": "arn:aws:iot:eu-west-2:`}},
		"IoTEdge":           {azure, "", map[string]string{"iotedge": "--hub-name acme --device-id a"}},
		"IoTEdge.Hub":       {"iotedge: {hub: b-c, device: a}", azure, map[string]string{"iotedge": "--hub-name b-c"}},
		"IoTEdge.Device":    {"iotedge: {hub: acme, device: b}", azure, map[string]string{"iotedge": "--device-id b"}},
		"IoTEdge.Condition": {"iotedge: {hub: acme, condition: tags.a=1}", azure, map[string]string{"iotedge": "--target-condition tags.a=1"}},
		"IoTEdge.Priority":  {"iotedge: {hub: acme, condition: tags.a=1, priority: 3}", "iotedge: {hub: acme, condition: tags.a=1}", map[string]string{"iotedge": "--priority 3"}},
		"Common.Env":        {"env: {A: b}", "", map[string]string{"systemd": `Environment="A=b"`, "greengrass": "A: b", "iotedge": `"A": {`}},
		"Common.Secrets":    {"secrets: {A: b}", "", map[string]string{"systemd": "EnvironmentFile=/etc/godwit/b\n", "greengrass": "refused", "iotedge": "refused"}},
		"Common.Provider":   {"provider: cuda", "", map[string]string{"systemd": "", "iotedge": `\"DeviceRequests\":`}},
	}
	covered := map[string]bool{
		// Read of the godwit.yaml in the package, by fn-server.
		"HealthyAfter": true, "Forward": true, "Common.ProviderOptions": true,
		"Runtime": true, // chooses the row
	}
	for field, tt := range tests {
		covered[field] = true
		for runtime, want := range tt.in {
			t.Run(field+" "+runtime, func(t *testing.T) {
				d := on(t, "runtime: "+runtime+", "+tt.changed)
				all, err := edge.Render(d)
				if want == "refused" {
					if fault.CodeOf(err) != fault.Unsupported || fault.HintOf(err) == "" {
						t.Errorf("got %v", err)
					}
					return
				}
				if err != nil {
					t.Fatal(err)
				}
				got, before := written(t, d, all), ""
				d = on(t, "runtime: "+runtime+", "+tt.base)
				if all, err = edge.Render(d); err != nil {
					t.Fatal(err)
				}
				before = written(t, d, all)
				if !strings.Contains(got, want) || want != "" && strings.Contains(before, want) {
					t.Errorf("%s: want %q, which was not there, in\n%s", tt.changed, want, got)
				}
				if want == "" && field != "Architecture" && got == before {
					t.Errorf("%s changes nothing", tt.changed)
				}
			})
		}
	}
	var fields func(prefix string, of reflect.Type)
	fields = func(prefix string, of reflect.Type) {
		for i := range of.NumField() {
			f := of.Field(i)
			switch {
			case f.Anonymous:
				fields(f.Name+".", f.Type)
			case !covered[prefix+f.Name]:
				t.Errorf("targets.edge: %s%s arrives nowhere", prefix, f.Name)
			case f.Name == "Greengrass" || f.Name == "IoTEdge":
				fields(f.Name+".", f.Type.Elem())
			}
		}
	}
	fields("", reflect.TypeFor[spec.Edge]())
}

// written is all files and commands as one text.
func written(t testing.TB, d *render.Deployment, files []render.File) string {
	t.Helper()
	var b strings.Builder
	for _, f := range files {
		b.WriteString(f.Path + "\n" + string(f.Data))
	}
	commands, err := edge.Commands(d)
	if err != nil && !(d.Spec.Targets.Edge.Runtime == "iotedge" && d.Spec.Targets.Edge.IoTEdge == nil && fault.CodeOf(err) == fault.BadConfig) {
		t.Fatal(err)
	}
	for _, c := range commands {
		b.WriteString(render.Line(c) + "\n")
	}
	return b.String()
}

// What is written for people says the same as what runs, and what runs finds its files.
func TestCommandsFitTheFolder(t *testing.T) {
	for _, v := range variants {
		t.Run(v.name, func(t *testing.T) {
			d := deployment(t, text(t, v.name, v.yaml))
			all := files(t, d)
			commands, err := edge.Commands(d)
			if err != nil {
				if v.name != "iotedge-digits" || fault.HintOf(err) == "" {
					t.Fatal(err)
				}
				return
			}
			there := slices.Collect(maps.Keys(all))
			if p := edge.PackagePath(d); p != "" {
				there = append(there, p)
			}
			for _, c := range commands {
				if !strings.Contains(all["README.md"], render.Line(c)) {
					t.Errorf("README.md has no %s", render.Line(c))
				}
				for _, w := range c.Args {
					w = strings.TrimPrefix(strings.TrimPrefix(w, "fileb://"), "file://")
					if strings.Contains(w, "/dev.godwit.") && !strings.Contains(w, "://") || strings.HasSuffix(w, ".json") {
						if !slices.Contains(there, w) {
							t.Errorf("%s: no such file among %v", w, there)
						}
					}
				}
			}
			if strings.Contains(all["README.md"], " # \n") || strings.HasSuffix(all["README.md"], "\n\n") {
				t.Error("README.md has comments that say nothing")
			}
		})
	}
}

// A component's version is another one whenever recipe or package is.
func TestComponentVersions(t *testing.T) {
	seen := map[string]string{}
	for _, keys := range []string{"", "env: {A: b}", "architecture: amd64", "env: {A: c}"} {
		for _, sum := range []string{digest, "sha256:" + strings.Repeat("0", 64)} {
			d := on(t, "runtime: greengrass, "+keys)
			d.Digest = sum
			r := rendertest.Decoded(t, matching(t, d, ".yaml"))
			v := rendertest.Within(r, "ComponentVersion").(string)
			if was, twice := seen[v]; twice {
				t.Errorf("%s: %q and %q", v, was, keys+sum)
			}
			seen[v] = keys + sum
			if !regexp.MustCompile(`^1\.(0|[1-9][0-9]{0,5})\.(0|[1-9][0-9]{0,5})$`).MatchString(v) {
				t.Errorf("want a version of numbers to 999999, got %q", v)
			}
			if uri := rendertest.Within(r, "Manifests", "0", "Artifacts", "0", "URI").(string); !strings.HasSuffix(uri, "/dev.godwit.m/"+v+"/m.tar.gz") || edge.PackagePath(d) != "artifacts/dev.godwit.m/"+v+"/m.tar.gz" {
				t.Errorf("package at %s, %s", uri, edge.PackagePath(d))
			}
		}
	}
}

// hostile is what some reader of these files could take for its own.
var hostile = []string{`"`, `'`, `\`, `a" "B=c`, "a: b # c", "{{ .Values.x }}", "$(HOME)", "$$", "$HOME `id` ${X}", "%S %n 100%", "true", "0x10", "~", " a ", "\t", "é\U0001F986",
	"---", "*a", "'; rm -rf /; '", `\n`, "a;b", "#", "=", `"},"x":{"`, "</script>"}

func TestTextsStayInTheirPlaces(t *testing.T) {
	for _, nasty := range hostile {
		for _, runtime := range []string{"systemd", "greengrass", "iotedge"} {
			d := on(t, "runtime: "+runtime+", env: {A: b}")
			d.Spec.Targets.Edge.Env["A"] = nasty
			var got any
			switch runtime {
			case "systemd":
				got = environment(t, files(t, d)["godwit-m.service"])["A"]
			case "greengrass":
				got = rendertest.Within(rendertest.Decoded(t, matching(t, d, ".yaml")), "Manifests", "0", "Lifecycle", "Setenv", "A")
			case "iotedge":
				got = rendertest.Within(module(t, d), "env", "A", "value")
			}
			if got != nasty {
				t.Errorf("%s: %q: got %#v", runtime, nasty, got)
			}
		}
	}
}

// environment reads Environment= as systemd.exec(5) and systemd.syntax(7) say;
// e2e/systemd has the real one read the same.
func environment(t testing.TB, unit string) map[string]string {
	t.Helper()
	all := map[string]string{}
	for line := range strings.Lines(unit) {
		text, ok := strings.CutPrefix(strings.TrimSuffix(line, "\n"), "Environment=")
		if !ok {
			continue
		}
		if strings.HasPrefix(text, `"`) {
			var b strings.Builder
			i := 1
			for ; i < len(text) && text[i] != '"'; i++ {
				switch {
				case text[i] == '\\':
					i++
					b.WriteString(map[byte]string{'\\': `\`, '"': `"`, 'n': "\n", 't': "\t"}[text[i]])
				case text[i] == '%':
					if i++; text[i] != '%' {
						t.Fatalf("a specifier in %s", line)
					}
					b.WriteByte('%')
				default:
					b.WriteByte(text[i])
				}
			}
			if i != len(text)-1 {
				t.Fatalf("more behind the quotes of %s", line)
			}
			text = b.String()
		}
		name, value, _ := strings.Cut(text, "=")
		all[name] = value
	}
	return all
}

func TestRefused(t *testing.T) {
	iot, gg := "runtime: iotedge, ", "runtime: greengrass, "
	tests := []struct {
		name, yaml string
		change     func(*render.Deployment)
		code       fault.Code
		want, hint string
	}{
		{"no target", "auth: none\ntargets: {cloudrun: {}}", nil, fault.BadConfig, "want a target edge", "targets: {edge: {}}"},
		{"a tag", "auth: none\ntargets: {edge: {" + iot + "}}", func(d *render.Deployment) { d.Image = "ghcr.io/acme/m:latest" }, fault.BadConfig, `by its digest, REPOSITORY@sha256:…, got "ghcr.io/acme/m:latest"`, "--push"},
		{"an image for an archive", "auth: none\ntargets: {edge: {}}", func(d *render.Deployment) { d.Package = "m.zip" }, fault.BadConfig, `want NAME.tar.gz, got "m.zip"`, "godwit package"},
		{"a package elsewhere", "auth: none\ntargets: {edge: {}}", func(d *render.Deployment) { d.Package = "../m.tar.gz" }, fault.BadConfig, "NAME.tar.gz", ""},
		{"no digest", "auth: none\ntargets: {edge: {}}", func(d *render.Deployment) { d.Digest = "" }, fault.BadConfig, "digest of a package", ""},
		{"memory of the models alone", "auth: none\ntargets: {edge: {memory: 64MiB}}", func(d *render.Deployment) { d.ModelBytes = 64 << 20 }, fault.BadConfig, "targets.edge.memory: want more than the 64MiB of the models, got 64MiB", "doctor"},
		{"a Mac's provider", "auth: none\ntargets: {edge: {provider: coreml}}", nil, fault.Unsupported, `got "coreml"`, "CPU"},
		{"the network without a check", "targets: {edge: {listen: '0.0.0.0:80'}}", nil, fault.BadConfig, `auth: platform: want an address on the device alone, got "0.0.0.0:80"`, "listen: 127.0.0.1:8080"},
		{"a name that may be anywhere", "targets: {edge: {" + gg + "listen: 'device:80'}}", nil, fault.BadConfig, "auth: platform", ""},
		{"modules without a check", "targets: {edge: {" + iot + "}}", nil, fault.BadConfig, "every module of the device reaches this one", "auth: none"},
		{"a name that Docker does not take", "auth: none\ntargets: {edge: {" + iot + "listen: 'localhost:80'}}", nil, fault.BadConfig, `targets.edge.listen: want an IP address`, "127.0.0.1:8080"},
		{"keys from nowhere", "auth: key\ntargets: {edge: {}}", nil, fault.BadConfig, "targets.edge.secrets: want GODWIT_API_KEYS", "secrets: {GODWIT_API_KEYS: FILE}"},
		{"keys from nowhere on Greengrass", "auth: key\ntargets: {edge: {" + gg + "}}", nil, fault.BadConfig, "want GODWIT_API_KEYS", "/etc/godwit/keys"},
		{"keys that the unit cannot see", "auth: {key: {file: /home/me/keys}}\ntargets: {edge: {}}", nil, fault.BadConfig, `got "/home/me/keys"`, "/etc/godwit"},
		{"keys that Docker cannot mount", "auth: {key: {file: '/a:b'}}\ntargets: {edge: {" + iot + "}}", nil, fault.BadConfig, `got "/a:b"`, ""},
		{"a secret on Azure", "auth: none\ntargets: {edge: {" + iot + "secrets: {A: b}}}", nil, fault.Unsupported, "targets.edge.secrets.A: want none: iotedge", "file"},
		{"a secret that is a path", "auth: none\ntargets: {edge: {secrets: {A: a/b}}}", nil, fault.BadConfig, `below /etc/godwit, got "a/b"`, "NAME=VALUE"},
		{"a secret above", "auth: none\ntargets: {edge: {secrets: {A: ..}}}", nil, fault.BadConfig, `got ".."`, ""},
		{"what Greengrass fills in", "auth: none\ntargets: {edge: {" + gg + "env: {A: '{configuration:/x}'}}}", nil, fault.Unsupported, `env.A: want no {NAME:…}`, ""},
		{"a control character", "auth: none\ntargets: {edge: {env: {A: b}}}", func(d *render.Deployment) { d.Spec.Targets.Edge.Env["A"] = "\x01" }, fault.Unsupported, "control characters", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d := deployment(t, "model: m.onnx\n"+tt.yaml+"\n")
			if tt.change != nil {
				tt.change(d)
			}
			got, err := edge.Render(d)
			if fault.CodeOf(err) != tt.code || got != nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(fault.HintOf(err), tt.hint) {
				t.Errorf("got %v, %v (hint %q), want %v with %q", got, err, fault.HintOf(err), tt.code, tt.want)
			}
		})
	}
	for _, address := range []string{"127.0.0.1:80", "[::1]:80", "localhost:80", "127.8.8.8:80"} {
		if _, err := edge.Render(deployment(t, "model: m.onnx\ntargets: {edge: {listen: '"+address+"'}}\n")); err != nil {
			t.Errorf("%s: %v", address, err)
		}
	}
}

// The same deployment gives the same bytes.
func TestRenderIsPure(t *testing.T) {
	for _, v := range variants {
		one, err := edge.Render(deployment(t, text(t, v.name, v.yaml)))
		if err != nil {
			t.Fatal(err)
		}
		again, err := edge.Render(deployment(t, text(t, v.name, v.yaml)))
		if err != nil {
			t.Fatal(err)
		}
		for i := range one {
			if one[i].Path != again[i].Path || !bytes.Equal(one[i].Data, again[i].Data) {
				t.Errorf("%s: %s differs", v.name, one[i].Path)
			}
		}
	}
}
