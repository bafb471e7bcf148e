package codec_test

import (
	"strconv"
	"strings"
	"testing"

	"godwit.dev/runtime/codec"
	"godwit.dev/runtime/fault"
)

// one is a request with one input whose members after the name are rest.
func one(rest string) string { return `{"inputs":[{"name":"x",` + rest + `}]}` }

// data is a request with one input of the given type, shape and data.
func data(datatype, shape, values string) string {
	return one(`"datatype":"` + datatype + `","shape":` + shape + `,"data":` + values)
}

func TestDecodeRequestRefuses(t *testing.T) {
	ok := `{"name":"x","datatype":"FP32","shape":[1],"data":[1]}`
	tests := []struct {
		name string
		body string
		code fault.Code
		want []string
	}{
		// The document.
		{"empty", "", fault.Invalid, []string{"request body: byte 0: want an object, got the end"}},
		{"null", "null", fault.Invalid, []string{`byte 0: want an object, got "null"`}},
		{"array", "[]", fault.Invalid, []string{"want an object, got an array"}},
		{"byte order mark", "\xef\xbb\xbf{}", fault.Invalid, []string{`byte 0: want an object`}},
		{"cut short", `{"inputs":[` + ok, fault.Invalid, []string{`got the end`}},
		{"trailing text", `{"inputs":[` + ok + `]} trailing`, fault.Invalid, []string{`want nothing after the closing brace, got "trailing"`}},
		{"second document", `{"inputs":[` + ok + `]}{}`, fault.Invalid, []string{"want nothing after", "got an object"}},
		{"trailing NUL", `{"inputs":[` + ok + "]}\x00", fault.Invalid, []string{`got "\x00"`}},
		{"comma at the end", `{"inputs":[` + ok + `],}`, fault.Invalid, []string{`want a key in double quotes, got "}"`}},
		{"comma at the end of an array", `{"inputs":[` + ok + `,]}`, fault.Invalid, []string{`want a value, got "]"`}},
		{"two commas", `{"inputs":[` + ok + `,,` + ok + `]}`, fault.Invalid, []string{`inputs[1]: byte`, `got ","`}},
		{"no colon", `{"inputs" []}`, fault.Invalid, []string{`want ":", got an array`}},
		{"bare key", `{inputs:[]}`, fault.Invalid, []string{`want a key in double quotes, got "inputs"`}},
		{"single quotes", `{'inputs':[]}`, fault.Invalid, []string{`want a key in double quotes`}},
		{"comment", `{"inputs":[] /* none */}`, fault.Invalid, []string{`want "," or "}"`}},
		{"vertical tab as space", "{\v\"inputs\":[]}", fault.Invalid, []string{`byte 1`}},
		{"control character", "{\"inputs\":[],\"id\":\"a\nb\"}", fault.Invalid, []string{"control characters escaped"}},
		{"control character after an escape", "{\"inputs\":[],\"id\":\"\\t\x01\"}", fault.Invalid, []string{"control characters escaped"}},
		{"unknown escape", `{"inputs":[],"id":"\x41"}`, fault.Invalid, []string{"want a valid escape"}},
		{"short escape", `{"inputs":[],"id":"\u12"}`, fault.Invalid, []string{"want a valid escape"}},
		{"no escape at the end", `{"inputs":[],"id":"\`, fault.Invalid, []string{"want the end of a string"}},
		{"open string", `{"inputs":[],"id":"abc`, fault.Invalid, []string{"want the end of a string, got the end"}},
		{"lone high surrogate", `{"inputs":[],"id":"\ud83e"}`, fault.Invalid, []string{"want a valid escape"}},
		{"lone low surrogate", `{"inputs":[],"id":"\udd86x"}`, fault.Invalid, []string{"want a valid escape"}},
		{"swapped surrogates", `{"inputs":[],"id":"\udd86\ud83e"}`, fault.Invalid, []string{"want a valid escape"}},
		{"high surrogate and text", `{"inputs":[],"id":"\ud83e\u0041"}`, fault.Invalid, []string{"want a valid escape"}},
		{"id not UTF-8", "{\"inputs\":[],\"id\":\"a\xff\"}", fault.Invalid, []string{`want a string in UTF-8, got "a\xff"`}},
		{"not UTF-8, then text", "{\"inputs\":[],\"id\":\"\xffa\"}", fault.Invalid, []string{`want a string in UTF-8`}},
		{"not UTF-8 beside an escape", "{\"inputs\":[],\"id\":\"\\n\xff\"}", fault.Invalid, []string{`want a string in UTF-8`}},
		{"key not UTF-8", "{\"inputs\":[],\"\xff\":1}", fault.Invalid, []string{"UTF-8"}},
		{"skipped string not UTF-8", "{\"inputs\":[],\"x\":[\"\xc0\x80\"]}", fault.Invalid, []string{"UTF-8"}},
		{"skipped value malformed", `{"inputs":[],"x":[1,{"a":tru}]}`, fault.Invalid, []string{`want a value, got "tru"`}},
		{"skipped number malformed", `{"inputs":[],"x":01}`, fault.Invalid, []string{`want a value, got "01"`}},
		{"id not a string", `{"inputs":[],"id":7}`, fault.Invalid, []string{`want a string as "id", got "7"`}},
		{"no inputs key", `{}`, fault.Invalid, []string{`request body: want the key "inputs", got none`}},
		{"inputs null", `{"inputs":null}`, fault.Invalid, []string{`want an array of inputs, got "null"`}},
		{"inputs an object", `{"inputs":{}}`, fault.Invalid, []string{`want an array of inputs, got an object`}},
		{"input a number", `{"inputs":[1]}`, fault.Invalid, []string{`inputs[0]: byte 11: want an object for each input, got "1"`}},

		// Keys.
		{"inputs twice", `{"inputs":[],"inputs":[]}`, fault.Invalid, []string{`key "inputs" occurs twice`}},
		{"id twice", `{"id":"a","inputs":[],"id":"a"}`, fault.Invalid, []string{`key "id" occurs twice`}},
		{"shape twice", one(`"shape":[1],"datatype":"FP32","data":[1],"shape":[1]`), fault.Invalid, []string{`input "x": byte`, `key "shape" occurs twice`}},
		{"data twice, one escaped", one(`"shape":[1],"datatype":"FP32","data":[1],"d\u0061ta":[2]`), fault.Invalid, []string{`key "data" occurs twice`}},
		{"unknown key twice", `{"inputs":[],"zz":1,"zz":1}`, fault.Invalid, []string{`key "zz" occurs twice`}},
		{"key twice in a skipped object", `{"inputs":[],"zz":[{"a":1,"a":2}]}`, fault.Invalid, []string{`key "a" occurs twice`}},
		{"two cases of a key", one(`"shape":[1],"SHAPE":[1]`), fault.Invalid, []string{`keys "shape" and "SHAPE" of one object differ only in case`}},
		{"two cases of an unknown key", `{"inputs":[],"zz":1,"Zz":1}`, fault.Invalid, []string{`differ only in case`}},
		{"Kelvin sign", `{"inputs":[],"k":1,"` + "\u212a" + `":1}`, fault.Invalid, []string{`differ only in case`}},
		{"long s in shape", one(`"` + "\u017f" + `hape":[1]`), fault.Invalid, []string{`want the key "shape"`}},
		{"wrong case of inputs", `{"Inputs":[]}`, fault.Invalid, []string{`want the key "inputs", got "Inputs"`}},
		{"wrong case of data", one(`"Data":[1]`), fault.Invalid, []string{`want the key "data", got "Data"`}},
		{"wrong case of an output's name", `{"inputs":[],"outputs":[{"NAME":"y"}]}`, fault.Invalid, []string{`want the key "name", got "NAME"`}},
		{"257 unknown keys", `{"inputs":[]` + keys(257) + `}`, fault.Invalid, []string{"want at most 256 keys in one object, got more"}},

		// Depth.
		{"depth 65", `{"inputs":[],"x":` + repeat("[", 64) + repeat("]", 64) + `}`, fault.Invalid, []string{"want at most 64 nested values"}},
		{"depth 65 of objects", `{"inputs":[],"x":` + repeat(`{"a":`, 64) + "1" + repeat("}", 64) + `}`, fault.Invalid, []string{"want at most 64 nested values"}},
		{"depth 9,999 in data", one(`"datatype":"FP32","shape":[1],"data":` + repeat("[", 9998)), fault.Invalid, []string{`input "x"`}},
		{"depth 9,999 in early data", `{"inputs":[{"data":` + repeat("[", 9998), fault.Invalid, []string{"want at most 64 nested values"}},
		{"depth 9,999 in parameters", `{"parameters":{"a":` + repeat("[", 9998), fault.Invalid, []string{`parameter "a"`, "got an array"}},

		// Tensors.
		{"no name", `{"inputs":[{"shape":[1],"datatype":"FP32","data":[1]}]}`, fault.Invalid, []string{`inputs[0]: want the key "name", got none`}},
		{"no shape", one(`"datatype":"FP32","data":[1]`), fault.Invalid, []string{`input "x": want the key "shape", got none`}},
		{"no datatype", one(`"shape":[1],"data":[1]`), fault.Invalid, []string{`input "x": want the key "datatype", got none`}},
		{"no data", one(`"shape":[1],"datatype":"FP32"`), fault.Invalid, []string{`input "x": want the key "data", got none`, "binary_data_size"}},
		{"empty name", `{"inputs":[{"name":"","shape":[1],"datatype":"FP32","data":[1]}]}`, fault.Invalid, []string{`inputs[0]: want a name, got an empty one`}},
		{"name a number", `{"inputs":[{"name":1}]}`, fault.Invalid, []string{`want a string as "name", got "1"`}},
		{"same name twice", `{"inputs":[` + ok + `,` + ok + `]}`, fault.Invalid, []string{`input "x": want unique names, got this one twice`}},
		{"257 inputs", `{"inputs":[` + inputs(257) + `]}`, fault.Invalid, []string{"want at most 256 inputs, got more"}},
		{"long name", `{"inputs":[{"name":"` + repeat("n", 5000) + `","shape":[-1]}]}`, fault.Invalid, []string{"… (5000 bytes)"}},
		{"dtype unknown", data("COMPLEX64", "[1]", "[1]"), fault.Invalid, []string{`input "x": want a datatype among BOOL, UINT8,`, `got "COMPLEX64"`}},
		{"dtype of numpy", data("float32", "[1]", "[1]"), fault.Invalid, []string{`got "float32"`, `Did you mean "FP32"?`}},
		{"dtype in lower case", data("int64", "[1]", "[1]"), fault.Invalid, []string{`got "int64"`, `Did you mean "INT64"?`}},
		{"dtype misspelt", data("UNIT8", "[1]", "[1]"), fault.Invalid, []string{`Did you mean "UINT8"?`}},
		{"dtype string", data("STRING", "[1]", "[1]"), fault.Invalid, []string{`Did you mean "BYTES"?`}},
		{"dtype empty", data("", "[1]", "[1]"), fault.Invalid, []string{`want a datatype among`, `got ""`}},
		{"dtype a number", one(`"datatype":32`), fault.Invalid, []string{`want a string as "datatype", got "32"`}},
		{"shape a number", data("FP32", "1", "[1]"), fault.Invalid, []string{`want an array as "shape", got "1"`}},
		{"shape nested", data("FP32", "[[1]]", "[1]"), fault.Invalid, []string{`shape[0]: want a whole number of at least 0, got an array`}},
		{"shape negative", data("FP32", "[2,-1]", "[1]"), fault.Invalid, []string{`shape[1]: want a whole number of at least 0, got "-1"`, "-1 stands for a variable dimension"}},
		{"shape fractional", data("FP32", "[1.5]", "[1]"), fault.Invalid, []string{`shape[0]`, `got "1.5"`}},
		{"shape whole but with a fraction", data("FP32", "[1.0]", "[1]"), fault.Invalid, []string{`got "1.0"`}},
		{"shape with an exponent", data("FP32", "[1e0]", "[1]"), fault.Invalid, []string{`got "1e0"`}},
		{"shape a string", data("FP32", `["1"]`, "[1]"), fault.Invalid, []string{`shape[0]: want a whole number of at least 0, got a string`}},
		{"shape beyond int64", data("FP32", "[9223372036854775808]", "[1]"), fault.Invalid, []string{`got "9223372036854775808"`}},
		{"shape null", data("FP32", "[null]", "[1]"), fault.Invalid, []string{`got "null"`}},
		{"shape overflows", data("FP32", "[8589934592,2147483648]", "[1]"), fault.Invalid, []string{"want a shape with a countable number of elements, got [8589934592 2147483648]"}},
		{"zero hides an overflow", data("FP32", "[0,8589934592,2147483648]", "[]"), fault.Invalid, []string{"countable"}},
		{"rank 17", data("FP32", "[1"+repeat(",1", 16)+"]", "[1]"), fault.Invalid, []string{"want a shape of at most 16 dimensions"}},
		{"too many elements", data("INT8", "[67108865]", "[1]"), fault.TooLarge, []string{`input "x": want at most 67108864 elements, got shape [67108865] with 67108865`}},
		{"too many bytes", data("FP64", "[8388609]", "[1]"), fault.TooLarge, []string{`want at most 67108864 bytes, got FP64 [8388609]`}},
		{"more elements than bytes", data("FP32", "[1000000]", "[1]"), fault.Invalid, []string{`want 1000000 elements for shape [1000000], got only 6 bytes of JSON`}},

		// Data.
		{"too few", data("FP32", "[2,3]", "[1,2,3,4,5]"), fault.Invalid, []string{`input "x": want 6 elements for shape [2 3], got 5`}},
		{"too many", data("FP32", "[2]", "[1,2,3]"), fault.Invalid, []string{`want 2 elements for shape [2], got more`}},
		{"some for none", data("FP32", "[0]", "[1]"), fault.Invalid, []string{`want 0 elements for shape [0], got more`}},
		{"none for some", data("FP32", "[1]", "[]"), fault.Invalid, []string{`want 1 element for shape [1], got 0`}},
		{"two for a scalar", data("FP32", "[]", "[1,2]"), fault.Invalid, []string{`want 1 element for shape [], got more`}},
		{"array for a scalar", data("FP32", "[]", "[[1]]"), fault.Invalid, []string{`element 0`, "got an array"}},
		{"scalar for an array", data("FP32", "[1]", "1"), fault.Invalid, []string{`want an array as "data", got "1"`}},
		{"null data", data("FP32", "[1]", "null"), fault.Invalid, []string{`want an array as "data", got "null"`}},
		{"object as data", data("FP32", "[1]", `{"a":1}`), fault.Invalid, []string{`want an array as "data", got an object`}},
		{"string as data", data("BYTES", "[1]", `"a"`), fault.Invalid, []string{`want an array as "data", got a string`}},
		{"row too short", data("FP32", "[2,3]", "[[1,2,3],[4,5]]"), fault.Invalid, []string{`want 3 elements in each row of shape [2 3], got 2`}},
		{"row too long", data("FP32", "[2,2]", "[[1,2],[3,4,5]]"), fault.Invalid, []string{`want 2 elements in each row of shape [2 2], got more`}},
		{"too few rows", data("FP32", "[2,2]", "[[1,2]]"), fault.Invalid, []string{`want 2 rows in dimension 0 of shape [2 2], got 1`}},
		{"too many rows", data("FP32", "[1,2]", "[[1,2],[3,4]]"), fault.Invalid, []string{`want 1 row in dimension 0 of shape [1 2], got more`}},
		{"rows for no rows", data("FP32", "[0,2]", "[[1,2]]"), fault.Invalid, []string{`want 0 rows in dimension 0`}},
		{"nested too deep", data("FP32", "[2]", "[[1],[2]]"), fault.Invalid, []string{`element 0`, "got an array", "Nest data as deep as its shape"}},
		{"nested too little", data("FP32", "[2,1,1]", "[[1],[2]]"), fault.Invalid, []string{`element 0: want a row, as nested as shape [2 1 1], got "1"`}},
		{"flat, then nested", data("FP32", "[2,2]", "[1,2,[3,4]]"), fault.Invalid, []string{`element 2`, "got an array"}},
		{"nested, then flat", data("FP32", "[2,2]", "[[1,2],3,4]"), fault.Invalid, []string{`element 2: want a row`, `got "3"`}},
		{"no comma", data("FP32", "[2]", "[1 2]"), fault.Invalid, []string{`want "," or "]", got "2"`}},
		{"comma first", data("FP32", "[2]", "[,1,2]"), fault.Invalid, []string{`want an element of "data", got ","`}},
		{"two commas in data", data("FP32", "[2]", "[1,,2]"), fault.Invalid, []string{`want an element of "data", got ","`}},
		{"comma last", data("FP32", "[2]", "[1,]"), fault.Invalid, []string{`want an element of "data", got "]"`}},
		{"comma after the last", data("FP32", "[1]", "[1,]"), fault.Invalid, []string{`want 1 element for shape [1], got more`}},
		{"brace in data", data("FP32", "[2]", "[1}"), fault.Invalid, []string{`got "}"`}},
		{"data cut short", `{"inputs":[{"name":"x","datatype":"FP32","shape":[8],"data":[1,2,3,4,5,6,7,`, fault.Invalid, []string{`got the end`}},
		{"null element", data("FP32", "[2]", "[1,null]"), fault.Invalid, []string{`element 1`, `got "null"`, "binary tensor extension"}},
		{"NaN", data("FP32", "[2]", "[1,NaN]"), fault.Invalid, []string{`element 1: want a number within the range of FP32, got "NaN"`, "binary tensor extension"}},
		{"Infinity", data("FP64", "[1]", "[Infinity]"), fault.Invalid, []string{`got "Infinity"`, "binary tensor extension"}},
		{"-Infinity", data("FP64", "[1]", "[-Infinity]"), fault.Invalid, []string{`got "-Infinity"`, "binary tensor extension"}},
		{"NaN as a string", data("FP32", "[1]", `["NaN"]`), fault.Invalid, []string{`got a string`}},
		{"nan in an integer", data("INT32", "[1]", "[nan]"), fault.Invalid, []string{`got "nan"`}},
		{"hexadecimal", data("INT32", "[1]", "[0x10]"), fault.Invalid, []string{`want "," or "]", got "x10"`}},
		{"plus sign", data("FP32", "[1]", "[+1]"), fault.Invalid, []string{`got "+1"`}},
		{"leading zero", data("FP32", "[1]", "[01]"), fault.Invalid, []string{`got "01"`}},
		{"no digit before the point", data("FP32", "[1]", "[.5]"), fault.Invalid, []string{`got ".5"`}},
		{"no digit after the point", data("FP32", "[1]", "[5.]"), fault.Invalid, []string{`got "5."`}},
		{"no digit in the exponent", data("FP32", "[1]", "[5e+]"), fault.Invalid, []string{`got "5e+"`}},
		{"only a minus", data("FP32", "[1]", "[-]"), fault.Invalid, []string{`got "-"`}},
		{"text after a number", data("FP32", "[1]", "[1abc]"), fault.Invalid, []string{`want "," or "]", got "abc"`}},
		{"string for a number", data("FP32", "[1]", `["1"]`), fault.Invalid, []string{`element 0: want a number within the range of FP32, got a string`}},
		{"bool for a number", data("INT8", "[1]", `[true]`), fault.Invalid, []string{`got "true"`}},
		{"number for a bool", data("BOOL", "[2]", `[true,1]`), fault.Invalid, []string{`element 1: want true or false, got "1"`}},
		{"misspelt bool", data("BOOL", "[1]", `[True]`), fault.Invalid, []string{`got "True"`}},
		{"number for a string", data("BYTES", "[2]", `["a",1]`), fault.Invalid, []string{`element 1: want a string, got "1"`, "Send BYTES as JSON strings"}},
		{"null for a string", data("BYTES", "[1]", `[null]`), fault.Invalid, []string{`got "null"`}},
		{"string too long", data("BYTES", "[1]", `["`+repeat("a", 1<<20+1)+`"]`), fault.Invalid, []string{`want at most 1048576 bytes in each BYTES element, got 1048577`}},
		{"string not UTF-8", data("BYTES", "[1]", "[\"\xff\xfe\"]"), fault.Invalid, []string{`input "x"`, `want a string in UTF-8, got "\xff\xfe"`, "binary tensor extension"}},
		{"strings without a comma", data("BYTES", "[2]", `["a" "b"]`), fault.Invalid, []string{`want "," or "]", got a string`}},
		{"too few strings", data("BYTES", "[2]", `["a"]`), fault.Invalid, []string{`want 2 elements for shape [2], got 1`}},

		// Ranges.
		{"FP32", data("FP32", "[2]", "[1,1e39]"), fault.Invalid, []string{`input "x": element 1: want a number within the range of FP32, got "1e39"`}},
		{"FP64", data("FP64", "[1]", "[-1e309]"), fault.Invalid, []string{`FP64, got "-1e309"`}},
		{"FP16", data("FP16", "[1]", "[65520]"), fault.Invalid, []string{`want a number for FP16 (-65504 to 65504), got "65520"`}},
		{"BF16", data("BF16", "[1]", "[3.4e38]"), fault.Invalid, []string{`BF16, got "3.4e38"`}},
		{"INT8", data("INT8", "[2]", "[1,300]"), fault.Invalid, []string{`input "x": element 1: want a whole number for INT8 (-128 to 127), got "300"`}},
		{"INT8 low", data("INT8", "[1]", "[-129]"), fault.Invalid, []string{`got "-129"`}},
		{"INT16", data("INT16", "[1]", "[32768]"), fault.Invalid, []string{`INT16 (-32768 to 32767), got "32768"`}},
		{"INT32", data("INT32", "[1]", "[2147483648]"), fault.Invalid, []string{`INT32`, `got "2147483648"`}},
		{"INT64", data("INT64", "[1]", "[9223372036854775808]"), fault.Invalid, []string{`INT64`, `got "9223372036854775808"`}},
		{"INT64 fraction", data("INT64", "[1]", "[1.5]"), fault.Invalid, []string{`element 0: want a whole number for INT64`, `got "1.5"`}},
		{"INT64 whole with a fraction", data("INT64", "[1]", "[1.0]"), fault.Invalid, []string{`got "1.0"`}},
		{"INT64 exponent", data("INT64", "[1]", "[1e3]"), fault.Invalid, []string{`got "1e3"`}},
		{"UINT8", data("UINT8", "[1]", "[-1]"), fault.Invalid, []string{`UINT8 (0 to 255), got "-1"`}},
		{"UINT16", data("UINT16", "[1]", "[65536]"), fault.Invalid, []string{`UINT16`}},
		{"UINT32", data("UINT32", "[1]", "[4294967296]"), fault.Invalid, []string{`UINT32`}},
		{"UINT64", data("UINT64", "[1]", "[18446744073709551616]"), fault.Invalid, []string{`UINT64`, `got "18446744073709551616"`}},
		{"a million digits", data("INT64", "[1]", "["+repeat("9", 1<<20)+"]"), fault.Invalid, []string{`… (1048576 bytes)`}},
		{"in a nested row", data("INT8", "[2,2]", "[[1,2],[3,400]]"), fault.Invalid, []string{`element 3`, `got "400"`}},
		{"in early data", `{"inputs":[{"data":[1,300],"datatype":"INT8","name":"x","shape":[2]}]}`, fault.Invalid, []string{`input "x": element 1`, `got "300"`}},

		// Parameters.
		{"parameters an array", `{"inputs":[],"parameters":[]}`, fault.Invalid, []string{`want an object as "parameters", got an array`}},
		{"parameter nested", `{"inputs":[],"parameters":{"a":{}}}`, fault.Invalid, []string{`parameter "a": want a string, a number, true or false, got an object`}},
		{"parameter twice", `{"inputs":[],"parameters":{"a":1,"a":1}}`, fault.Invalid, []string{`key "a" occurs twice`}},
		{"parameter too large", `{"inputs":[],"parameters":{"a":1e999}}`, fault.Invalid, []string{`parameter "a": want a number within the range of FP64, got "1e999"`}},
		{"257 parameters", `{"inputs":[],"parameters":{"a":1` + keys(256) + `}}`, fault.Invalid, []string{"want at most 256 keys"}},
		{"a million parameters", `{"inputs":[],"parameters":{"a":1` + keys(1e6) + `}}`, fault.Invalid, []string{"want at most 256 keys"}},
		{"1025 parameters in all", `{"inputs":[` + inputs(5, `,"parameters":{"a":1`+keys(250)+`}`) + `]}`, fault.Invalid, []string{"want at most 1024 parameters in all"}},
		{"binary_data_output a string", `{"inputs":[],"parameters":{"binary_data_output":"true"}}`, fault.Invalid, []string{`parameter "binary_data_output": want true or false, got "true"`}},
		{"binary_data a number", `{"inputs":[],"outputs":[{"name":"y","parameters":{"binary_data":1}}]}`, fault.Invalid, []string{`output "y": parameter "binary_data": want true or false, got 1`}},
		{"wrong case of binary_data", `{"inputs":[],"outputs":[{"name":"y","parameters":{"Binary_Data":true}}]}`, fault.Invalid, []string{`want the parameter "binary_data", got "Binary_Data"`}},
		{"wrong case of binary_data_size", one(`"parameters":{"BINARY_DATA_SIZE":4}`), fault.Invalid, []string{`want the parameter "binary_data_size"`}},
		{"classification", `{"inputs":[],"outputs":[{"name":"y","parameters":{"classification":3}}]}`, fault.Unsupported, []string{`output "y": parameter "classification": the extension is not offered`}},
		{"shared memory", one(`"parameters":{"shared_memory_region":"a"}`), fault.Unsupported, []string{`input "x": parameter "shared_memory_region"`}},

		// Requested outputs.
		{"outputs an object", `{"inputs":[],"outputs":{}}`, fault.Invalid, []string{`want an array of outputs, got an object`}},
		{"output a string", `{"inputs":[],"outputs":["y"]}`, fault.Invalid, []string{`outputs[0]: byte`, `want an object for each output, got a string`}},
		{"output without a name", `{"inputs":[],"outputs":[{}]}`, fault.Invalid, []string{`outputs[0]: want the key "name", got none`}},
		{"output with an empty name", `{"inputs":[],"outputs":[{"name":""}]}`, fault.Invalid, []string{`outputs[0]: want a name, got an empty one`}},
		{"output twice", `{"inputs":[],"outputs":[{"name":"y"},{"name":"y"}]}`, fault.Invalid, []string{`output "y": want unique names, got this one twice`}},
		{"257 outputs", `{"inputs":[],"outputs":[` + outputs(257) + `]}`, fault.Invalid, []string{"want at most 256 outputs, got more"}},

		// Binary tensors without the header.
		{"binary without the header", one(`"datatype":"FP32","shape":[1],"parameters":{"binary_data_size":4}`), fault.Invalid, []string{`input "x": want the header Inference-Header-Content-Length`}},
		{"binary and data", one(`"datatype":"FP32","shape":[1],"data":[1],"parameters":{"binary_data_size":4}`), fault.Invalid, []string{`want either "data" or the parameter "binary_data_size", got both`}},
		{"binary_data_size negative", one(`"parameters":{"binary_data_size":-4}`), fault.Invalid, []string{`parameter "binary_data_size": want a whole number of at least 0, got "-4"`}},
		{"binary_data_size fractional", one(`"parameters":{"binary_data_size":4.0}`), fault.Invalid, []string{`got "4.0"`}},
		{"binary_data_size a string", one(`"parameters":{"binary_data_size":"4"}`), fault.Invalid, []string{`got a string`}},
		{"binary_data_size beyond int64", one(`"parameters":{"binary_data_size":9223372036854775808}`), fault.Invalid, []string{`got "9223372036854775808"`}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := codec.DecodeRequest([]byte(tt.body), -1, nil)
			checkFault(t, err, tt.code, tt.want...)
			if f := fault.Of(err); f != nil && f.Op != "codec.DecodeRequest" {
				t.Errorf("Op %q", f.Op)
			}
		})
	}
}

// keys are n more members of an object, all different.
func keys(n int) string {
	var b strings.Builder
	for i := range n {
		b.WriteString(`,"k` + strconv.Itoa(i) + `":1`)
	}
	return b.String()
}

// inputs are n inputs, all different, each with more at its end.
func inputs(n int, more ...string) string {
	all := make([]string, n)
	for i := range all {
		all[i] = `{"name":"x` + strconv.Itoa(i) + `","datatype":"INT8","shape":[],"data":1` + strings.Join(more, "") + `}`
	}
	return strings.Join(all, ",")
}

func outputs(n int) string {
	all := make([]string, n)
	for i := range all {
		all[i] = `{"name":"y` + strconv.Itoa(i) + `"}`
	}
	return strings.Join(all, ",")
}

// A limit is what is still allowed.
func TestLimitsAreInclusive(t *testing.T) {
	body := data("FP32", "[1,2]", "[[1,2]]")
	depth65 := `{"inputs":[],"x":` + repeat("[", 63) + repeat("]", 63) + `}`
	tests := []struct {
		name string
		body string
		lim  codec.Limits
		over codec.Limits
		code fault.Code
	}{
		{"body", body, codec.Limits{Body: int64(len(body))}, codec.Limits{Body: int64(len(body)) - 1}, fault.TooLarge},
		{"depth", depth65, codec.Limits{Depth: 64}, codec.Limits{Depth: 63}, fault.Invalid},
		{"rank", body, codec.Limits{Rank: 2}, codec.Limits{Rank: 1}, fault.Invalid},
		{"elements", body, codec.Limits{Elements: 2}, codec.Limits{Elements: 1}, fault.TooLarge},
		{"tensors", `{"inputs":[` + inputs(3) + `]}`, codec.Limits{Tensors: 3}, codec.Limits{Tensors: 2}, fault.Invalid},
		{"outputs", `{"inputs":[],"outputs":[` + outputs(3) + `]}`, codec.Limits{Tensors: 3}, codec.Limits{Tensors: 2}, fault.Invalid},
		{"keys", `{"inputs":[]` + keys(255) + `}`, codec.Limits{Params: 256}, codec.Limits{Params: 255}, fault.Invalid},
		{"string", data("BYTES", "[1]", `["abc"]`), codec.Limits{StringBytes: 3}, codec.Limits{StringBytes: 2}, fault.Invalid},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := codec.DecodeRequest([]byte(tt.body), -1, &tt.lim); err != nil {
				t.Errorf("at the limit: %v", err)
			}
			if _, err := codec.DecodeRequest([]byte(tt.body), -1, nil); err != nil {
				t.Errorf("under the default limits: %v", err)
			}
			_, err := codec.DecodeRequest([]byte(tt.body), -1, &tt.over)
			checkFault(t, err, tt.code)
		})
	}
}
