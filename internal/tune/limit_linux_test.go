package tune

import (
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"

	"godwit.dev/runtime/fault"
)

// A process is held to a shape in the way that this machine allows, or there is an
// error; never is it silently not.
func TestLimiter(t *testing.T) {
	l, err := NewLimiter(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	t.Logf("by %s; not better, because: %s", l.How(), l.Why())
	for _, s := range []Shape{{}, {CPUs: 1}, {CPUs: 0.5}, {CPUs: 1, Memory: 96 << 20}} {
		c, err := l.cage(s)
		possible := s == (Shape{}) || l.How() != none && (l.Fractions() || s == Shape{CPUs: 1})
		if (err == nil) != possible {
			t.Fatalf("%v: got %v, want it possible: %v", s, err, possible)
		}
		if err != nil {
			if fault.CodeOf(err) != fault.Runtime {
				t.Errorf("%v: got %v, want runtime", s, err)
			}
			continue
		}
		cmd := exec.Command("sh", "-c", "echo $0; read end; exit 0", "hello world")
		in, _ := cmd.StdinPipe()
		out, _ := cmd.StdoutPipe()
		if err := c.start(cmd); err != nil {
			t.Fatalf("%v: %v", s, err)
		}
		said := make([]byte, 12)
		if _, err := io.ReadFull(out, said); err != nil || string(said) != "hello world\n" {
			t.Errorf("%v: got %q, %v, want the program's own argument", s, said, err)
		}
		if err := s.holds(sees(cmd.Process.Pid)); err != nil {
			t.Errorf("%v: %v", s, err)
		}
		in.Close()
		if err := cmd.Wait(); err != nil || c.killed() {
			t.Errorf("%v: ended with %v, killed: %v", s, err, c.killed())
		}
		groups := c.groups
		c.close()
		for _, g := range groups {
			if _, err := os.Stat(g); err == nil {
				t.Errorf("%v: %s is left", s, g)
			}
		}
	}
	if !l.Memory() || !strings.HasPrefix(l.How(), "cgroup") {
		return // nothing here limits memory and tells of it
	}
	c, err := l.cage(Shape{Memory: 32 << 20})
	if err != nil {
		t.Fatal(err)
	}
	defer c.close()
	cmd := exec.Command("sh", "-c", "head -c 200000000 /dev/zero | tail -c 200000000 >/dev/null")
	if err := c.start(cmd); err != nil {
		t.Fatal(err)
	}
	err = cmd.Wait()
	if !c.killed() {
		t.Errorf("200 MB within 32 MiB: ended with %v and was not killed", err)
	}
}

func TestShapeHolds(t *testing.T) {
	q := sees(os.Getpid())
	if err := (Shape{}).holds(q); err != nil {
		t.Errorf("nothing asked: %v", err)
	}
	if err := (Shape{CPUs: q.CPUs + 1}).holds(q); err == nil {
		t.Error("want an error for more CPUs than there are, got none")
	}
	if err := (Shape{Memory: 12345678}).holds(q); err == nil {
		t.Error("want an error for a limit that there is not, got none")
	}
}
