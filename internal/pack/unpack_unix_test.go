//go:build unix

package pack

import (
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// What is opened has the modes of the package, not those that the opener's own
// files get.
func TestModesWhateverTheUmask(t *testing.T) {
	entries := []entry{{name: "m.onnx", body: "y"}} // of mode 0644
	for name, data := range map[string][]byte{"p.zip": zipOf(t, entries), "p.tar.gz": tarOf(t, entries)} {
		file := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(file, data, 0o600); err != nil {
			t.Fatal(err)
		}
		was := syscall.Umask(0o077)
		o, err := Open(file, "amd64", t.TempDir())
		syscall.Umask(was)
		if err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(filepath.Join(o.Dir, "m.onnx"))
		if err != nil {
			t.Fatal(err)
		}
		if got, want := info.Mode(), fs.FileMode(0o644); got != want {
			t.Errorf("%s: want mode %v, got %v", name, want, got)
		}
		if err := o.Close(); err != nil {
			t.Error(err)
		}
	}
}
