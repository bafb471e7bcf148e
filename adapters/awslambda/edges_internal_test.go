package awslambda

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
)

func TestDocumentsThatEndTooEarlyOrTooLate(t *testing.T) {
	for _, doc := range []string{
		"", " ", "null", "{}", " {} ", `{"a":1}`, `{ "a" : [ { } , "]" ] , "b" : -1.5e+3 }`, `{"a":true,"b":null}`, "{\n\t\"a\":\r\n0}",
	} {
		if err := members([]byte(doc), func(_, _ []byte) error { return nil }); err != nil {
			t.Errorf("%q: %v", doc, err)
		}
	}
	for _, doc := range []string{
		"{", "[", "}", "x", `"`, `{"`, `{"a`, `{"a"`, `{"a":`, `{"a": `, `{"a":}`, `{"a":1`, `{"a":1,`, `{"a":1,}`, `{"a" 1}`, `{"a":1 "b":2}`, `{"a":[}`, `{"a":[1}`,
		`{"a":]}`, `{"a":1}x`, `{"a":1}}`, `{a:1}`, `{1:1}`, `{,}`, `{"a":,}`, `{"a"::1}`, `{"a":=}`, `{"a":"`, `{"a":"\"`, `{"\x":1}`, `{"a":{`, "nul", "null x",
	} {
		if err := members([]byte(doc), func(_, _ []byte) error { return nil }); err == nil {
			t.Errorf("%q is an object", doc)
		}
		list := strings.ReplaceAll(doc, `"a":`, "")
		if list = strings.NewReplacer("{", "[", "}", "]").Replace(list); !strings.HasPrefix(list, "[") || strings.Count(list, "[") > 1 || strings.Contains(list, `"a"`) || strings.Contains(list, ":") {
			continue
		}
		n := 0
		if err := elements([]byte(list), func([]byte) error { n++; return nil }); err == nil && list != "[1]" && list != "[]" && list != "[a]" {
			t.Errorf("%q is a list of %d", list, n)
		}
	}
	for doc, want := range map[string]int{"": 0, "null": 0, "[]": 0, " [ ] ": 0, "[1]": 1, `[1,"]",[2,3]]`: 3, "[ {} , 2 ]": 2} {
		n := 0
		if err := elements([]byte(doc), func([]byte) error { n++; return nil }); err != nil || n != want {
			t.Errorf("%q: %d elements, %v, want %d", doc, n, err, want)
		}
	}
	for _, doc := range []string{"[", "[1", "[1,", "[1,]", "[1 2]", "[,]", "[]]", "[1]x", "{}", "1", `["`, "[=]"} {
		if err := elements([]byte(doc), func([]byte) error { return nil }); err == nil {
			t.Errorf("%q is a list", doc)
		}
	}
}

