package pack_test

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/google/go-containerregistry/pkg/v1/validate"

	"godwit.dev/internal/pack"
	"godwit.dev/runtime/fault"
)

// baseDir makes a base of a few small files: an OCI layout.
func baseDir(t testing.TB, arch string) string {
	t.Helper()
	root, out := t.TempDir(), filepath.Join(t.TempDir(), "base")
	for name, data := range map[string]string{
		"etc/passwd": "nonroot:x:65532:65532::/:/sbin/nologin\n", "lib/ld.so": "loader of " + arch, "lib/libc.so.6": "glibc",
		"tmp/.keep": "",
	} {
		put(t, root, name, data, 0o644)
	}
	if err := os.Symlink("libc.so.6", filepath.Join(root, "lib/libc.so")); err != nil {
		t.Fatal(err)
	}
	if _, err := pack.Rootfs(t.Context(), map[string]string{arch: root}, out, nil); err != nil {
		t.Fatal(err)
	}
	return out
}

func openBase(t testing.TB, dir string) *pack.Base {
	t.Helper()
	b, err := pack.OpenBase(t.Context(), "oci:"+dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func put(t testing.TB, dir, name, data string, mode os.FileMode) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(data), mode)); err != nil {
		t.Fatal(err)
	}
	return path
}

// tree is a small package whose files lie in dir, and whose words can be replaced.
func tree(t testing.TB, dir string, over map[string]string) *pack.Tree {
	t.Helper()
	tr := &pack.Tree{}
	for _, f := range []pack.File{
		{Path: "fn-server", Part: pack.Binary, Exec: true},
		{Path: "lib/libonnxruntime.so.1", Part: pack.Runtime},
		{Path: "lib/libstdc++.so.6", Part: pack.Runtime},
		{Path: "models/digits.onnx", Part: pack.Weights},
		{Path: "godwit.yaml", Part: pack.Spec},
		{Path: "godwit.manifest.json", Part: pack.Spec, Data: []byte("{}")},
		{Path: "requests/digits/1.json", Part: pack.Spec},
	} {
		data, ok := over[f.Path]
		if !ok {
			data = strings.Repeat(f.Path+"\n", 100)
		}
		if f.Data == nil {
			f.From = put(t, dir, f.Path, data, 0o600)
		}
		if err := tr.Add(f); err != nil {
			t.Fatal(err)
		}
	}
	return tr
}

func image(t testing.TB, base *pack.Base, tr *pack.Tree, opts *pack.ImageOptions) *pack.OCI {
	t.Helper()
	o, err := pack.Image(t.Context(), base, map[string]*pack.Tree{"amd64": tr}, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { o.Close() })
	return o
}

// read unpacks an archive of a layout, checks everything in it by its digest, and is what it holds.
func read(t testing.TB, path string) v1.ImageIndex {
	t.Helper()
	dir := t.TempDir()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for r := tar.NewReader(f); ; {
		h, err := r.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if h.Typeflag == tar.TypeReg {
			data, err := io.ReadAll(r)
			if err != nil {
				t.Fatal(err)
			}
			put(t, dir, h.Name, string(data), 0o644)
		}
	}
	return readLayout(t, dir)
}

func readLayout(t testing.TB, dir string) v1.ImageIndex {
	t.Helper()
	index, err := layout.ImageIndexFromPath(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := validate.Index(index); err != nil {
		t.Fatal(err)
	}
	return index
}

// only is the one image in index.
func only(t testing.TB, index v1.ImageIndex) v1.Image {
	t.Helper()
	m, err := index.IndexManifest()
	if err != nil || len(m.Manifests) != 1 {
		t.Fatalf("want one image, got %+v (%v)", m, err)
	}
	img, err := index.Image(m.Manifests[0].Digest)
	if err != nil {
		t.Fatal(err)
	}
	return img
}

// entries are "mode owner path" of the layer, and time where it is not zero.
func entries(t testing.TB, l v1.Layer) []string {
	t.Helper()
	r, err := l.Uncompressed()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	var list []string
	for tr := tar.NewReader(r); ; {
		h, err := tr.Next()
		if err == io.EOF {
			return list
		}
		if err != nil {
			t.Fatal(err)
		}
		line := fmt.Sprintf("%o %d:%d%s%s %s", h.Mode, h.Uid, h.Gid, h.Uname, h.Gname, h.Name)
		if h.ModTime.Unix() != 0 {
			line += " " + h.ModTime.String()
		}
		list = append(list, line)
	}
}

func layers(t testing.TB, img v1.Image) []v1.Layer {
	t.Helper()
	ls, err := img.Layers()
	if err != nil {
		t.Fatal(err)
	}
	return ls
}

func digests(t testing.TB, img v1.Image) []string {
	t.Helper()
	var list []string
	for _, l := range layers(t, img) {
		d, err := l.Digest()
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, d.Hex)
	}
	return list
}

