package emulate

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"godwit.dev/runtime/fault"
)

// TestSamples reads every sample there is: each is told about, none is empty,
// and what says that it is JSON is.
func TestSamples(t *testing.T) {
	folders, err := sampleFiles.ReadDir("samples")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range folders {
		if !f.IsDir() {
			t.Errorf("samples/%s: want folders by target only", f.Name())
		}
		about := aboutSamples(f.Name())
		for _, s := range Samples(f.Name()) {
			if strings.TrimSpace(s.About) == "" {
				t.Errorf("%s/%s: want a line in about.txt", f.Name(), s.Name)
			}
			delete(about, s.Name)
			if len(s.Delivery.Header) == 0 {
				t.Errorf("%s/%s: want headers, got none", f.Name(), s.Name)
			}
			if strings.Contains(s.Delivery.Header.Get("Content-Type"), "json") && !json.Valid(s.Delivery.Body) {
				t.Errorf("%s/%s: the body is no JSON: %s", f.Name(), s.Name, s.Delivery.Body)
			}
			if _, ok := SampleOf(f.Name(), s.Name); !ok {
				t.Errorf("%s/%s: not found by its name", f.Name(), s.Name)
			}
		}
		for name := range about {
			t.Errorf("%s/about.txt: %q is no sample", f.Name(), name)
		}
	}
	if got := Samples("nowhere"); got != nil {
		t.Errorf("samples of no target: %v", got)
	}
	if got := Samples(""); got != nil {
		t.Errorf("samples of no target: %v", got)
	}
}

func TestParseDelivery(t *testing.T) {
	for _, c := range []struct {
		name, file string
		want       Delivery
	}{
		{"all parts", "POST /events\nSample-Function: score\nce-id: 1\nContent-Type: text/plain\n\na\n\nb",
			Delivery{Function: "score", Path: "/events", Header: http.Header{"Ce-Id": {"1"}, "Content-Type": {"text/plain"}}, Body: []byte("a\n\nb")}},
		{"headers only", "ce-id: 1\n\n", Delivery{Header: http.Header{"Ce-Id": {"1"}}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := ParseDelivery("event.http", []byte(c.file))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
	if _, err := ParseDelivery("event.http", []byte("not a header")); fault.CodeOf(err) != fault.Usage {
		t.Errorf("no header: %v, want Usage", err)
	}
}

// Whatever is around it, a sample's request is the one that is put in, and its
// model; a sample with its own request is what it was.
func TestSamplesWithAnotherRequest(t *testing.T) {
	const own = `{"id":"r1", "inputs": [{"name":"ü<\"","shape":[1],"datatype":"BYTES","data":["a\\n\"b"]}], "parameters":{"x":true,"y":null,"z":-1.5e3}}`
	for _, c := range []struct{ target, name, want string }{
		{"awslambda", "sqs", `{"id":"r1","inputs":[{"name":"ü<\"","shape":[1],"datatype":"BYTES","data":["a\\n\"b"]}],"parameters":{"x":true,"y":null,"z":-1.5e3}}`},
	} {
		s, ok := SampleOf(c.target, c.name)
		if !ok {
			t.Fatal(c.name)
		}
		d := s.With("my.model", []byte(own))
		var got struct {
			Records []struct {
				Body              string
				MD5OfBody         string `json:"md5OfBody"`
				MessageAttributes struct{ Model struct{ StringValue string } }
			}
		}
		if err := json.Unmarshal(d.Body, &got); err != nil {
			t.Fatal(err)
		}
		for _, r := range got.Records {
			if r.Body != c.want || r.MessageAttributes.Model.StringValue != "my.model" {
				t.Errorf("got %+v", r)
			}
		}
	}
	// Of the four numbers of the model iris, and of three.
	for _, target := range []string{"awslambda", "azurefunctions", "cloudrun", "knative"} {
		for _, s := range Samples(target) {
			d := s.With("digits", []byte(own))
			all := string(d.Body)
			for _, v := range d.Header {
				all += strings.Join(v, ",")
			}
			if strings.Contains(all, sampleModel) || strings.Contains(all, "5.1") || strings.Contains(strings.NewReplacer(" ", "", `\\`, "").Replace(all), `[1,2,3]`) {
				t.Errorf("%s/%s: something of the sample's request is left: %s", target, s.Name, all)
			}
			if strings.Contains(s.Delivery.Header.Get("Content-Type"), "json") && !json.Valid(d.Body) {
				t.Errorf("%s/%s: no JSON: %s", target, s.Name, d.Body)
			}
			// What a second turn puts in is where the first was: no encoding is lost.
			once := Sample{Delivery: d}
			if diff := cmp.Diff(d, once.With("digits", []byte(own))); diff != "" {
				t.Errorf("%s/%s (-want +got):\n%s", target, s.Name, diff)
			}
		}
	}
}
