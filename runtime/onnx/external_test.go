//go:build unix

package onnx_test

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"godwit.dev/internal/testmodels"
	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/onnx"
)

// withExternal is a model whose one weight, 8 bytes of FP32 [2], is where the entries say.
func withExternal(entries ...[2]string) testmodels.Model {
	m := testmodels.Identity(onnx.Float, "N")
	m.Graph.Inits = []testmodels.Tensor{{Name: "W", Elem: onnx.Float, Dims: []int64{2}, External: entries}}
	return m
}

func at(location string, more ...[2]string) testmodels.Model {
	return withExternal(append([][2]string{{"location", location}}, more...)...)
}

// hostileTree is a model's folder with one good file and everything that a
// hostile archive may put beside it. The canary lies outside.
func hostileTree(t *testing.T) (dir string) {
	t.Helper()
	top := t.TempDir()
	dir = filepath.Join(top, "model")
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(os.MkdirAll(filepath.Join(dir, "sub", "deep"), 0o755))
	must(os.Mkdir(filepath.Join(top, "outside"), 0o755))
	for _, f := range []string{"model/w.bin", "model/sub/deep/w.bin", "outside/canary", "model/a\\b", "model/hard"} {
		must(os.WriteFile(filepath.Join(top, f), make([]byte, 100), 0o644))
	}
	must(os.Symlink("../outside/canary", filepath.Join(dir, "link")))
	must(os.Symlink("w.bin", filepath.Join(dir, "innerlink")))
	must(os.Symlink("../outside", filepath.Join(dir, "dirlink")))
	must(os.Symlink("sub", filepath.Join(dir, "innerdirlink")))
	must(os.Symlink("nowhere", filepath.Join(dir, "dangling")))
	must(os.Link(filepath.Join(top, "outside/canary"), filepath.Join(dir, "hardlink")))
	must(os.Link(filepath.Join(dir, "hard"), filepath.Join(dir, "hard2")))
	must(syscall.Mkfifo(filepath.Join(dir, "fifo"), 0o644))
	return dir
}

func TestCheckExternal(t *testing.T) {
	dir := hostileTree(t)
	offset := func(v string) [2]string { return [2]string{"offset", v} }
	length := func(v string) [2]string { return [2]string{"length", v} }
	for _, tt := range []struct {
		name  string
		model testmodels.Model
		part  string // "" means that it is fine
	}{
		{"no external data", testmodels.Tiny(), ""},
		{"plain", at("w.bin"), ""},
		{"plain with everything", at("w.bin", offset("92"), length("8"), [2]string{"checksum", "da39a3ee"}), ""},
		{"in a folder", at("sub/deep/w.bin"), ""},
		{"in a folder, oddly written", at("./sub//deep/./w.bin"), ""},

		{"absolute", at("/etc/passwd"), "absolute"},
		{"absolute inside", at(filepath.Join(dir, "w.bin")), "absolute"},
		{"parent", at("../outside/canary"), `".."`},
		{"parent on the way", at("sub/../w.bin"), `".."`},
		{"deep parents", at("../../../../../../etc/passwd"), `".."`},
		{"backslash", at(`a\b`), "backslash"},
		{"backslash parents", at(`..\..\secret`), "backslash"},
		{"drive", at("C:/secret"), "absolute"},
		{"drive without a slash", at("c:secret"), "absolute"},
		{"NUL", at("w.bin\x00.png"), "NUL"},
		{"symbolic link", at("link"), `"link" is a symbolic link`},
		{"symbolic link inside", at("innerlink"), "symbolic link"},
		{"dangling link", at("dangling"), "symbolic link"},
		{"linked folder", at("dirlink/canary"), `"dirlink" is a symbolic link`},
		{"linked folder inside", at("innerdirlink/deep/w.bin"), "symbolic link"},
		{"hard link to outside", at("hardlink"), "2 hard links"},
		{"hard link inside", at("hard"), "2 hard links"},
		{"pipe", at("fifo"), "named pipe"},
		{"folder", at("sub"), "folder"},
		{"folder with a slash", at("sub/"), "folder"},
		{"the model's folder", at("."), "folder"},
		{"file as a folder", at("w.bin/x"), "plain file, not a folder"},
		{"missing", at("none.bin"), "no such file"},
		{"empty location", at(""), "no location"},
		{"no location", withExternal(offset("0")), "no location"},
		{"marker", at("*/_ORT_MEM_ADDR_/*", offset("140737488355328"), length("8")), "address in memory"},
		{"marker as a folder", at("x/_ORT_MEM_ADDR_/y"), "address in memory"},

		{"offset beyond", at("w.bin", offset("93")), "want 8 bytes at offset 93, the file has 100"},
		{"offset far beyond", at("w.bin", offset("9223372036854775807"), length("8")), "the file has 100"},
		{"negative offset", at("w.bin", offset("-1")), `offset: want a number of bytes, got "-1"`},
		{"offset in hex", at("w.bin", offset("0x10")), "offset: want a number"},
		{"offset too large to count", at("w.bin", offset("99999999999999999999")), "offset: want a number"},
		{"negative length", at("w.bin", length("-8")), "length: want a number"},
		{"length too long", at("w.bin", length("16")), "want length 8, as type and shape need, got 16"},
		{"length too short", at("w.bin", length("4")), "got 4"},
		{"unknown key", at("w.bin", [2]string{"basepath", "/etc"}), `got "basepath"`},
		{"key twice", at("w.bin", [2]string{"location", "/etc/passwd"}), `"location" is there twice`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			err := mustRead(t, tt.model).CheckExternal(dir)
			if tt.part == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			wantBad(t, err, tt.part)
			if len(tt.model.Graph.Inits) == 1 && !strings.Contains(err.Error(), `tensor "W"`) {
				t.Errorf("error %q does not name the tensor", err)
			}
		})
	}
}

