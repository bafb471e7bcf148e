package cloudevent_test

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/trigger"
	"godwit.dev/runtime/trigger/cloudevent"
)

var at = time.Date(2026, 11, 22, 10, 0, 0, 123e6, time.UTC)

// headers makes http.Header of NAME: VALUE lines, as net/http reads them.
func headers(lines ...string) http.Header {
	h := http.Header{}
	for _, l := range lines {
		name, value, _ := strings.Cut(l, ": ")
		h.Add(name, value)
	}
	return h
}

var whole = []string{"ce-id: 1", "ce-source: /s", "ce-type: t", "ce-specversion: 1.0"}

func with(lines ...string) http.Header {
	return headers(append(append([]string{}, whole...), lines...)...)
}

func TestDecode(t *testing.T) {
	structured, batched := headers("content-type: application/cloudevents+json; charset=UTF-8"), headers("Content-Type: application/cloudevents-batch+json")
	e := func(change ...func(*cloudevent.Event)) []cloudevent.Event {
		e := cloudevent.Event{ID: "1", Source: "/s", Type: "t"}
		for _, c := range change {
			c(&e)
		}
		return []cloudevent.Event{e}
	}
	data := func(contentType, data string) func(*cloudevent.Event) {
		return func(e *cloudevent.Event) { e.DataContentType, e.Data = contentType, []byte(data) }
	}
	ext := func(kv ...string) func(*cloudevent.Event) {
		return func(e *cloudevent.Event) {
			e.Extensions = map[string]string{}
			for i := 0; i < len(kv); i += 2 {
				e.Extensions[kv[i]] = kv[i+1]
			}
		}
	}
	const min = `"specversion":"1.0","id":"1","source":"/s","type":"t"`
	for _, c := range []struct {
		name   string
		header http.Header
		body   string
		want   []cloudevent.Event
		code   fault.Code
	}{
		{"binary, no data", with(), "", e(), 0},
		{"binary, data", with("Content-Type: text/plain; charset=utf-8"), "\x00a", e(data("text/plain; charset=utf-8", "\x00a")), 0},
		{"binary, everything", with("ce-subject: a%20%C3%A9", "ce-time: 2026-11-22T10:00:00.123Z", "ce-dataschema: https://x/y", "ce-Comexample1: 7", "x-other: z"), "", e(
			ext("comexample1", "7"), func(e *cloudevent.Event) { e.Subject, e.Time, e.DataSchema = "a é", at, "https://x/y" }), 0},
		{"binary, quoted", with(`ce-subject: "a\"b%41"`), "", e(func(e *cloudevent.Event) { e.Subject = `a"bA` }), 0},
		{"binary, decoded once", with("ce-subject: %2541"), "", e(func(e *cloudevent.Event) { e.Subject = "%41" }), 0},
		{"binary, a percent sign alone", with("ce-subject: 100%"), "", e(func(e *cloudevent.Event) { e.Subject = "100%" }), 0},
		{"binary, raw UTF-8", with("ce-subject: é"), "", e(func(e *cloudevent.Event) { e.Subject = "é" }), 0},
		{"binary, lower-case time", with("ce-time: 2026-11-22t10:00:00.123z"), "", e(func(e *cloudevent.Event) { e.Time = at }), 0},
		{"binary, an envelope within", with("Content-Type: application/json"), `{` + min + `}`, e(data("application/json", `{`+min+`}`)), 0},
		{"binary, no id", headers(whole[1:]...), "", nil, fault.Invalid},
		{"binary, no source", headers(whole[0], whole[2], whole[3]), "", nil, fault.Invalid},
		{"binary, no type", headers(whole[0], whole[1], whole[3]), "", nil, fault.Invalid},
		{"binary, no specversion", headers(whole[:3]...), "", nil, fault.Invalid},
		{"binary, empty id", headers("ce-id: ", whole[1], whole[2], whole[3]), "", nil, fault.Invalid},
		{"binary, other version", headers(whole[0], whole[1], whole[2], "ce-specversion: 0.3"), "", nil, fault.Invalid},
		{"binary, two ids", with("ce-id: 2"), "", nil, fault.Invalid},
		{"binary, two content types", with("Content-Type: a/b", "Content-Type: c/d"), "", nil, fault.Invalid},
		{"binary, no time", with("ce-time: yesterday"), "", nil, fault.Invalid},
		{"binary, not UTF-8", with("ce-subject: %ff"), "", nil, fault.Invalid},
		{"binary, a control character", with("ce-subject: a%0Ab"), "", nil, fault.Invalid},
		{"binary, a name with an underscore", with("ce-a_b: c"), "", nil, fault.Invalid},
		{"binary, datacontenttype", with("ce-datacontenttype: a/b"), "", nil, fault.Invalid},

		{"structured, no data", structured, `{` + min + `}`, e(), 0},
		{"structured, JSON", structured, `{` + min + `,"data": {"a": [1 ,2], "<": null} }`, e(data("application/json", `{"a": [1 ,2], "<": null}`)), 0},
		{"structured, JSON string", structured, `{` + min + `,"datacontenttype":"application/x+json","data":"a"}`, e(data("application/x+json", `"a"`)), 0},
		{"structured, text", structured, `{` + min + `,"datacontenttype":"text/plain","data":"a\n\u00e9"}`, e(data("text/plain", "a\né")), 0},
		{"structured, bytes", structured, `{` + min + `,"datacontenttype":"a/b","data_base64":"AP8="}`, e(data("a/b", "\x00\xff")), 0},
		{"structured, no bytes", structured, `{` + min + `,"datacontenttype":"a/b","data_base64":""}`, e(data("a/b", "")), 0},
		{"structured, null is absent", structured, `{` + min + `,"subject":null,"ext":null}`, e(), 0},
		{"structured, values that are no strings", structured, `{` + min + `,"a":true,"b":-7,"c":false}`, e(ext("a", "true", "b", "-7", "c", "false")), 0},
		{"structured, all attributes", structured, `{` + min + `,"subject":"é","time":"2026-11-22T10:00:00.123Z","dataschema":"s:x"}`, e(func(e *cloudevent.Event) { e.Subject, e.Time, e.DataSchema = "é", at, "s:x" }), 0},
		{"structured, headers mean nothing", with("Content-Type: application/cloudevents+json", "ce-ext: 1"), `{` + min + `}`, e(), 0},
		{"structured, no JSON", structured, `{`, nil, fault.Invalid},
		{"structured, an array", structured, `[{` + min + `}]`, nil, fault.Invalid},
		{"structured, two objects", structured, `{` + min + `}{}`, nil, fault.Invalid},
		{"structured, more behind", structured, `{` + min + `} x`, nil, fault.Invalid},
		{"structured, a name twice", structured, `{` + min + `,"id":"2"}`, nil, fault.Invalid},
		{"structured, data twice over", structured, `{` + min + `,"data":1,"data_base64":""}`, nil, fault.Invalid},
		{"structured, bad base64", structured, `{` + min + `,"data_base64":"A"}`, nil, fault.Invalid},
		{"structured, base64 of no string", structured, `{` + min + `,"data_base64":1}`, nil, fault.Invalid},
		{"structured, text that is an object", structured, `{` + min + `,"datacontenttype":"text/plain","data":{}}`, nil, fault.Invalid},
		{"structured, a fraction", structured, `{` + min + `,"a":1.5}`, nil, fault.Invalid},
		{"structured, an object as attribute", structured, `{` + min + `,"a":{}}`, nil, fault.Invalid},
		{"structured, an upper-case name", structured, `{` + min + `,"A":"b"}`, nil, fault.Invalid},
		{"structured, a numeric version", structured, `{"specversion":1.0,"id":"1","source":"/s","type":"t"}`, nil, fault.Invalid},
		{"structured, no version", structured, `{"id":"1","source":"/s","type":"t"}`, nil, fault.Invalid},
		{"structured, no id", structured, `{"specversion":"1.0","source":"/s","type":"t"}`, nil, fault.Invalid},
		{"structured, not UTF-8", structured, "{" + min + ",\"data\":\"\xff\"}", nil, fault.Invalid},
		{"structured, XML", headers("content-type: application/cloudevents+xml"), `<x/>`, nil, fault.UnsupportedMedia},
		{"structured, UTF-16", headers("content-type: application/cloudevents+json; charset=utf-16"), `{}`, nil, fault.UnsupportedMedia},

		{"batch, none", batched, `[]`, []cloudevent.Event{}, 0},
		{"batch, two", batched, `[{` + min + `},{"specversion":"1.0","id":"2","source":"/s","type":"t","data":1}]`, append(e(), cloudevent.Event{ID: "2", Source: "/s", Type: "t", DataContentType: "application/json", Data: []byte("1")}), 0},
		{"batch, one fails alone", batched, `[{"specversion":"1.0","id":"0","source":"/s"},{` + min + `},7]`, []cloudevent.Event{
			{ID: "0", Source: "/s", Err: cmpopts.AnyError}, e()[0], {Err: cmpopts.AnyError}}, 0},
		{"batch, null", batched, `null`, nil, fault.Invalid},
		{"batch, an object", batched, `{` + min + `}`, nil, fault.Invalid},
		{"batch, protobuf", headers("content-type: application/cloudevents-batch+protobuf"), ``, nil, fault.UnsupportedMedia},

		{"no event", headers("content-type: application/json"), `{}`, nil, fault.Invalid},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := cloudevent.Decode(c.header, []byte(c.body))
			if code := fault.CodeOf(err); err != nil && code != c.code || err == nil && c.code != 0 {
				t.Fatalf("want code %v, got %v", c.code, err)
			}
			if diff := cmp.Diff(c.want, got, cmpopts.EquateErrors()); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
			for _, e := range got {
				if e.Err != nil && fault.CodeOf(e.Err) != fault.Invalid {
					t.Errorf("an event of a batch: want a coded error, got %v", e.Err)
				}
			}
		})
	}
}

