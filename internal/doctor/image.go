package doctor

import (
	"context"
	"fmt"
	"os"
	"path"
	"slices"
	"strings"
)

// reserved are variables that an image must not set: the platform, or the
// rendered files, do.
var reserved = map[string][]string{
	"":               {"GODWIT_*", "ORT_DISABLE_TELEMETRY", "PORT"},
	"awslambda":      {"AWS_LAMBDA_*", "AWS_REGION", "AWS_DEFAULT_REGION", "AWS_EXECUTION_ENV", "AWS_ACCESS_KEY*", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "_HANDLER", "_X_AMZN_TRACE_ID", "LAMBDA_*", "TZ"},
	"cloudrun":       {"K_*", "CLOUD_RUN_*"},
	"knative":        {"K_*"},
	"azurefunctions": {"FUNCTIONS_*", "WEBSITE_*", "AzureWebJobs*"},
	"sagemaker":      {"SAGEMAKER_*", "AWS_REGION", "AWS_CONTAINER_*"},
	"vertexai":       {"AIP_*"},
	"azureml":        {"AZUREML_*", "AML_*"},
}

// shells are programs with which whoever got in goes on.
var shells = []string{"bin/sh", "bin/bash", "usr/bin/sh", "usr/bin/bash", "bin/dash", "bin/ash", "bin/busybox", "busybox/sh"}

// image looks at how an image is run, and what else is in it.
func (e *exam) image(context.Context) error {
	c := e.a.Config
	if c == nil {
		return nil
	}
	if rootUser(c.User) {
		e.add(Finding{Code: "root-user", Level: Warning, Where: "USER", What: fmt.Sprintf("The image runs as root (USER %q).", c.User),
			Why: "What breaks out of the function is root in its container, and clusters that ask for runAsNonRoot refuse to start it.", Do: "Set USER 65532:65532."})
	}
	root, err := os.OpenRoot(e.a.Root)
	if err == nil {
		defer root.Close()
		for _, s := range shells {
			if info, err := root.Stat(s); err == nil && !info.IsDir() {
				e.add(Finding{Code: "shell", Level: Warning, Where: "/" + s, What: fmt.Sprintf("The image has a shell, /%s.", s),
					Why: "The function needs none; whoever finds a way to run a command has one.", Do: "Package on a base without one, as the default base is."})
				break
			}
		}
	}
	for _, v := range c.Env {
		name, value, _ := strings.Cut(v, "=")
		for _, word := range append(slices.Clone(reserved[""]), reserved[e.t.name]...) {
			stem, prefix := strings.CutSuffix(word, "*")
			if name != word && (!prefix || !strings.HasPrefix(name, stem)) {
				continue
			}
			f := Finding{Code: "reserved-env", Level: Error, Where: "ENV " + name, What: fmt.Sprintf("The image sets %s=%s.", name, clip(value)),
				Why: fmt.Sprintf("%s sets it itself, or the rendered files do; with a value of its own the function listens, or believes to be, elsewhere.", e.t.name), Do: "Take it out of the image."}
			if name == "GODWIT_TARGET" && value == e.t.name {
				f.Level, f.Why = Warning, "One image serves several platforms; this one serves one."
			}
			e.add(f)
		}
		if secretName(name) && value != "" {
			e.add(Finding{Code: "secret-in-env", Level: Warning, Where: "ENV " + name, What: fmt.Sprintf("%s looks like a secret, and its value is in the image.", name),
				Why: "Who can pull the image can read it.", Do: "Give it to the platform's secret store, and name it under secrets."})
		}
	}
	if name := path.Base(e.entry); e.entry != "" && (name == "fn-lambda") != (e.t.name == "awslambda") && (name == "fn-lambda" || name == "fn-server") {
		e.add(Finding{Code: "wrong-program", Level: Error, Where: e.entry, What: fmt.Sprintf("The image starts %s on %s.", name, e.t.name),
			Why: "fn-lambda speaks Lambda's runtime interface only, fn-server everything else.", Do: fmt.Sprintf("Package with --target %s.", e.t.name)})
	}
	return nil
}

func rootUser(user string) bool {
	name, _, _ := strings.Cut(user, ":")
	return name == "" || name == "0" || name == "root"
}