func writeTar(t testing.TB, o *pack.OCI) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "image.tar")
	a, err := o.WriteTar(t.Context(), path, nil)
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(&pack.Artifact{Path: path, Digest: o.Digest, Size: info.Size(), MediaType: o.MediaType}, a); diff != "" {
		t.Fatalf("artifact (-want +got):\n%s", diff)
	}
	return path
}

func TestImageLayersAndConfiguration(t *testing.T) {
	base := openBase(t, baseDir(t, "amd64"))
	o := image(t, base, tree(t, t.TempDir(), nil), &pack.ImageOptions{
		Labels: map[string]string{"org.opencontainers.image.title": "digits"}, Env: map[string]string{"SSL_CERT_FILE": "/x", "B": "2", "A": "1"}})
	img := only(t, read(t, writeTar(t, o)))
	var got [][]string
	for _, l := range layers(t, img) {
		got = append(got, entries(t, l))
	}
	want := [][]string{
		{"755 0:0 etc/", "644 0:0 etc/passwd", "755 0:0 lib/", "644 0:0 lib/ld.so", "777 0:0 lib/libc.so", "644 0:0 lib/libc.so.6", "1777 0:0 tmp/", "644 0:0 tmp/.keep"},
		{"755 0:0 godwit/", "755 0:0 godwit/lib/", "644 0:0 godwit/lib/libonnxruntime.so.1", "644 0:0 godwit/lib/libstdc++.so.6"},
		{"755 0:0 godwit/", "755 0:0 godwit/models/", "644 0:0 godwit/models/digits.onnx"},
		{"755 0:0 godwit/", "755 0:0 godwit/fn-server"},
		{"755 0:0 godwit/", "644 0:0 godwit/godwit.manifest.json", "644 0:0 godwit/godwit.yaml", "755 0:0 godwit/requests/", "755 0:0 godwit/requests/digits/", "644 0:0 godwit/requests/digits/1.json"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("layers (-want +got):\n%s", diff)
	}
	config, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	labels := map[string]string{"org.opencontainers.image.title": "digits", "org.opencontainers.image.base.digest": base.Digest}
	if diff := cmp.Diff(v1.Config{User: "65532:65532", Entrypoint: []string{"/godwit/fn-server"}, WorkingDir: "/godwit", Labels: labels,
		Env: []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "A=1", "B=2", "SSL_CERT_FILE=/x"}}, config.Config); diff != "" {
		t.Errorf("configuration (-want +got):\n%s", diff)
	}
	var history []string
	for _, h := range config.History {
		history = append(history, fmt.Sprint(h.CreatedBy, " ", h.Created.Unix()))
	}
	if diff := cmp.Diff([]string{"godwit: files of a folder 0", "godwit package: runtime 0", "godwit package: weights 0", "godwit package: binary 0", "godwit package: spec 0"}, history); diff != "" {
		t.Errorf("history (-want +got):\n%s", diff)
	}
	if config.Created.Unix() != 0 || config.OS != "linux" || config.Architecture != "amd64" {
		t.Errorf("want linux/amd64 of 1970, got %s/%s of %v", config.OS, config.Architecture, config.Created)
	}
	m, err := img.Manifest()
	if err != nil {
		t.Fatal(err)
	}
	media := []types.MediaType{m.MediaType, m.Config.MediaType}
	var added int64
	for i, l := range m.Layers {
		media = append(media, l.MediaType)
		if i > 0 {
			added += l.Size
		}
	}
	wantMedia := append([]types.MediaType{types.OCIManifestSchema1, types.OCIConfigJSON}, slices.Repeat([]types.MediaType{types.OCILayer}, 5)...)
	if diff := cmp.Diff(wantMedia, media); diff != "" {
		t.Errorf("media types (-want +got):\n%s", diff)
	}
	if added != o.Added {
		t.Errorf("Added: want %d bytes above the base, got %d", added, o.Added)
	}
	if diff := cmp.Diff(labels, m.Annotations); diff != "" {
		t.Errorf("annotations (-want +got):\n%s", diff)
	}
}

