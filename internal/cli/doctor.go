package cli

import (
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"godwit.dev/infra/spec"
	"godwit.dev/internal/app"
	"godwit.dev/internal/pack"
	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/onnx"
)

func (p *program) newDoctor() *cobra.Command {
	var target, arch, trust string
	c := &cobra.Command{
		Use:     "doctor PACKAGE|DIR|MODEL",
		GroupID: "ship",
		Short:   "Find before an upload what would fail after it",
		Long: `doctor examines a package (zip, image, folder), a function folder or a model
for a target, without loading or running any of it: programs and libraries
against the platform's system, models against the packaged ONNX Runtime, sizes,
shapes and memory against the platform's limits, files against the manifest.
Each finding says what was found, why it would fail and what to do. What
nobody can know from here is said too; docs/doctor.md lists every finding.

Without a target it tells of each model what it is, its inputs and outputs,
opset, operators, size and external data, and what is unusual about it.

Exit codes: 0 no error was found, 11 one was.`,
		Example: `  godwit doctor fraud.zip --target awslambda
  godwit doctor fraud.tar --target cloudrun --json
  godwit doctor fraud/ --target knative
  godwit doctor fraud.onnx`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if err := mustBeSigned(c.Context(), args[0], trust); err != nil {
				return err
			}
			if target == "" && arch == "" {
				return p.doctor(args[0])
			}
			return p.examine(c.Context(), args[0], target, arch)
		},
	}
	c.Flags().StringVar(&target, "target", "", "the platform that it is for")
	c.Flags().StringVar(&arch, "arch", "", "the processor, for an image of several: amd64 or arm64")
	c.Flags().StringVar(&trust, "trust", "", "first check its signature by these public keys or certificates")
	return c
}

// diagnosis is what doctor tells of one model; its JSON is documented in docs/cli.md.
type diagnosis struct {
	Model     string           `json:"model"`
	Version   string           `json:"version"`
	Path      string           `json:"path"`
	Format    string           `json:"format"`
	Digest    string           `json:"digest"`
	Bytes     int64            `json:"bytes"`
	IR        int64            `json:"ir_version"`
	Opsets    map[string]int64 `json:"opsets"`
	Producer  string           `json:"producer,omitempty"`
	Inputs    []value          `json:"inputs"`
	Outputs   []value          `json:"outputs"`
	Operators map[string]int   `json:"operators"`
	Weights   weights          `json:"weights"`
	External  []string         `json:"external_data"`
	Findings  []finding        `json:"findings"`
}

type value struct {
	Name string `json:"name"`
	Type string `json:"type"`
}

type weights struct {
	Tensors int   `json:"tensors"`
	Bytes   int64 `json:"bytes"`
}

type finding struct {
	Code  string `json:"code"`
	Level string `json:"level"`
	What  string `json:"what"`
	Why   string `json:"why"`
	Do    string `json:"do,omitempty"`
}

func (p *program) doctor(path string) error {
	if pack.IsPackage(path) {
		return fault.New(fault.Usage, "", path, "want a target to examine a package for").
			WithHint("Add --target, one of %s.", strings.Join(spec.TargetNames(), ", "))
	}
	f, s, err := app.ReadSpec(path)
	if err != nil {
		return err
	}
	var all []diagnosis
	bad := 0
	for _, m := range s.Models {
		if strings.Contains(m.Path, "://") {
			return fault.New(fault.Unsupported, "", m.Path, "models behind a URL cannot be read yet").
				WithHint("Download the file beside godwit.yaml and name it there.")
		}
		d, err := diagnose(filepath.Join(f, filepath.FromSlash(m.Path)))
		if err != nil {
			return err
		}
		d.Model, d.Version = m.Name, m.Version
		for _, x := range d.Findings {
			if x.Level == onnx.Problem.String() {
				bad++
			}
		}
		all = append(all, d)
	}
	if p.json {
		writeJSON(p.Stdout, all)
	} else {
		for i := range all {
			if i > 0 {
				fmt.Fprintln(p.Stdout)
			}
			all[i].print(p.Stdout)
		}
	}
	if bad > 0 {
		return fault.New(fault.BadModel, "", path, "%d problems keep it from being served", bad).
			WithHint("The findings above say what to do.")
	}
	return nil
}

