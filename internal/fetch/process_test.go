package fetch

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// process is this test's binary as another process that wants a model: it says
// where it is on stdout, and ends when stdin does.
func process() int {
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM([]byte(os.Getenv("FETCH_TEST_CA")))
	f := New(&Options{Dirs: []string{os.Getenv("FETCH_TEST_DIR")}, Getenv: os.Getenv, TLS: &tls.Config{RootCAs: pool, ServerName: "example.com"}})
	file, err := f.Get(context.Background(), os.Getenv("FETCH_TEST_URL"), os.Getenv("FETCH_TEST_SUM"))
	if err != nil {
		fmt.Println("error:", err)
		return 1
	}
	b, err := os.ReadFile(file.Path)
	if err != nil {
		fmt.Println("error:", err)
		return 1
	}
	fmt.Println("got", sumOfBytes(b))
	_, _ = bufio.NewReader(os.Stdin).ReadString('\n')
	return 0
}

// other is a started process.
type other struct {
	*exec.Cmd
	out *bufio.Reader
	in  interface{ Close() error }
}

func start(t *testing.T, ca []byte, url, dir, sum string) *other {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "FETCH_TEST_PROCESS=1", "FETCH_TEST_CA="+string(ca), "FETCH_TEST_URL="+url, "FETCH_TEST_DIR="+dir, "FETCH_TEST_SUM="+sum, PrivateHosts+"=127.0.0.1")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return &other{cmd, bufio.NewReader(out), in}
}

func (o *other) line(t *testing.T) string {
	t.Helper()
	text, err := o.out.ReadString('\n')
	if err != nil {
		t.Errorf("want a line, got %q: %v", text, err)
	}
	return strings.TrimSpace(text)
}

func (o *other) end(t *testing.T) {
	t.Helper()
	if err := o.in.Close(); err != nil {
		t.Error(err)
	}
	if err := o.Wait(); err != nil {
		t.Error(err)
	}
}

// Many processes that want one model cause one download. One that is killed in
// the middle, with others waiting for it, is followed by one that goes on where
// it was.
func TestProcesses(t *testing.T) {
	content := bytesOf(4 << 20)
	sum := sumOfBytes(content)
	for _, kill := range []bool{false, true} {
		t.Run(fmt.Sprintf("kill=%v", kill), func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "models")
			var requests atomic.Int32
			half, ranges := make(chan struct{}), make(chan string, 10)
			open := make(chan struct{})
			s := server(t, func(w http.ResponseWriter, r *http.Request) {
				ranges <- r.Header.Get("Range")
				w.Header().Set("ETag", `"a"`)
				if requests.Add(1) > 1 {
					http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(content))
					return
				}
				w.Header().Set("Content-Length", fmt.Sprint(len(content)))
				_, _ = w.Write(content[:len(content)/2])
				w.(http.Flusher).Flush()
				close(half)
				select {
				case <-open:
					_, _ = w.Write(content[len(content)/2:])
				case <-r.Context().Done(): // its process is dead
				}
			})
			ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})
			first := start(t, ca, s.URL+"/m.onnx", dir, sum)
			<-half
			var others []*other
			for range 3 {
				others = append(others, start(t, ca, s.URL+"/m.onnx", dir, sum))
			}
			part := filepath.Join(dir, sum+".part")
			for { // what was sent is on disk
				if info, err := os.Stat(part); err == nil && info.Size() == int64(len(content)/2) {
					break
				}
			}
			want := []string{""}
			if kill {
				if err := first.Process.Kill(); err != nil {
					t.Fatal(err)
				}
				_ = first.Wait()
				want = append(want, fmt.Sprintf("bytes=%d-", len(content)/2))
			} else {
				close(open)
				others = append(others, first)
			}
			for _, o := range others {
				if got := o.line(t); got != "got "+sum {
					t.Errorf("want the model, got %q", got)
				}
			}
			for _, o := range others {
				o.end(t)
			}
			close(ranges)
			var got []string
			for r := range ranges {
				got = append(got, r)
			}
			if fmt.Sprint(got) != fmt.Sprint(want) {
				t.Errorf("want the requests %q, got %q", want, got)
			}
			if got := names(t, dir, sum); fmt.Sprint(got) != "[SUM.onnx]" {
				t.Errorf("want the model alone, got %q", got)
			}
		})
	}
}
