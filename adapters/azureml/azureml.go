// Package azureml serves a function behind an Azure Machine Learning managed
// online endpoint, in an image of one's own: the three routes that the
// environment's inference_config names, and the protocol's own beside them.
// The endpoint's proxy checks keys and tokens, chooses the deployment, queues
// and bounds requests: it passes on at most 10 MB, one request at a time and for
// 5 s unless request_settings says otherwise.
//
// A scoring_route with the path "/" passes on the protocol's paths as they are,
// so that its clients need no change; with any other path, a caller names the
// model in the query, ?model=NAME&version=V, where there are several.
package azureml

import (
	"net/http"
	"os"
	"path/filepath"
	"time"

	"godwit.dev/adapters/httpserve"
	"godwit.dev/adapters/oip"
	"godwit.dev/runtime/fault"
)

// MaxTimeout is the most that request_timeout_ms may say, and DefaultTimeout
// what holds where it says nothing (Azure's reference of deployments).
const (
	DefaultTimeout = 5 * time.Second
	MaxTimeout     = 180 * time.Second
)

// Options of New; nil means defaults.
type Options struct {
	// Liveness, Readiness and Scoring are the paths of inference_config; defaults
	// /v2/health/live, /v2/health/ready and /score. A startup_route is Readiness's.
	Liveness, Readiness, Scoring string
	// Model is what requests on the scoring route are for that name none; "" if
	// there are several.
	Model string
}

func (o *Options) withDefaults() Options {
	var d Options
	if o != nil {
		d = *o
	}
	for _, f := range []struct {
		path *string
		def  string
	}{{&d.Liveness, live}, {&d.Readiness, ready}, {&d.Scoring, "/score"}} {
		if *f.path == "" {
			*f.path = f.def
		}
	}
	return d
}

// The protocol's routes behind the platform's.
const (
	live  = "/v2/health/live"
	ready = "/v2/health/ready"
)

// New is the endpoint's handler: everything is api's to answer.
func New(api *oip.Server, opts *Options) http.Handler {
	o := opts.withDefaults()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch path := r.URL.Path; {
		case path == o.Scoring && r.Method == http.MethodPost:
			score(api, w, r, o.Model)
		// One path may be for both, and who is ready is alive.
		case path == o.Readiness:
			api.ServeHTTP(w, oip.Forward(r, ready))
		case path == o.Liveness:
			api.ServeHTTP(w, oip.Forward(r, live))
		default:
			api.ServeHTTP(w, r)
		}
	})
}

// score answers a request on the scoring route, which is for model unless its
// query names another.
func score(api *oip.Server, w http.ResponseWriter, r *http.Request, model string) {
	query := r.URL.Query()
	if name := query.Get("model"); name != "" {
		model = name
	}
	if model == "" {
		api.Refuse(w, r, fault.New(fault.Invalid, "azureml.Score", "model", "want the name of one of several models, got none").
			WithHint("Add ?model=NAME to the scoring URI."))
		return
	}
	api.ServeHTTP(w, oip.Forward(r, oip.InferPath(model, query.Get("version"))))
}

// Address is where the container listens: $PORT, which the deployment sets to
// the port of its routes, else 5001, on all addresses. Containers may not run
// as root there, so it is above 1024.
func Address(getenv func(string) string) string {
	if port := getenv("PORT"); port != "" {
		return ":" + port
	}
	return ":5001"
}

// Folders are where the function may be: AZUREML_MODEL_DIR, and the folders in
// it, as a folder that was registered as a model keeps its name there.
func Folders(getenv func(string) string) []string {
	dir := getenv("AZUREML_MODEL_DIR")
	if dir == "" {
		return nil
	}
	folders := []string{dir}
	entries, _ := os.ReadDir(dir) // one that is not there has none
	for _, e := range entries {
		if e.IsDir() {
			folders = append(folders, filepath.Join(dir, e.Name()))
		}
	}
	return folders
}

// Limits sets what the platform's contract says of a server's life. How long a
// container has after SIGTERM is not documented: it is a pod's, whose default
// is 30 s.
func Limits(o *httpserve.Options) {
	o.NoGRPC = true
	o.Drain = min(max(o.Drain, time.Second), 29*time.Second)
}
