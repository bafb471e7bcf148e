package cdk

import (
	"strings"

	"github.com/aws/aws-cdk-go/awscdk/v2/awslambda"

	"godwit.dev/runtime/fault"
)

// authType is who asks callers: AWS with auth: platform, else the process, or
// nobody where godwit.yaml says none. What the process needs for it must be
// there.
func authType(f *Function) awslambda.FunctionUrlAuthType {
	a, t := f.Spec.Auth, f.Spec.Targets.AWSLambda
	bad := func(subject, hint, format string, args ...any) {
		panic(fault.New(fault.BadConfig, "cdk.NewStack", subject, format, args...).WithHint("%s", hint))
	}
	switch a.Mode {
	case "platform":
		return awslambda.FunctionUrlAuthType_AWS_IAM
	case "key":
		if file := a.Key.File; file != "" && !strings.HasPrefix(file, "/var/task/") {
			bad("auth.key.file", "Put the keys into a secret: auth: {key: {env: API_KEYS}}, and secrets: {API_KEYS: NAME} under awslambda.",
				"want keys in a variable, got the file %q: Lambda mounts no secrets", file)
		}
		env := a.Key.Env
		if env == "" && a.Key.File == "" {
			env = "GODWIT_API_KEYS"
		}
		_, given := t.Env[env]
		if _, secret := t.Secrets[env]; env != "" && !given && !secret {
			bad("targets.awslambda.secrets", "Add secrets: {"+env+": NAME}, the name of a secret of Secrets Manager.",
				"want the variable %s, where auth: key has its keys, got none", env)
		}
	}
	return awslambda.FunctionUrlAuthType_NONE
}
