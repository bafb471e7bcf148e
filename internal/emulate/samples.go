package emulate

import (
	"bufio"
	"bytes"
	"embed"
	"net/http"
	"net/textproto"
	"path"
	"slices"
	"strings"

	"godwit.dev/runtime/fault"
)

// sampleFiles are TARGET/NAME.json and TARGET/NAME.http, and in each target's
// folder about.txt with a line "NAME: what it is" for each.
//
//go:embed samples
var sampleFiles embed.FS

// sampleFunction is a header of .http files that is not sent: it says which of
// the app's functions the event is for.
const sampleFunction = "Sample-Function"

// A Sample is an event document as a platform writes it, with made-up names.
type Sample struct {
	Name     string
	About    string // one line
	Delivery Delivery
}

// Samples lists the sample events of a target by name, in alphabetical order;
// none for a target that has none. They are the caller's.
//
// A .json file is the body of a POST. A .http file is the request that the
// platform makes: its first line may be "POST PATH", header lines follow, and
// after an empty line the body. A newline at the end is the file's, not the body's.
func Samples(target string) []Sample {
	entries, err := sampleFiles.ReadDir(path.Join("samples", target))
	if err != nil || target == "" {
		return nil
	}
	about := aboutSamples(target)
	var all []Sample
	for _, e := range entries { // sorted
		name, ext := strings.TrimSuffix(e.Name(), path.Ext(e.Name())), path.Ext(e.Name())
		data, err := sampleFiles.ReadFile(path.Join("samples", target, e.Name()))
		if err != nil {
			continue // a folder
		}
		if ext != ".json" && ext != ".http" {
			continue
		}
		d, _ := ParseDelivery(e.Name(), data) // files of ours: a test reads all
		all = append(all, Sample{name, about[name], d})
	}
	return all
}

// SampleOf is the sample event of that name.
func SampleOf(target, name string) (Sample, bool) {
	all := Samples(target)
	i := slices.IndexFunc(all, func(s Sample) bool { return s.Name == name })
	if i < 0 {
		return Sample{}, false
	}
	return all[i], true
}

func aboutSamples(target string) map[string]string {
	about := map[string]string{}
	text, _ := sampleFiles.ReadFile(path.Join("samples", target, "about.txt"))
	for line := range strings.Lines(string(text)) {
		if name, what, ok := strings.Cut(strings.TrimSpace(line), ": "); ok {
			about[name] = what
		}
	}
	return about
}

// ParseDelivery reads a file as Samples has them: the name's extension says
// which sort it is; any other than .http is a body. Errors: Usage.
func ParseDelivery(name string, data []byte) (Delivery, error) {
	data = bytes.TrimSuffix(data, []byte("\n"))
	if path.Ext(name) != ".http" {
		return Delivery{Header: http.Header{"Content-Type": {"application/json"}}, Body: data}, nil
	}
	return parseHTTP(name, data)
}

func parseHTTP(name string, data []byte) (Delivery, error) {
	var d Delivery
	head, body, _ := bytes.Cut(data, []byte("\n\n"))
	if first, rest, _ := bytes.Cut(head, []byte("\n")); bytes.HasPrefix(first, []byte("POST ")) {
		d.Path, head = string(bytes.TrimPrefix(first, []byte("POST "))), rest
	}
	r := textproto.NewReader(bufio.NewReader(bytes.NewReader(append(bytes.Clone(head), "\n\n"...))))
	header, err := r.ReadMIMEHeader()
	if err != nil {
		return d, fault.New(fault.Usage, "emulate.ParseDelivery", name, "want header lines and an empty line before the body: %w", err)
	}
	d.Header, d.Body = http.Header(header), bytes.Clone(body)
	d.Function = d.Header.Get(sampleFunction)
	d.Header.Del(sampleFunction)
	return d, nil
}
