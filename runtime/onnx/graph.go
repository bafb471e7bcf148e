package onnx

import (
	"fmt"
	"slices"
)

// A scope is one graph or function while it is read. Names are hashes.
type scope struct {
	outer  *scope
	depth  int
	nodes  []nodeEdges
	edges  []uint64
	given  map[uint64]bool     // inputs and initializers: what no node needs to make
	inits  map[uint64]bool     // initializers alone
	flags  map[uint64]bool     // constants of one truth value
	consts map[uint64]constant // what is known of constant values; see fold.go
	order  []int               // nodes in an order in which they can run
}

// nodeEdges are the places of one node's names in scope.edges: what it reads
// in [in, out), what it makes in [out, end). rule says what it makes of
// constants, nil when that is not known.
type nodeEdges struct {
	in, out, end int
	rule         foldRule
	attrs        *foldAttrs
}

func (p *parser) newScope(outer *scope) *scope {
	s := &scope{outer: outer, given: map[uint64]bool{}, inits: map[uint64]bool{}, flags: map[uint64]bool{}, consts: map[uint64]constant{}}
	if outer != nil {
		s.depth = outer.depth + 1
	}
	p.scopes = append(p.scopes, s)
	return s
}

// give adds a name that is there without any node. Two of one kind with one
// name leave it to the runtime which of them counts.
func (p *parser) give(given map[uint64]bool, name uint64, what string) {
	if given[name] && name != p.hashOf("") && p.err == nil {
		p.fail("%s: its name is there twice", what).Hint = hintCorrupt
	}
	given[name] = true
}

// mainGraph also keeps names and types of inputs and outputs.
func (p *parser) mainGraph(f field) {
	s := p.newScope(nil)
	var inputs []Value
	p.message(f, "the graph", func(f field) {
		switch f.num {
		case 2:
			p.m.GraphName = p.name(f, "the graph's name")
		case 11:
			inputs = append(inputs, p.value(f, "an input"))
			p.atMost(len(inputs)+len(p.m.Outputs), p.lim.Values, "inputs and outputs")
		case 12:
			p.m.Outputs = append(p.m.Outputs, p.value(f, "an output"))
			p.atMost(len(inputs)+len(p.m.Outputs), p.lim.Values, "inputs and outputs")
		default:
			p.graphPart(s, f)
		}
	})
	for _, v := range inputs {
		h := p.hashOf(v.Name)
		s.given[h] = true
		if s.inits[h] {
			p.m.Defaults = append(p.m.Defaults, v.Name)
		} else {
			p.m.Inputs = append(p.m.Inputs, v)
		}
	}
	outputs := make([]uint64, len(p.m.Outputs))
	for i, v := range p.m.Outputs {
		outputs[i] = p.hashOf(v.Name)
	}
	p.closed(s, "the graph", outputs)
}

// closed is sorted for what has nothing around it: every name that is used
// must be made inside.
func (p *parser) closed(s *scope, what string, outputs []uint64) {
	if free := p.sorted(s, what, outputs); len(free) > 0 && p.err == nil {
		p.fail("%s uses %d values that nothing in it makes%s", what, len(free), p.user(s, free[0])).
			Hint = "Export the model again; no runtime can run it."
	}
}

// user tells which operator reads name, for a message.
func (p *parser) user(s *scope, name uint64) string {
	for i, n := range s.nodes {
		if slices.Contains(s.edges[n.in:n.out], name) {
			return fmt.Sprintf("; operator number %d reads one", i+1)
		}
	}
	return ""
}

// subgraph reads the body of an If, Loop or the like and returns the names
// that it takes from the graphs around it.
func (p *parser) subgraph(outer *scope, f field) []uint64 {
	s := p.newScope(outer)
	if s.depth > p.lim.Depth {
		p.fail("subgraphs nest deeper than %d", p.lim.Depth).Hint = hintLimit
		return nil
	}
	p.m.Depth = max(p.m.Depth, s.depth)
	var outputs []uint64
	p.message(f, "a subgraph", func(f field) {
		switch f.num {
		case 11, 12:
			name := p.valueName(f)
			if f.num == 11 {
				p.give(s.given, name, "a subgraph's input")
			} else {
				outputs = append(outputs, name)
			}
			p.edge(1)
		default:
			p.graphPart(s, f)
		}
	})
	return p.sorted(s, "a subgraph", outputs)
}

// graphPart reads the fields that all graphs have: nodes and initializers.
func (p *parser) graphPart(s *scope, f field) {
	switch f.num {
	case 1:
		p.node(s, f)
	case 5, 15:
		p.m.Initializers.Count++
		p.atMost(p.m.Initializers.Count, p.lim.Initializers, "initializers")
		t := tensorInfo{}
		if f.num == 5 {
			t = p.tensor(f, "an initializer", true)
		} else {
			t = p.sparse(f, true)
		}
		p.give(s.inits, t.name, "an initializer")
		s.given[t.name] = true
		if f.num == 5 {
			s.consts[t.name] = t.constant
		}
		if t.isFlag {
			s.flags[t.name] = t.flag
		}
	}
}

