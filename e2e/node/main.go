// Command node compares Godwit with npm's onnxruntime-node, the second
// opinion, on random graphs and on the odd models of the binding:
//
//	node prepare DIR            writes the models and one request for each
//	node ask.mjs DIR MODULE     lets Node answer them (ask.mjs, beside this file)
//	node compare DIR            compares, and with -server over every path too
//
// run.sh does all three. What Node answered is recorded in testdata, and this
// folder's tests compare the engine with that, so they need no Node.
package main

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"

	"godwit.dev/e2e/cases"
	"godwit.dev/runtime/tensor"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "Error:", err)
		os.Exit(1)
	}
}

// options of both commands.
type options struct {
	dir     string
	graphs  int    // how many random graphs; their seeds are 0, 1, …
	odd     bool   // the odd models too
	server  string // HOST:PORT of a server of DIR/function; "" asks none
	record  string // where to write what is committed; "" writes nothing
	exactly bool   // no tolerance: Node's own library is the engine
}

func run(ctx context.Context, args []string, w io.Writer) error {
	var o options
	flags := flag.NewFlagSet("node", flag.ContinueOnError)
	flags.IntVar(&o.graphs, "graphs", 300, "random graphs")
	flags.BoolVar(&o.odd, "odd", true, "the odd models too")
	flags.StringVar(&o.server, "server", "", "HOST:PORT of a server of DIR/function")
	flags.StringVar(&o.record, "record", "", "file for the recorded answers")
	flags.BoolVar(&o.exactly, "exactly", false, "every bit has to be Node's")
	commands := map[string]func(context.Context, *options, io.Writer) error{"prepare": prepare, "compare": compare}
	if len(args) < 2 || commands[args[0]] == nil {
		return errors.New("want prepare or compare, flags, and a folder")
	}
	if err := flags.Parse(args[1:]); err != nil {
		return err
	}
	if flags.NArg() != 1 {
		return fmt.Errorf("want one folder, got %q", flags.Args())
	}
	o.dir = flags.Arg(0)
	return commands[args[0]](ctx, &o, w)
}

// all are the cases of both commands, in the same order every time.
func (o *options) all() ([]cases.Case, error) {
	var all []cases.Case
	for seed := range o.graphs {
		all = append(all, cases.Random(seed))
	}
	if !o.odd {
		return all, nil
	}
	dir, err := cases.OddDir()
	if err != nil {
		return nil, err
	}
	odd, err := cases.Odd(dir)
	return append(all, odd...), err
}

// exchange is one case in cases.json, or one answer in answers.json.
type exchange struct {
	Name    string `json:"name"`
	Model   string `json:"model,omitempty"`
	Inputs  []part `json:"inputs,omitempty"`
	Wanted  any    `json:"outputs"` // the outputs' names, or a part for each
	Problem string `json:"error,omitempty"`
}

// part is a tensor whose elements lie in a file.
type part struct {
	Name   string  `json:"name"`
	Type   string  `json:"type"`
	Shape  []int64 `json:"shape"`
	Offset int     `json:"offset"`
	Length int     `json:"length"`
}

// prepare writes the function folder that is served, and what Node reads.
func prepare(_ context.Context, o *options, w io.Writer) error {
	all, err := o.all()
	if err != nil {
		return err
	}
	for _, sub := range []string{"function", "node"} {
		if err := os.MkdirAll(filepath.Join(o.dir, sub), 0o755); err != nil {
			return err
		}
	}
	spec := []byte("apiVersion: godwit.dev/v1\nname: node\nmodels:\n")
	var list []exchange
	for i := range all {
		c := &all[i]
		e, err := o.write(c)
		if err != nil {
			return fmt.Errorf("%s: %w", c.Name, err)
		}
		list = append(list, e)
		spec = fmt.Appendf(spec, "  - name: %s\n    path: %s\n", c.Name, strconv.Quote(c.File))
	}
	if _, err := cases.Locale(filepath.Join(o.dir, "locale")); err != nil {
		return err
	}
	text, err := json.MarshalIndent(list, "", " ")
	if err != nil {
		return err
	}
	fmt.Fprintf(w, "%d cases in %s\n", len(list), o.dir)
	return errors.Join(os.WriteFile(filepath.Join(o.dir, "cases.json"), text, 0o644),
		os.WriteFile(filepath.Join(o.dir, "function", "godwit.yaml"), spec, 0o644))
}

func (o *options) write(c *cases.Case) (exchange, error) {
	v, err := forNode(c.Model)
	if err != nil {
		return exchange{}, err
	}
	e := exchange{Name: c.Name, Model: filepath.Join("node", c.File)}
	var names []string
	for _, out := range v.outputs {
		names = append(names, out.node)
	}
	e.Wanted = names
	var data []byte
	for i := range c.Inputs {
		t := c.Inputs[i]
		if t.Type == tensor.BF16 {
			t = widen(&t)
			t.Name += asFloat
		}
		b := elements(&t)
		e.Inputs = append(e.Inputs, part{t.Name, t.Type.String(), t.Shape, len(data), len(b)})
		data = append(data, b...)
	}
	return e, errors.Join(
		os.WriteFile(filepath.Join(o.dir, "function", c.File), c.Model, 0o644),
		os.WriteFile(filepath.Join(o.dir, "node", c.File), v.model, 0o644),
		os.WriteFile(filepath.Join(o.dir, c.Name+".in"), data, 0o644))
}

// elements are a tensor's bytes as they are exchanged and recorded: strings
// have their length in four bytes before them.
func elements(t *tensor.Tensor) []byte {
	if t.Type != tensor.Bytes {
		return t.Data
	}
	b := []byte{}
	for _, s := range t.Strings {
		b = binary.LittleEndian.AppendUint32(b, uint32(len(s)))
		b = append(b, s...)
	}
	return b
}

// tensorOf is the reverse of elements.
func tensorOf(name, typ string, shape []int64, b []byte) (tensor.Tensor, error) {
	d, _ := tensor.ParseDType(typ)
	t := tensor.Tensor{Name: name, Type: d, Shape: shape, Data: b}
	if d == tensor.Bytes {
		t.Data, t.Strings = nil, [][]byte{}
		for len(b) > 0 {
			if len(b) < 4 || len(b)-4 < int(binary.LittleEndian.Uint32(b)) {
				return t, fmt.Errorf("%s: a string is cut short", name)
			}
			n := 4 + int(binary.LittleEndian.Uint32(b))
			t.Strings, b = append(t.Strings, b[4:n]), b[n:]
		}
	}
	return t, t.Check()
}

// widen is a BF16 tensor as FP32, which holds the same numbers.
func widen(t *tensor.Tensor) tensor.Tensor {
	bits, _ := tensor.View[uint16](t)
	wide := make([]float32, len(bits))
	for i, b := range bits {
		wide[i] = tensor.BFloat16(b)
	}
	return tensor.Of(t.Name, t.Shape, wide)
}

// narrow is the reverse of widen.
func narrow(t *tensor.Tensor) (tensor.Tensor, error) {
	wide, _ := tensor.View[float32](t)
	bits := make([]uint16, len(wide))
	for i, v := range wide {
		bits[i] = tensor.ToBFloat16(float64(v))
		if tensor.BFloat16(bits[i]) != v && v == v {
			return tensor.Tensor{}, fmt.Errorf("%s: %g is no BF16", t.Name, v)
		}
	}
	return tensor.OfBits(t.Name, tensor.BF16, t.Shape, bits), nil
}
