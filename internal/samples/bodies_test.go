package samples_test

import (
	"testing"

	"godwit.dev/internal/samples"
	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/tensor"
)

const (
	body1 = `{"inputs": [{"name": "x", "shape": [1], "datatype": "FP32", "data": [1]}]}`
	body2 = "{\"inputs\": [{\"name\": \"x\", \"shape\": [1],\n\"datatype\": \"FP32\", \"data\": [2]}]}"
)

func TestBodies(t *testing.T) {
	both := []string{"x FP32 [1] 1", "x FP32 [1] 2"}
	tests := []sample{
		{name: "one", file: body1, want: both[:1]},
		{name: "an array", file: "\n [" + body1 + ",\n" + body2 + "]\n", want: both},
		{name: "one after the other", file: body1 + "\n" + body2 + "\n\n", want: both},
		{name: "byte order mark", file: "\xef\xbb\xbf" + body1, want: both[:1]},
		{name: "the first of an array", file: "[" + body1 + "," + body2 + "]", most: 1, want: both[:1], more: true},
		{name: "the first lines", file: body1 + "\n" + body2, most: 1, want: both[:1], more: true},
		{name: "as many as wanted", file: "[" + body1 + "," + body2 + "]", most: 2, want: both},
		{name: "as many lines as wanted", file: body1 + "\n", most: 1, want: both[:1]},
		{name: "what is wrong later is not read", file: "[" + body1 + ", 1]", most: 1, want: both[:1], more: true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.sig = signature(input("x", tensor.FP32, -1))
			for _, name := range []string{"rows.json", "rows.JSONL", "rows.ndjson"} {
				tt.run(t, write(t, name, tt.file))
			}
		})
	}
}

func TestBodiesErrors(t *testing.T) {
	tests := []struct {
		name, file string
		text, hint string
	}{
		{"empty", " \n", "want at least one request, got none", ""},
		{"empty array", "[]", "want at least one request, got none", ""},
		{"rows of numbers", "[[1, 2],\n[3, 4]]", "rows.json line 1: codec.DecodeRequest request body: byte 0: want an object, got an array", `Each request is a protocol body: {"inputs"`},
		{"a row of names", "\n\n" + `{"x": 1}`, `rows.json line 3: codec.DecodeRequest request body: want the key "inputs", got none`, ""},
		{"the second", body2 + "\n" + `{"inputs": 1}`, "rows.json line 3: codec.DecodeRequest", ""},
		{"no JSON", "x,y\n1,2", "rows.json line 1: invalid character 'x'", ""},
		{"an open array", "[" + body1 + "\n", "rows.json line 1: want the rest of a JSON value, got the end of the file", ""},
		{"an open array after a comma", "[" + body1 + ",", "rows.json line 1: want the rest of a JSON value", ""},
		{"an open body", body1[:30], "rows.json line 1: want the rest of a JSON value", ""},
		{"something after the array", "[" + body1 + "]\n]", "rows.json line 1: want nothing after the array, got more", ""},
		{"no comma", "[" + body1 + "\n" + body1 + "]", "rows.json line 2: ", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, _, err := samples.FromFile(write(t, "rows.json", tt.file), signature(input("x", tensor.FP32, -1)), 0)
			refused(t, err, fault.Invalid, tt.text, tt.hint)
		})
	}
}
