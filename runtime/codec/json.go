package codec

import (
	"bytes"
	"math/bits"
	"math/rand/v2"
	"strconv"
	"unicode"
	"unicode/utf8"

	"godwit.dev/runtime/fault"
)

// decoder reads one JSON document in one pass and refuses everything that
// another parser might read differently: two keys of an object that are equal
// or differ only in case, strings that are not UTF-8, bytes after the end.
type decoder struct {
	op       string
	document string // what is read: "request body"
	b        []byte
	i        int // next byte to read
	lim      Limits
	nan      bool // read what NaNNull and NaNString write
	encoded  bool // read {"b64":"…"} for BYTES

	// The tensor or requested output that is being read, for errors; kind is
	// "" outside of them.
	kind  string // "input" or "output"
	index int
	name  string

	depth  int
	keys   keys
	seed   uint64 // of the keys' hashes
	params int    // parameters seen so far
	piece  *piece // of the request that is read
	arena  []byte
}

// keys holds the keys of every object that is open, the innermost last. The
// first few are in place: a slice of them would move the decoder to the heap.
type keys struct {
	n     int
	first [16]key
	more  []key
}

func (k *keys) at(i int) *key {
	if i < len(k.first) {
		return &k.first[i]
	}
	return &k.more[i-len(k.first)]
}

func (k *keys) push(key key) {
	if k.n < len(k.first) {
		k.first[k.n] = key
	} else {
		k.more = append(k.more[:k.n-len(k.first)], key)
	}
	k.n++
}

// key is one key of an open object. Keys that differ only in case share the hash.
type key struct {
	hash uint64
	text []byte
}

// clash is the key, from number from on, that equals text or differs from it
// only in case. When there is none, text is added.
func (k *keys) clash(from int, seed uint64, text []byte) (other []byte, ok bool) {
	hash := foldHash(seed, text)
	for i := from; i < k.n; i++ {
		if other := k.at(i); other.hash == hash && bytes.EqualFold(other.text, text) {
			return other.text, true
		}
	}
	k.push(key{hash, text})
	return nil, false
}

// object is the state of an object that is being read.
type object struct {
	keys int // how many keys of other objects are below this one's
	some bool
}

// fail is an error about what is being read.
func (d *decoder) fail(code fault.Code, format string, args ...any) *fault.Error {
	subject := d.document
	if d.kind != "" {
		subject = subjectOf(d.kind, d.index, d.name)
	}
	return fault.New(code, d.op, subject, format, args...)
}

// subjectOf names a tensor: by its place until its name is known.
func subjectOf(kind string, index int, name string) string {
	if name == "" {
		return kind + "s[" + strconv.Itoa(index) + "]"
	}
	return kind + " " + quote([]byte(name))
}

// syntax is an error about the byte at d.i.
func (d *decoder) syntax(want string) *fault.Error {
	return d.fail(fault.Invalid, "byte %d: want %s, got %s", d.i, want, d.found())
}

// found describes what stands at d.i.
func (d *decoder) found() string {
	if d.i >= len(d.b) {
		return "the end"
	}
	rest := d.b[d.i:]
	switch c := rest[0]; {
	case c == '"':
		return "a string"
	case c == '{':
		return "an object"
	case c == '[':
		return "an array"
	case wordByte(c):
		n := 1
		for n < len(rest) && wordByte(rest[n]) {
			n++
		}
		return quote(rest[:n])
	}
	_, n := utf8.DecodeRune(rest)
	return quote(rest[:n])
}

// wordByte tells whether c may stand in a number or a word such as NaN.
func wordByte(c byte) bool {
	return c-'0' <= 9 || c|0x20-'a' <= 'z'-'a' || c == '-' || c == '+' || c == '.' || c == '_'
}

func (d *decoder) space() {
	for d.i < len(d.b) && (d.b[d.i] == ' ' || d.b[d.i] == '\n' || d.b[d.i] == '\t' || d.b[d.i] == '\r') {
		d.i++
	}
}

// at tells whether the next byte is c.
func (d *decoder) at(c byte) bool { return d.i < len(d.b) && d.b[d.i] == c }

// word consumes the literal w if it stands here.
func (d *decoder) word(w string) bool {
	if len(d.b)-d.i < len(w) || string(d.b[d.i:d.i+len(w)]) != w {
		return false
	}
	d.i += len(w)
	return true
}

