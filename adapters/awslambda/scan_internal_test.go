package awslambda

import (
	"bytes"
	"encoding/json"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
)

// FuzzScan reads documents as encoding/json does: whatever that takes for an
// object has the same members here, and strings say the same.
func FuzzScan(f *testing.F) {
	for _, seed := range []string{
		`{}`, `null`, ` { "a" : 1 , "b":[{"c":"}"}], "d\u0065":"\ud83d\ude00\ud83d x\\\"" } `, `{"a":"\\"}`, `{"a":"\\\""}`, `{"a"}`, `{"a":}`, `{"a":1,}`,
		`{,}`, `{"a":1 "b":2}`, `{"a":[}]}`, `{"a":"\x"}`, `{"a":"\u12"}`, `["a",1,null]`, `{"a":tru}`, `{"a":1}x`, "{\"a\":\"\xff\"}", `{"\ud800":1}`, `{"a":--1}`, `"`, `{"`, `{"a":"`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, doc []byte) {
		ours := map[string]json.RawMessage{}
		err := members(doc, func(key, value []byte) error {
			ours[string(key)] = bytes.Clone(value)
			return nil
		})
		var theirs map[string]json.RawMessage
		if !json.Valid(doc) || json.Unmarshal(doc, &theirs) != nil || !utf8.Valid(doc) {
			return
		}
		if err != nil {
			t.Fatalf("%s: %v", doc, err)
		}
		if len(theirs) == 0 {
			theirs = map[string]json.RawMessage{}
		}
		if diff := cmp.Diff(theirs, ours); diff != "" {
			t.Fatalf("%s (-encoding/json +ours):\n%s", doc, diff)
		}
		for _, raw := range theirs {
			if raw[0] != '"' {
				continue
			}
			var want string
			if err := json.Unmarshal(raw, &want); err != nil {
				t.Fatal(err)
			}
			if got, err := text(raw); err != nil || got != want {
				t.Fatalf("%s: want %q, got %q, %v", raw, want, got, err)
			}
			var back string
			if err := json.Unmarshal(appendQuoted(nil, want), &back); err != nil || back != want {
				t.Fatalf("%q comes back as %q, %v", want, back, err)
			}
		}
		// Without what is not there, a document stays as it is.
		if got := appendWithout(nil, doc, "no such name"); !bytes.Equal(got, doc) {
			t.Fatalf("%s became %s", doc, got)
		}
		if _, ok := ours["a"]; ok && bytes.Count(doc, []byte(`"a"`)) == 1 {
			var left map[string]json.RawMessage
			if err := json.Unmarshal(appendWithout(nil, doc, "a"), &left); err != nil {
				t.Fatalf("%s without a: %v", doc, err)
			}
			delete(theirs, "a")
			if diff := cmp.Diff(len(theirs), len(left)); diff != "" {
				t.Fatalf("%s without a (-want +got):\n%s", doc, diff)
			}
		}
	})
}

func TestAppendQuoted(t *testing.T) {
	for _, tt := range []struct{ in, want string }{
		{"", `""`}, {"a\"\\\n\x00é", `"a\"\\\n\u0000é"`}, {"\xffa\xc3", "\"\ufffda\ufffd\""}, {"\ufffd", "\"\ufffd\""}, {"\x7f<&>", "\"\x7f<&>\""},
	} {
		if got := string(appendQuoted(nil, tt.in)); got != tt.want {
			t.Errorf("%q: want %s, got %s", tt.in, tt.want, got)
		}
		if got := string(appendQuoted(nil, []byte(tt.in))); got != tt.want {
			t.Errorf("%q as bytes: want %s, got %s", tt.in, tt.want, got)
		}
	}
}

func TestTraceparent(t *testing.T) {
	const root, parent = "1-5bef4de7-ad49b0e87f6ef6c87fc2e700", "9a9197af755a6419"
	for _, tt := range []struct{ in, want string }{
		{"Root=" + root + ";Parent=" + parent + ";Sampled=1", "00-5bef4de7ad49b0e87f6ef6c87fc2e700-9a9197af755a6419-01"},
		{"Root=" + root + "; Parent=" + parent + ";Sampled=0;Lineage=a:0", "00-5bef4de7ad49b0e87f6ef6c87fc2e700-9a9197af755a6419-00"},
		{"Self=1-2;Root=" + root, ""}, {"", ""}, {"Root=1-zz;Parent=" + parent, ""}, {"Root=" + root + ";Parent=zz9197af755a6419", ""},
	} {
		if got := traceparent(tt.in); got != tt.want {
			t.Errorf("%q: want %q, got %q", tt.in, tt.want, got)
		}
	}
}