// Neither a shell nor anything else that the base has not comes in besides /godwit.
func TestImageHasNoShell(t *testing.T) {
	img := only(t, read(t, writeTar(t, image(t, openBase(t, baseDir(t, "amd64")), tree(t, t.TempDir(), nil), nil))))
	r := mutate.Extract(img)
	defer r.Close()
	var programs []string
	for tr := tar.NewReader(r); ; {
		h, err := tr.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if h.Typeflag == tar.TypeReg && h.Mode&0o111 != 0 {
			programs = append(programs, h.Name)
		}
		if h.Mode&0o6000 != 0 {
			t.Errorf("want no set-user-ID file, got %s", h.Name)
		}
	}
	if diff := cmp.Diff([]string{"godwit/fn-server"}, programs); diff != "" {
		t.Errorf("programs (-want +got):\n%s", diff)
	}
}

func TestImageChangesOnlyTheLayersThatChange(t *testing.T) {
	base := openBase(t, baseDir(t, "amd64"))
	before := only(t, read(t, writeTar(t, image(t, base, tree(t, t.TempDir(), nil), nil))))
	tests := map[string]int{ // which layer, the base being 0
		"godwit.yaml": 4, "requests/digits/1.json": 4, "fn-server": 3, "models/digits.onnx": 2, "lib/libonnxruntime.so.1": 1,
	}
	for _, file := range slices.Sorted(maps.Keys(tests)) {
		t.Run(file, func(t *testing.T) {
			after := only(t, read(t, writeTar(t, image(t, base, tree(t, t.TempDir(), map[string]string{file: "another"}), nil))))
			want := digests(t, before)
			got := digests(t, after)
			for i := range want {
				if same := want[i] == got[i]; same == (i == tests[file]) {
					t.Errorf("layer %d: want a change in layer %d only, got %s and %s", i, tests[file], want[i], got[i])
				}
			}
		})
	}
}

// TestMain packs in a process of its own where the test asks for that.
func TestMain(m *testing.M) {
	if dir := os.Getenv("PACK_TEST_DIR"); dir != "" {
		os.Exit(packHere(dir))
	}
	os.Exit(m.Run())
}

// packHere writes the package of the folder src as a layout, an archive and a zip, and prints their digests.
func packHere(dir string) int {
	syscall.Umask(map[string]int{"077": 0o077, "002": 0o002}[os.Getenv("PACK_TEST_UMASK")])
	ctx := context.Background()
	fail := func(err error) int {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	if _, err := pack.Rootfs(ctx, map[string]string{"amd64": filepath.Join(dir, "root")}, filepath.Join(dir, "base"), nil); err != nil {
		return fail(err)
	}
	base, err := pack.OpenBase(ctx, "oci:"+filepath.Join(dir, "base"), nil)
	if err != nil {
		return fail(err)
	}
	tr := &pack.Tree{}
	for path, part := range map[string]pack.Part{"fn-server": pack.Binary, "lib/a.so": pack.Runtime, "m.onnx": pack.Weights, "godwit.yaml": pack.Spec} {
		if err := tr.Add(pack.File{Path: path, Part: part, Exec: part == pack.Binary, From: filepath.Join(dir, "src", path)}); err != nil {
			return fail(err)
		}
	}
	o, err := pack.Image(ctx, base, map[string]*pack.Tree{"amd64": tr}, nil)
	if err != nil {
		return fail(err)
	}
	defer o.Close()
	archive, err := o.WriteTar(ctx, filepath.Join(dir, "image.tar"), &pack.WriteOptions{Name: "x:latest"})
	if err != nil {
		return fail(err)
	}
	folder, err := o.WriteLayout(ctx, filepath.Join(dir, "layout"), &pack.WriteOptions{Name: "x:latest"})
	if err != nil {
		return fail(err)
	}
	data, err := os.ReadFile(archive.Path)
	if err != nil {
		return fail(err)
	}
	z, err := pack.Zip(ctx, tr, filepath.Join(dir, "x.zip"), nil)
	if err != nil {
		return fail(err)
	}
	fmt.Printf("%s %s %x %s\n", archive.Digest, folder.Digest, sha256.Sum256(data), z.Digest)
	err = filepath.WalkDir(filepath.Join(dir, "layout"), func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		name, _ := filepath.Rel(dir, path)
		fmt.Println(name, info.Mode())
		return err
	})
	if err != nil {
		return fail(err)
	}
	return 0
}

