package spec

import (
	"fmt"
	"strings"
)

// Targets are the platforms that the function runs on; nil where it does not.
type Targets struct {
	AWSLambda      *AWSLambda
	CloudRun       *CloudRun
	AzureFunctions *AzureFunctions
	Knative        *Knative
	SageMaker      *SageMaker
	VertexAI       *VertexAI
	AzureML        *AzureML
	Edge           *Edge
}

func (t *Targets) keys() []key {
	return []key{
		{name: "awslambda", to: optional[AWSLambda, *AWSLambda]{&t.AWSLambda, true}, doc: "AWS Lambda, as a zip or an image."},
		{name: "cloudrun", to: optional[CloudRun, *CloudRun]{&t.CloudRun, true}, doc: "Google Cloud Run: a service, and a job for batch."},
		{name: "azurefunctions", to: optional[AzureFunctions, *AzureFunctions]{&t.AzureFunctions, true}, doc: "Azure Functions with a custom handler."},
		{name: "knative", to: optional[Knative, *Knative]{&t.Knative, true}, doc: "Knative Serving and Eventing on any Kubernetes."},
		{name: "sagemaker", to: optional[SageMaker, *SageMaker]{&t.SageMaker, true}, doc: "Amazon SageMaker with our image."},
		{name: "vertexai", to: optional[VertexAI, *VertexAI]{&t.VertexAI, true}, doc: "Google Vertex AI with our image."},
		{name: "azureml", to: optional[AzureML, *AzureML]{&t.AzureML, true}, doc: "Azure Machine Learning with our image."},
		{name: "edge", to: optional[Edge, *Edge]{&t.Edge, true}, doc: "A device: systemd, AWS IoT Greengrass or Azure IoT Edge."},
	}
}

// target is what every target's block can do.
type target interface {
	block
	shared() *Common
	// setDefaults fills what was not given.
	setDefaults(d *defaults)
	// check notes what no single key can tell.
	check(d *decoder, path string, s *Spec)
}

type namedTarget struct {
	name string
	target
}

// list is the targets that are there, in the order of the keys.
func (t *Targets) list() []namedTarget {
	var all []namedTarget
	add := func(name string, there bool, t target) {
		if there {
			all = append(all, namedTarget{name, t})
		}
	}
	add("awslambda", t.AWSLambda != nil, t.AWSLambda)
	add("cloudrun", t.CloudRun != nil, t.CloudRun)
	add("azurefunctions", t.AzureFunctions != nil, t.AzureFunctions)
	add("knative", t.Knative != nil, t.Knative)
	add("sagemaker", t.SageMaker != nil, t.SageMaker)
	add("vertexai", t.VertexAI != nil, t.VertexAI)
	add("azureml", t.AzureML != nil, t.AzureML)
	add("edge", t.Edge != nil, t.Edge)
	return all
}

// Names is the names of the targets that are there, in the order of the reference page.
func (t *Targets) Names() []string {
	var all []string
	for _, one := range t.list() {
		all = append(all, one.name)
	}
	return all
}

// TargetNames is the names of all targets, in the order of the reference page.
func TargetNames() []string { return names(&Targets{}) }

// Common is what every target has.
type Common struct {
	// Provider is ONNX Runtime's execution provider: "cpu", "cuda" or
	// "tensorrt"; on the edge "openvino" and "coreml" too. A function whose
	// provider is not really used does not start.
	Provider        string
	ProviderOptions map[string]string // handed to the provider as they are; nil for cpu
	Env             map[string]string // environment variables of the function; nil for none
	// Secrets are environment variables whose values stay in the platform's
	// secret store: variable → name there.
	Secrets map[string]string
}

func (c *Common) shared() *Common { return c }

// Common is what the named target shares with all others; nil where the spec
// does not have the target.
func (t *Targets) Common(name string) *Common {
	for _, one := range t.list() {
		if one.name == name {
			return one.shared()
		}
	}
	return nil
}

// Providers of the clouds' machines.
const (
	cpuProvider = "cpu"
	cuda        = "cuda"
	tensorrt    = "tensorrt"
)

