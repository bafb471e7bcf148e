package codec

import (
	"bytes"

	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/infer"
	"godwit.dev/runtime/tensor"
)

// The parameters that say how tensors travel.
const (
	paramSize   = "binary_data_size"   // of a tensor: its bytes follow the JSON
	paramBinary = "binary_data"        // of a requested output
	paramOutput = "binary_data_output" // of a request: the default of the above
)

// unsupported are parameters that would change what an answer means. Ignoring
// them would give wrong answers silently.
var unsupported = [...]string{"classification", "shared_memory_region", "shared_memory_byte_size", "shared_memory_offset"}

// paramsFactor times Limits.Params is how many parameters a message may have.
const paramsFactor = 4

// parameters reads a flat object of parameters, or null. A tensor's
// binary_data_size goes into size, which is nil for all but tensors. A
// parameter that is null counts as absent.
func (d *decoder) parameters(size *int) (infer.Params, error) {
	if d.word("null") {
		return nil, nil
	}
	o, err := d.enterObject(`an object as "parameters"`)
	if err != nil {
		return nil, err
	}
	var params infer.Params
	for {
		key, ok, err := d.nextKey(&o)
		if err != nil || !ok {
			return params, err
		}
		if d.params++; d.params > paramsFactor*d.lim.Params {
			return nil, d.fail(fault.Invalid, "want at most %d parameters in all, got more", paramsFactor*d.lim.Params)
		}
		if d.word("null") {
			continue
		}
		if size != nil && string(key) == paramSize {
			mant, _, found, end := scan(d.b, d.i)
			v, ok := toInteger(tensor.Int64, mant, found, d.b[d.i:max(d.i, end)])
			if end == 0 || !ok || found&negative != 0 {
				return nil, d.fail(fault.Invalid, "parameter %q: want a whole number of at least 0, got %s", paramSize, d.found())
			}
			*size, d.i = int(v), end
			continue
		}
		value, err := d.parameter(key)
		if err != nil {
			return nil, err
		}
		if err := checkParam(key, value, d.kind != ""); err != nil {
			return nil, d.fail(err.Code, "%w", err.Err).WithHint("%s", err.Hint)
		}
		if string(key) == paramSize {
			continue // not of a tensor with binary data: it says nothing
		}
		if params == nil {
			params = infer.Params{}
		}
		params[string(key)] = value
	}
}

// parameter reads one parameter's value.
func (d *decoder) parameter(key []byte) (any, error) {
	switch {
	case d.at('"'):
		text, err := d.str()
		return string(text), err
	case d.word("true"):
		return true, nil
	case d.word("false"):
		return false, nil
	}
	mant, exp, found, end := scan(d.b, d.i)
	if end == 0 {
		return nil, d.fail(fault.Invalid, "parameter %s: want a string, a number, true or false, got %s", quote(key), d.found())
	}
	text := d.b[d.i:end]
	if v, ok := toInteger(tensor.Int64, mant, found, text); ok {
		d.i = end
		return int64(v), nil
	}
	if v, ok := toInteger(tensor.Uint64, mant, found, text); ok {
		d.i = end
		return v, nil
	}
	v, ok := toFloat64(mant, exp, found, text)
	if !ok {
		return nil, d.fail(fault.Invalid, "parameter %s: want a number within the range of FP64, got %s", quote(key), d.found())
	}
	d.i = end
	return v, nil
}

// checkParam refuses parameters that this codec would misunderstand; an error
// still needs its Op and Subject.
func checkParam(key []byte, value any, ofTensor bool) *fault.Error {
	for _, name := range unsupported {
		if ofTensor && string(key) == name {
			return fault.New(fault.Unsupported, "", "", "parameter %q: the extension is not offered", name)
		}
	}
	for _, name := range [...]string{paramSize, paramBinary, paramOutput} {
		if len(key) <= 2*len(name) && bytes.EqualFold(key, []byte(name)) && string(key) != name {
			return fault.New(fault.Invalid, "", "", "want the parameter %q, got %s", name, quote(key))
		}
	}
	if string(key) == paramBinary || string(key) == paramOutput {
		if _, ok := value.(bool); !ok {
			return fault.New(fault.Invalid, "", "", "parameter %q: want true or false, got %v", string(key), short(value))
		}
	}
	return nil
}

// short shows a parameter's value in an error.
func short(value any) any {
	if s, ok := value.(string); ok {
		return quote([]byte(s))
	}
	return value
}
