package recorded_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"godwit.dev/internal/recorded"
	"godwit.dev/runtime/fault"
)

const (
	body   = `{"inputs": [{"name": "x", "shape": [1], "datatype": "FP32", "data": [1]}]}`
	wanted = `{"outputs": [{"name": "y", "shape": [1], "datatype": "FP32", "data": [1]}]}`
)

// function makes a folder with the files in its folder "requests". A value
// that begins with "-> " is a symbolic link to the rest.
func function(t *testing.T, files map[string]string) (dir string) {
	t.Helper()
	dir = t.TempDir()
	for name, text := range files {
		file := filepath.Join(dir, "requests", name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		var err error
		if target, link := strings.CutPrefix(text, "-> "); link {
			err = os.Symlink(target, file)
		} else {
			err = os.WriteFile(file, []byte(text), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestLoadSortsAsPeopleCount(t *testing.T) {
	dir := function(t, map[string]string{
		"m10/1.json": body, "m2/10.json": body, "m2/9.json": body, "m2/9.want.json": wanted, "m2/a.json": body,
		"m2/README.md": "not a request", "m2/.9.json.swp": "hidden", ".git/x.json": "hidden", "README.md": "text",
		"m2/link.json": "-> 9.json",
	})
	all, err := recorded.Load(dir, "m2", "m10", "m3")
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, r := range all {
		got = append(got, fmt.Sprint(r.Model, "/", r.Name, " ", r.Want != nil))
		if string(r.Body) != body {
			t.Errorf("%s: body %q, want %q", r.Path, r.Body, body)
		}
	}
	want := []string{"m2/9 true", "m2/10 false", "m2/a false", "m2/link false", "m10/1 false"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("requests (-want +got):\n%s", diff)
	}
}

func TestLoadErrors(t *testing.T) {
	outside := filepath.Join(t.TempDir(), "secret.json")
	if err := os.WriteFile(outside, []byte(body), 0o644); err != nil {
		t.Fatal(err)
	}
	many := map[string]string{}
	for i := range recorded.MaxRequests + 1 {
		many[fmt.Sprintf("m/%d.json", i)] = body
	}
	tests := []struct {
		name  string
		files map[string]string
		code  fault.Code
		texts []string
	}{
		{"too large", map[string]string{"m/1.json": strings.Repeat(" ", recorded.MaxBody) + body}, fault.TooLarge, []string{"m/1.json: want at most 65536 bytes, got more"}},
		{"no JSON", map[string]string{"m/1.json": "hello"}, fault.Invalid, []string{`m/1.json: codec.DecodeRequest request body: byte 0: want an object, got "hello"`}},
		{"binary tensor", map[string]string{"m/1.json": `{"inputs":[{"name":"x","shape":[1],"datatype":"FP32","parameters":{"binary_data_size":4}}]}`}, fault.Invalid, []string{`want the header`}},
		{"two keys", map[string]string{"m/1.json": `{"inputs":[],"inputs":[]}`}, fault.Invalid, []string{`key "inputs" occurs twice`}},
		{"unknown model", map[string]string{"other/1.json": body}, fault.Invalid, []string{`requests/other: want a folder named after a model, one of "m", got "other"`}},
		{"bad model name", map[string]string{"a b/1.json": body}, fault.Invalid, []string{`want a folder named after a model, got "a b"`}},
		{"bad name", map[string]string{"m/a b.json": body}, fault.Invalid, []string{`want a file name of letters, digits, '_', '.' and '-', got "a b.json"`}},
		{"beside the folders", map[string]string{"1.json": body}, fault.Invalid, []string{"requests/1.json: want requests in a folder named after their model"}},
		{"folder in a folder", map[string]string{"m/sub/1.json": body}, fault.Invalid, []string{"requests/m/sub: want requests here, got a folder"}},
		{"answer without request", map[string]string{"m/1.want.json": wanted}, fault.Invalid, []string{"requests/m/1.want.json: want the request 1.json beside this answer, got none"}},
		{"answer to a request of another name", map[string]string{"m/1.json": body, "m/01.want.json": wanted}, fault.Invalid, []string{"01.want.json: want the request 01.json"}},
		{"answer too large", map[string]string{"m/1.json": body, "m/1.want.json": wanted + strings.Repeat(" ", recorded.MaxWant)}, fault.TooLarge, []string{"1.want.json: want at most 1048576 bytes"}},
		{"answer without outputs", map[string]string{"m/1.json": body, "m/1.want.json": `{"outputs":[]}`}, fault.Invalid, []string{"want at least one output, got none"}},
		{"unknown key in an answer", map[string]string{"m/1.json": body, "m/1.want.json": `{"toleranc":{},` + wanted[1:]}, fault.Invalid, []string{`unknown field "toleranc"`}},
		{"tolerance of another output", map[string]string{"m/1.json": body, "m/1.want.json": `{"tolerance":{"z":{}},` + wanted[1:]}, fault.Invalid, []string{`tolerance: want the name of an output, got "z"`}},
		{"unknown key in a tolerance", map[string]string{"m/1.json": body, "m/1.want.json": `{"tolerance":{"y":{"rel":1}},` + wanted[1:]}, fault.Invalid, []string{`unknown field "rel"`}},
		{"negative tolerance", map[string]string{"m/1.json": body, "m/1.want.json": `{"tolerance":{"y":{"relative":-1}},` + wanted[1:]}, fault.Invalid, []string{"want numbers of at least 0, got -1 and 1e-05"}},
		{"link out", map[string]string{"m/1.json": "-> " + outside}, fault.Invalid, []string{"requests/m/1.json: path escapes from parent"}},
		{"folder that is a link out", map[string]string{"m": "-> " + filepath.Dir(outside)}, fault.Invalid, []string{"requests/m: path escapes from parent"}},
		{"link to nothing", map[string]string{"m/1.json": "-> gone.json"}, fault.NotFound, []string{"requests/m/1.json: no such file"}},
		{"link to a folder", map[string]string{"m/1.json": "-> .", "m/2.json": body}, fault.Invalid, []string{"requests/m/1.json: want a file, got something else"}},
		{"too many", many, fault.TooLarge, []string{"want at most 1024 requests, got more"}},
		{"all at once", map[string]string{"m/1.json": "a", "m/2.json": "b", "m/3.json": body, "m/4.want.json": wanted}, fault.Invalid, []string{"m/1.json", "m/2.json", "m/4.want.json"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			all, err := recorded.Load(function(t, tt.files), "m")
			if fault.CodeOf(err) != tt.code || all != nil {
				t.Fatalf("got %d requests and %v %v, want %v", len(all), fault.CodeOf(err), err, tt.code)
			}
			for _, text := range tt.texts {
				if !strings.Contains(err.Error(), text) {
					t.Errorf("error %q lacks %q", err, text)
				}
			}
		})
	}
}

func TestLoadNamesTenProblems(t *testing.T) {
	files := map[string]string{}
	for i := range 13 {
		files[fmt.Sprintf("m/%d.json", i)] = "x"
	}
	_, err := recorded.Load(function(t, files))
	if got := strings.Split(err.Error(), "\n"); len(got) != 11 || got[10] != "and 3 more" {
		t.Errorf("got %d lines, the last %q; want 10 and \"and 3 more\"", len(got), got[len(got)-1])
	}
}

func TestLoadWithoutFolder(t *testing.T) {
	dir := t.TempDir()
	if all, err := recorded.Load(dir); len(all) > 0 || err != nil {
		t.Errorf("a function without requests: got %v and %v, want none", all, err)
	}
	if _, err := recorded.Load(filepath.Join(dir, "gone")); fault.CodeOf(err) != fault.NotFound {
		t.Errorf("no function: got %v, want not_found", err)
	}
}

func TestLoadFolderThatIsALinkOut(t *testing.T) {
	target, dir := function(t, map[string]string{"m/1.json": body}), t.TempDir()
	if err := os.Symlink(filepath.Join(target, "requests"), filepath.Join(dir, "requests")); err != nil {
		t.Fatal(err)
	}
	if _, err := recorded.Load(dir); fault.CodeOf(err) != fault.Invalid {
		t.Errorf("got %v, want invalid", err)
	}
}
