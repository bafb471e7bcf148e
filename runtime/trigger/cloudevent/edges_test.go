package cloudevent_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/trigger/cloudevent"
)

func TestAnyRequiredAttributeIsAnEvent(t *testing.T) {
	for _, line := range whole {
		if got := cloudevent.ModeOf(headers(line)); got != cloudevent.Binary {
			t.Errorf("%s: mode %d, want binary", line, got)
		}
	}
}

// A header's value is unquoted and percent-decoded once; what encodes nothing
// is itself.
func TestHeaderValues(t *testing.T) {
	for value, want := range map[string]string{
		`""`: "", `"`: `"`, `"a\"`: `a\`, `"\a"`: "a", `"\\"`: `\`, `"a`: `"a`, `a"`: `a"`,
		"100%4": "100%4", "%g1": "%g1", "%1g": "%1g", "%": "%", "%%41": "%A", "%41": "A", "%7e": "~",
		"%3a": ":", "%3A": ":", "%6A": "j", "%6f": "o", "%6F": "o", "%30": "0", "%39": "9", "%a": "%a",
		"%3:": "%3:", "%3/": "%3/", "%6g": "%6g", "%6`": "%6`", "%4G": "%4G", "%4@": "%4@", "%4?": "%4?", "%c3%a9": "é", "%C3%A9": "é",
	} {
		got, err := cloudevent.Decode(with("ce-ext: "+value), nil)
		if err != nil {
			t.Errorf("%s: %v", value, err)
			continue
		}
		if got[0].Extensions["ext"] != want {
			t.Errorf("%s is %q, want %q", value, got[0].Extensions["ext"], want)
		}
	}
}

// A refusal names what is wrong, and not what only follows from it.
func TestRefusalsNameWhatIsWrong(t *testing.T) {
	const min = `"specversion":"1.0","id":"1","source":"/s","type":"t"`
	structured, batched := headers("content-type: application/cloudevents+json"), headers("content-type: application/cloudevents-batch+json")
	for _, c := range []struct {
		name   string
		header http.Header
		body   string
		code   fault.Code
		want   string // in the error
	}{
		{"no id", headers(whole[1:]...), "", fault.Invalid, `"id"`},
		{"no source", headers(whole[0], whole[2], whole[3]), "", fault.Invalid, `"source"`},
		{"no type", headers(whole[0], whole[1], whole[3]), "", fault.Invalid, `"type"`},
		{"no version", headers(whole[:3]...), "", fault.Invalid, `"specversion"`},
		{"no version, structured", structured, `{}`, fault.Invalid, `"specversion"`},
		{"a control character", with("ce-subject: a%7Fb"), "", fault.Invalid, `header "Ce-Subject"`},
		{"another one", with("ce-subject: a%C2%80b"), "", fault.Invalid, "control"},
		{"a name of an underscore", with("ce-a_: c"), "", fault.Invalid, "name"},
		{"a name of a brace", structured, `{` + min + `,"a{":"b"}`, fault.Invalid, `member "a{"`},
		{"a name of a colon", structured, `{` + min + `,"a:":"b"}`, fault.Invalid, `member "a:"`},
		{"a header without a name", with("ce-: x"), "", fault.Invalid, "name"},
		{"data among the headers", with("ce-data: x"), "", fault.Invalid, "name"},
		{"an array", structured, `[]`, fault.Invalid, "want a JSON object"},
		{"nothing", structured, ``, fault.Invalid, "want a JSON object"},
		{"no end", structured, `{` + min, fault.Invalid, "want a JSON object"},
		{"another bracket's end", structured, `{` + min + `]`, fault.Invalid, "want a JSON object"},
		{"a number as a name", structured, `{` + min + `,1:2}`, fault.Invalid, "want a JSON object"},
		{"no value", structured, `{` + min + `,"a":}`, fault.Invalid, "want a JSON object"},
		{"a name twice", structured, `{` + min + `,"a":"1","a":"1"}`, fault.Invalid, `member "a" comes twice`},
		{"a bracket behind", structured, `{` + min + `}]`, fault.Invalid, "nothing behind"},
		{"two names that are wrong, and the first is told", structured, `{` + min + `,"F":1,"E":1,"D":1,"C":1,"B":1,"A":1}`, fault.Invalid, `member "A"`},
		{"a value that is none", structured, `{` + min + `,"a":{}}`, fault.Invalid, `member "a"`},
		{"an exponent", structured, `{` + min + `,"a":1e3}`, fault.Invalid, "whole number"},
		{"a capital exponent", structured, `{` + min + `,"a":1E3}`, fault.Invalid, "whole number"},
		{"base64 of null", structured, `{` + min + `,"data_base64":null}`, fault.Invalid, "data_base64"},
		{"base64 of a number", structured, `{` + min + `,"data_base64":7}`, fault.Invalid, "want a string"},
		{"text that is a list, of a type that is none", structured, `{` + min + `,"datacontenttype":"//","data":[]}`, fault.Invalid, `"data"`},
		{"a time twice too long", with("ce-time: 2026-11-22T10:00:00ZZ"), "", fault.Invalid, "RFC 3339"},
		{"not UTF-8", structured, "{" + min + ",\"subject\":\"\xff\"}", fault.Invalid, "UTF-8"},
		{"a batch that is not UTF-8", batched, "[\"\xff\"]", fault.Invalid, "UTF-8"},
		{"two types that agree", headers("content-type: application/cloudevents+json", "content-type: application/cloudevents+json"), `{` + min + `}`, fault.UnsupportedMedia, "Content-Type"},
		{"a type with half a parameter", headers("content-type: application/cloudevents+json; charset"), `{` + min + `}`, fault.UnsupportedMedia, "Content-Type"},
		{"nothing of an event", headers("ce-other: 1"), "", fault.Invalid, "the request"},
	} {
		got, err := cloudevent.Decode(c.header, []byte(c.body))
		if err == nil || fault.CodeOf(err) != c.code || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: want %v that says %q, got %v and %v", c.name, c.code, c.want, err, got)
		}
	}
	got, err := cloudevent.Decode(batched, []byte(`[{`+min+`},{`+min+`,"a":{}}]`))
	if err != nil || got[0].Err != nil || got[1].Err == nil || !strings.Contains(got[1].Err.Error(), "event 1 of the batch") {
		t.Errorf("a batch: %v, %+v", err, got)
	}
}

func TestValuesAtTheirEdges(t *testing.T) {
	const min = `"specversion":"1.0","id":"1","source":"/s","type":"t"`
	structured := headers("content-type: application/cloudevents+json")
	for raw, want := range map[string]string{`0`: "0", `9`: "9", `-0`: "-0", `90`: "90", `1`: "1", `8`: "8", `""`: "", `"1.5"`: "1.5"} {
		got, err := cloudevent.Decode(structured, []byte(`{`+min+`,"z9":`+raw+`}`))
		if err != nil || got[0].Extensions["z9"] != want {
			t.Errorf("%s: %v, %v", raw, err, got)
		}
	}
	for _, c := range []struct {
		name, members, kind string
		data                []byte
	}{
		{"no data of another type", `,"datacontenttype":"text/plain","data":null`, "text/plain", nil},
		{"JSON by its suffix, whatever its parameters", `,"datacontenttype":"a/b+json; x","data":[1]`, "a/b+json; x", []byte("[1]")},
		{"JSON that is null", `,"data":null`, "application/json", []byte("null")},
		{"a type that is none", `,"datacontenttype":"//","data":"x"`, "//", []byte("x")},
	} {
		got, err := cloudevent.Decode(structured, []byte(`{`+min+c.members+`}`))
		if err != nil || got[0].DataContentType != c.kind || string(got[0].Data) != string(c.data) || (got[0].Data == nil) != (c.data == nil) {
			t.Errorf("%s: %v, %+v", c.name, err, got)
		}
	}
	if got, err := cloudevent.Decode(with("ce-time: "), nil); err != nil || !got[0].Time.IsZero() {
		t.Errorf("an empty time: %v, %v", err, got)
	}
	if got, err := cloudevent.Decode(with("ce-subject: a%C2%A0b"), nil); err != nil || got[0].Subject != "a\u00a0b" {
		t.Errorf("a space that does not break: %v, %v", err, got)
	}
}

// What is written is the documented bytes.
func TestEncodedBytes(t *testing.T) {
	const min = `{"id":"1","source":"/s","specversion":"1.0","type":"t"`
	event := func(kind string, data []byte) *cloudevent.Event {
		return &cloudevent.Event{ID: "1", Source: "/s", Type: "t", DataContentType: kind, Data: data}
	}
	for _, c := range []struct {
		name  string
		event *cloudevent.Event
		want  string
	}{
		{"no data", event("", nil), min + `}`},
		{"JSON without a type", event("", []byte("[1, 2]")), min + `,"data":[1, 2]}`},
		{"JSON with a type and parameters", event("application/json; x=1", []byte("[1]")), `{"datacontenttype":"application/json; x=1",` + min[1:] + `,"data":[1]}`},
		{"what says it is JSON", event("", []byte("[1")), min + `,"data_base64":"WzE="}`},
		{"JSON that is not UTF-8", event("", []byte("\"\xff\"")), min + `,"data_base64":"Iv8i"}`},
		{"another type", event("a/b+json", []byte("1")), `{"datacontenttype":"a/b+json",` + min[1:] + `,"data_base64":"MQ=="}`},
	} {
		got, err := c.event.AppendJSON([]byte("before"))
		if err != nil || string(got) != "before"+c.want {
			t.Errorf("%s: %v\n got %s\nwant before%s", c.name, err, got, c.want)
		}
	}
	h := http.Header{}
	e := cloudevent.Event{ID: "~!z", Source: "/s\"%", Type: "t \u00e9", Extensions: map[string]string{"a": "b"}}
	if err := e.WriteHeader(h); err != nil || h.Get("Ce-Id") != "~!z" || h.Get("Ce-Source") != "/s%22%25" || h.Get("Ce-Type") != "t%20%C3%A9" || h.Get("Ce-A") != "b" {
		t.Errorf("%v: %v", err, h)
	}
}

// Extensions may not have names that the specification uses, even with the same value.
func TestNamesThatExtensionsMayNotHave(t *testing.T) {
	e := cloudevent.Event{ID: "1", Source: "1", Type: "1", Subject: "1", DataSchema: "1", DataContentType: "1", Time: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)}
	for _, name := range []string{"specversion", "id", "source", "type", "subject", "time", "dataschema", "datacontenttype", "data"} {
		e.Extensions = map[string]string{name: map[string]string{"specversion": "1.0", "time": "2026-01-01T00:00:00Z"}[name]}
		if e.Extensions[name] == "" {
			e.Extensions[name] = "1"
		}
		if err := e.WriteHeader(http.Header{}); fault.CodeOf(err) != fault.Invalid || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: want invalid, got %v", name, err)
		}
	}
}
