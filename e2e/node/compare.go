package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"godwit.dev/e2e/cases"
	"godwit.dev/e2e/wire"
	"godwit.dev/runtime/driver"
	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/infer"
	"godwit.dev/runtime/ort"
	"godwit.dev/runtime/tensor"
)

// tolerance is what two versions of ONNX Runtime, or two kinds of CPU, may
// differ by in floating-point elements. Everything else has to be equal.
var tolerance = tensor.Tolerance{Relative: 1e-4, Absolute: 1e-5}

// overWire bounds what is asked over the network: the rest exceeds the
// server's limits and is compared with the engine alone.
const overWire = 1 << 20

// engine finds the library as the command line does.
func engine() (driver.Engine, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return nil, err
	}
	return ort.New(&driver.Setup{Library: os.Getenv("GODWIT_ONNXRUNTIME"), CacheDir: filepath.Join(cache, "godwit")}), nil
}

// answer runs a model file in this process.
func answer(ctx context.Context, eng driver.Engine, path string, in []tensor.Tensor) (outs []tensor.Tensor, err error) {
	m, err := infer.Load(ctx, eng, path, &infer.Options{Name: "m", Digest: "none", IntraOp: 1})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, m.Close(context.WithoutCancel(ctx))) }()
	resp, err := m.Infer(ctx, &infer.Request{Inputs: in})
	if err != nil {
		return nil, err
	}
	defer resp.Release()
	for i := range resp.Outputs {
		outs = append(outs, resp.Outputs[i].Clone())
	}
	return outs, nil
}

// tally counts comparisons.
type tally struct {
	models, sameModels, outputs, same, elements int
	worst                                       tensor.Diff
	worstAt                                     string
	problems                                    []string
}

// add compares one model's outputs with the wanted ones.
func (t *tally) add(name string, want, got []tensor.Tensor, tol tensor.Tolerance) {
	t.models++
	if len(want) != len(got) {
		t.problems = append(t.problems, fmt.Sprintf("%s: want %d outputs, got %d", name, len(want), len(got)))
		return
	}
	all := true
	for i := range want {
		at := fmt.Sprintf("%s output %q", name, want[i].Name)
		if want[i].Name != got[i].Name {
			t.problems = append(t.problems, fmt.Sprintf("%s: got %q", at, got[i].Name))
			continue
		}
		d := tensor.Compare(&want[i], &got[i], tol)
		t.outputs++
		t.elements += d.Elements
		equal := d.Problem == "" && string(elements(&want[i])) == string(elements(&got[i]))
		if equal {
			t.same++
		}
		all = all && equal
		if d.MaxULP > t.worst.MaxULP {
			t.worst, t.worstAt = d, at
		}
		if !d.OK() || tol == (tensor.Tolerance{}) && !equal {
			t.problems = append(t.problems, fmt.Sprintf("%s: %v", at, d))
		}
	}
	if all {
		t.sameModels++
	}
}

func (t *tally) print(w io.Writer, what string) error {
	fmt.Fprintf(w, "%-14s %4d models, %4d with the same bits; %4d of %d outputs with the same bits, %d elements",
		what, t.models, t.sameModels, t.same, t.outputs, t.elements)
	if t.worst.MaxULP > 0 {
		fmt.Fprintf(w, "; worst %d ULP, there %.2g absolute, %.2g relative, in %s", t.worst.MaxULP, t.worst.MaxAbsolute, t.worst.MaxRelative, t.worstAt)
	}
	fmt.Fprintln(w)
	if len(t.problems) > 0 {
		return fmt.Errorf("%s: %d problems:\n  %s", what, len(t.problems), strings.Join(t.problems, "\n  "))
	}
	return nil
}

