package cli_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"godwit.dev/internal/app"
	"godwit.dev/internal/cli"
	"godwit.dev/internal/emulate"
	"godwit.dev/internal/fnlambda"
	"godwit.dev/internal/fnserver"
	"godwit.dev/internal/testmodels"
	"godwit.dev/runtime/ort"
)

// TestMain makes this test binary the godwit of the scripts: a process of its
// own for each command, with the real engine.
func TestMain(m *testing.M) {
	program := func(main func(context.Context) int) func() {
		return func() {
			signal.Ignore(syscall.SIGPIPE)
			ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
			context.AfterFunc(ctx, stop)
			os.Exit(main(ctx))
		}
	}
	lambda := program(func(ctx context.Context) int { return fnlambda.Main(ctx, app.OS(), fnlambda.Parts{Engine: ort.New}) })
	testscript.Main(m, map[string]func(){
		"godwit": program(func(ctx context.Context) int {
			return cli.Main(ctx, app.OS(), cli.Parts{Engine: ort.New, Hangup: hangup})
		}),
		"fn-server": program(func(ctx context.Context) int { return fnserver.Main(ctx, app.OS(), fnserver.Parts{Engine: ort.New}) }),
		"fn-lambda": lambda,
		"bootstrap": lambda, // what a package for AWS Lambda calls it
	})
}

func TestScripts(t *testing.T) {
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	repo, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(e *testscript.Env) error {
			// Scripts have a home of their own, but the library was fetched into the real one.
			e.Setenv("XDG_CACHE_HOME", cache)
			e.Setenv("GODWIT_ONNXRUNTIME", os.Getenv("GODWIT_ONNXRUNTIME"))
			e.Setenv("GOCACHE", filepath.Join(cache, "go-build"))
			e.Setenv("GOMODCACHE", os.Getenv("GOMODCACHE"))
			e.Setenv("REPO", repo)
			// Under the race detector a process ends as soon as it would otherwise.
			e.Setenv("GORACE", "atexit_sleep_ms=0")
			e.Setenv("TARGETS", strings.Join(emulate.Targets(), ","))
			return writeModels(filepath.Join(e.WorkDir, "models"))
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"freeport":  freePort,
			"waitready": waitReady,
			"match":     match,
			"newkey":    newKey,
		},
		RequireExplicitExec: true,
	})
}

// writeModels puts one file for each small test model into dir.
func writeModels(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for _, m := range testmodels.All() {
		if err := os.WriteFile(filepath.Join(dir, m.Name+".onnx"), m.Model.Bytes(), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// freePort NAME sets the environment variable to 127.0.0.1:PORT with a port
// that was free a moment ago.
func freePort(ts *testscript.TestScript, _ bool, args []string) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	ts.Check(err)
	ts.Check(ln.Close())
	ts.Setenv(args[0], ln.Addr().String())
	_, port, _ := net.SplitHostPort(ln.Addr().String())
	ts.Setenv(args[0]+"_PORT", port)
}

// waitReady ADDRESS waits until the server there says that it is ready.
func waitReady(ts *testscript.TestScript, _ bool, args []string) {
	deadline := time.Now().Add(time.Minute)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for range tick.C {
		resp, err := http.Get("http://" + args[0] + "/v2/health/ready")
		if err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return
			}
		}
		if time.Now().After(deadline) {
			ts.Fatalf("%s is not ready after a minute: %v", args[0], err)
		}
	}
}

// newKey PRIVATE PUBLIC makes a pair of keys that sign, in PEM.
func newKey(ts *testscript.TestScript, _ bool, args []string) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	ts.Check(err)
	private, err := x509.MarshalECPrivateKey(key)
	ts.Check(err)
	public, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: private}), 0o600))
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public}), 0o600))
}

// match REGEXP FILE: as grep, but the pattern may span lines.
func match(ts *testscript.TestScript, neg bool, args []string) {
	text := ts.ReadFile(args[1])
	found, err := regexp.MatchString("(?s)"+args[0], text)
	ts.Check(err)
	if found == neg {
		ts.Fatalf("%s: match of %q is %v\n%s", args[1], args[0], found, indent(text))
	}
}

func indent(s string) string { return fmt.Sprint("  ", strings.ReplaceAll(s, "\n", "\n  ")) }
