//go:build unix

package testmodels

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"godwit.dev/runtime/onnx"
)

// A Trap is a model folder that must never reach an engine.
type Trap struct {
	Name string
	Want string // part of the reason that must be given
	// Make fills the empty folder dir, which has an empty folder "outside"
	// beside it, and leaves the model at dir/m.onnx.
	Make func(t testing.TB, dir string)
}

// Hostile are the traps that whoever supplies a model can set: paths that lead
// out of the folder, sizes that lie, graphs that cannot end, constants that
// grow without bound, and what is no model at all. Making some of them costs a
// few megabytes; none is kept in the repository.
func Hostile() []Trap {
	var all []Trap
	bytes := func(name, want string, content func() []byte) {
		all = append(all, Trap{name, want, func(t testing.TB, dir string) { put(t, dir, "m.onnx", content()) }})
	}
	model := func(name, want string, m func() Model) {
		bytes(name, want, func() []byte { return m().Bytes() })
	}
	for _, x := range externals() {
		all = append(all, Trap{"external data: " + x.name, x.want, func(t testing.TB, dir string) {
			tree(t, dir)
			entries := x.entries
			for i := range entries {
				entries[i][1] = strings.ReplaceAll(entries[i][1], "$DIR", dir)
			}
			put(t, dir, "m.onnx", withExternal(entries...).Bytes())
		}})
	}
	all = append(all,
		Trap{"external data in a branch", `".."`, func(t testing.TB, dir string) {
			tree(t, dir)
			m := Branches()
			m.Graph.Nodes[0].Attrs[0] = Body("then_branch", Graph{Inits: []Tensor{external([2]string{"location", "../outside/canary"})},
				Outputs: []Value{V("W", onnx.Float, "N")}})
			put(t, dir, "m.onnx", m.Bytes())
		}},
		Trap{"external data of a constant", `".."`, func(t testing.TB, dir string) {
			tree(t, dir)
			m := AddSub()
			m.Graph.Nodes = append(m.Graph.Nodes, N("Constant", nil, names("c"), TensorAttr("value", external([2]string{"location", "../outside/canary"}))))
			put(t, dir, "m.onnx", m.Bytes())
		}},
		Trap{"pipe", "named pipe", func(t testing.TB, dir string) { must(t, syscall.Mkfifo(filepath.Join(dir, "m.onnx"), 0o644)) }},
		Trap{"device", "device", func(t testing.TB, dir string) { must(t, os.Symlink("/dev/zero", filepath.Join(dir, "m.onnx"))) }},
		Trap{"folder", "folder", func(t testing.TB, dir string) { must(t, os.Mkdir(filepath.Join(dir, "m.onnx"), 0o755)) }},
		Trap{"more than 2 GiB", "protobuf ends at", func(t testing.TB, dir string) {
			put(t, dir, "m.onnx", Tiny().Bytes())
			must(t, os.Truncate(filepath.Join(dir, "m.onnx"), 1<<31)) // sparse: no block is written
		}},
	)
	bytes("empty", "empty file", func() []byte { return nil })
	bytes("HTML page", "web page", func() []byte { return []byte("<!DOCTYPE html><title>404 Not Found</title>") })
	bytes("zeros", "protobuf field", func() []byte { return make([]byte, 4096) })
	bytes("ONNX Runtime's format", "own format", func() []byte { return append([]byte("\x1c\x00\x00\x00ORTM"), make([]byte, 100)...) })
	bytes("cut in the middle", "cut off", func() []byte { b := Tiny().Bytes(); return b[:len(b)/2] })

	model("newer IR", "IR version 99; ONNX Runtime reads 1 to", func() Model { m := AddSub(); m.IR = 99; return m })
	model("newer opset", "opset 99 of the ONNX operators; ONNX Runtime has 1 to", func() Model { m := AddSub(); m.Opsets = []Opset{{"", 99}}; return m })
	model("newer opset of ai.onnx.ml", "opset 99 of ai.onnx.ml; ONNX Runtime has 1 to", func() Model {
		m := AddSub()
		m.Opsets = []Opset{{"", 17}, {"ai.onnx.ml", 99}}
		return m
	})
	model("custom operator", "acme.ops.Sparkle", CustomOp)
	model("custom operator in a branch", "acme.ops.Sparkle", func() Model {
		m := Branches()
		m.Opsets = []Opset{{"", 17}, {"acme.ops", 1}}
		m.Graph.Nodes[0].Attrs[0] = Body("then_branch", Graph{Nodes: []Node{{Op: "Sparkle", Domain: "acme.ops", In: names("x"), Out: names("z")}},
			Outputs: []Value{V("z", onnx.Float, "N")}})
		return m
	})
	for name, w := range map[string]Tensor{
		"want 24 bytes":          {Elem: onnx.Float, Dims: []int64{2, 3}, Raw: make([]byte, 20)},
		"want 2 bytes":           {Elem: onnx.Bool, Dims: []int64{2}, Raw: make([]byte, 3)},
		"negative dimension":     {Elem: onnx.Float, Dims: []int64{-1}, Raw: make([]byte, 4)},
		"too many elements":      {Elem: onnx.Float, Dims: []int64{1 << 33, 1 << 33}},
		"want 3 strings":         {Elem: onnx.String, Dims: []int64{3}, Strings: names("a")},
		"element type type(99)":  {Elem: 99, Dims: []int64{1}, Raw: make([]byte, 1)},
		"both in this file":      {Elem: onnx.Float, Dims: []int64{1}, Strings: names("x"), External: [][2]string{{"location", "a"}}},
		"strings cannot be exte": {Elem: onnx.String, Dims: []int64{1}, External: [][2]string{{"location", "a"}}},
	} {
		model("tensor: "+name, name, func() Model {
			m := Identity(onnx.Float, "N")
			w.Name = "W"
			m.Graph.Inits = []Tensor{w}
			return m
		})
	}
	model("too many operators", "more than 250000 operators", func() Model { return chain(250_001) })
	model("too many initializers", "more than 200000 initializers", func() Model {
		m := AddSub()
		for i := range 200_001 {
			m.Graph.Inits = append(m.Graph.Inits, Tensor{Name: fmt.Sprint("w", i), Elem: onnx.Bool, Raw: []byte{1}})
		}
		return m
	})
	model("deep branches", "deeper than 16", func() Model { return nested(1000) })
	model("functions that double", "every function's body", func() Model { return laughs(60) })
	model("function that calls itself", "calls itself", func() Model {
		m := LocalFunction()
		m.Functions[0].Nodes = []Node{{Op: "Twice", Domain: "example", In: names("a"), Out: names("b")}}
		return m
	})
	model("cycle", "cyclic", func() Model {
		m := AddSub()
		m.Graph.Nodes = append(m.Graph.Nodes, N("Add", names("a", "p"), names("q")), N("Neg", names("q"), names("p")))
		return m
	})
	model("value that nothing makes", "nothing in it makes", func() Model {
		m := AddSub()
		m.Graph.Nodes[0].In[1] = "nowhere"
		return m
	})
	model("value made twice", "makes a value that is there already", func() Model {
		m := AddSub()
		m.Graph.Nodes = append(m.Graph.Nodes, m.Graph.Nodes[0])
		return m
	})
	model("two initializers of one name", "its name is there twice", func() Model {
		m := Tiny()
		m.Graph.Inits = append(m.Graph.Inits, m.Graph.Inits[0])
		return m
	})
	model("two inputs of one name", `two inputs are named "a"`, func() Model {
		m := AddSub()
		m.Graph.Inputs = append(m.Graph.Inputs, m.Graph.Inputs[0])
		return m
	})
	for _, b := range bombs() {
		model("bomb: "+b.name, "its constants make", func() Model { return bomb(b.inits, b.nodes...) })
	}
	return all
}

