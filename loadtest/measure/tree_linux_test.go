package measure

import (
	"bufio"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// stat is a line as the kernel writes it.
func stat(pid int, name string, parent, cutime, cstime int) string {
	fields := []string{strconv.Itoa(pid), "(" + name + ")", "S", strconv.Itoa(parent)}
	for len(fields) < 52 {
		fields = append(fields, "7")
	}
	fields[15], fields[16] = strconv.Itoa(cutime), strconv.Itoa(cstime) // fields 16 and 17, from one on
	return strings.Join(fields, " ") + "\n"
}

func TestParseStat(t *testing.T) {
	cases := []struct {
		name, line string
		want       Process
		bad        bool
	}{
		{name: "a usual one", line: stat(12, "godwit", 1, 0, 0), want: Process{PID: 12, Parent: 1}},
		{name: "children that have ended", line: stat(12, "sh", 3, 150, 50), want: Process{PID: 12, Parent: 3, Waited: 2 * time.Second}},
		{name: "a name with blanks and brackets", line: stat(12, "ray::Serve (x) 4 ) S 99", 3, 0, 0), want: Process{PID: 12, Parent: 3}},
		{name: "no name", line: "12 S 3 4 5", bad: true},
		{name: "too short", line: "12 (sh) S 3 4", bad: true},
		{name: "no number", line: strings.Replace(stat(12, "sh", 3, 0, 0), "S 3", "S x", 1), bad: true},
		{name: "empty", bad: true},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			got, err := ParseStat([]byte(c.line))
			if (err != nil) != c.bad {
				t.Fatalf("want an error: %v, got %v", c.bad, err)
			}
			if d := cmp.Diff(c.want, got); d != "" {
				t.Errorf("(-want +got)\n%s", d)
			}
		})
	}
}

func FuzzParseStat(f *testing.F) {
	f.Add([]byte(stat(12, "a (b) c", 3, 1, 2)))
	f.Add([]byte(") ("))
	f.Fuzz(func(t *testing.T, line []byte) {
		if p, err := ParseStat(line); err != nil && p != (Process{}) {
			t.Errorf("want no process with an error, got %v", p)
		}
	})
}

// A table of processes as files: 10 is the root, 11 its child and 12 the
// child's, which stands before its parent; 13 has left its parent and says by
// its environment whose it is; 20 is somebody else's, with a mark that only begins alike.
func TestTree(t *testing.T) {
	proc := t.TempDir()
	put := func(pid, parent int, environ string) {
		dir := filepath.Join(proc, strconv.Itoa(pid))
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		for name, text := range map[string]string{"stat": stat(pid, "p", parent, 0, 0), "environ": environ} {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	put(10, 1, "")
	put(12, 30, "")
	put(30, 10, "")
	put(13, 1, "A=b\x00MARK=x\x00")
	put(14, 1, "MARK=x\x00A=b\x00")
	put(15, 13, "")
	put(20, 1, "MARK=xy\x00NOMARK=x\x00")
	put(21, 20, "")
	cases := []struct {
		name, mark string
		want       []int
	}{
		{"by parents", "", []int{10, 12, 30}},
		{"by the environment too", "MARK=x", []int{10, 12, 13, 14, 15, 30}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			tree, err := Tree(proc, 10, c.mark)
			if err != nil {
				t.Fatal(err)
			}
			var got []int
			for _, p := range tree {
				got = append(got, p.PID)
			}
			slices.Sort(got)
			if d := cmp.Diff(c.want, got); d != "" {
				t.Errorf("(-want +got)\n%s", d)
			}
		})
	}
	if _, err := Tree(proc, 99, ""); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("nobody: want an error, got %v", err)
	}
}

// A real shell with a real child that it keeps busy and waits for: the child's
// time is in the tree's before and after it has ended, and so is its memory.
func TestTreeOfProcesses(t *testing.T) {
	cmd := exec.Command("sh", "-c", `sh -c 'i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done; echo counted; read x'; echo waited; read y`)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		in.Close()
		cmd.Wait()
	}()
	lines := bufio.NewScanner(out)
	look := func(after string, want int) (time.Duration, int64) {
		if !lines.Scan() || lines.Text() != after {
			t.Fatalf("want the line %q, got %q", after, lines.Text())
		}
		tree, err := Tree("/proc", cmd.Process.Pid, "")
		if err != nil || len(tree) != want {
			t.Fatalf("%s: want %d processes, got %v and %v", after, want, tree, err)
		}
		cpu, err := TreeCPU(tree)
		if err != nil {
			t.Fatal(err)
		}
		peak, err := TreePeak("/proc", tree)
		if err != nil {
			t.Fatal(err)
		}
		return cpu, peak
	}
	both, peak := look("counted", 2)
	if self, err := CPU(cmd.Process.Pid); err != nil || both <= 2*self {
		t.Errorf("want the child's CPU in the tree's, got %v of which the root has %v, %v", both, self, err)
	}
	if peak < 100<<10 {
		t.Errorf("want the memory of two shells, got %d bytes", peak)
	}
	if _, err := in.Write([]byte("\n")); err != nil {
		t.Fatal(err)
	}
	const tick = 20 * time.Millisecond // what /proc leaves out of a child's user and system time
	if after, _ := look("waited", 1); after < both-tick {
		t.Errorf("want %v still counted after the child has ended, got %v", both, after)
	}
}
