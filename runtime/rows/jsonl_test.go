package rows_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"godwit.dev/runtime/driver"
	"godwit.dev/runtime/rows"
	"godwit.dev/runtime/tensor"
)

func TestJSONL(t *testing.T) {
	x := []driver.TensorInfo{in("x", tensor.FP32, -1, 2, 2), in("word", tensor.Bytes, -1, 1), in("n", tensor.Int64, -1)}
	good := `{"x":[1,2,3,4],"word":"w","n":5,"id":7}` + "\n"
	tests := []struct {
		name, text string
		opts       *rows.ReadOptions
		want       reading
	}{
		{"plain", good + good, nil, reading{
			Rows: []string{"1 2 3 4 w 5 id=7", "1 2 3 4 w 5 id=7"}, At: []int64{1, 2}}},
		{"other order, spaces, more keys, no end, CRLF", good + "\r\n" + ` { "n" : [6] , "more" : {"a":[1,{"b":null}]} ,"id": "k" ,"word":["é\"\n"],"x":[[1.5e1, -2],[ 3,4 ]] } ` + "\r\n" + `{"x":[1,2,3,4],"n":5,"word":"w","id":[1, {"a":2}]}`, nil, reading{
			Rows: []string{"1 2 3 4 w 5 id=7", "15 -2 3 4 é\"\n 6 id=\"k\"", "1 2 3 4 w 5 id=[1, {\"a\":2}]"}, At: []int64{1, 3, 4}}},
		{"what is missing", `{"x":[1,null,"NaN","-Infinity"],"word":null,"n":5,"id":null}` + "\n" + `{"x":[1,2,3,4],"word":"w","n":5}` + "\n" + `{"x":[1,2,3,4],"word":"w","n":null,"id":1}` + "\n" + `{"word":"w","n":1,"id":1}` + "\n", nil, reading{
			Rows: []string{"1 NaN NaN -Inf  5 id=null", "1 2 3 4 w 5 id=null"}, At: []int64{1, 2}, Bad: []rows.Bad{
				{Row: 3, Column: "n", Code: "invalid", Reason: `element 0: ` + whatInt64 + `"null"`},
				{Row: 4, Column: "x", Code: "invalid", Reason: `want a value, got no such key`}}}},
		{"what is missing is bad if told so", good + `{"x":[1,null,3,4],"word":"w","n":5,"id":null}` + "\n" + `{"x":[1,2,3,4],"word":null,"n":5,"id":1}` + "\n", &rows.ReadOptions{NoMissing: true}, reading{
			Rows: []string{"1 2 3 4 w 5 id=7"}, At: []int64{1}, Bad: []rows.Bad{
				{Row: 2, Column: "x", Code: "invalid", Reason: `element 1: ` + whatFP32 + `"null"`},
				{Row: 3, Column: "word", Code: "invalid", Reason: `element 0: want a string, got "null"`}}}},
		{"bad rows", good + `{"x":[1,2,3],"word":"w","n":5,"id":7}` + "\n" +
			`{"x":[1,2,3,4,5],"word":"w","n":5,"id":7}` + "\n" +
			`{"x":[1,2,3,"4"],"word":"w","n":5,"id":7}` + "\n" +
			`{"x":[[1,2],[3]],"word":"w","n":5,"id":7}` + "\n" +
			`{"x":[1,2,3,4],"word":"w","n":5,"id":7` + "\n" +
			`{"x":[1,2,3,4],"word":"w","n":5,"id":7}}` + "\n" +
			`[1]` + "\n" +
			`{"x":[1,2,3,4],"x":[1,2,3,4],"word":"w","n":5,"id":7}` + "\n" +
			`{"x":[1,2,3,4],"word":"w` + "\n" +
			`{"x":[1,2,3,4],"word":5,"n":5.5,"id":7}` + "\n" +
			`{"x":[1,2,3,` + "\n" + `4],"word":"w","n":5,"id":7}` + "\n" + good, nil, reading{
			Rows: []string{"1 2 3 4 w 5 id=7", "1 2 3 4 w 5 id=7"}, At: []int64{1, 14}, Bad: []rows.Bad{
				{Row: 2, Column: "x", Code: "invalid", Reason: "want 4 elements for shape [2 2], got 3"},
				{Row: 3, Column: "x", Code: "invalid", Reason: "want 4 elements for shape [2 2], got more"},
				{Row: 4, Column: "x", Code: "invalid", Reason: "element 3: " + whatFP32 + "a string"},
				{Row: 5, Column: "x", Code: "invalid", Reason: "want 2 elements in each row of shape [2 2], got 1"},
				{Row: 6, Code: "invalid", Reason: `byte 38: want "," or "}", got the end`},
				{Row: 7, Code: "invalid", Reason: `byte 39: want nothing after the closing brace, got "}"`},
				{Row: 8, Code: "invalid", Reason: `byte 0: want an object, got an array`},
				{Row: 9, Column: "x", Code: "invalid", Reason: `want each key once, got it twice`},
				{Row: 10, Column: "word", Code: "invalid", Reason: `byte 24: want the end of a string, got the end`},
				{Row: 11, Column: "word", Code: "invalid", Reason: `element 0: want a string, got "5"`},
				{Row: 12, Column: "x", Code: "invalid", Reason: `byte 12: want an element of the list, got the end`},
				{Row: 13, Code: "invalid", Reason: `byte 0: want an object, got "4"`}}}},
		{"a long line", good + `{"word":"` + strings.Repeat("w", 100) + `"}` + "\n" + good, &rows.ReadOptions{MaxRow: 64}, reading{
			Rows: []string{"1 2 3 4 w 5 id=7", "1 2 3 4 w 5 id=7"}, At: []int64{1, 3}, Bad: []rows.Bad{
				{Row: 2, Code: "too_large", Reason: "want a line of at most 64 bytes, got a longer one"}}}},
	}
	for _, tt := range tests {
		for _, partBytes := range []int64{1 << 20, 1, 60} {
			t.Run(fmt.Sprintf("%s/%d", tt.name, partBytes), func(t *testing.T) {
				f := jsonlOf(tt.text)
				p := plan(t, f, &rows.PlanOptions{Pass: []string{"id"}}, x...)
				got, _ := readAll(t, f, p, partBytes, 3, tt.opts)
				offsets(tt.text, &tt.want)
				if diff := cmp.Diff(tt.want, got); diff != "" {
					t.Errorf("(-want +got):\n%s", diff)
				}
			})
		}
	}
}

