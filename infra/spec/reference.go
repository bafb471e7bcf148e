package spec

import (
	"fmt"
	"strings"
)

// sample is a spec in which every block is there; its defaults are what the
// schema and the reference page show.
func sample() *Spec {
	s := &Spec{Models: []Model{{Path: "model.onnx"}}, Batch: &Batch{Split: &Split{}}, Budget: &Budget{}}
	t := &s.Targets
	t.AWSLambda = &AWSLambda{ManagedInstances: &ManagedInstances{}, EdgeCache: &EdgeCache{}, Throttle: &Throttle{}, VPC: &VPC{}}
	t.CloudRun = &CloudRun{Push: &CloudRunPush{}, Job: &CloudRunJob{}}
	t.AzureFunctions = &AzureFunctions{}
	t.Knative = &Knative{Traffic: &KnativeTraffic{}, Events: &KnativeEvents{}, Kafka: &KnativeKafka{SASL: &KafkaSASL{}, TLS: &KafkaTLS{}}, Job: &KnativeJob{}, Monitor: &KnativeMonitor{}}
	t.SageMaker = &SageMaker{VPC: &VPC{}}
	t.VertexAI = &VertexAI{}
	t.AzureML = &AzureML{}
	t.Edge = &Edge{Forward: &Forward{}, Greengrass: &Greengrass{}, IoTEdge: &IoTEdge{}}
	return s
}

// shownDefaults is the default of each key that has one, by the name of its
// block and its own, as a person is told it, in Markdown and with the reason.
func shownDefaults() map[string]map[string]string {
	s := sample()
	applied := s.withDefaults(nil)
	e := &encoder{all: true}
	all := map[string]map[string]string{}
	var note func(path string, b block)
	note = func(path string, b block) {
		shown := map[string]string{}
		for _, k := range b.keys() {
			p := join(path, k.name)
			if o := k.to.encode(e, p); o != nil && applied[p] {
				shown[k.name] = "`" + o.flow() + "`"
			}
			if k.shown != "" {
				shown[k.name] = k.shown
			}
			if k.why != "" && shown[k.name] != "" {
				shown[k.name] += " (" + k.why + ")"
			}
			if c, ok := k.to.(container); ok {
				there := false
				c.blocks(p, func(path string, b block) { there = true; note(path, b) })
				if !there {
					note(p, c.prototype())
				}
			}
		}
		all[blockName(b)] = shown
	}
	note("", s)
	return all
}

// Reference is docs/spec.md: every key with its type, default and range, in
// Markdown.
func Reference() []byte {
	var b strings.Builder
	b.WriteString(`# godwit.yaml

One file says what runs, where and how big. This page has every key; it is
made from the code that reads the file (infra/spec), and so is
[godwit.schema.json](godwit.schema.json), with which an editor completes and
checks it.

The shortest spec is one line, and a usual one has three:

` + "```yaml" + `
model: fraud.onnx
image: ghcr.io/acme/fraud
targets: {awslambda: {}, knative: {gpu: 1, mesh: istio}}
` + "```" + `

- What is left out has the default below. A key without a default does nothing until it is given.
- Sizes and durations have their unit, always: ` + "`1769MiB`, `24MB`, `300ms`, `1h30m`" + `.
  Sizes know B, kB, MB, GB, TB (powers of 1000) and KiB, MiB, GiB, TiB (powers
  of 1024); durations ns, us, ms, s, m, h and d, the larger first.
- CPUs are a number or Kubernetes' thousandths: ` + "`4`, `0.5`, `500m`" + `.
- A text that YAML would take for something else stands in quotes: ` + "`version: \"1\"`" + `.
- An unknown key is an error. Anchors, aliases, merge keys and tags are refused,
  and so is a file of more than 1MiB. All problems are reported at once, each
  with its line and column.
- Nothing is filled in from the environment: ` + "`${NAME}`" + ` is refused. Secrets stay
  in the platform's store and are named under ` + "`secrets`" + `.
`)
	defaults := shownDefaults()
	shownBefore := map[string]string{}
	everyBlock(sample(), "", func(path string, of block) {
		name := blockName(of)
		title, level := path, "##"
		if path == "" {
			title = "The spec"
		} else {
			title = "`" + path + "`"
			level += strings.Repeat("#", min(2, strings.Count(path, ".")))
		}
		fmt.Fprintf(&b, "\n%s %s\n\n", level, title)
		if first, again := shownBefore[name]; again {
			fmt.Fprintf(&b, "The same keys as `%s`.\n", first)
			return
		}
		shownBefore[name] = path
		b.WriteString("| key | what | type | default | range |\n| --- | --- | --- | --- | --- |\n")
		for _, k := range of.keys() {
			typ, rng := k.to.describe()
			def := defaults[name][k.name]
			if k.required {
				def = "required"
			}
			if def == "" && typ == flagType {
				def = "`false`"
			}
			fmt.Fprintf(&b, "| `%s` | %s | %s | %s | %s |\n", k.name, k.doc, typ, def, rng)
		}
	})
	return []byte(b.String())
}