type hostileExternal struct {
	name, want string
	entries    [][2]string
}

func externals() []hostileExternal {
	at := func(location string, more ...[2]string) [][2]string {
		return append([][2]string{{"location", location}}, more...)
	}
	return []hostileExternal{
		{"absolute", "absolute", at("/etc/passwd")},
		{"absolute inside", "absolute", at("$DIR/w.bin")},
		{"parent", `".."`, at("../outside/canary")},
		{"parent on the way", `".."`, at("sub/../w.bin")},
		{"backslash", "backslash", at(`..\outside\canary`)},
		{"drive", "absolute", at("C:/secret")},
		{"NUL", "NUL", at("w.bin\x00.png")},
		{"symbolic link", "symbolic link", at("link")},
		{"linked folder", "symbolic link", at("dirlink/canary")},
		{"linked folder inside", "symbolic link", at("innerdirlink/w.bin")},
		{"hard link", "2 hard links", at("hardlink")},
		{"pipe", "named pipe", at("fifo")},
		{"folder", "folder", at("sub")},
		{"missing", "no such file", at("none.bin")},
		{"no location", "no location", [][2]string{{"offset", "0"}}},
		{"offset beyond", "the file has 100", at("w.bin", [2]string{"offset", "93"})},
		{"offset that overflows", "the file has 100", at("w.bin", [2]string{"offset", "9223372036854775807"}, [2]string{"length", "8"})},
		{"negative offset", "want a number", at("w.bin", [2]string{"offset", "-1"})},
		{"negative length", "want a number", at("w.bin", [2]string{"length", "-8"})},
		{"length that lies", "got 16", at("w.bin", [2]string{"length", "16"})},
		{"offset too large to count", "want a number", at("w.bin", [2]string{"offset", "99999999999999999999"})},
		{"unknown key", `got "basepath"`, at("w.bin", [2]string{"basepath", "/etc"})},
		{"key twice", "is there twice", at("w.bin", [2]string{"location", "/etc/passwd"})},
		{"address in memory", "address in memory", at("*/_ORT_MEM_ADDR_/*", [2]string{"offset", "140737488355328"}, [2]string{"length", "8"})},
	}
}