func TestModeOf(t *testing.T) {
	for _, c := range []struct {
		header http.Header
		want   cloudevent.Mode
	}{
		{headers(), cloudevent.None},
		{headers("content-type: application/json", "ce-other: 1"), cloudevent.None},
		{headers("ce-type: t"), cloudevent.Binary},
		{headers("content-type: Application/CloudEvents+json"), cloudevent.Structured},
		{headers("content-type: application/cloudevents-batch+json"), cloudevent.Batched},
		{headers("content-type: application/cloudevents-batch+json", "ce-id: 1"), cloudevent.Batched},
	} {
		if got := cloudevent.ModeOf(c.header); got != c.want {
			t.Errorf("%v: want mode %d, got %d", c.header, c.want, got)
		}
	}
}

func TestErrorsQuoteNoData(t *testing.T) {
	const secret = "4111-1111"
	for _, body := range []string{
		`{"specversion":"1.0","id":"1","source":"/s","type":"t","datacontenttype":"text/plain","data":{"card":"` + secret + `"}}`,
		`{"specversion":"1.0","id":"1","source":"/s","type":"t","data_base64":"` + secret + `"}`,
		`{"specversion":"1.0","id":"1","source":"/s","type":"t","data":` + secret + `}`,
	} {
		_, err := cloudevent.Decode(headers("content-type: application/cloudevents+json"), []byte(body))
		if err == nil || strings.Contains(err.Error(), secret) {
			t.Errorf("want an error without the data, got %v", err)
		}
	}
}