// Test 36 of the packages: neither folder, umask, time zone, home nor the
// files' times, modes and owners are in the bytes.
func TestPackagesAreTheSameAnywhere(t *testing.T) {
	var first string
	for i, env := range []struct{ umask, zone, home string }{{"077", "Asia/Kathmandu", "/nonexistent"}, {"002", "America/St_Johns", "/root"}} {
		dir := filepath.Join(t.TempDir(), strings.Repeat("deep/", i*3), "x")
		for _, name := range []string{"src/fn-server", "src/lib/a.so", "src/m.onnx", "src/godwit.yaml", "root/lib/libc.so.6", "root/etc/x"} {
			put(t, dir, name, strings.Repeat(filepath.Base(name), 3000), []os.FileMode{0o600, 0o644}[i])
		}
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), "PACK_TEST_DIR="+dir, "PACK_TEST_UMASK="+env.umask, "TZ="+env.zone, "HOME="+env.home, "USER=u"+env.umask, "LC_ALL=C")
		cmd.Dir = dir
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("%v: %s", err, stderr.String())
		}
		if first == "" {
			first = string(out)
		}
		if diff := cmp.Diff(first, string(out)); diff != "" {
			t.Errorf("with %+v (-want +got):\n%s", env, diff)
		}
		if !strings.Contains(string(out), "oci-layout -rw-r--r--") {
			t.Errorf("want files of mode 0644 whatever the umask, got\n%s", out)
		}
	}
}

func TestImageStreamsWeights(t *testing.T) {
	const size = 96 << 20
	dir := t.TempDir()
	tr := tree(t, dir, nil)
	if err := os.Truncate(filepath.Join(dir, "models/digits.onnx"), size); err != nil {
		t.Fatal(err)
	}
	base := openBase(t, baseDir(t, "amd64"))
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	var read int64
	o := image(t, base, tr, &pack.ImageOptions{Progress: func(n int64) { read = n }})
	if _, err := o.WriteTar(t.Context(), filepath.Join(t.TempDir(), "x.tar"), nil); err != nil {
		t.Fatal(err)
	}
	runtime.ReadMemStats(&after)
	if got := after.TotalAlloc - before.TotalAlloc; got > size/4 {
		t.Errorf("want far less memory than the %d bytes of weights, got %d allocated", size, got)
	}
	if read < size {
		t.Errorf("want progress of at least %d bytes, got %d", size, read)
	}
}

// The archive is in one order, its folders come before what is in them, and nothing in it is of here or now.
func TestImageArchive(t *testing.T) {
	f, err := os.Open(writeTar(t, image(t, openBase(t, baseDir(t, "amd64")), tree(t, t.TempDir(), nil), nil)))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var names []string
	for r := tar.NewReader(f); ; {
		h, err := r.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if h.ModTime.Unix() != 0 || h.Uid != 0 || h.Gid != 0 || h.Uname+h.Gname != "" || h.Mode != map[byte]int64{tar.TypeDir: 0o755, tar.TypeReg: 0o644}[h.Typeflag] {
			t.Errorf("want neither time nor owner and a fixed mode, got %+v", h)
		}
		names = append(names, h.Name)
	}
	if len(names) != 2+5+2+2 || !slices.IsSorted(names) || names[0] != "blobs/" || names[1] != "blobs/sha256/" {
		t.Errorf("want two folders, seven blobs, index.json and oci-layout in order, got %q", names)
	}
}