func external(entries ...[2]string) Tensor {
	return Tensor{Name: "W", Elem: onnx.Float, Dims: []int64{2}, External: entries}
}

func withExternal(entries ...[2]string) Model {
	m := Identity(onnx.Float, "N")
	m.Graph.Inits = []Tensor{external(entries...)}
	return m
}

// tree puts what a hostile archive may beside a model.
func tree(t testing.TB, dir string) {
	t.Helper()
	outside := filepath.Join(filepath.Dir(dir), "outside")
	must(t, os.Mkdir(filepath.Join(dir, "sub"), 0o755))
	put(t, dir, "w.bin", make([]byte, 100))
	put(t, dir, "sub/w.bin", make([]byte, 100))
	put(t, outside, "canary", make([]byte, 100))
	must(t, os.Symlink("../outside/canary", filepath.Join(dir, "link")))
	must(t, os.Symlink("../outside", filepath.Join(dir, "dirlink")))
	must(t, os.Symlink("sub", filepath.Join(dir, "innerdirlink")))
	must(t, os.Link(filepath.Join(outside, "canary"), filepath.Join(dir, "hardlink")))
	must(t, syscall.Mkfifo(filepath.Join(dir, "fifo"), 0o644))
}

func put(t testing.TB, dir, name string, content []byte) {
	t.Helper()
	must(t, os.WriteFile(filepath.Join(dir, name), content, 0o644))
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// chain is n operators one behind another.
func chain(n int) Model {
	m := Identity(onnx.Float, "N")
	m.Graph.Nodes = nil
	at := "x"
	for i := range n - 1 {
		next := fmt.Sprint("v", i)
		m.Graph.Nodes = append(m.Graph.Nodes, N("Relu", names(at), names(next)))
		at = next
	}
	m.Graph.Nodes = append(m.Graph.Nodes, N("Relu", names(at), names("y")))
	return m
}

// nested is an If in an If in an If …
func nested(depth int) Model {
	m := Branches()
	for range depth - 1 {
		body := Graph{Nodes: []Node{m.Graph.Nodes[0]}, Outputs: m.Graph.Outputs}
		m.Graph.Nodes = []Node{N("If", names("up"), names("y"), Body("then_branch", body))}
	}
	return m
}

// laughs defines functions of which each calls the next twice.
func laughs(levels int) Model {
	m := LocalFunction()
	m.Functions = nil
	for i := range levels {
		next := fmt.Sprint("F", i+1)
		calls := []Node{{Op: next, Domain: "example", In: names("a"), Out: names("b")}, {Op: next, Domain: "example", In: names("b"), Out: names("c")}}
		if i == levels-1 {
			calls = []Node{N("Neg", names("a"), names("b")), N("Neg", names("b"), names("c"))}
		}
		m.Functions = append(m.Functions, Function{Domain: "example", Name: fmt.Sprint("F", i), Inputs: names("a"), Outputs: names("c"),
			Nodes: calls, Opsets: []Opset{{"", 17}}})
	}
	m.Graph.Nodes = []Node{{Op: "F0", Domain: "example", In: names("x"), Out: names("y")}}
	return m
}

type hostileBomb struct {
	name  string
	inits []Tensor
	nodes []Node // the last one makes "huge"
}

// bombs are graphs of a few hundred bytes whose constants have terabytes.
func bombs() []hostileBomb {
	const k = 1 << 20
	square := Ints64("shape", []int64{2}, k, k)
	one := Floats32("one", []int64{1, 1}, 1)
	doubling := func(op string, more ...string) (nodes []Node) {
		at := "one"
		for i := range 40 {
			next := fmt.Sprint("d", i)
			if i == 39 {
				next = "huge"
			}
			in := append([]string{at}, more...)
			if op == "Concat" {
				in = names(at, at)
			}
			nodes = append(nodes, N(op, in, names(next), Int("axis", 0)))
			at = next
		}
		return nodes
	}
	return []hostileBomb{
		{"ConstantOfShape", []Tensor{square}, []Node{N("ConstantOfShape", names("shape"), names("huge"))}},
		{"one of 2 GiB", []Tensor{Ints64("shape", []int64{2}, 1<<20, 1<<9)}, []Node{N("ConstantOfShape", names("shape"), names("huge"))}},
		{"ConstantOfShape beyond int64", []Tensor{Ints64("shape", []int64{3}, 1<<40, 1<<40, 1<<40)}, []Node{N("ConstantOfShape", names("shape"), names("huge"))}},
		{"shape from a Constant", nil, []Node{N("Constant", nil, names("shape"), Ints("value_ints", k, k)), N("ConstantOfShape", names("shape"), names("huge"))}},
		{"shape that is computed", []Tensor{Ints64("a", []int64{2}, 1024, 1024)}, []Node{N("Mul", names("a", "a"), names("shape")), N("ConstantOfShape", names("shape"), names("huge"))}},
		{"shape of a shape", []Tensor{Ints64("a", []int64{1}, 1<<20), Ints64("axis", []int64{1}, 0)}, []Node{
			N("ConstantOfShape", names("a"), names("b")), N("Shape", names("b"), names("s")),
			N("Concat", names("s", "s"), names("shape"), Int("axis", 0)), N("ConstantOfShape", names("shape"), names("huge"))}},
		{"Expand", []Tensor{square, one}, []Node{N("Expand", names("one", "shape"), names("huge"))}},
		{"Expand of the input", []Tensor{square}, []Node{N("Expand", names("x", "shape"), names("huge"))}},
		{"Tile", []Tensor{square, one}, []Node{N("Tile", names("one", "shape"), names("huge"))}},
		{"Tile upon Tile", []Tensor{Ints64("twice", []int64{2}, 2, 1), one}, doubling("Tile", "twice")},
		{"Concat upon Concat", []Tensor{one}, doubling("Concat")},
		{"Range", []Tensor{Ints64("from", nil, 0), Ints64("to", nil, 1<<40), Ints64("step", nil, 1)}, []Node{N("Range", names("from", "to", "step"), names("huge"))}},
		{"Pad", []Tensor{Ints64("pads", []int64{4}, k, k, k, k), one}, []Node{N("Pad", names("one", "pads"), names("huge"))}},
		{"Resize to sizes", []Tensor{Ints64("sizes", []int64{2}, k, k), one}, []Node{N("Resize", names("one", "", "", "sizes"), names("huge"))}},
		{"Resize by scales", []Tensor{Floats32("scales", []int64{2}, k, k), one}, []Node{N("Resize", names("one", "", "scales"), names("huge"))}},
		{"OneHot", []Tensor{Ints64("depth", nil, 1<<40), Ints64("i", []int64{1}, 0), Floats32("v", []int64{2}, 0, 1)}, []Node{N("OneHot", names("i", "depth", "v"), names("huge"))}},
		{"outer product", []Tensor{Ints64("n", []int64{2}, k, 1), Ints64("m", []int64{2}, 1, k)}, []Node{
			N("ConstantOfShape", names("n"), names("a")), N("ConstantOfShape", names("m"), names("b")), N("MatMul", names("a", "b"), names("huge"))}},
		{"broadcast", []Tensor{Ints64("n", []int64{2}, k, 1), Ints64("m", []int64{2}, 1, k)}, []Node{
			N("ConstantOfShape", names("n"), names("a")), N("ConstantOfShape", names("m"), names("b")), N("Add", names("a", "b"), names("huge"))}},
		{"random numbers", nil, []Node{N("RandomNormal", nil, names("huge"), Ints("shape", k, k))}},
		{"many", []Tensor{Ints64("shape", []int64{1}, 200<<20)}, many()},
		{"in a branch", []Tensor{square, {Name: "up", Elem: onnx.Bool, Raw: []byte{1}}}, []Node{N("If", names("up"), names("huge"),
			Body("then_branch", Graph{Nodes: []Node{N("ConstantOfShape", names("shape"), names("z"))}, Outputs: []Value{V("z", onnx.Float, "N", "M")}}),
			Body("else_branch", Graph{Nodes: []Node{N("ConstantOfShape", names("shape"), names("w"))}, Outputs: []Value{V("w", onnx.Float, "N", "M")}}))}},
	}
}

// many makes values that are each below the limit.
func many() (nodes []Node) {
	sum := []string{}
	for i := range 10 {
		sum = append(sum, fmt.Sprint("p", i))
		nodes = append(nodes, N("ConstantOfShape", names("shape"), names(sum[i])))
	}
	return append(nodes, N("Sum", sum, names("huge")))
}

// bomb is x FP32 [N] → y FP32 [N] beside a value "huge".
func bomb(inits []Tensor, nodes ...Node) Model {
	m := Identity(onnx.Float, "N")
	m.Graph.Inits = inits
	m.Graph.Nodes = append(m.Graph.Nodes, nodes...)
	m.Graph.Outputs = append(m.Graph.Outputs, V("huge", onnx.Float, "A", "B"))
	return m
}