// compare holds the engine against Node, and every path through a server
// against the engine, bit by bit.
func compare(ctx context.Context, o *options, w io.Writer) error {
	all, err := o.all()
	if err != nil {
		return err
	}
	answers, runtime, err := readAnswers(o.dir)
	if err != nil {
		return err
	}
	eng, err := engine()
	if err != nil {
		return err
	}
	tol := tolerance
	if o.exactly {
		tol = tensor.Tolerance{}
	}
	node := &tally{}
	paths, finish, err := dial(o.server)
	if err != nil {
		return err
	}
	defer finish()
	rec := record{Runtime: runtime}
	for i := range all {
		c := &all[i]
		got, err := answer(ctx, eng, filepath.Join(o.dir, "function", c.File), c.Inputs)
		if err != nil {
			node.problems = append(node.problems, fmt.Sprintf("%s: %v", c.Name, err))
			continue
		}
		want, err := wanted(o.dir, c, answers[c.Name])
		if err != nil {
			node.problems = append(node.problems, fmt.Sprintf("%s: Node: %v", c.Name, err))
			continue
		}
		for _, p := range paths {
			p.ask(ctx, c, got)
		}
		node.add(c.Name, want, asNode(got), tol)
		rec.add(c, want)
	}
	errs := []error{node.print(w, "Node")}
	for _, p := range paths {
		errs = append(errs, p.print(w, string(p.form)))
	}
	if o.odd {
		errs = append(errs, refused(ctx, eng))
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	fmt.Fprintf(w, "engine %s, %s\n", eng.Info().Version, runtime)
	if o.record != "" {
		return rec.save(o.record)
	}
	return nil
}

// asNode cuts strings at their first NUL, as onnxruntime-node does, whose
// strings are C's. That the rest is right is compared on the other paths.
func asNode(outs []tensor.Tensor) []tensor.Tensor {
	for i := range outs {
		for k, s := range outs[i].Strings {
			outs[i].Strings[k], _, _ = bytes.Cut(s, []byte{0})
		}
	}
	return outs
}

// A path is one form of asking the server.
type path struct {
	tally
	form   wire.Form
	client *wire.Client
}

func dial(server string) (paths []*path, finish func(), err error) {
	if server == "" {
		return nil, func() {}, nil
	}
	client, err := wire.Dial(server)
	if err != nil {
		return nil, nil, err
	}
	for _, f := range wire.Forms {
		paths = append(paths, &path{form: f, client: client})
	}
	return paths, client.Close, nil
}

func (p *path) ask(ctx context.Context, c *cases.Case, want []tensor.Tensor) {
	size := 0
	for i := range c.Inputs {
		size += c.Inputs[i].Bytes()
	}
	if size > overWire || !p.form.Carries(c.Inputs) {
		return
	}
	got, err := p.client.Infer(ctx, p.form, c.Name, c.Inputs)
	if err != nil {
		p.problems = append(p.problems, fmt.Sprintf("%s: %v", c.Name, err))
		return
	}
	p.add(c.Name, want, got, tensor.Tolerance{})
}

// refused opens the odd model that no ONNX Runtime can run by itself.
func refused(ctx context.Context, eng driver.Engine) error {
	dir, err := cases.OddDir()
	if err != nil {
		return err
	}
	_, err = eng.Open(ctx, filepath.Join(dir, cases.NeedsExtensions), &driver.Options{IntraOp: 1, Runs: 1})
	if fault.CodeOf(err) != fault.BadModel || !strings.Contains(err.Error(), "StringUpper") {
		return fmt.Errorf("%s: want BadModel that names StringUpper, got %v", cases.NeedsExtensions, err)
	}
	return nil
}

// nodeAnswer is what Node said to one case.
type nodeAnswer struct {
	Name    string
	Error   string
	Outputs []part
}

func readAnswers(dir string) (map[string]nodeAnswer, string, error) {
	b, err := os.ReadFile(filepath.Join(dir, "answers.json"))
	if err != nil {
		return nil, "", err
	}
	var file struct {
		Runtime string
		Answers []nodeAnswer
	}
	if err := json.Unmarshal(b, &file); err != nil {
		return nil, "", err
	}
	answers := map[string]nodeAnswer{}
	for _, a := range file.Answers {
		answers[a.Name] = a
	}
	return answers, file.Runtime, nil
}

// wanted is Node's answer in our engine's names and types.
func wanted(dir string, c *cases.Case, a nodeAnswer) ([]tensor.Tensor, error) {
	if a.Error != "" {
		return nil, errors.New(a.Error)
	}
	v, err := forNode(c.Model)
	if err != nil {
		return nil, err
	}
	data, err := os.ReadFile(filepath.Join(dir, c.Name+".out"))
	if err != nil {
		return nil, err
	}
	if len(a.Outputs) != len(v.outputs) {
		return nil, fmt.Errorf("want %d outputs, got %d", len(v.outputs), len(a.Outputs))
	}
	var all []tensor.Tensor
	for i, o := range v.outputs {
		p := a.Outputs[i]
		t, err := tensorOf(o.ours, p.Type, p.Shape, data[p.Offset:p.Offset+p.Length])
		if err == nil && o.node == o.ours+asFloat {
			t, err = narrow(&t)
		}
		if err != nil {
			return nil, err
		}
		all = append(all, t)
		for _, k := range v.keys {
			if k.Name == o.ours+"_keys" {
				all = append(all, k)
			}
		}
	}
	return all, nil
}