// enter consumes an opening bracket; leave takes back its level.
func (d *decoder) enter(open byte, want string) error {
	d.space()
	if !d.at(open) {
		return d.syntax(want)
	}
	if d.depth >= d.lim.Depth {
		return d.fail(fault.Invalid, "byte %d: want at most %d nested values, got more", d.i, d.lim.Depth)
	}
	d.depth++
	d.i++
	return nil
}

func (d *decoder) leave() {
	d.i++
	d.depth--
}

func (d *decoder) enterObject(what string) (object, error) {
	return object{keys: d.keys.n}, d.enter('{', what)
}

// nextKey moves to the value of the object's next key; ok is false after the last.
func (d *decoder) nextKey(o *object) (text []byte, ok bool, err error) {
	d.space()
	if d.at('}') {
		d.leave()
		d.keys.n = o.keys
		return nil, false, nil
	}
	if o.some {
		if !d.at(',') {
			return nil, false, d.syntax(`"," or "}"`)
		}
		d.i++
		d.space()
	}
	o.some = true
	if !d.at('"') {
		return nil, false, d.syntax("a key in double quotes")
	}
	start := d.i
	if text, err = d.str(); err != nil {
		return nil, false, err
	}
	if err := d.unique(o, text, start); err != nil {
		return nil, false, err
	}
	d.space()
	if !d.at(':') {
		return nil, false, d.syntax(`":"`)
	}
	d.i++
	d.space()
	return text, true, nil
}

// unique records a key of the object, whose keys must differ in more than case.
func (d *decoder) unique(o *object, text []byte, at int) error {
	if d.keys.n-o.keys >= d.lim.Params {
		return d.fail(fault.Invalid, "byte %d: want at most %d keys in one object, got more", at, d.lim.Params)
	}
	switch other, ok := d.keys.clash(o.keys, d.hashSeed(), text); {
	case !ok:
		return nil
	case bytes.Equal(other, text):
		return d.fail(fault.Invalid, "byte %d: key %s occurs twice in one object", at, quote(text))
	default:
		return d.fail(fault.Invalid, "byte %d: keys %s and %s of one object differ only in case", at, quote(other), quote(text))
	}
}

// hashSeed is an odd number that a caller cannot know, who could otherwise
// send keys that all share one hash and make finding duplicates slow.
func (d *decoder) hashSeed() uint64 {
	if d.seed == 0 {
		d.seed = rand.Uint64() | 1
	}
	return d.seed
}

// foldHash hashes text with each rune replaced by the least that it folds to.
func foldHash(seed uint64, text []byte) uint64 {
	h := seed
	for i := 0; i < len(text); {
		r, n := rune(text[i]), 1
		if r >= utf8.RuneSelf {
			r, n = utf8.DecodeRune(text[i:])
			for f := unicode.SimpleFold(r); ; f = unicode.SimpleFold(f) {
				if f <= r {
					r = f
					break
				}
			}
		} else if 'a' <= r && r <= 'z' {
			r -= 'a' - 'A'
		}
		h = bits.RotateLeft64((h^uint64(r))*seed, 32)
		i += n
	}
	return h
}

// nextElement moves to the array's next element; ok is false after the last.
// some says whether there was one before.
func (d *decoder) nextElement(some bool) (ok bool, err error) {
	d.space()
	if d.at(']') {
		d.leave()
		return false, nil
	}
	if some {
		if !d.at(',') {
			return false, d.syntax(`"," or "]"`)
		}
		d.i++
		d.space()
		if d.at(']') {
			return false, d.syntax("a value")
		}
	}
	return true, nil
}

// skip reads any value, and checks it, without keeping it.
func (d *decoder) skip() error {
	d.space()
	switch {
	case d.at('{'):
		o, err := d.enterObject("")
		for ok := true; err == nil && ok; {
			if _, ok, err = d.nextKey(&o); err == nil && ok {
				err = d.skip()
			}
		}
		return err
	case d.at('['):
		err := d.enter('[', "")
		some := false
		for ok := true; err == nil && ok; some = true {
			if ok, err = d.nextElement(some); err == nil && ok {
				err = d.skip()
			}
		}
		return err
	case d.at('"'):
		_, err := d.str()
		return err
	case d.word("true"), d.word("false"), d.word("null"):
		return nil
	}
	_, _, _, end := scan(d.b, d.i)
	if end == 0 {
		return d.syntax("a value")
	}
	d.i = end
	return nil
}

// end checks that nothing follows the document.
func (d *decoder) end() error {
	d.space()
	if d.i < len(d.b) {
		return d.syntax("nothing after the closing brace")
	}
	return nil
}
