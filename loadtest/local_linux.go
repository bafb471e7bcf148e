package loadtest

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"godwit.dev/loadtest/measure"
)

// Listener is the process that listens on a TCP port of this machine, as far as
// this process may see it. Where several do, as parent and children of one
// server, it is the one with the lowest number.
func Listener(port int) (pid int, ok bool) { return listener("/proc", port) }

func listener(proc string, port int) (pid int, ok bool) {
	sockets := map[string]bool{}
	for _, table := range []string{"net/tcp", "net/tcp6"} {
		text, err := os.ReadFile(filepath.Join(proc, table))
		if err != nil {
			continue
		}
		listening(text, port, sockets)
	}
	if len(sockets) == 0 {
		return 0, false
	}
	entries, err := os.ReadDir(proc)
	if err != nil {
		return 0, false
	}
	for _, e := range entries {
		n, err := strconv.Atoi(e.Name())
		if err != nil || ok && n > pid {
			continue
		}
		files, err := os.ReadDir(filepath.Join(proc, e.Name(), "fd"))
		if err != nil {
			continue // another user's, or it has ended
		}
		for _, f := range files {
			if to, err := os.Readlink(filepath.Join(proc, e.Name(), "fd", f.Name())); err == nil && sockets[to] {
				pid, ok = n, true
				break
			}
		}
	}
	return pid, ok
}

// listening adds the sockets of a table of connections that listen on port, as
// links of descriptors name them.
func listening(text []byte, port int, into map[string]bool) {
	lines := bufio.NewScanner(bytes.NewReader(text))
	for lines.Scan() {
		const local, state, inode = 1, 3, 9
		f := strings.Fields(lines.Text())
		if len(f) <= inode || f[state] != "0A" {
			continue
		}
		_, number, ok := strings.Cut(f[local], ":")
		b, err := hex.DecodeString(number)
		if ok && err == nil && len(b) == 2 && int(b[0])<<8|int(b[1]) == port {
			into["socket:["+f[inode]+"]"] = true
		}
	}
}

// ProcessUsage is what a process of this machine and all that descend from it
// have taken; false where there is none any more.
func ProcessUsage(pid int) (Usage, bool) {
	tree, err := measure.Tree("/proc", pid, "")
	if err != nil {
		return Usage{}, false
	}
	cpu, err := measure.TreeCPU(tree)
	if err != nil {
		return Usage{}, false
	}
	u := Usage{CPU: cpu, Processes: len(tree)}
	for _, p := range tree {
		text, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(p.PID), "statm"))
		if f := strings.Fields(string(text)); err == nil && len(f) > 1 {
			pages, _ := strconv.ParseInt(f[1], 10, 64) // the kernel's own number
			u.RSS += pages * int64(os.Getpagesize())
		}
	}
	return u, u.RSS > 0 && cpu > time.Duration(0)
}