func diagnose(path string) (diagnosis, error) {
	m, err := onnx.Read(path, nil)
	if err != nil {
		return diagnosis{}, err
	}
	d := diagnosis{Path: path, Format: m.Format, Bytes: m.Size, IR: m.IRVersion, Producer: m.Producer,
		Opsets: map[string]int64{}, Operators: map[string]int{}, External: []string{}, Findings: []finding{},
		Weights: weights{m.Initializers.Count, m.Initializers.Bytes}, Inputs: values(m.Inputs), Outputs: values(m.Outputs)}
	for _, o := range m.Opsets {
		d.Opsets[domainName(o.Domain)] = o.Version
	}
	for _, o := range m.Ops {
		d.Operators[o.Op.String()] += o.Count
	}
	for _, x := range m.External {
		if n := len(d.External); n == 0 || d.External[n-1] != x.Location {
			d.External = append(d.External, x.Location)
		}
	}
	for _, x := range m.Unusual() {
		d.Findings = append(d.Findings, finding{x.Code, x.Level.String(), x.What, x.Why, x.Do})
	}
	if err := m.CheckExternal(filepath.Dir(path)); err != nil {
		d.Findings = append(d.Findings, finding{"external-data", onnx.Problem.String(), err.Error(),
			"The model is refused before it is loaded.", fault.HintOf(err)})
		return d, nil
	}
	if d.Digest, err = onnx.DigestAll(path, nil); err != nil {
		return d, err
	}
	return d, nil
}

func domainName(domain string) string {
	if domain == "" {
		return "ai.onnx"
	}
	return domain
}

func values(vs []onnx.Value) []value {
	out := make([]value, 0, len(vs))
	for _, v := range vs {
		out = append(out, value{v.Name, typeText(v.Type)})
	}
	return out
}

// typeText is a type as the protocol and all other commands call it, or as
// ONNX does where the protocol has no name for it.
func typeText(t onnx.Type) string {
	d, ok := t.Elem.DType()
	switch {
	case t.Kind != onnx.KindTensor || !ok:
		return t.String()
	case !t.Ranked:
		return d.String() + " of any shape"
	}
	dims := make([]string, len(t.Shape))
	for i, dim := range t.Shape {
		dims[i] = dim.String()
	}
	return d.String() + " [" + strings.Join(dims, " ") + "]"
}

func (d *diagnosis) print(w io.Writer) {
	fmt.Fprintf(w, "%s version %s, %s, %s\n", d.Model, d.Version, d.Path, sizeText(d.Bytes))
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	line := func(name, format string, args ...any) {
		fmt.Fprintf(t, "  %s\t%s\n", name, fmt.Sprintf(format, args...))
	}
	for _, v := range d.Inputs {
		line("input", "%s\t%s", v.Name, v.Type)
	}
	for _, v := range d.Outputs {
		line("output", "%s\t%s", v.Name, v.Type)
	}
	t.Flush()
	t = tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	if d.Digest != "" {
		line("digest", "%s", d.Digest)
	}
	if d.Producer != "" {
		line("producer", "%s", d.Producer)
	}
	line("format", "%s, IR version %d, opsets %s", d.Format, d.IR, counts(d.Opsets))
	line("operators", "%s", counts(d.Operators))
	line("weights", "%d tensors, %s", d.Weights.Tensors, sizeText(d.Weights.Bytes))
	if len(d.External) > 0 {
		line("external data", "%s", strings.Join(d.External, ", "))
	}
	t.Flush()
	if len(d.Findings) == 0 {
		fmt.Fprintln(w, "\n  Nothing unusual.")
		return
	}
	for _, f := range d.Findings {
		fmt.Fprintf(w, "\n  %s: %s\n    %s\n", f.Level, f.What, f.Why)
		if f.Do != "" {
			fmt.Fprintf(w, "    %s\n", f.Do)
		}
	}
}
