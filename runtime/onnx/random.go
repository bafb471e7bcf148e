package onnx

import "hash/maphash"

// randomOps give different answers to the same request. Dropout is random
// only in training mode, see randomness.
var randomOps = map[Op]bool{
	{"", "RandomNormal"}: true, {"", "RandomNormalLike"}: true,
	{"", "RandomUniform"}: true, {"", "RandomUniformLike"}: true,
	{"", "Multinomial"}: true, {"", "Bernoulli"}: true,
	{"com.microsoft", "Sampling"}: true,
}

// dropouts take a truth value as their third (BiasDropout: fifth) input, which
// makes them drop; without it they pass their input on.
var dropouts = map[Op]int{
	{"", "Dropout"}:                         2,
	{"com.microsoft", "BitmaskDropout"}:     2,
	{"com.microsoft", "BiasDropout"}:        4,
	{"com.microsoft", "BitmaskBiasDropout"}: 4,
}

// A doubt is a Dropout whose training flag may be a constant that the file
// holds further on.
type doubt struct {
	op    Op
	scope *scope
	flag  uint64
}

func (p *parser) randomness(s *scope, op Op, in []uint64) {
	if randomOps[op] {
		p.random[op] = true
	}
	if i, ok := dropouts[op]; ok && len(in) > i && in[i] != p.hashOf("") {
		p.doubts = append(p.doubts, doubt{op, s, in[i]})
	}
}

// settleDoubts counts a Dropout as random unless its flag is a constant false.
func (p *parser) settleDoubts() {
	for _, d := range p.doubts {
		on, known := true, false
		for s := d.scope; s != nil && !known; s = s.outer {
			on, known = s.flags[d.flag], s.has(d.flag)
		}
		if on || !known {
			p.random[d.op] = true
		}
	}
}

func (s *scope) has(flag uint64) bool {
	_, ok := s.flags[flag]
	return ok
}

func (p *parser) hashOf(name string) uint64 { return maphash.String(p.seed, name) }