// One column may fill an input and pass through, and columns may be elements.
func TestJSONLColumns(t *testing.T) {
	f := jsonlOf(`{"a":1,"b":2,"c":[3]}` + "\n" + `{"c":6,"b":5.5,"a":4}` + "\n")
	p := plan(t, f, &rows.PlanOptions{Columns: map[string]string{"a": "x", "b": "x", "c": "y"}, Pass: []string{"b", "a"}},
		in("x", tensor.FP64, -1, 2), in("y", tensor.FP16, 1, 1))
	got, _ := readAll(t, f, p, 1, 1, nil)
	want := reading{Rows: []string{"1 2 3 b=2 a=1", "4 5.5 6 b=5.5 a=4"}, At: []int64{1, 2}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestJSONLSchema(t *testing.T) {
	tests := []struct {
		name, text string
		want       []rows.Column
		err        string
	}{
		{"none", "\n \n", nil, ""},
		{"what rows have", `{"b":1,"a":[1,[2,3]]}` + "\nbroken\n" + `{"c":null,"a":[1,2,3]}`, []rows.Column{
			{Name: "b", Kind: rows.JSON}, {Name: "a", Kind: rows.JSON, List: true, Length: 3}, {Name: "c", Kind: rows.JSON}}, ""},
		{"lists of several lengths", `{"a":[1]}` + "\n" + `{"a":[1,2]}`, []rows.Column{{Name: "a", Kind: rows.JSON, List: true}}, ""},
		{"nothing of it is JSON Lines", "a,b\n1,2\n", nil, `rows.ReadSchema test.jsonl: line 1: byte 0: want an object, got "a"`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s, err := rows.ReadSchema(t.Context(), jsonlOf(tt.text))
			if tt.err != "" {
				if err == nil || err.Error() != tt.err {
					t.Fatalf("got error %v, want %s", err, tt.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, s.Columns); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}