func TestImageOfTwoArchitectures(t *testing.T) {
	// The base of two platforms is an index in a layout.
	index := mutate.AppendManifests(empty.Index, addendum(t, baseDir(t, "amd64"), "amd64"), addendum(t, baseDir(t, "arm64"), "arm64"))
	dir := filepath.Join(t.TempDir(), "both")
	if _, err := layout.Write(dir, index); err != nil {
		t.Fatal(err)
	}
	src := t.TempDir()
	trees := map[string]*pack.Tree{"amd64": tree(t, src, nil), "arm64": tree(t, t.TempDir(), map[string]string{"fn-server": "for arm"})}
	o, err := pack.Image(t.Context(), openBase(t, dir), trees, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer o.Close()
	if o.MediaType != string(types.OCIImageIndex) {
		t.Errorf("want an index, got %s", o.MediaType)
	}
	outer, err := read(t, writeTar(t, o)).IndexManifest()
	if err != nil || len(outer.Manifests) != 1 || outer.Manifests[0].Digest.String() != o.Digest {
		t.Fatalf("want one entry %s, got %+v (%v)", o.Digest, outer, err)
	}
	written := filepath.Join(t.TempDir(), "layout")
	a, err := o.WriteLayout(t.Context(), written, nil)
	if err != nil || a.Digest != o.Digest {
		t.Fatalf("want %s, got %+v (%v)", o.Digest, a, err)
	}
	inner, err := readLayout(t, written).ImageIndex(outer.Manifests[0].Digest)
	if err != nil {
		t.Fatal(err)
	}
	m, err := inner.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	var platforms []string
	var all [][]string
	for _, d := range m.Manifests {
		platforms = append(platforms, d.Platform.String())
		img, err := inner.Image(d.Digest)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, digests(t, img))
	}
	if diff := cmp.Diff([]string{"linux/amd64", "linux/arm64"}, platforms); diff != "" {
		t.Errorf("platforms (-want +got):\n%s", diff)
	}
	var same []bool
	for i := range all[0] {
		same = append(same, all[0][i] == all[1][i])
	}
	if diff := cmp.Diff([]bool{false, true, true, false, true}, same); diff != "" { // base and binary differ
		t.Errorf("layers that both have (-want +got):\n%s", diff)
	}
}

func addendum(t *testing.T, dir, arch string) mutate.IndexAddendum {
	t.Helper()
	return mutate.IndexAddendum{Add: only(t, readLayout(t, dir)), Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: arch}}}
}

// Images of several targets share what they have in common, made once.
func TestBlobsAreMadeOnce(t *testing.T) {
	tmp := t.TempDir()
	blobs, err := pack.NewBlobs(tmp)
	if err != nil {
		t.Fatal(err)
	}
	base := openBase(t, baseDir(t, "amd64"))
	dir := t.TempDir()
	var reads []int64
	var read int64
	var images []*pack.OCI
	for i := range 3 {
		tr := tree(t, dir, nil)
		program := "fn-server"
		if i == 2 { // Lambda's
			tr.Files = slices.DeleteFunc(tr.Files, func(f pack.File) bool { return f.Path == program })
			program = "fn-lambda"
			if err := tr.Add(pack.File{Path: program, Part: pack.Binary, Exec: true, Data: []byte("lambda")}); err != nil {
				t.Fatal(err)
			}
		}
		read = 0
		images = append(images, image(t, base, tr, &pack.ImageOptions{Program: program, Blobs: blobs, Progress: func(n int64) { read = n }}))
		reads = append(reads, read)
	}
	if reads[0] == 0 || reads[1] != 0 || reads[2] != int64(len("lambda")) {
		t.Errorf("bytes read for each image: want all, none and the other program, got %v", reads)
	}
	if images[0].Digest != images[1].Digest || images[0].Digest == images[2].Digest {
		t.Errorf("want the same, the same and another image, got %s %s %s", images[0].Digest, images[1].Digest, images[2].Digest)
	}
	files, err := filepath.Glob(filepath.Join(tmp, "*/*"))
	if err != nil || len(files) != 5 {
		t.Errorf("want 5 layers in %s, got %q (%v)", tmp, files, err)
	}
	if err := blobs.Close(); err != nil {
		t.Fatal(err)
	}
	if left, _ := os.ReadDir(tmp); len(left) > 0 {
		t.Errorf("want nothing left in %s, got %v", tmp, left)
	}
}

