package onnx

// A call is an operator as a node names it. The overload tells apart
// functions of one name; operators that are no functions have none.
type call struct {
	Op
	overload string
}

// function reads an operator that the model defines itself.
func (p *parser) function(f field) {
	var op call
	s := p.newScope(nil)
	outer := p.calls
	p.calls = map[call]int{}
	var outputs []uint64
	p.message(f, "a function", func(f field) {
		switch f.num {
		case 1:
			op.Name = p.intern(f, "a function's name")
		case 10:
			op.Domain = p.domain(f)
		case 13:
			op.overload = p.intern(f, "a function's overload")
		case 4:
			p.give(s.given, p.hash(f, "a function's input"), "a function's input")
			p.edge(1)
		case 5:
			outputs = append(outputs, p.hash(f, "a function's output"))
			p.edge(1)
		case 7:
			p.node(s, f)
		}
	})
	p.closed(s, "function "+shorten(op.String()), outputs)
	if _, twice := p.bodies[op]; twice {
		p.fail("function %s is defined twice", shorten(op.String())).Hint = hintCorrupt
	}
	p.bodies[op] = p.calls
	p.calls = outer
	p.atMost(len(p.bodies), p.lim.Entries, "functions")
}

// expand counts the operators that are left when every call of a function is
// replaced by its body, as runtimes do when they load a model. A few functions
// that call each other twice reach billions.
func (p *parser) expand() {
	if p.err != nil {
		return
	}
	sizes := map[call]int{}
	const open = -1
	limit := p.lim.Nodes
	var size func(calls map[call]int, depth int) int
	size = func(calls map[call]int, depth int) (total int) {
		for op, n := range calls {
			one := 1
			if body, ok := p.bodies[op]; ok {
				known, done := sizes[op]
				switch {
				case known == open && done, depth > maxCalls:
					p.fail("function %s calls itself, or functions nest deeper than %d", shorten(op.String()), maxCalls).
						Hint = "Export the model again with its functions inlined."
					return 0
				case !done:
					sizes[op] = open
					known = size(body, depth+1)
					sizes[op] = known
				}
				one = known
			}
			if one > 0 && n > (limit-min(total, limit))/one {
				return limit + 1
			}
			total += n * one
		}
		return total
	}
	p.atMost(size(p.calls, 0), limit, "operators once every function's body stands where it is called")
}

// maxCalls bounds functions that call functions.
const maxCalls = 64
