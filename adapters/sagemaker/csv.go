package sagemaker

import (
	"bytes"
	"mime"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"godwit.dev/adapters/oip"
	"godwit.dev/runtime/codec"
	"godwit.dev/runtime/driver"
	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/infer"
	"godwit.dev/runtime/tensor"
)

const csvType = "text/csv"

// typeOf is a content type's name in lower case.
func typeOf(given string) string {
	name, _, _ := strings.Cut(given, ";")
	return strings.ToLower(strings.TrimSpace(name))
}

// paramsOf are the parameters of a content type; of one that is none, none that
// is known.
func paramsOf(given string) map[string]string {
	_, params, err := mime.ParseMediaType(given)
	if err != nil {
		params = map[string]string{given: ""}
	}
	return params
}

// rows reports whether tensors can be written as rows of numbers.
func rows(tensors []driver.TensorInfo) bool {
	return len(tensors) == 1 && len(tensors[0].Shape) == 2 && numeric(tensors[0].Type)
}

func numeric(t tensor.DType) bool { return t.Valid() && t != tensor.Bool && t != tensor.Bytes }

// csvForm is the form of requests for a model as rows, whose answers are in the
// first type that the caller accepts: rows, a line of JSON for each row, or else
// the protocol's.
func csvForm(api *oip.Server, h http.Header, model, version string) *oip.Form {
	accept, _, _ := strings.Cut(h.Get("Accept"), ",")
	accept = typeOf(accept)
	return &oip.Form{
		Decode: func(body []byte) (*infer.Request, error) {
			skip := false
			for name, value := range paramsOf(h.Get("Content-Type")) {
				switch {
				case name == "header" && (value == "present" || value == "absent"):
					skip = value == "present"
				case name == "charset" && strings.EqualFold(value, "utf-8"), name == "label_size" && value == "0":
				default:
					return nil, fault.New(fault.UnsupportedMedia, "sagemaker.Invoke", "Content-Type", "want text/csv with header, charset=utf-8 and label_size=0 at most, got %q", name+"="+value)
				}
			}
			sig, err := api.Signature(model, version)
			if err != nil {
				return nil, err
			}
			if !rows(sig.Inputs) {
				return nil, fault.New(fault.UnsupportedMedia, "sagemaker.Invoke", "Content-Type", "want application/json or %s for a model that takes more than rows of numbers, got text/csv", BinaryType)
			}
			if skip {
				_, body, _ = bytes.Cut(body, []byte("\n"))
			}
			limits := api.Options().Limits
			req, err := decodeCSV(body, &sig.Inputs[0], limits)
			if err != nil {
				return nil, err
			}
			req.Model, req.Version = model, version
			return req, nil
		},
		Encode: func(dst []byte, req *infer.Request, resp *infer.Response) ([]byte, string, error) {
			from, o := len(dst), api.Options()
			encode := &codec.EncodeOptions{NaN: o.NaN, Limits: o.Limits}
			if accept == linesType {
				body, err := encodeLines(dst, req, resp, encode)
				return body, linesType, err
			}
			body, _, err := codec.EncodeResponse(dst, req, resp, encode)
			if err != nil || accept != csvType {
				return body, "application/json", err
			}
			if out := resp.Outputs; len(out) != 1 || len(out[0].Shape) > 2 || !numeric(out[0].Type) {
				return body, "", fault.New(fault.Unprocessable, "sagemaker.Invoke", "Accept", "want application/json for answers that are not one output of rows of numbers, got text/csv")
			}
			return encodeCSV(body, from, resp.Outputs[0].Shape), csvType, nil
		},
	}
}

// decodeCSV reads rows of numbers as JSON has them, all of equal length: in is
// the input that they are for. Quotes, empty fields and empty lines are refused.
// The last line may do without its end.
func decodeCSV(body []byte, in *driver.TensorInfo, limits *codec.Limits) (*infer.Request, error) {
	lines, columns := 0, 0
	// The protocol's JSON with the same numbers, so that they are read, checked
	// and rounded by the one decoder there is.
	data := make([]byte, 0, len(body)+1)
	for len(body) > 0 {
		line, rest, _ := bytes.Cut(body, []byte("\n"))
		body = rest
		line = bytes.TrimSuffix(line, []byte("\r"))
		lines++
		n := 0
		for more := true; more; n++ {
			var field []byte
			field, line, more = bytes.Cut(line, []byte(","))
			field = bytes.Trim(field, " \t")
			if !isNumber(field) {
				return nil, fault.New(fault.Invalid, "sagemaker.DecodeCSV", "request body", "line %d, column %d: want a number, got %q", lines, n+1, clip(field)).
					WithHint("Send rows of numbers without a header line and without quotes.")
			}
			data = append(append(data, field...), ',')
		}
		if columns == 0 {
			columns = n
		}
		if n != columns {
			return nil, fault.New(fault.Invalid, "sagemaker.DecodeCSV", "request body", "line %d: want %d columns as in line 1, got %d", lines, columns, n)
		}
	}
	if lines == 0 {
		return nil, fault.New(fault.Invalid, "sagemaker.DecodeCSV", "request body", "want rows of numbers, got nothing")
	}
	doc := append(make([]byte, 0, len(data)+len(in.Name)+96), `{"inputs":[{"name":"x","datatype":"`...)
	doc = append(append(doc, in.Type.String()...), `","shape":[`...)
	doc = append(strconv.AppendInt(doc, int64(lines), 10), ',')
	doc = append(strconv.AppendInt(doc, int64(columns), 10), `],"data":[`...)
	doc = append(append(doc, data[:len(data)-1]...), `]}]}`...)
	roomy := *limits
	roomy.Body = max(roomy.Body, int64(len(doc))) // the body was within the limit
	req, err := codec.DecodeRequest(doc, -1, &roomy)
	if err != nil {
		return nil, err
	}
	req.Inputs[0].Name = in.Name // which may be anything
	return req, nil
}

// isNumber reports whether s is a number by JSON's grammar.
func isNumber(s []byte) bool {
	digits := func() bool {
		n := 0
		for n < len(s) && s[n]-'0' <= 9 {
			n++
		}
		s = s[n:]
		return n > 0
	}
	s = bytes.TrimPrefix(s, []byte("-"))
	if bytes.HasPrefix(s, []byte("0")) {
		s = s[1:]
	} else if !digits() {
		return false
	}
	if rest, ok := bytes.CutPrefix(s, []byte(".")); ok {
		if s = rest; !digits() {
			return false
		}
	}
	if len(s) > 0 && s[0]|0x20 == 'e' {
		if s = s[1:]; len(s) > 0 && (s[0] == '+' || s[0] == '-') {
			s = s[1:]
		}
		if !digits() {
			return false
		}
	}
	return len(s) == 0
}

// encodeCSV makes rows of the protocol's JSON in body from from on, which has
// one output of numbers, all flat: what is in no name is between these marks.
func encodeCSV(body []byte, from int, shape []int64) []byte {
	const begin, end = `"data":[`, `]}]}`
	at := from + bytes.LastIndex(body[from:], []byte(begin)) + len(begin)
	values := body[at : len(body)-len(end)]
	columns := 1
	if len(shape) == 2 {
		columns = int(shape[1])
	}
	for i, n := 0, 0; i < len(values); i++ {
		if values[i] == ',' {
			if n++; n%max(columns, 1) == 0 {
				values[i] = '\n'
			}
		}
	}
	if len(values) > 0 {
		values = append(values, '\n')
	}
	return slices.Delete(body[:at+len(values)], from, at)
}

func clip(b []byte) []byte { return b[:min(len(b), 64)] }
