package codec

import (
	"bytes"
	"strconv"

	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/infer"
	"godwit.dev/runtime/tensor"
)

// tensorList collects the inputs of a request or the outputs of a response.
type tensorList struct {
	tensors []tensor.Tensor
	params  []infer.Params // nil, or one for each tensor
	sizes   []int          // nil, or for each tensor its bytes after the JSON, -1 for none
	piece   *piece
	dims    int // how many of its are in use
}

// piece is what most messages need, in one piece of memory.
type piece struct {
	req     infer.Request
	tensors [2]tensor.Tensor
	sizes   [2]int
	dims    [8]int64
}

// shape copies dims to where the message keeps its shapes.
func (r *piece) shape(dims []int64, used *int) []int64 {
	if from := *used; from+len(dims) <= len(r.dims) {
		*used += copy(r.dims[from:], dims)
		return r.dims[from:*used:*used]
	}
	return append(make([]int64, 0, len(dims)), dims...)
}

// tensors reads the array of a request's inputs or a response's outputs.
func (d *decoder) tensors(kind string) (l tensorList, err error) {
	want := "an array of inputs"
	if kind == "output" {
		want = "an array of outputs"
	}
	if err := d.enter('[', want); err != nil {
		return l, err
	}
	if l.piece = d.piece; l.piece == nil {
		l.piece = new(piece)
	}
	l.tensors = l.piece.tensors[:0]
	for {
		ok, err := d.nextElement(len(l.tensors) > 0)
		if err != nil || !ok {
			return l, err
		}
		if len(l.tensors) >= d.lim.Tensors {
			return l, d.fail(fault.Invalid, "want at most %d %ss, got more", d.lim.Tensors, kind)
		}
		d.kind, d.index, d.name = kind, len(l.tensors), ""
		if err := d.tensor(&l); err != nil {
			return l, err
		}
		d.kind = ""
	}
}

// tensor reads one tensor and appends it to l.
func (d *decoder) tensor(l *tensorList) error {
	var (
		t                    tensor.Tensor
		params               infer.Params
		named, shaped, typed bool
		size, later          = -1, -1 // later: where data is that came too early
		done                 bool
	)
	want := "an object for each input"
	if d.kind == "output" {
		want = "an object for each output"
	}
	o, err := d.enterObject(want)
	if err != nil {
		return err
	}
	for {
		key, ok, err := d.nextKey(&o)
		if err != nil {
			return err
		}
		if !ok {
			break
		}
		switch string(key) {
		case "name":
			t.Name, err = d.tensorName(l)
			d.name, named = t.Name, true
		case "shape":
			t.Shape, err = d.shape(l)
			shaped = true
		case "datatype":
			t.Type, err = d.datatype()
			typed = true
		case "parameters":
			params, err = d.parameters(&size)
		case "data":
			if done = named && shaped && typed; done {
				err = d.data(&t)
			} else {
				later = d.i
				err = d.skip()
			}
		default:
			if err = d.unknown(key, "name", "shape", "datatype", "parameters", "data"); err == nil {
				err = d.skip()
			}
		}
		if err != nil {
			return err
		}
	}
	switch {
	case !named:
		return d.missing("name")
	case !shaped:
		return d.missing("shape")
	case !typed:
		return d.missing("datatype")
	case size >= 0 && (done || later >= 0):
		return d.fail(fault.Invalid, `want either "data" or the parameter "binary_data_size", got both`)
	case size < 0 && !done && later < 0:
		return d.missing("data").WithHint(`Send "data", or the parameter "binary_data_size" and the bytes after the JSON.`)
	case later >= 0:
		end := d.i
		d.i = later
		if err := d.data(&t); err != nil {
			return err
		}
		d.i = end
	}
	l.add(t, params, size)
	return nil
}