// External data hide in more places than the graph's own initializers.
func TestCheckExternalSeesEveryTensor(t *testing.T) {
	dir := hostileTree(t)
	evil := testmodels.Tensor{Name: "E", Elem: onnx.Float, Dims: []int64{2}, External: [][2]string{{"location", "../outside/canary"}}}
	constant := testmodels.N("Constant", nil, []string{"c"}, testmodels.TensorAttr("value", evil))
	attribute := testmodels.AddSub()
	attribute.Graph.Nodes = append(attribute.Graph.Nodes, constant)
	branch := testmodels.AddSub()
	branch.Graph.Nodes = append(branch.Graph.Nodes, testmodels.N("If", []string{"a"}, []string{"z"},
		testmodels.Body("then_branch", testmodels.Graph{Inits: []testmodels.Tensor{evil}})))
	function := testmodels.LocalFunction()
	function.Functions[0].Nodes = append(function.Functions[0].Nodes, constant)
	for name, m := range map[string]testmodels.Model{"attribute": attribute, "subgraph": branch, "function": function} {
		t.Run(name, func(t *testing.T) {
			wantBad(t, mustRead(t, m).CheckExternal(dir), `tensor "E" in "../outside/canary"`)
		})
	}
}

func TestCheckExternalJoinsProblems(t *testing.T) {
	m := testmodels.Identity(onnx.Float, "N")
	for i := range 30 {
		m.Graph.Inits = append(m.Graph.Inits, testmodels.Tensor{Name: fmt.Sprintf("W%02d", i), Elem: onnx.Float, Dims: []int64{2},
			External: [][2]string{{"location", fmt.Sprintf("none%d", i)}}})
	}
	err := mustRead(t, m).CheckExternal(t.TempDir())
	wantBad(t, err, `"W00"`, `"W19"`, "and more")
	if strings.Contains(err.Error(), `"W20"`) {
		t.Errorf("error names more than 20 problems: %v", err)
	}
	wantBadFolder := mustRead(t, at("w.bin")).CheckExternal(filepath.Join(t.TempDir(), "none"))
	if fault.CodeOf(wantBadFolder) != fault.BadModel {
		t.Errorf("no such folder: %v", wantBadFolder)
	}
}

func TestDigest(t *testing.T) {
	whole := testmodels.Tiny().File(t, "tiny")
	want := fmt.Sprintf("sha256:%x", sha256.Sum256(testmodels.Tiny().Bytes()))
	for name, digest := range map[string]func(string) (string, error){
		"Digest":    onnx.Digest,
		"DigestAll": func(p string) (string, error) { return onnx.DigestAll(p, nil) },
	} {
		if got, err := digest(whole); got != want || err != nil {
			t.Errorf("%s = %s, %v; want %s", name, got, err, want)
		}
		if _, err := digest(filepath.Join(t.TempDir(), "none")); fault.CodeOf(err) != fault.NotFound {
			t.Errorf("%s of no file: %v", name, err)
		}
		if _, err := digest(t.TempDir()); fault.CodeOf(err) != fault.BadModel {
			t.Errorf("%s of a folder: %v", name, err)
		}
	}
}

func TestDigestAllCoversExternalData(t *testing.T) {
	path := testmodels.Tiny().ExternalFile(t, "tiny")
	data := filepath.Join(filepath.Dir(path), "tiny.bin")
	hash := func(p string) string {
		b, err := os.ReadFile(p)
		if err != nil {
			t.Fatal(err)
		}
		return fmt.Sprintf("sha256:%x", sha256.Sum256(b))
	}
	want := fmt.Sprintf("sha256:%x", sha256.Sum256([]byte("model "+hash(path)+"\n\"tiny.bin\" "+hash(data)+"\n")))
	got, err := onnx.DigestAll(path, nil)
	if err != nil || got != want {
		t.Fatalf("DigestAll = %s, %v; want %s", got, err, want)
	}
	b, err := os.ReadFile(data)
	if err != nil {
		t.Fatal(err)
	}
	b[len(b)-1] ^= 1
	if err := os.WriteFile(data, b, 0o644); err != nil {
		t.Fatal(err)
	}
	if swapped, err := onnx.DigestAll(path, nil); err != nil || swapped == got {
		t.Errorf("after a change of the data DigestAll = %s, %v", swapped, err)
	}
	if err := os.Remove(data); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(data, 0o644); err != nil {
		t.Fatal(err)
	}
	_, err = onnx.DigestAll(path, nil)
	wantBad(t, err, "named pipe")
	if bytes.Contains([]byte(err.Error()), []byte("..")) {
		t.Errorf("odd error %q", err)
	}
}
