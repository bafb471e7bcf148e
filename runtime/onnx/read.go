package onnx

import (
	"cmp"
	"hash/maphash"
	"io"
	"maps"
	"slices"

	"godwit.dev/runtime/fault"
)

// Read describes the model file at path, within lim (nil: the defaults). It
// does not keep the weights in memory and does not look at external data.
//
// Errors: NotFound when there is no such file; BadModel when it cannot be
// read, is not a model, is damaged, or exceeds a limit.
func Read(path string, lim *Limits) (*Model, error) {
	f, err := openRegular(path, "onnx.Read")
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, fault.New(fault.BadModel, "onnx.Read", path, "stat: %w", err)
	}
	m, err := ReadFrom(f, info.Size(), path, lim)
	if err != nil {
		return nil, err
	}
	m.own = identity(info)
	return m, nil
}

// ReadFrom is Read for a model of size bytes that is not a file by itself:
// one in memory or in an archive. name stands for it in errors and in Path; no
// folder follows from it, so that CheckExternal needs to be told one.
func ReadFrom(r io.ReaderAt, size int64, name string, lim *Limits) (*Model, error) {
	p := &parser{
		cursor: cursor{r: r, size: size, name: name},
		lim:    lim.withDefaults(),
		m:      &Model{Path: name, Format: FormatONNX, Size: size},
		texts:  map[string]string{},
		ops:    map[Op]int{},
		random: map[Op]bool{},
		types:  map[ElemType]TypeBytes{},
		calls:  map[call]int{},
		bodies: map[call]map[call]int{},
		seed:   maphash.MakeSeed(),
	}
	if err := p.sniff(); err != nil {
		return nil, err
	}
	if p.m.Format == FormatORT {
		return p.m, nil
	}
	p.model()
	p.check()
	p.expand()
	p.fold()
	if p.err != nil {
		return nil, p.err
	}
	p.finish()
	return p.m, nil
}

// A parser fills one Model.
type parser struct {
	cursor
	lim  Limits
	m    *Model
	kept int // bytes of text kept so far, against Limits.AllText

	texts  map[string]string // one copy of each operator's name and domain
	ops    map[Op]int
	random map[Op]bool
	types  map[ElemType]TypeBytes
	calls  map[call]int          // by the graph, or by the function that is being read
	bodies map[call]map[call]int // what each function calls
	edges  int
	seed   maphash.Seed // names are compared by hash: a model has millions, and they need not be kept

	graph, ir bool // which parts were seen
	doubts    []doubt
	scopes    []*scope // every graph and function; those around before those inside
}

func (p *parser) model() {
	m := p.m
	p.each(0, p.size, func(f field) {
		switch f.num {
		case 1:
			m.IRVersion, p.ir = p.integer(f, "the IR version"), true
		case 2:
			m.Producer = p.name(f, "the producer's name")
		case 3:
			m.ProducerVersion = p.name(f, "the producer's version")
		case 4:
			m.Domain = p.name(f, "the model's domain")
		case 5:
			m.Version = p.integer(f, "the model's version")
		case 6:
			m.Doc = p.text(f, "the doc string")
		case 7:
			if p.graph {
				p.fail("want one graph, got a second at byte %d", f.start).Hint = hintCorrupt
				return
			}
			p.graph = true
			p.mainGraph(f)
		case 8:
			m.Opsets = append(m.Opsets, p.opset(f))
			p.atMost(len(m.Opsets), p.lim.Entries, "opset imports")
		case 14:
			p.metadata(f)
		case 20:
			m.Training = true
		case 25:
			p.function(f)
		}
	})
}

// check refuses what has the wire format of protobuf but is not a model.
func (p *parser) check() {
	switch {
	case p.err != nil:
	case !p.ir || p.m.IRVersion < 1:
		p.fail("want an ONNX model with an IR version, got %d", p.m.IRVersion).Hint = hintCorrupt
	case !p.graph:
		p.fail("want an ONNX model with a graph, got none").Hint = hintCorrupt
	case len(p.m.Opsets) == 0 && p.m.IRVersion >= 3:
		p.fail("want at least one opset import with IR version %d, got none", p.m.IRVersion).Hint = hintCorrupt
	}
}

// finish turns what was counted into sorted lists.
func (p *parser) finish() {
	m := p.m
	if len(m.Opsets) == 0 {
		m.Opsets = []Opset{{"", 1}} // what a model older than opsets means
	}
	for _, op := range slices.SortedFunc(maps.Keys(p.ops), compareOps) {
		m.Ops = append(m.Ops, OpCount{op, p.ops[op]})
	}
	for op := range p.bodies {
		m.Functions = append(m.Functions, op.Op)
	}
	slices.SortFunc(m.Functions, compareOps)
	p.settleDoubts()
	m.Random = slices.SortedFunc(maps.Keys(p.random), compareOps)
	for _, e := range slices.Sorted(maps.Keys(p.types)) {
		m.Initializers.ByType = append(m.Initializers.ByType, p.types[e])
	}
}

func compareOps(a, b Op) int {
	return cmp.Or(cmp.Compare(a.Domain, b.Domain), cmp.Compare(a.Name, b.Name))
}

func (p *parser) opset(f field) (o Opset) {
	p.message(f, "an opset import", func(f field) {
		switch f.num {
		case 1:
			o.Domain = p.domain(f)
		case 2:
			o.Version = p.integer(f, "an opset's version")
		}
	})
	return o
}

func (p *parser) metadata(f field) {
	key, value := p.entry(f, "a metadata entry", p.text)
	if p.m.Metadata == nil {
		p.m.Metadata = map[string]string{}
	}
	p.m.Metadata[key] = value
	p.atMost(len(p.m.Metadata), p.lim.Entries, "metadata entries")
}

// entry is a StringStringEntryProto; read is p.text or p.name, for the value.
func (p *parser) entry(f field, what string, read func(field, string) string) (key, value string) {
	p.message(f, what, func(f field) {
		switch f.num {
		case 1:
			key = p.name(f, what+"'s key")
		case 2:
			value = read(f, what+"'s value")
		}
	})
	return key, value
}

// domain is an operator domain; "ai.onnx" is another name of the default one.
func (p *parser) domain(f field) string {
	d := p.intern(f, "an operator's domain")
	if d == "ai.onnx" {
		return ""
	}
	return d
}

// name is a text that is kept whole.
func (p *parser) name(f field, what string) string {
	s := string(p.bytes(f, what, p.lim.Name))
	p.keep(len(s))
	return s
}

// text is a text for people, which may be cut.
func (p *parser) text(f field, what string) string {
	s := p.cut(f, what, p.lim.Text)
	p.keep(len(s))
	return s
}

// intern is name for texts that repeat.
func (p *parser) intern(f field, what string) string {
	b := p.bytes(f, what, p.lim.Name)
	if s, ok := p.texts[string(b)]; ok {
		return s
	}
	s := string(b)
	p.keep(len(s) + 32) // a map's entry costs more than its text
	p.texts[s] = s
	return s
}

// hash stands for a name that need not be kept.
func (p *parser) hash(f field, what string) uint64 {
	return maphash.Bytes(p.seed, p.bytes(f, what, p.lim.Name))
}

func (p *parser) keep(n int) {
	if p.kept += n; p.kept > p.lim.AllText {
		p.fail("names and texts of more than %d bytes", p.lim.AllText).Hint = hintLimit
	}
}

func (p *parser) atMost(n, limit int, what string) {
	if n > limit {
		p.fail("more than %d %s", limit, what).Hint = hintLimit
	}
}