func (l *tensorList) add(t tensor.Tensor, params infer.Params, size int) {
	n := len(l.tensors)
	l.tensors = append(l.tensors, t)
	if params != nil && l.params == nil {
		l.params = make([]infer.Params, n, n+1)
	}
	if l.params != nil {
		l.params = append(l.params, params)
	}
	if size >= 0 && l.sizes == nil {
		l.sizes = l.piece.sizes[:0]
		if n >= len(l.piece.sizes) {
			l.sizes = make([]int, 0, n+1)
		}
		l.sizes = l.sizes[:n]
		for i := range l.sizes {
			l.sizes[i] = -1
		}
	}
	if l.sizes != nil {
		l.sizes = append(l.sizes, size)
	}
}

func (d *decoder) missing(key string) *fault.Error {
	return d.fail(fault.Invalid, "want the key %q, got none", key)
}

// unknown refuses a key that differs only in case from one that means
// something: whoever sent it meant that one. Other keys are extensions of the
// protocol, which a server ignores.
func (d *decoder) unknown(key []byte, known ...string) error {
	for _, k := range known {
		if len(key) <= 2*len(k) && bytes.EqualFold(key, []byte(k)) {
			return d.fail(fault.Invalid, "want the key %q, got %s", k, quote(key))
		}
	}
	return nil
}

// text reads a string and copies it.
func (d *decoder) text(what string) (string, error) {
	if !d.at('"') {
		return "", d.syntax("a string as " + strconv.Quote(what))
	}
	text, err := d.str()
	return string(text), err
}

// tensorName reads a name, which no other tensor of l has.
func (d *decoder) tensorName(l *tensorList) (string, error) {
	name, err := d.text("name")
	if err != nil {
		return "", err
	}
	if name == "" {
		return "", d.fail(fault.Invalid, "want a name, got an empty one")
	}
	for i := range l.tensors {
		if l.tensors[i].Name == name {
			d.name = name
			return "", d.fail(fault.Invalid, "want unique names, got this one twice")
		}
	}
	return name, nil
}

func (d *decoder) datatype() (tensor.DType, error) {
	if !d.at('"') {
		return tensor.None, d.syntax(`a string as "datatype"`)
	}
	text, err := d.str()
	if err != nil {
		return tensor.None, err
	}
	return d.dtype(text)
}

// dtype is the type with the name text.
func (d *decoder) dtype(text []byte) (tensor.DType, error) {
	if t, ok := tensor.ParseDType(string(text)); ok {
		return t, nil
	}
	names := ""
	for i, t := range tensor.DTypes() {
		if i > 0 {
			names += ", "
		}
		names += t.String()
	}
	err := d.fail(fault.Invalid, "want a datatype among %s, got %s", names, quote(text))
	if near := nearestDType(text); near != "" {
		err.WithHint("Did you mean %q?", near)
	}
	return tensor.None, err
}

// shape reads an array of dimensions.
func (d *decoder) shape(l *tensorList) ([]int64, error) {
	if err := d.enter('[', `an array as "shape"`); err != nil {
		return nil, err
	}
	var buf [16]int64
	dims := buf[:0]
	for {
		ok, err := d.nextElement(len(dims) > 0)
		if err != nil {
			return nil, err
		}
		if !ok {
			return l.piece.shape(dims, &l.dims), nil
		}
		if len(dims) >= d.lim.Rank {
			return nil, d.fail(fault.Invalid, "want a shape of at most %d dimensions, got more", d.lim.Rank)
		}
		mant, _, found, end := scan(d.b, d.i)
		var v uint64
		if ok = end > 0 && found&negative == 0; ok {
			v, ok = toInteger(tensor.Int64, mant, found, d.b[d.i:end])
		}
		if !ok {
			err := d.fail(fault.Invalid, "shape[%d]: want a whole number of at least 0, got %s", len(dims), d.found())
			if found&negative != 0 {
				err.WithHint("-1 stands for a variable dimension in a model's metadata; a request gives the dimension of its data.")
			}
			return nil, err
		}
		dims = append(dims, int64(v))
		d.i = end
	}
}
