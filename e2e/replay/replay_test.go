package replay

import (
	"archive/zip"
	"context"
	"encoding/json"
	"io"
	"net"
	"testing"
	"time"

	"godwit.dev/adapters/httpserve"
	"godwit.dev/adapters/oip"
	"godwit.dev/internal/app"
	"godwit.dev/internal/fnserver"
	"godwit.dev/runtime/drivertest"
)

const again = "if the answer changed on purpose, record again: e2e/tritonclient/run.sh --record"

// wait bounds how long one answer may take.
const wait = 30 * time.Second

// A talk is one recorded connection.
type talk struct {
	Case, Transport, File string

	client, server []byte
}

func TestTritonclient(t *testing.T) {
	talks := read(t, "../tritonclient/transcripts.zip")
	if len(talks) < 100 {
		t.Fatalf("%d connections are recorded, want at least 100", len(talks))
	}
	address := serve(t, "../tritonclient/function")
	compared := 0
	for _, talk := range talks { // in the order in which they were recorded
		t.Run(talk.File, func(t *testing.T) {
			conn, err := net.Dial("tcp", address)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			if err := conn.SetDeadline(time.Now().Add(wait)); err != nil {
				t.Fatal(err)
			}
			replay := replayHTTP
			if talk.Transport == "grpc" {
				replay = replayGRPC
			}
			n := replay(t, conn, talk)
			if n == 0 {
				t.Error("the recording has no request")
			}
			compared += n
		})
	}
	t.Logf("%d answers on %d connections", compared, len(talks))
}

func read(t *testing.T, archive string) (talks []talk) {
	t.Helper()
	z, err := zip.OpenReader(archive)
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	file := func(name string) []byte {
		f, err := z.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		b, err := io.ReadAll(f)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	if err := json.Unmarshal(file("index.json"), &talks); err != nil {
		t.Fatal(err)
	}
	for i := range talks {
		talks[i].client, talks[i].server = file(talks[i].File+".client"), file(talks[i].File+".server")
	}
	return talks
}

// serve opens the function folder as the command line does and serves it until
// the test ends.
func serve(t *testing.T, dir string) (address string) {
	t.Helper()
	eng := drivertest.ONNXRuntime(t)
	f, err := app.Open(dir, eng, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	ln, err := httpserve.Listen(t.Context(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	options := fnserver.ServerOptions(&f.Spec.Limits)
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- httpserve.Serve(ctx, ln, nil, f.Server(oip.Options{}), &options) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Errorf("Serve: %v", err)
		}
		if err := f.Close(context.Background()); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return ln.Addr().String()
}

// settle replaces what differs from run to run in a decoded answer: ids and
// times, and in statistics the counts, since some cases are not recorded.
func settle(v any) any {
	switch v := v.(type) {
	case []any:
		for i := range v {
			v[i] = settle(v[i])
		}
	case map[string]any:
		_, isServer := v["extensions"]
		if _, counted := v["count"]; counted {
			v["ns"] = "*" // protobuf leaves a time of 0 out
		}
		for key, inner := range v {
			switch key {
			case "prediction_id", "last_inference", "inference_count", "execution_count", "count", "ns":
				v[key] = "*"
			case "version":
				if isServer {
					v[key] = "*"
				}
			default:
				v[key] = settle(inner)
			}
		}
	}
	return v
}