// A file of the same size that was written to in between is another file.
func TestBlobsSeeChanges(t *testing.T) {
	blobs, err := pack.NewBlobs(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer blobs.Close()
	base := openBase(t, baseDir(t, "amd64"))
	dir := t.TempDir()
	before := image(t, base, tree(t, dir, map[string]string{"godwit.yaml": "one"}), &pack.ImageOptions{Blobs: blobs})
	after := image(t, base, tree(t, dir, map[string]string{"godwit.yaml": "two"}), &pack.ImageOptions{Blobs: blobs})
	if before.Digest == after.Digest {
		t.Error("want another image of another spec, got the same")
	}
}

func TestImageRefuses(t *testing.T) {
	base := openBase(t, baseDir(t, "amd64"))
	good := func(t *testing.T) *pack.Tree { return tree(t, t.TempDir(), nil) }
	tests := []struct {
		name  string
		trees func(t *testing.T) map[string]*pack.Tree
		opts  *pack.ImageOptions
		want  string
	}{
		{"no tree", func(*testing.T) map[string]*pack.Tree { return nil }, nil, "want a tree"},
		{"another architecture", func(t *testing.T) map[string]*pack.Tree { return map[string]*pack.Tree{"arm64": good(t)} }, nil, "want linux/arm64, got linux/amd64"},
		{"no program", func(t *testing.T) map[string]*pack.Tree { return map[string]*pack.Tree{"amd64": good(t)} }, &pack.ImageOptions{Program: "fn-lambda"}, `want an executable "fn-lambda"`},
		{"no executable program", func(t *testing.T) map[string]*pack.Tree { return map[string]*pack.Tree{"amd64": good(t)} }, &pack.ImageOptions{Program: "godwit.yaml"}, `want an executable "godwit.yaml"`},
		{"a file that is gone", func(t *testing.T) map[string]*pack.Tree {
			tr := good(t)
			os.Remove(tr.Files[len(tr.Files)-1].From)
			return map[string]*pack.Tree{"amd64": tr}
		}, nil, "no such file"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			tmp := t.TempDir()
			t.Setenv("TMPDIR", tmp)
			_, err := pack.Image(t.Context(), base, test.trees(t), test.opts)
			if err == nil || fault.CodeOf(err) != fault.BadConfig || !strings.Contains(err.Error(), test.want) {
				t.Errorf("want bad_config with %q, got %v", test.want, err)
			}
			left, _ := filepath.Glob(filepath.Join(tmp, ".godwit-*"))
			if len(left) > 0 {
				t.Errorf("want nothing left behind, got %q", left)
			}
		})
	}
}

func TestImageEndsWithItsContext(t *testing.T) {
	base := openBase(t, baseDir(t, "amd64"))
	tr := tree(t, t.TempDir(), nil)
	o := image(t, base, tr, nil)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := pack.Image(ctx, base, map[string]*pack.Tree{"amd64": tr}, nil); !errors.Is(err, context.Canceled) || fault.CodeOf(err) != fault.Canceled {
		t.Errorf("Image: want canceled, got %v", err)
	}
	dir := t.TempDir()
	if _, err := o.WriteTar(ctx, filepath.Join(dir, "x.tar"), nil); !errors.Is(err, context.Canceled) {
		t.Errorf("WriteTar: want canceled, got %v", err)
	}
	if _, err := o.WriteLayout(ctx, filepath.Join(dir, "x"), nil); !errors.Is(err, context.Canceled) {
		t.Errorf("WriteLayout: want canceled, got %v", err)
	}
	if left, _ := os.ReadDir(dir); len(left) > 0 {
		t.Errorf("want nothing half written, got %v", left)
	}
}

func TestWriteLayoutReplacesLayoutsOnly(t *testing.T) {
	o := image(t, openBase(t, baseDir(t, "amd64")), tree(t, t.TempDir(), nil), nil)
	dir := t.TempDir() // empty
	for range 2 {
		if _, err := o.WriteLayout(t.Context(), dir, &pack.WriteOptions{Name: "digits:latest"}); err != nil {
			t.Fatal(err)
		}
	}
	data, err := os.ReadFile(filepath.Join(dir, "index.json"))
	if err != nil {
		t.Fatal(err)
	}
	var index v1.IndexManifest
	if err := json.Unmarshal(data, &index); err != nil || index.Manifests[0].Annotations["org.opencontainers.image.ref.name"] != "digits:latest" {
		t.Errorf("want the name digits:latest, got %s (%v)", data, err)
	}
	other := t.TempDir()
	put(t, other, "thesis.tex", "years of work", 0o644)
	if _, err := o.WriteLayout(t.Context(), other, nil); fault.CodeOf(err) != fault.BadConfig || !strings.Contains(err.Error(), "thesis.tex") {
		t.Errorf("want a folder with other files refused, got %v", err)
	}
	if left, _ := filepath.Glob(filepath.Join(filepath.Dir(other), ".*")); len(left) > 0 {
		t.Errorf("want nothing left beside it, got %q", left)
	}
}
