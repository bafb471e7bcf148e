package loadtest

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"os/exec"
	"testing"
	"time"
)

func TestListenerIsFound(t *testing.T) {
	for _, address := range []string{"127.0.0.1:0", "[::1]:0"} {
		ln, err := net.Listen("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		port := ln.Addr().(*net.TCPAddr).Port
		if pid, ok := Listener(port); !ok || pid != os.Getpid() {
			t.Errorf("%s: want this process, %d, got %d, %v", address, os.Getpid(), pid, ok)
		}
		ln.Close()
		if pid, ok := Listener(port); ok {
			t.Errorf("%s: want nobody after the end, got %d", address, pid)
		}
	}
}

func TestListeningReadsOddTables(t *testing.T) {
	got := map[string]bool{}
	listening([]byte("  sl  local_address rem_address st\n\n"+
		"   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000 0 0 4242 1\n"+
		"   1: 0100007F:1F90 00000000:0000 01 00000000:00000000 00:00000000 00000000 0 0 4243 1\n"+
		"   2: 0100007F:1F91 00000000:0000 0A 00000000:00000000 00:00000000 00000000 0 0 4244 1\n"+
		"   3: 0100007F 00000000:0000 0A 0 0 0 0 0 4245 1\n   4: x:zz y 0A 0 0 0 0 0 4246 1\n   5: 0100007F:1F90 0 0A\n"), 8080, got)
	if len(got) != 1 || !got["socket:[4242]"] {
		t.Errorf("want the one that listens, got %v", got)
	}
}

// A child's time counts while it runs and after it has ended.
func TestProcessUsageIsOfTheTree(t *testing.T) {
	cmd := exec.Command("sh", "-c", `sh -c 'i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done; echo busy; read x'; echo ended; read x`)
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
	lines := bufio.NewScanner(out)
	for _, processes := range []int{2, 1} {
		if !lines.Scan() {
			t.Fatal("the shell has ended")
		}
		u, ok := ProcessUsage(cmd.Process.Pid)
		if !ok || u.Processes != processes || u.CPU < 20*time.Millisecond || u.RSS < 1<<16 {
			t.Errorf("%s: want %d processes with the loop's time, got %+v, %v", lines.Text(), processes, u, ok)
		}
		fmt.Fprintln(in)
	}
	cmd.Wait()
	if u, ok := ProcessUsage(cmd.Process.Pid); ok {
		t.Errorf("want nothing of a process that has ended, got %+v", u)
	}
}
