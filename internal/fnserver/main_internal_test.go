package fnserver

import (
	"testing"

	"godwit.dev/runtime/fault"
)

func TestPlatformsAreToldApart(t *testing.T) {
	for _, c := range []struct {
		name string
		env  map[string]string
		want string // "": refused
	}{
		{"told", map[string]string{"GODWIT_TARGET": "knative"}, "knative"},
		{"told otherwise than it looks", map[string]string{"GODWIT_TARGET": "azureml", "K_SERVICE": "f"}, "azureml"},
		{"a target that is none", map[string]string{"GODWIT_TARGET": "heroku"}, ""},
		{"Cloud Run", map[string]string{"K_SERVICE": "f", "K_REVISION": "f-1", "PORT": "8080"}, "cloudrun"},
		{"a job of Cloud Run", map[string]string{"CLOUD_RUN_JOB": "j"}, "cloudrun"},
		{"Knative", map[string]string{"K_SERVICE": "f", "KUBERNETES_SERVICE_HOST": "10.0.0.1"}, "knative"},
		{"a JobSink's Job", map[string]string{"K_EXECUTION_MODE": "batch", "KUBERNETES_SERVICE_HOST": "10.0.0.1"}, "knative"},
		{"any pod", map[string]string{"KUBERNETES_SERVICE_HOST": "10.0.0.1", "PORT": "8080"}, ""},
		{"Azure Functions", map[string]string{"FUNCTIONS_CUSTOMHANDLER_PORT": "5000"}, "azurefunctions"},
		{"Azure ML", map[string]string{"AZUREML_MODEL_DIR": "/m"}, "azureml"},
		{"a service of Type=notify", map[string]string{"NOTIFY_SOCKET": "/run/systemd/notify", "INVOCATION_ID": "0"}, "edge"},
		{"any service", map[string]string{"INVOCATION_ID": "0"}, ""},
		{"two at once", map[string]string{"AZUREML_MODEL_DIR": "/m", "K_SERVICE": "f"}, ""},
		{"a laptop", nil, ""},
	} {
		got, err := targetOf(func(name string) string { return c.env[name] })
		switch {
		case c.want == "" && (fault.CodeOf(err) != fault.BadConfig):
			t.Errorf("%s: %v, want BadConfig", c.name, err)
		case c.want != "" && (err != nil || got.name != c.want):
			t.Errorf("%s: %v, %v; want %s", c.name, got, err, c.want)
		}
	}
}
