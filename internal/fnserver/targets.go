package fnserver

import (
	"context"
	"log/slog"
	"net/http"
	"os"

	"godwit.dev/adapters/azurefunctions"
	"godwit.dev/adapters/azureml"
	"godwit.dev/adapters/cloudrun"
	"godwit.dev/adapters/edge"
	"godwit.dev/adapters/httpserve"
	"godwit.dev/adapters/knative"
	"godwit.dev/adapters/sagemaker"
	"godwit.dev/adapters/vertexai"
	"godwit.dev/internal/app"
)

// target is one platform that speaks HTTP to a process.
type target struct {
	name string
	// here recognises the platform by variables that no other one sets.
	here func(getenv func(string) string) bool
	// folders are where the platform puts a function.
	folders func(getenv func(string) string) []string
	// missing is the error where there is no function; nil is err.
	missing func(getenv func(string) string, err error) error
	address func(getenv func(string) string) (string, error)
	limits  func(*httpserve.Options)
	adapt   func(p *app.Process, log *slog.Logger) func(*Function) (http.Handler, error)
	log     func(p *app.Process) *slog.Logger
	start   Start
	// job is what the process does instead of serving, or nil; nil is never. Tasks
	// that score a share of batch.input are not meant: see taskOf.
	job   func(getenv func(string) string) func(ctx context.Context, f *app.Function) error
	mixed bool // see httpserve.Options
	life  live // what goes on beside the function; nil is nothing
	// args is the command line that the platform starts a container with.
	args []string
}

var targets = []target{
	{
		name: "cloudrun",
		// Knative sets K_SERVICE too, but its pods know of Kubernetes.
		here: func(getenv func(string) string) bool {
			return getenv("KUBERNETES_SERVICE_HOST") == "" && getenv("K_SERVICE") != "" || getenv("CLOUD_RUN_JOB") != "" || getenv("CLOUD_RUN_WORKER_POOL") != ""
		},
		folders: nowhere,
		address: func(getenv func(string) string) (string, error) { return cloudrun.Address(getenv), nil },
		limits:  cloudrun.Limits,
		adapt: func(p *app.Process, log *slog.Logger) func(*Function) (http.Handler, error) {
			return func(f *Function) (http.Handler, error) {
				o := &cloudrun.Options{Auth: f.Auth, Admit: f.API.Options().Admit, Log: log}
				// With auth: platform nobody gets here without the role run.invoker,
				// and with auth: none everybody may.
				o.Anyone = f.Auth == nil
				if err := pushed(f, p.Getenv, o); err != nil {
					return nil, err
				}
				return cloudrun.New(f.API, f.Events(), o), nil
			}
		},
		log: func(p *app.Process) *slog.Logger {
			return cloudrun.NewLogger(p.Stderr, &cloudrun.LogOptions{Project: p.Getenv("GOOGLE_CLOUD_PROJECT")})
		},
		// The startup probe that a service gets unasked is a connection.
		start: Connected,
		// Google's front end puts the calls of many clients on one connection.
		mixed: true,
		job:   cloudRunPool,
	},
	{
		name: "azurefunctions",
		here: func(getenv func(string) string) bool {
			return getenv("FUNCTIONS_CUSTOMHANDLER_PORT") != "" || getenv("FUNCTIONS_HTTPWORKER_PORT") != ""
		},
		folders: func(getenv func(string) string) []string { return []string{getenv("FUNCTIONS_APP_ROOT_PATH")} },
		address: func(getenv func(string) string) (string, error) { return azurefunctions.Address(getenv), nil },
		limits:  azurefunctions.Limits,
		adapt: func(p *app.Process, log *slog.Logger) func(*Function) (http.Handler, error) {
			return func(f *Function) (http.Handler, error) {
				o := &azurefunctions.Options{Admit: f.API.Options().Admit, Log: log}
				if root := p.Getenv("FUNCTIONS_APP_ROOT_PATH"); root != "" {
					var err error
					if o.App, err = azurefunctions.ReadApp(os.DirFS(root)); err != nil {
						return nil, err
					}
				}
				return azurefunctions.New(f.API, f.Events(), o), nil
			}
		},
		log: jsonLog,
		// The host wants the port open within seconds, and sends requests then.
		start: Impatient,
	},
	{
		name: "knative",
		here: func(getenv func(string) string) bool {
			return getenv("KUBERNETES_SERVICE_HOST") != "" && (getenv("K_SERVICE") != "" || knative.IsJob(getenv))
		},
		folders: nowhere,
		address: func(getenv func(string) string) (string, error) { return knative.Address(getenv), nil },
		limits:  knative.Limits,
		adapt: func(p *app.Process, log *slog.Logger) func(*Function) (http.Handler, error) {
			return func(f *Function) (http.Handler, error) {
				return knative.New(f.API, f.Events(), &knative.Options{Source: "/godwit/" + f.Spec.Name, Auth: f.Auth}), nil
			}
		},
		log: jsonLog,
		// The readiness probe that a service gets unasked is a connection.
		start: Connected,
		// queue-proxy puts the calls of many clients on one connection.
		mixed: true,
		job: func(getenv func(string) string) func(context.Context, *app.Function) error {
			if !knative.IsJob(getenv) {
				return nil
			}
			return func(ctx context.Context, f *app.Function) error {
				return knative.Job(ctx, f.Events(), getenv, os.ReadFile)
			}
		},
	},
	{
		name:    "sagemaker",
		here:    sagemaker.Here,
		folders: func(func(string) string) []string { return []string{sagemaker.ModelFolder} },
		address: func(getenv func(string) string) (string, error) { return sagemaker.Address(getenv), nil },
		limits:  sagemaker.Limits,
		adapt:   adaptSageMaker,
		log:     jsonLog,
		args:    []string{"serve"}, // SageMaker runs IMAGE serve
	},
	{
		name:    "vertexai",
		here:    vertexai.Here,
		folders: nowhere,
		missing: vertexai.NoFunction,
		address: func(getenv func(string) string) (string, error) { return vertexai.Address(getenv), nil },
		limits:  vertexai.Limits,
		adapt: func(p *app.Process, _ *slog.Logger) func(*Function) (http.Handler, error) {
			return func(f *Function) (http.Handler, error) {
				o := vertexai.Routes(p.Getenv)
				o.Model = onlyModel(f)
				return vertexai.New(f.API, o), nil
			}
		},
		log: jsonLog,
	},
	{
		name:    "azureml",
		here:    func(getenv func(string) string) bool { return getenv("AZUREML_MODEL_DIR") != "" },
		folders: azureml.Folders,
		address: func(getenv func(string) string) (string, error) { return azureml.Address(getenv), nil },
		limits:  azureml.Limits,
		adapt: func(*app.Process, *slog.Logger) func(*Function) (http.Handler, error) {
			return func(f *Function) (http.Handler, error) {
				return azureml.New(f.API, &azureml.Options{Model: onlyModel(f)}), nil
			}
		},
		log: jsonLog,
	},
	{
		name:    "edge",
		here:    onEdge,
		folders: nowhere,
		address: func(getenv func(string) string) (string, error) { return edge.Address(getenv, ""), nil },
		limits:  edge.Limits,
		adapt:   adaptEdge,
		log:     jsonLog,
		life:    lifeOnEdge,
	},
}

// nowhere is for platforms that have no place of their own for a function.
func nowhere(func(string) string) []string { return nil }

// onlyModel is the model of a function that has one, or "".
func onlyModel(f *Function) string {
	if names := f.ModelNames(); len(names) == 1 {
		return names[0]
	}
	return ""
}
