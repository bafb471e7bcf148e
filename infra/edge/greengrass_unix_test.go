//go:build unix

package edge_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"godwit.dev/infra/render/rendertest"
)

// core plays a Greengrass core: it installs the component with a program in the
// place of fn-server, and returns its Run script.
func core(t *testing.T, program string) (dir, run string) {
	t.Helper()
	d := on(t, "runtime: greengrass")
	lifecycle := rendertest.Within(rendertest.Decoded(t, matching(t, d, ".yaml")), "Manifests", "0", "Lifecycle")
	dir = t.TempDir()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	w := tar.NewWriter(z)
	if err := w.WriteHeader(&tar.Header{Name: "fn-server", Mode: 0o755, Size: int64(len(program))}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write([]byte(program)); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(w.Close(), z.Close(), os.WriteFile(filepath.Join(dir, d.Package), b.Bytes(), 0o600)); err != nil {
		t.Fatal(err)
	}
	filled := strings.NewReplacer("{work:path}", dir, "{artifacts:path}", dir, "sleep 2", "sleep 0")
	for range 2 { // at each start of the core
		if out, err := exec.Command("sh", "-c", filled.Replace(rendertest.Within(lifecycle, "Install", "Script").(string))).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	return dir, filled.Replace(rendertest.Within(lifecycle, "Run", "Script").(string))
}

func read(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// What crashes is started four times, and only then is a failure of the component.
func TestGreengrassStartsAgain(t *testing.T) {
	dir, run := core(t, "#!/bin/sh\necho started >>\"$(dirname \"$0\")/../log\"\nexit 14\n")
	err := exec.Command("sh", "-c", run).Run()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 1 {
		t.Errorf("got %v", err)
	}
	if got := read(t, filepath.Join(dir, "log")); got != strings.Repeat("started\n", 4) {
		t.Errorf("got %q", got)
	}
}

// What is stopped drains, and is not started again: the shell waits for it.
func TestGreengrassStops(t *testing.T) {
	dir, run := core(t, "#!/bin/sh\ntrap 'sleep 0.1; echo drained >>\"$LOG\"; exit 0' TERM\necho started >>\"$LOG\"\necho up\nwhile :; do sleep 0.01; done\n")
	log := filepath.Join(dir, "log")
	cmd := exec.Command("sh", "-c", run)
	cmd.Env = append(os.Environ(), "LOG="+log)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // all of it is signalled
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	up := make([]byte, 3)
	if _, err := out.Read(up); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("got %v", err)
	}
	if got := read(t, log); got != "started\ndrained\n" {
		t.Errorf("got %q", got)
	}
}