func (c *Common) common(providers ...string) []key {
	if len(providers) == 0 {
		providers = []string{cpuProvider, cuda, tensorrt}
	}
	env := envName
	env.check = checkEnv
	value := freeText("a text")
	value.max = 4096
	value.check = func(s string) *trouble {
		if strings.Contains(s, "${") {
			return wrong("Write the value out, or name the secret under secrets.", "want a text, got %s: nothing is filled in for ${…}", quote(s))
		}
		return nil
	}
	return []key{
		{name: "provider", to: oneOf(&c.Provider, providers...), doc: "The execution provider of ONNX Runtime. A function that does not get it does not start.",
			why: "cuda where there is a GPU, else cpu", shown: "`cuda` with a GPU, else `cpu`"},
		{name: "providerOptions", to: textMap{p: &c.ProviderOptions, key: rule{what: "an option's name", pattern: `^[A-Za-z0-9_.]+$`}, value: freeText("a text"), lax: true},
			doc: "Options of the provider, under ONNX Runtime's own names."},
		{name: "env", to: textMap{p: &c.Env, key: env, value: value}, doc: "Environment variables. Names that the platform or Godwit sets are refused."},
		{name: "secrets", to: textMap{p: &c.Secrets, key: env, value: secretRef}, doc: "Environment variables whose values stay in the platform's secret store: variable and name there."},
	}
}

// checkEnv refuses the names that are ours or that every container platform sets.
func checkEnv(name string) *trouble {
	for _, ours := range []string{"GODWIT_*", "ORT_DISABLE_TELEMETRY", "PORT", "K_SERVICE", "K_CONFIGURATION", "K_REVISION"} {
		if reserved(name, ours) && name != defaultKeyEnv {
			return wrong("Choose another name.", "want a variable of your own, got the reserved %s", quote(name))
		}
	}
	return nil
}

// reserved reports whether name is word, or starts with it where word ends in a star.
func reserved(name, word string) bool {
	if stem, ok := strings.CutSuffix(word, "*"); ok {
		return strings.HasPrefix(name, stem)
	}
	return name == word
}

// checkCommon notes reserved variables of one platform and what contradicts
// its having a GPU or not. gpu is the key that asks for one.
func (c *Common) checkCommon(d *decoder, path string, hasGPU bool, gpu string, reservedEnv ...string) {
	for _, m := range []struct {
		key    string
		values map[string]string
	}{{"env", c.Env}, {"secrets", c.Secrets}} {
		for _, name := range sortedKeys(m.values) {
			p := join(join(path, m.key), name)
			for _, word := range reservedEnv {
				if reserved(name, word) {
					d.add(d.where(p), p, "Choose another name.", "want a variable of your own, got %s, which the platform sets", quote(name))
				}
			}
			if _, both := c.Env[name]; both && m.key == "secrets" {
				d.add(d.where(p), p, "Leave one of them out.", "%s is given under env too", quote(name))
			}
		}
	}
	p := join(path, "provider")
	switch needs := c.Provider == cuda || c.Provider == tensorrt; {
	case needs && !hasGPU:
		d.add(d.where(p), p, fmt.Sprintf("Add %s, or leave the provider out.", gpu), "provider %s needs a GPU, and none is asked for", c.Provider)
	case !needs && hasGPU:
		d.add(d.where(p), p, "Leave the provider out for cuda, or leave the GPU out.", "want cuda or tensorrt, since a GPU is asked for, got %s", c.Provider)
	}
	if c.Provider == cpuProvider && len(c.ProviderOptions) > 0 {
		p := join(path, "providerOptions")
		d.add(d.where(p), p, "Name the provider that they are for.", "provider cpu has no options")
	}
}

// only notes each of the keys of the block at path that was given although the
// condition under which it says something is not met.
func (d *decoder) only(path, condition string, keys ...string) {
	for _, k := range keys {
		p := join(path, k)
		if at, given := d.at[p]; given {
			d.add(at, p, "Leave it out, or change "+strings.Fields(condition)[0]+".", "only for %s", condition)
		}
	}
}

// where is the place of path, or of the nearest mapping around it that has one.
func (d *decoder) where(path string) place {
	for {
		if at, ok := d.at[path]; ok {
			return at
		}
		i := strings.LastIndexAny(path, ".[")
		if i < 0 {
			return place{}
		}
		path = path[:i]
	}
}
