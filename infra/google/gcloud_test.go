package google_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/google/go-cmp/cmp"

	"godwit.dev/infra/render"
)

// TestMain is gcloud itself where a script under test calls it: a cloud in a
// folder that knows what was made, refuses to make it twice, and refuses to
// grant anything on, or to, what is not there.
func TestMain(m *testing.M) {
	for variable, program := range map[string]func(string, []string, io.Reader, io.Writer) error{"GODWIT_FAKE_GCLOUD": gcloud, "GODWIT_FAKE_CURL": curl} {
		dir := os.Getenv(variable)
		if dir == "" {
			continue
		}
		if err := program(dir, os.Args[1:], os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, "ERROR:", variable, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// A call is one of gcloud's, as the script made it.
type call struct {
	Args  []string
	Stdin string
}

// verbs end the words that name a kind of thing.
var verbs = map[string]bool{"describe": true, "create": true, "update": true, "delete": true, "replace": true, "enable": true,
	"add-iam-policy-binding": true, "list": true, "get-value": true, "upload": true, "deploy-model": true, "undeploy-model": true}

// parse parts args into kind, verb, what it is about, and flags.
func (c call) parse() (kind, verb string, about []string, flags map[string]string) {
	flags = map[string]string{}
	i := 0
	for ; i < len(c.Args) && !verbs[c.Args[i]]; i++ {
		kind = strings.TrimSpace(kind + " " + c.Args[i])
	}
	if i < len(c.Args) {
		verb = c.Args[i]
	}
	for i++; i < len(c.Args); i++ {
		name, isFlag := strings.CutPrefix(c.Args[i], "--")
		switch {
		case !isFlag:
			about = append(about, c.Args[i])
		case strings.Contains(name, "="):
			k, v, _ := strings.Cut(name, "=")
			flags[k] = v
		case i+1 < len(c.Args) && !strings.HasPrefix(c.Args[i+1], "--"):
			i++
			flags[name] = c.Args[i]
		default:
			flags[name] = ""
		}
	}
	return kind, verb, about, flags
}

func stateFile(dir, kind, name string) string {
	return filepath.Join(dir, "state", strings.NewReplacer("/", "%", " ", "_").Replace(kind+" "+name))
}

func gcloud(dir string, args []string, in io.Reader, out io.Writer) error {
	c := call{Args: args}
	kind, verb, about, flags := c.parse()
	if verb == "replace" {
		text, err := io.ReadAll(in)
		if err != nil {
			return err
		}
		c.Stdin = string(text)
	}
	line, _ := json.Marshal(c)
	log, err := os.OpenFile(filepath.Join(dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	fmt.Fprintln(log, string(line))
	if err := log.Close(); err != nil {
		return err
	}
	path := func(kind, name string) string { return stateFile(dir, kind, name) }
	there := func(kind, name string) bool { _, err := os.Stat(path(kind, name)); return err == nil }
	project := os.Getenv("CLOUDSDK_CORE_PROJECT")
	full := func(kind, name string) string {
		if kind == "iam service-accounts" && !strings.Contains(name, "@") {
			return name + "@" + project + ".iam.gserviceaccount.com"
		}
		return name
	}
	first := ""
	if len(about) > 0 {
		first = full(kind, about[0])
	}
	switch verb {
	case "":
		if kind == "storage service-agent" {
			fmt.Fprintln(out, "service-123456789@gs-project-accounts.iam.gserviceaccount.com")
			return nil
		}
		if kind == "auth print-access-token" {
			fmt.Fprintln(out, "token")
			return nil
		}
	case "deploy-model":
		if !there("ai models", flags["model"]) {
			return fmt.Errorf("there is no model %s", flags["model"])
		}
		f, err := os.OpenFile(path(kind, first), os.O_APPEND|os.O_WRONLY, 0)
		if err != nil {
			return err
		}
		defer f.Close()
		_, err = fmt.Fprintf(f, "%d %s\n", len(first)+os.Getpid(), flags["display-name"])
		return err
	case "undeploy-model":
		text, err := os.ReadFile(path(kind, first))
		if err != nil {
			return err
		}
		var kept string
		for line := range strings.Lines(string(text)) {
			if !strings.HasPrefix(line, flags["deployed-model-id"]+" ") {
				kept += line
			}
		}
		if kept == string(text) {
			return fmt.Errorf("there is no deployed model %s", flags["deployed-model-id"])
		}
		return os.WriteFile(path(kind, first), []byte(kept), 0o644)
	case "get-value", "enable":
		return nil
	case "describe":
		if kind == "projects" {
			fmt.Fprintln(out, "123456789")
			return nil
		}
		if !there(kind, first) {
			return fmt.Errorf("%s %s is not there", kind, first)
		}
		if strings.HasPrefix(kind, "ai ") {
			return describeAI(path(kind, first), flags["format"], out)
		}
		fmt.Fprintln(out, map[string]string{
			"value(status.url)":                    "https://" + first + ".a.run.app",
			"value(location)":                      "EUROPE-WEST1",
			"value(transport.pubsub.subscription)": "projects/" + project + "/subscriptions/eventarc-" + first,
			"value(defaultHostname)":               first + ".gateway.dev",
		}[flags["format"]])
		return nil
	case "list":
		all, err := filepath.Glob(path(kind, "*"))
		if err != nil {
			return err
		}
		for i, f := range all {
			if kind == "api-gateway api-configs" {
				_, name, _ := strings.Cut(filepath.Base(f), "api-configs_")
				fmt.Fprintln(out, name)
			}
			if text, err := os.ReadFile(f); err == nil && strings.HasPrefix(string(text), first+" ") {
				_, topic, _ := strings.Cut(string(text), " ")
				fmt.Fprintf(out, "---\nBucket URL: %s/\nNotification Configuration:\n  event_types:\n  - OBJECT_FINALIZE\n  id: '%d'\n  topic: //pubsub.googleapis.com/projects/%s/topics/%s\n", first, i+1, project, topic)
			}
		}
		return nil
	case "create":
		content := ""
		if kind == "storage buckets notifications" {
			if !there("pubsub topics", flags["topic"]) {
				return fmt.Errorf("there is no topic %s", flags["topic"])
			}
			content = first + " " + flags["topic"]
			first += " " + flags["topic"]
		}
		if there(kind, first) {
			return fmt.Errorf("%s %s is there already", kind, first)
		}
		for flag, of := range map[string]string{"topic": "pubsub topics", "dead-letter-topic": "pubsub topics", "destination-run-service": "run services",
			"api": "api-gateway apis", "api-config": "api-gateway api-configs"} {
			if name, given := flags[flag]; given && !there(of, name) {
				return fmt.Errorf("there is no %s %s for --%s", of, name, flag)
			}
		}
		if kind == "eventarc triggers" {
			if err := os.WriteFile(path("pubsub subscriptions", "projects/"+project+"/subscriptions/eventarc-"+first), nil, 0o644); err != nil {
				return err
			}
		}
		return os.WriteFile(path(kind, first), []byte(content), 0o644)
	case "update":
		if !there(kind, first) {
			return fmt.Errorf("%s %s is not there", kind, first)
		}
		return nil
	case "delete":
		if !there(kind, first) && kind != "storage buckets notifications" {
			return fmt.Errorf("%s %s is not there", kind, first)
		}
		if kind == "storage buckets notifications" {
			for _, f := range func() []string { all, _ := filepath.Glob(path(kind, "*")); return all }() {
				if text, _ := os.ReadFile(f); strings.HasPrefix(first, strings.Fields(string(text))[0]+"/") {
					return os.Remove(f)
				}
			}
			return fmt.Errorf("there is no notification %s", first)
		}
		if text, err := os.ReadFile(path(kind, first)); kind == "ai endpoints" && (err != nil || len(text) > 0) {
			return fmt.Errorf("want nothing deployed, got %v %s", err, text)
		}
		return os.Remove(path(kind, first))
	case "replace":
		var m struct {
			Kind     string
			Metadata struct{ Name string }
			Spec     struct{ Template struct{ Spec map[string]any } }
		}
		if err := yaml.Unmarshal([]byte(c.Stdin), &m); err != nil {
			return err
		}
		if m.Kind == "" || m.Metadata.Name == "" || strings.Contains(c.Stdin, "PROJECT_ID") {
			return fmt.Errorf("that is no manifest to apply:\n%s", c.Stdin)
		}
		return os.WriteFile(path(kind, m.Metadata.Name), nil, 0o644)
	case "add-iam-policy-binding":
		if kind != "projects" && kind != "kms keys" && kind != "secrets" && !there(kind, first) {
			return fmt.Errorf("%s %s is not there", kind, first)
		}
		member, _ := strings.CutPrefix(flags["member"], "serviceAccount:")
		if !strings.HasPrefix(member, "service-123456789@") && !there("iam service-accounts", member) {
			return fmt.Errorf("%s is not there", member)
		}
		return nil
	}
	return fmt.Errorf("what is %q?", args)
}

// describeAI tells of a model, which is kept as its image, or of an endpoint,
// which is kept as what is deployed.
func describeAI(path, format string, out io.Writer) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	column := 0
	switch {
	case strings.Contains(format, "imageUri"):
		fmt.Fprintln(out, string(text))
		return nil
	case strings.Contains(format, "displayName"):
		column = 1
	}
	var all []string
	for line := range strings.Lines(string(text)) {
		all = append(all, strings.Fields(line)[column])
	}
	fmt.Fprintln(out, strings.Join(all, " "))
	return nil
}

// curl is Vertex AI's own API, as far as deploy.sh asks it.
func curl(dir string, args []string, _ io.Reader, out io.Writer) error {
	method, file, url := "GET", "", ""
	for i, a := range args {
		switch {
		case a == "-X":
			method = args[i+1]
		case strings.HasPrefix(a, "@"):
			file = a[1:]
		case strings.HasPrefix(a, "https://"):
			url = a
		}
	}
	if !slices.Contains(args, "Authorization: Bearer token") {
		return fmt.Errorf("there is no token in %q", args)
	}
	rest, ok := strings.CutPrefix(url, "https://europe-west1-aiplatform.googleapis.com/v1/projects/acme/locations/europe-west1/")
	if !ok {
		return fmt.Errorf("what is %s?", url)
	}
	operation := "projects/acme/locations/europe-west1/operations/1"
	if method == "GET" && rest == "operations/1" {
		fmt.Fprintf(out, "{\n  \"name\": %q,\n  \"done\": true\n}\n", operation)
		return nil
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	line, _ := json.Marshal(call{Args: []string{"curl", method, rest}, Stdin: string(text)})
	log, err := os.OpenFile(filepath.Join(dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	fmt.Fprintln(log, string(line))
	if err := log.Close(); err != nil {
		return err
	}
	var body struct {
		DisplayName          string
		ModelID, ParentModel string
		Model                struct{ ContainerSpec struct{ ImageURI string } }
	}
	if err := json.Unmarshal(text, &body); err != nil {
		return fmt.Errorf("%w in\n%s", err, text)
	}
	id, isEndpoint := strings.CutPrefix(rest, "endpoints?endpointId=")
	switch {
	case method == "POST" && isEndpoint && body.DisplayName != "":
		err = os.WriteFile(stateFile(dir, "ai endpoints", id), nil, 0o644)
	case method == "PATCH" && strings.HasPrefix(rest, "endpoints/") && body.DisplayName != "":
		fmt.Fprintln(out, "{\n  \"name\": \"an endpoint, and no operation\"\n}")
		return nil
	case method == "POST" && rest == "models:upload" && body.Model.ContainerSpec.ImageURI != "":
		id := body.ModelID
		if id == "" {
			id = body.ParentModel[strings.LastIndex(body.ParentModel, "/")+1:]
		}
		err = os.WriteFile(stateFile(dir, "ai models", id), []byte(body.Model.ContainerSpec.ImageURI), 0o644)
	default:
		err = fmt.Errorf("what is %s %s?", method, rest)
	}
	fmt.Fprintf(out, "{\n  \"name\": %q\n}\n", operation)
	return err
}

// A cloud is one that scripts may be run against.
type cloud struct {
	t        testing.TB
	dir, bin string
}

// newCloud is a cloud in which what is named, as "storage buckets gs://lake", is there.
func newCloud(t testing.TB, there ...string) *cloud {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	c := &cloud{t: t, dir: t.TempDir(), bin: t.TempDir()}
	for _, program := range []string{"gcloud", "curl"} {
		// A program that was built with -race waits a second at its end unless told not to.
		shim := "#!/bin/sh\nGORACE=atexit_sleep_ms=0 GODWIT_FAKE_" + strings.ToUpper(program) + "=" + c.dir + " exec " + self + " \"$@\"\n"
		if err := os.WriteFile(filepath.Join(c.bin, program), []byte(shim), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(c.dir, "state"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, one := range there {
		name := strings.NewReplacer("/", "%", " ", "_").Replace(one)
		if err := os.WriteFile(filepath.Join(c.dir, "state", name), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return c
}

// run runs the rendered script and gives the calls that it made; ok says that it ended well.
func (c *cloud) run(files map[string]string, script string, env ...string) (calls []call, output string, ok bool) {
	c.t.Helper()
	dir := c.t.TempDir()
	for path, text := range files {
		at := filepath.Join(dir, filepath.FromSlash(path))
		if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
			c.t.Fatal(err)
		}
		if err := os.WriteFile(at, []byte(text), 0o644); err != nil {
			c.t.Fatal(err)
		}
	}
	if err := os.Remove(filepath.Join(c.dir, "log")); err != nil && !os.IsNotExist(err) {
		c.t.Fatal(err)
	}
	cmd := exec.CommandContext(c.t.Context(), "bash", filepath.Join(dir, script))
	cmd.Env = append([]string{"PATH=" + c.bin + ":" + os.Getenv("PATH"), "HOME=" + dir, "TMPDIR=" + dir}, env...)
	out, err := cmd.CombinedOutput()
	log, openErr := os.Open(filepath.Join(c.dir, "log"))
	if openErr == nil {
		defer log.Close()
		lines := bufio.NewScanner(log)
		lines.Buffer(nil, 1<<20)
		for lines.Scan() {
			var one call
			if err := json.Unmarshal(lines.Bytes(), &one); err != nil {
				c.t.Fatal(err)
			}
			calls = append(calls, one)
			if path := os.Getenv("GODWIT_GCLOUD_CALLS"); path != "" { // for e2e/google
				all, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
				if err != nil {
					c.t.Fatal(err)
				}
				fmt.Fprintln(all, lines.Text())
				all.Close()
			}
		}
	}
	return calls, string(out), err == nil
}

// beforehand is what godwit.yaml names and deploy.sh does not make.
func beforehand(d *render.Deployment) (all []string) {
	t := d.Spec.Targets.CloudRun
	if b := d.Spec.Batch; b != nil {
		for _, place := range []string{b.Input, b.Output} {
			if rest, ok := strings.CutPrefix(place, "gs://"); ok {
				name, _, _ := strings.Cut(rest, "/")
				all = append(all, "storage buckets gs://"+name)
			}
		}
	}
	if t.ServiceAccount != "" {
		all = append(all, "iam service-accounts "+t.ServiceAccount)
	}
	if t.Push != nil {
		for _, a := range t.Push.ServiceAccounts {
			all = append(all, "iam service-accounts "+a)
		}
	}
	return all
}

// The script makes what the module makes, thing by thing and grant by grant; where
// all is there it makes nothing, and what it made can be taken away.
func TestDeployMakesWhatTheModuleMakesAndRunsAgain(t *testing.T) {
	again := map[string]bool{"digits": true, "everything": true, "bucket": true, "relative": true, "gateway": true}
	for _, v := range variants {
		t.Run(v.name, func(t *testing.T) {
			d := variant(t, v.name, v.yaml)
			all := files(t, d)
			c := newCloud(t, beforehand(d)...)
			env := []string{"PROJECT=acme", "REGION=europe-west1"}
			first, out, ok := c.run(all, "deploy.sh", env...)
			if !ok {
				t.Fatalf("deploy.sh failed where nothing was there:\n%s", out)
			}
			if last := strings.Split(strings.TrimSpace(out), "\n"); !strings.HasPrefix(last[len(last)-1], "https://") {
				t.Errorf("want the URL as the last line, got %q", last)
			}
			if diff := cmp.Diff(byScript(t, first), byTerraform(t, all)); diff != "" {
				t.Errorf("deploy.sh and terraform/ (-script +module)\n%s", diff)
			}
			if !again[v.name] {
				return
			}
			second, out, ok := c.run(all, "deploy.sh", env...)
			if !ok {
				t.Fatalf("deploy.sh failed where everything was there:\n%s", out)
			}
			made := func(calls []call) (n int) {
				for _, one := range calls {
					if _, verb, _, _ := one.parse(); verb == "create" {
						n++
					}
				}
				return n
			}
			if made(second) != 0 {
				t.Errorf("want nothing made the second time, got %d", made(second))
			}
			if d.Spec.Targets.CloudRun.ServiceAccount == "" && made(first) == 0 {
				t.Error("want something made the first time")
			}
			if _, out, ok := c.run(all, "teardown.sh", env...); !ok {
				t.Fatalf("teardown.sh failed:\n%s", out)
			}
			left, err := os.ReadDir(filepath.Join(c.dir, "state"))
			if err != nil {
				t.Fatal(err)
			}
			want := beforehand(d)
			if strings.Contains(all["deploy.sh"], "buckets create") {
				want = append(want, "storage buckets gs://acme-"+d.Spec.Name) // with data in it
			}
			slices.Sort(want)
			want = slices.Compact(want)
			for i := range want {
				want[i] = strings.NewReplacer("/", "%", " ", "_").Replace(want[i])
			}
			for _, f := range left {
				if !slices.Contains(want, f.Name()) && !strings.Contains(f.Name(), "subscriptions%eventarc-") {
					t.Errorf("teardown.sh leaves %s", f.Name())
				}
			}
			if len(left) < len(want) {
				t.Errorf("teardown.sh took more than deploy.sh made: %v are left of %v", left, want)
			}
		})
	}
}

func TestDeploySaysWhatIsMissing(t *testing.T) {
	all := files(t, on(t, ""))
	for _, c := range []struct{ env, says string }{
		{"REGION=europe-west1", "want a project in PROJECT, got ''"},
		{"PROJECT=acme", "want a region such as europe-west1 in REGION, got ''"},
		{"PROJECT=$(touch x)", "want a project in PROJECT, got '$(touch x)'"},
	} {
		calls, out, ok := newCloud(t).run(all, "deploy.sh", c.env)
		if ok || !strings.Contains(out, c.says) {
			t.Errorf("with %s want %q, got %v %q", c.env, c.says, ok, out)
		}
		for _, one := range calls {
			if _, verb, _, _ := one.parse(); verb != "get-value" {
				t.Errorf("with %s it called gcloud %q", c.env, one.Args)
			}
		}
	}
	d := variant(t, "everything", variants[4].yaml)
	if _, out, ok := newCloud(t, beforehand(d)...).run(files(t, d), "deploy.sh", "PROJECT=other", "REGION=europe-west1"); ok || !strings.Contains(out, "want project acme, got other") {
		t.Errorf("want another project's topic refused, got %v %q", ok, out)
	}
}
