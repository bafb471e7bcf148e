package cli

import (
	"log/slog"

	"godwit.dev/internal/app"
	"godwit.dev/runtime/driver"
	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/isolate"
)

// workerCommand is the command line of a worker process. It is no command for
// people, so help and completion do not know it.
const workerCommand = "worker-process"

// workerEnv names what a worker gets of this process's environment: where
// libraries, caches, devices and locales are. The rest, which may hold keys,
// stays here.
var workerEnv = [...]string{
	"HOME", "XDG_CACHE_HOME", "PATH", "TMPDIR", "TZ", "LANG", "LC_ALL", "LC_CTYPE", "LOCPATH",
	"LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "GODWIT_ONNXRUNTIME", "GOMAXPROCS", "OMP_NUM_THREADS",
	"CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER", "CUDA_CACHE_PATH", "CUDA_CACHE_DISABLE", "CUDA_MODULE_LOADING",
	"NVIDIA_VISIBLE_DEVICES", "NVIDIA_DRIVER_CAPABILITIES",
}

// worker runs the engine for the server that started this process. The error,
// which only the exit code is left for, has been printed.
func (p *program) worker() error {
	err := isolate.Serve(func(log *slog.Logger) driver.Engine { return p.engine(log) })
	if err != nil {
		p.report(err)
	}
	return err
}

// isolation is how this program starts itself as a worker. mode is "on", "off",
// or "" for what the spec says.
func (p *program) isolation(mode string) *app.Isolation {
	i := &app.Isolation{Mode: mode, Info: p.Engine(p.Setup(nil)).Info()}
	if p.Executable != "" {
		i.Command = []string{p.Executable, workerCommand}
	}
	for _, name := range workerEnv {
		if v := p.Getenv(name); v != "" {
			i.Env = append(i.Env, name+"="+v)
		}
	}
	return i
}

// isolate makes the engine that serve runs the function at path with, in a
// worker process if that is wanted. Then nothing native is loaded in this one.
func (p *program) isolate(path, mode string, log *slog.Logger, o *app.Options) (driver.Engine, error) {
	if mode != "" && mode != "on" && mode != "off" {
		return nil, fault.New(fault.Usage, "", "--isolate", "want on or off, got %q", mode).WithHint("godwit serve --help")
	}
	i := p.isolation(mode)
	worker, err := app.Isolate(path, o, i)
	if worker == nil && err == nil {
		return p.engine(log), nil
	}
	p.isolated = worker != nil
	return worker, err
}