func (p *parser) node(s *scope, f field) {
	p.m.Nodes++
	p.atMost(p.m.Nodes, p.lim.Nodes, "operators")
	var (
		op       call
		in, out  []uint64
		free     []uint64 // what subgraphs take from here
		constant tensorInfo
		attrs    = foldAttrs{elem: Float}
		nested   bool
	)
	p.message(f, "an operator", func(f field) {
		switch f.num {
		case 1:
			in = append(in, p.hash(f, "an operator's input"))
		case 2:
			out = append(out, p.hash(f, "an operator's output"))
		case 4:
			op.Name = p.intern(f, "an operator's type")
		case 5:
			names, t, sub := p.attribute(s, f, &attrs)
			free = append(free, names...)
			nested = nested || sub
			if t.isFlag {
				constant = t
			}
		case 7:
			op.Domain = p.domain(f)
		case 8:
			op.overload = p.intern(f, "an operator's overload")
		}
	})
	if p.err != nil {
		return
	}
	if op.Name == "" {
		p.fail("an operator at byte %d has no type", f.start).Hint = hintCorrupt
		return
	}
	p.ops[op.Op]++
	p.calls[op]++
	if constant.isFlag && op.Op == (Op{"", "Constant"}) && len(out) == 1 {
		s.flags[out[0]] = constant.flag
	}
	p.randomness(s, op.Op, in)
	p.edge(len(in) + len(free) + len(out))
	n := nodeEdges{in: len(s.edges)}
	s.edges = append(append(s.edges, in...), free...)
	n.out = len(s.edges)
	s.edges = append(s.edges, out...)
	n.end = len(s.edges)
	if op.Domain == "" && !nested {
		n.rule = foldRules[op.Name]
	}
	if n.rule != nil {
		attrs.op = op.Name
		n.attrs = &attrs
	}
	s.nodes = append(s.nodes, n)
}

func (p *parser) edge(n int) {
	p.edges += n
	p.atMost(p.edges, p.lim.Edges, "names of operators' inputs and outputs")
}

// attribute reads what matters of an operator's attribute: its subgraphs,
// whose free names it returns, its tensors, and what attrs keeps.
func (p *parser) attribute(s *scope, f field, attrs *foldAttrs) (free []uint64, constant tensorInfo, nested bool) {
	var a foldAttr
	p.message(f, "an attribute", func(f field) {
		switch f.num {
		case 1, 2, 3, 7, 8:
			p.foldAttr(f, &a)
		case 5, 10: // a tensor, tensors
			constant = p.tensor(f, "an attribute's tensor", false)
			a.tensor = constant.constant
		case 22, 23:
			p.sparse(f, false)
		case 6, 11: // a graph, graphs
			nested = true
			free = append(free, p.subgraph(s, f)...)
		}
	})
	attrs.set(&a)
	return free, constant, nested
}

// sorted fails when s has a cycle, that is when some operators wait for each
// other, or makes a value twice. It returns the names that operators and
// outputs of s use and s does not make.
func (p *parser) sorted(s *scope, what string, outputs []uint64) (free []uint64) {
	if p.err != nil {
		return nil
	}
	none := p.hashOf("")
	maker := make(map[uint64]int, len(s.nodes))
	for i, n := range s.nodes {
		for _, name := range s.edges[n.out:n.end] {
			if name == none {
				continue
			}
			if _, twice := maker[name]; twice || s.given[name] {
				p.fail("%s: its operator number %d makes a value that is there already", what, i+1).Hint = hintCorrupt
				return nil
			}
			maker[name] = i
		}
	}
	seen := map[uint64]bool{none: true}
	outside := func(name uint64) {
		if !s.given[name] && !seen[name] {
			seen[name] = true
			free = append(free, name)
		}
	}
	waits := make([]int, len(s.nodes))     // inputs not made yet
	readers := make([][]int, len(s.nodes)) // who waits for a node
	for i, n := range s.nodes {
		for _, name := range s.edges[n.in:n.out] {
			if by, ok := maker[name]; ok {
				readers[by] = append(readers[by], i)
				waits[i]++
			} else {
				outside(name)
			}
		}
	}
	for _, name := range outputs {
		if _, ok := maker[name]; !ok {
			outside(name)
		}
	}
	s.order = runnable(waits, readers)
	if stuck := len(s.nodes) - len(s.order); stuck > 0 {
		p.fail("%s is cyclic: %d of its %d operators wait for each other", what, stuck, len(s.nodes)).
			Hint = "Export the model again; no runtime can run it."
	}
	return free
}

// runnable lists the nodes in an order in which they can run; those that never
// get ready are left out.
func runnable(waits []int, readers [][]int) []int {
	ready := make([]int, 0, len(waits))
	for i, w := range waits {
		if w == 0 {
			ready = append(ready, i)
		}
	}
	for next := 0; next < len(ready); next++ {
		for _, i := range readers[ready[next]] {
			if waits[i]--; waits[i] == 0 {
				ready = append(ready, i)
			}
		}
	}
	return ready
}