func TestEscapes(t *testing.T) {
	for raw, want := range map[string]string{
		`"\b\f\n\r\t\/\\\""`: "\b\f\n\r\t/\\\"", `"\u0041\u00e9\ud83d\ude00"`: "Aé😀", `"\ud83dx"`: "\ufffdx", `"\ude00"`: "\ufffd", `"\ud83d\u0041"`: "\ufffdA", `""`: "", `"\\"`: `\`, `null`: "",
	} {
		if got, err := text([]byte(raw)); err != nil || got != want {
			t.Errorf("%s is %q, %v, want %q", raw, got, err, want)
		}
	}
	for _, raw := range []string{`"\x"`, `"\u12"`, `"\u12x4"`, `"\"`, `1`, `"`, `{}`, `"\u"`} {
		if got, err := text([]byte(raw)); err == nil {
			t.Errorf("%s is %q", raw, got)
		}
	}
}

func TestMargin(t *testing.T) {
	h := New(nil, nil, nil)
	for left, want := range map[time.Duration]time.Duration{-time.Second: 0, 0: 0, time.Second: 100 * time.Millisecond, 2 * time.Second: 200 * time.Millisecond, time.Minute: 250 * time.Millisecond} {
		if got := h.margin(left); got != want {
			t.Errorf("of %v %v are kept, want %v", left, got, want)
		}
	}
	if got := New(nil, nil, &Options{Margin: time.Second}).margin(time.Minute); got != time.Second {
		t.Errorf("a margin of one's own: %v", got)
	}
}

func TestTimes(t *testing.T) {
	for in, want := range map[string]time.Time{"": {}, "x": {}, "1795341600000": time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)} {
		if got := millis(in); !got.Equal(want) || got.IsZero() != want.IsZero() {
			t.Errorf("%q: %v, want %v", in, got, want)
		}
	}
	for in, want := range map[float64]time.Time{0: {}, -1: {}, 1e12: {}, 1.5: time.Date(1970, 1, 1, 0, 0, 1, 500_000_000, time.UTC)} {
		if got := seconds(in); !got.Equal(want) || got.IsZero() != want.IsZero() {
			t.Errorf("%v: %v, want %v", in, got, want)
		}
	}
	for in, want := range map[string]int{"": 0, "-1": 0, "x": 0, "0": 0, "1": 1, "12": 12} {
		if got := number(in); got != want {
			t.Errorf("%q: %d, want %d", in, got, want)
		}
	}
	for in, want := range map[string]string{`""`: "", `"a"`: "a", `"`: `"`, "": "", `a"`: `a"`, `"a`: `"a`} {
		if got := trimQuotes(in); got != want {
			t.Errorf("%s: %s, want %s", in, got, want)
		}
	}
	for in, want := range map[string]string{"arn:aws:s3:::b": "b", "b": "b", ":": "", "": ""} {
		if got := lastOf(in, ':'); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
	for in, want := range map[string]bool{"q.fifo": true, ".fifo": false, "q": false, "fifo": false, "a:q.fifo": true, "q.fif": false} {
		if got := fifo(in); got != want {
			t.Errorf("%q: %t", in, got)
		}
	}
	for in, want := range map[string]string{"ab": "ab", "abc": "abc", "abcd": "abc", "abé": "ab", "aé": "aé", "éé": "é"} {
		if got := cut(in, 3); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

func TestPlainValues(t *testing.T) {
	image := func(value string) ([]byte, error) {
		return plainImage(map[string]json.RawMessage{"x": json.RawMessage(value)})
	}
	for value, want := range map[string]string{
		`{"S":"a"}`: `"a"`, `{"N":"1.50"}`: "1.50", `{"BOOL":true}`: "true", `{"BOOL":false}`: "false", `{"B":"AAE="}`: `"AAE="`, `{"NULL":true}`: "null", `{}`: "null",
		`{"L":[{"N":"1"},{"S":""}]}`: `[1,""]`, `{"L":[]}`: "[]", `{"M":{"a":{"N":"1"},"b":{"L":[{"M":{}}]}}}`: `{"a":1,"b":[{}]}`,
		`{"SS":["a","b"]}`: `["a","b"]`, `{"NS":["1","2"]}`: "[1,2]", `{"BS":["AAE="]}`: `["AAE="]`,
	} {
		if got, err := image(value); err != nil || string(got) != `{"x":`+want+`}` {
			t.Errorf("%s: %s, %v, want %s", value, got, err, want)
		}
	}
	deep := func(n int) string { return strings.Repeat(`{"L":[`, n) + `{"N":"1"}` + strings.Repeat("]}", n) }
	if _, err := image(deep(maxNesting)); err != nil {
		t.Errorf("%d levels: %v", maxNesting, err)
	}
	for _, value := range []string{deep(maxNesting + 1), `{"N":"x"}`, `{"L":[5]}`, `{"M":{"a":5}}`, `5`} {
		if got, err := image(value); err == nil {
			t.Errorf("%.40s…: %s", value, got)
		}
	}
}
