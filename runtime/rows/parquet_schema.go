package rows

import (
	"fmt"
	"strings"
)

// pqForm is what the values of a leaf are to us.
type pqForm uint8

const (
	pqNone pqForm = iota // what we do not read; the leaf's reason says why
	pqBool
	pqI32
	pqU32
	pqI64
	pqU64
	pqF16
	pqF32
	pqF64
	pqText
	pqBlob
)

// width is the bytes of one value as pages have them; 0 where they differ.
func (f pqForm) width() int {
	switch f {
	case pqBool:
		return 1
	case pqF16:
		return 2
	case pqI32, pqU32, pqF32:
		return 4
	case pqI64, pqU64, pqF64:
		return 8
	}
	return 0
}

func (f pqForm) column() Kind {
	switch f {
	case pqBool:
		return Bool
	case pqI32, pqI64:
		return Int
	case pqU32, pqU64:
		return Uint
	case pqF16, pqF32:
		return Float
	case pqF64:
		return Double
	case pqText:
		return Text
	}
	return Bytes
}

// A pqLeaf is one column as Parquet stores it.
type pqLeaf struct {
	name   string // the path of its groups and its own, less what a list adds
	path   []string
	kind   int32
	length int32 // of pqFixed
	form   pqForm
	reason string // why form is pqNone
	list   bool
	// Levels: an element is there at maxDef; at repDef and above its list has a
	// slot for it; below repDef the list is empty or missing.
	maxRep, maxDef, repDef int
}

// pqMaxLeaves bounds the columns of a file.
const pqMaxLeaves = 1 << 16

// leaves walks the schema. The elements are in depth-first order, and each says
// how many children follow it.
func (m *pqMeta) leaves() ([]pqLeaf, error) {
	var all []pqLeaf
	next := 1
	type frame struct {
		path     []string
		shown    []string // path without what lists add
		rep, def int
		repDef   int
		inList   bool // the element above is a group marked as a list
		sole     bool // the element above is a list's repeated group, and this its only child
	}
	var walk func(f frame, depth int) error
	walk = func(f frame, depth int) error {
		if next >= len(m.elements) {
			return pqInvalid("", "the schema ends early: %d elements, and more are announced", len(m.elements))
		}
		if depth > 32 {
			return pqInvalid("", "the schema nests deeper than 32")
		}
		e := &m.elements[next]
		next++
		f.path = append(f.path[:len(f.path):len(f.path)], e.name)
		hidden := f.sole || f.inList && e.rep == pqRepeated
		if !hidden {
			f.shown = append(f.shown[:len(f.shown):len(f.shown)], e.name)
		}
		switch e.rep {
		case pqRequired:
		case pqOptional:
			f.def++
		case pqRepeated:
			f.rep++
			f.def++
			f.repDef = f.def
		default:
			return pqInvalid("", "element %q of the schema has the repetition %d, which is none", e.name, e.rep)
		}
		if e.kind < 0 || e.children > 0 {
			if e.kind >= 0 || e.children < 0 {
				return pqInvalid("", "element %q of the schema is of type %s and has %d children", e.name, pqTypeName(e.kind), e.children)
			}
			f.sole = f.inList && e.rep == pqRepeated && e.children == 1
			f.inList = (e.logical == pqList || e.converted == pqConvList) && e.children == 1
			for range e.children {
				if err := walk(f, depth+1); err != nil {
					return err
				}
			}
			return nil
		}
		if len(all) == pqMaxLeaves {
			return pqInvalid("", "the schema has more than %d columns", pqMaxLeaves)
		}
		leaf := pqLeaf{
			name: strings.Join(f.shown, "."), path: f.path, kind: e.kind, length: e.length,
			list: f.rep > 0, maxRep: f.rep, maxDef: f.def, repDef: f.repDef,
		}
		leaf.form, leaf.reason = e.form()
		if f.rep > 1 {
			leaf.form, leaf.reason = pqNone, "is a list of lists"
		}
		all = append(all, leaf)
		return nil
	}
	root := &m.elements[0]
	for range root.children {
		if err := walk(frame{}, 0); err != nil {
			return nil, err
		}
	}
	if next != len(m.elements) {
		return nil, pqInvalid("", "the schema has %d elements, of which %d hang together", len(m.elements), next)
	}
	return all, nil
}

// form says what the values of a leaf are, or why they are not read. Dates and
// times are the integers that they are stored as.
func (e *pqElement) form() (form pqForm, reason string) {
	if e.logical == pqDecimal || e.converted == pqConvDec {
		return pqNone, "is a decimal, which no tensor holds exactly: cast it to a double where the file is written"
	}
	unsigned := e.logical == pqInteger && !e.signed || e.converted >= pqConvUint8 && e.converted <= pqConvUint
	switch e.kind {
	case pqBoolean:
		return pqBool, ""
	case pqInt32:
		if unsigned {
			return pqU32, ""
		}
		return pqI32, ""
	case pqInt64:
		if unsigned {
			return pqU64, ""
		}
		return pqI64, ""
	case pqInt96:
		return pqNone, "is an INT96 timestamp, which Parquet has given up: write INT64 timestamps"
	case pqFloat:
		return pqF32, ""
	case pqDouble:
		return pqF64, ""
	case pqByteArray:
		switch {
		case e.logical == pqString, e.logical == pqEnum, e.logical == pqJSON,
			e.converted == pqConvUTF8, e.converted == pqConvEnum, e.converted == pqConvJSON:
			return pqText, ""
		}
		return pqBlob, ""
	case pqFixed:
		switch {
		case e.length <= 0:
			return pqNone, fmt.Sprintf("is of a fixed length of %d bytes", e.length)
		case e.logical == pqFloat16 && e.length == 2:
			return pqF16, ""
		case e.converted == pqConvTimed:
			return pqNone, "is an interval"
		}
		return pqBlob, ""
	}
	return pqNone, "is of the physical type " + pqTypeName(e.kind)
}
