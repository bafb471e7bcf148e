package app

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"godwit.dev/internal/fetch"
	"godwit.dev/runtime/driver"
	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/isolate"
	"godwit.dev/runtime/quota"
)

// Process is the process that a binary runs in: what is read of it is read here.
type Process struct {
	Args                 []string // without the program's name
	Getenv               func(string) string
	Stdin                io.Reader
	Stdout, Stderr       io.Writer
	Executable, CacheDir string    // paths of the binary and of Godwit's cache; "" when unknown
	Begun                time.Time // when the program's own code began; zero when unknown
}

// OS is this process.
func OS() Process {
	p := Process{Args: os.Args[1:], Getenv: os.Getenv, Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr, Begun: time.Now()}
	p.Executable, _ = os.Executable()
	if cache, err := os.UserCacheDir(); err == nil {
		p.CacheDir = filepath.Join(cache, "godwit")
	}
	return p
}

// Setup is where a process with this environment finds ONNX Runtime: the
// library named, else lib/ beside the binary, else the one in the user's cache.
func (p *Process) Setup(log *slog.Logger) *driver.Setup {
	setup := &driver.Setup{Library: p.Getenv("GODWIT_ONNXRUNTIME"), CacheDir: p.CacheDir, Logger: log}
	if p.Executable != "" {
		setup.LibraryDirs = []string{filepath.Join(filepath.Dir(p.Executable), "lib")}
	}
	return setup
}

// Quota is what the process may use.
func (p *Process) Quota() quota.Quota { return quota.Read(p.source()) }

// Memory reads what counts against the quota's limit.
func (p *Process) Memory() *quota.Gauge { return quota.NewGauge(p.source()) }

func (p *Process) source() quota.Source {
	return quota.Source{FS: os.DirFS("/"), Getenv: p.Getenv, CPUs: runtime.NumCPU()}
}

// Folder is where a deployed binary finds its function: GODWIT_FUNCTION, else
// the first of the other folders that has one, else the executable's own. Errors: Usage.
func (p *Process) Folder(others ...string) (string, error) {
	if dir := p.Getenv("GODWIT_FUNCTION"); dir != "" {
		return dir, nil
	}
	if p.Executable != "" {
		others = append(others, filepath.Dir(p.Executable))
	}
	for _, dir := range others {
		if _, err := os.Stat(filepath.Join(dir, "godwit.yaml")); err == nil {
			return dir, nil
		}
	}
	return "", fault.New(fault.Usage, "", "", "want a function folder or a model file, got none").
		WithHint("Name the folder, or set GODWIT_FUNCTION.")
}

// workerCommand is the command line of a worker process. It is no command for
// people, so help and completion do not know it.
const workerCommand = "worker-process"

// passed names what Passed passes on.
var passed = [...]string{
	"HOME", "XDG_CACHE_HOME", "PATH", "TMPDIR", "TZ", "LANG", "LC_ALL", "LC_CTYPE", "LOCPATH",
	"LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "GODWIT_ONNXRUNTIME", "OMP_NUM_THREADS",
	"GOMAXPROCS", "GODEBUG", "GORACE",
	"CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER", "CUDA_CACHE_PATH", "CUDA_CACHE_DISABLE", "CUDA_MODULE_LOADING",
	"NVIDIA_VISIBLE_DEVICES", "NVIDIA_DRIVER_CAPABILITIES",
}

// Passed is what processes that this one starts get of its environment: where
// libraries, caches, devices and locales are. The rest, which may hold keys,
// stays here.
func (p *Process) Passed() []string {
	var env []string
	for _, name := range passed {
		if v := p.Getenv(name); v != "" {
			env = append(env, name+"="+v)
		}
	}
	return env
}

// IsWorker reports whether this process was started as a worker: then Work is
// all it does.
func (p *Process) IsWorker() bool { return len(p.Args) == 1 && p.Args[0] == workerCommand }

// Work runs an engine for the process that started this one, until that ends.
func (p *Process) Work(engine driver.NewEngine) error {
	return isolate.Serve(func(log *slog.Logger) driver.Engine { return engine(p.Setup(log)) })
}

// Isolate makes the engine that the function at path is served with, in a
// worker process if mode, or with "" the spec, says so: then nothing native is
// loaded in this one, and apart is true. Errors: Usage, BadConfig, Runtime.
func (p *Process) Isolate(path, mode string, engine driver.NewEngine, o *Options) (eng driver.Engine, apart bool, err error) {
	if mode != "" && mode != "on" && mode != "off" {
		return nil, false, fault.New(fault.Usage, "", "--isolate", "want on or off, got %q", mode).WithHint("godwit serve --help")
	}
	p.reportStart(o)
	if o.Fetch == nil {
		o.Fetch = fetch.New(p.FetchOptions(o.Logger))
	}
	i := &Isolation{Mode: mode, Info: engine(p.Setup(nil)).Info()}
	if p.Executable != "" {
		i.Command = []string{p.Executable, workerCommand}
	}
	i.Env = p.Passed()
	worker, err := Isolate(path, o, i)
	if worker == nil && err == nil {
		setup := p.Setup(o.Logger)
		setup.Start = o.Phase
		eng := engine(setup)
		Prepare(eng)
		return eng, false, nil
	}
	return worker, worker != nil, err
}

// End prints what went wrong, if anything did, on stderr, and returns the exit code.
func (p *Process) End(err error) int {
	if err == nil {
		return 0
	}
	for _, one := range Problems(err) {
		fmt.Fprintf(p.Stderr, "Error: %s\n", one.Error)
		if one.Hint != "" {
			fmt.Fprintf(p.Stderr, "Try: %s\n", one.Hint)
		}
	}
	return fault.CodeOf(err).Exit()
}

// terminationLog is where Kubernetes and Cloud Run mount a file that they show
// as the reason why a container ended.
const terminationLog = "/dev/termination-log"

// Tell writes why a start failed to where a platform shows it, if there is such
// a place.
func Tell(err error) { tell(terminationLog, err) }

func tell(file string, err error) {
	info, statErr := os.Stat(file)
	if statErr != nil || !info.Mode().IsRegular() {
		return
	}
	var text strings.Builder
	for _, one := range Problems(err) {
		text.WriteString(one.Error + "\n")
		if one.Hint != "" {
			text.WriteString("Try: " + one.Hint + "\n")
		}
	}
	_ = os.WriteFile(file, []byte(text.String()), 0o644) // the same text is on stderr
}

// Problem is one thing that is wrong, as it is printed.
type Problem struct {
	Error string `json:"error"`
	Code  string `json:"code"`
	Hint  string `json:"hint,omitempty"`
}

// Problems splits err into what is wrong, each with its own advice, for whoever
// operates the process: nothing is hidden.
func Problems(err error) []Problem {
	if many, ok := err.(interface{ Unwrap() []error }); ok {
		var all []Problem
		for _, e := range many.Unwrap() {
			all = append(all, Problems(e)...)
		}
		return all
	}
	return []Problem{{plain(err), fault.CodeOf(err).String(), fault.HintOf(err)}}
}

// plain is err's text without the names of functions of ours.
func plain(err error) string {
	e, ok := err.(*fault.Error)
	if !ok {
		if !errors.As(err, &e) {
			return err.Error()
		}
		return strings.Replace(err.Error(), e.Error(), plain(e), 1)
	}
	text := e.Code.String()
	if e.Err != nil {
		text = plain(e.Err)
	}
	if e.Subject != "" {
		text = e.Subject + ": " + text
	}
	return text
}