func TestItems(t *testing.T) {
	events := []cloudevent.Event{
		{ID: "1", Source: "/a b", Type: "t", Subject: "s", Time: at, DataSchema: "x:y", DataContentType: "a/b", Data: []byte("d"), Extensions: map[string]string{"partitionkey": "k"}},
		{ID: "1", Source: "/b", Type: "t"},
		{ID: "1#1", Source: "/b", Type: "t"},
	}
	want := []trigger.Item{
		{ID: "1", Key: "/a%20b 1", Data: []byte("d"), ContentType: "a/b", Time: at, Attributes: map[string]string{"partitionkey": "k", "source": "/a b", "type": "t", "subject": "s", "dataschema": "x:y"}},
		{ID: "1#1", Key: "/b 1", Attributes: map[string]string{"source": "/b", "type": "t"}},
		{ID: "1#1#2", Key: "/b 1#1", Attributes: map[string]string{"source": "/b", "type": "t"}},
	}
	if diff := cmp.Diff(want, cloudevent.Items(events)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestEncodeRefuses(t *testing.T) {
	for name, e := range map[string]cloudevent.Event{
		"no id":                       {Source: "/s", Type: "t"},
		"a control character":         {ID: "1\r\nX: y", Source: "/s", Type: "t"},
		"no UTF-8":                    {ID: "\xff", Source: "/s", Type: "t"},
		"an extension's name":         {ID: "1", Source: "/s", Type: "t", Extensions: map[string]string{"a-b": "c"}},
		"an extension over attribute": {ID: "1", Source: "/s", Type: "t", Extensions: map[string]string{"id": "2"}},
		"an extension over data":      {ID: "1", Source: "/s", Type: "t", Extensions: map[string]string{"data": "2"}},
	} {
		h := http.Header{}
		if err := e.WriteHeader(h); fault.CodeOf(err) != fault.Invalid || err == nil || len(h) > 0 {
			t.Errorf("%s: want invalid and no headers, got %v and %v", name, err, h)
		}
		if _, err := e.AppendJSON(nil); err == nil || !errors.As(err, new(*fault.Error)) {
			t.Errorf("%s: want a coded error, got %v", name, err)
		}
	}
}

func TestWriteHeader(t *testing.T) {
	e := cloudevent.Event{ID: "100%41", Source: "/a", Type: `t"`, Subject: "in/é 1+2~.npy", Time: at, DataContentType: "text/plain", Extensions: map[string]string{"partitionkey": "k"}}
	got := http.Header{"X-Other": {"1"}}
	if err := e.WriteHeader(got); err != nil {
		t.Fatal(err)
	}
	want := http.Header{
		"X-Other": {"1"}, "Ce-Specversion": {"1.0"}, "Ce-Id": {"100%2541"}, "Ce-Source": {"/a"}, "Ce-Type": {"t%22"}, "Ce-Subject": {"in/%C3%A9%201+2~.npy"},
		"Ce-Time": {"2026-11-22T10:00:00.123Z"}, "Content-Type": {"text/plain"}, "Ce-Partitionkey": {"k"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	doc, err := e.AppendJSON([]byte("x"))
	if err != nil {
		t.Fatal(err)
	}
	const wantDoc = `x{"datacontenttype":"text/plain","id":"100%41","partitionkey":"k","source":"/a","specversion":"1.0","subject":"in/é 1+2~.npy","time":"2026-11-22T10:00:00.123Z","type":"t\""}`
	if diff := cmp.Diff(wantDoc, string(doc)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

// TestWrittenIsRead writes events of any text, as the SDK cannot.
func TestWrittenIsRead(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringOfN(rapid.Rune().Filter(func(r rune) bool { return r >= ' ' && (r < 0x7f || r >= 0xa0) }), 1, 10, 40)
		e := cloudevent.Event{ID: text.Draw(t, "id"), Source: text.Draw(t, "source"), Type: text.Draw(t, "type"), Subject: text.Draw(t, "subject"),
			DataContentType: "a/b", Extensions: map[string]string{"x": text.Draw(t, "extension")}, Data: rapid.SliceOfN(rapid.Byte(), 1, 20).Draw(t, "data")}
		again(t, &e)
	})
}
