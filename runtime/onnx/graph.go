package onnx

// A scope is one graph or function while it is read. Names are hashes.
type scope struct {
	outer *scope
	depth int
	nodes []nodeEdges
	edges []uint64
	given map[uint64]bool // inputs and initializers: what no node needs to make
	flags map[uint64]bool // constants of one truth value
}

// nodeEdges are the places of one node's names in scope.edges: what it reads
// in [in, out), what it makes in [out, end).
type nodeEdges struct{ in, out, end int }

func newScope(outer *scope) *scope {
	s := &scope{outer: outer, given: map[uint64]bool{}, flags: map[uint64]bool{}}
	if outer != nil {
		s.depth = outer.depth + 1
	}
	return s
}

// mainGraph also keeps names and types of inputs and outputs.
func (p *parser) mainGraph(f field) {
	s := newScope(nil)
	var inputs []Value
	inits := map[uint64]bool{}
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
			p.graphPart(s, f, inits)
		}
	})
	for _, v := range inputs {
		h := p.hashOf(v.Name)
		s.given[h] = true
		if inits[h] {
			p.m.Defaults = append(p.m.Defaults, v.Name)
		} else {
			p.m.Inputs = append(p.m.Inputs, v)
		}
	}
	p.sorted(s, "the graph", nil)
}

// subgraph reads the body of an If, Loop or the like and returns the names
// that it takes from the graphs around it.
func (p *parser) subgraph(outer *scope, f field) []uint64 {
	s := newScope(outer)
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
				s.given[name] = true
			} else {
				outputs = append(outputs, name)
			}
			p.edge(1)
		default:
			p.graphPart(s, f, nil)
		}
	})
	free := p.sorted(s, "a subgraph", outputs)
	s.nodes, s.edges, s.given = nil, nil, nil // flags outlive it, for doubts
	return free
}

// graphPart reads the fields that all graphs have: nodes and initializers.
func (p *parser) graphPart(s *scope, f field, inits map[uint64]bool) {
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
		s.given[t.name] = true
		if inits != nil {
			inits[t.name] = true
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
			names, t := p.attribute(s, f)
			free = append(free, names...)
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
	s.nodes = append(s.nodes, n)
}

func (p *parser) edge(n int) {
	p.edges += n
	p.atMost(p.edges, p.lim.Edges, "names of operators' inputs and outputs")
}

// attribute reads what matters of an operator's attribute: its subgraphs,
// whose free names it returns, and its tensors.
func (p *parser) attribute(s *scope, f field) (free []uint64, constant tensorInfo) {
	p.message(f, "an attribute", func(f field) {
		switch f.num {
		case 5, 10: // a tensor, tensors
			constant = p.tensor(f, "an attribute's tensor", false)
		case 22, 23:
			p.sparse(f, false)
		case 6, 11: // a graph, graphs
			free = append(free, p.subgraph(s, f)...)
		}
	})
	return free, constant
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
	if stuck := stuck(waits, readers); stuck > 0 {
		p.fail("%s is cyclic: %d of its %d operators wait for each other", what, stuck, len(s.nodes)).
			Hint = "Export the model again; no runtime can run it."
	}
	return free
}

// stuck counts the nodes that never get ready.
func stuck(waits []int, readers [][]int) int {
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
	return len(waits) - len(ready)
}
