package fnlambda

import (
	"context"

	"godwit.dev/adapters/awslambda"
	"godwit.dev/internal/app"
	"godwit.dev/internal/fnlambda/hook"
	"godwit.dev/internal/recorded"
	"godwit.dev/runtime/telemetry"
)

// hookVariable makes of the program the hook for the function and version that
// it names, as in "digits:7". No model is loaded then.
const hookVariable = "GODWIT_HOOK"

// check serves CodeDeploy's questions about target until ctx ends.
func check(ctx context.Context, p *app.Process, api, target string) error {
	h, err := hook.New(target, &hook.Options{
		Requests: func() ([]recorded.Request, error) {
			path, err := folder(p)
			if err != nil {
				return nil, err
			}
			return recorded.Load(path)
		},
		Getenv: p.Getenv,
		Log:    telemetry.NewLogger(p.Stderr, false, level(p.Getenv("AWS_LAMBDA_LOG_LEVEL"))),
	})
	if err != nil {
		_ = awslambda.Fail(context.WithoutCancel(ctx), api, err)
		return err
	}
	h.Serve(ctx)
	return nil
}

// folder is the function's.
func folder(p *app.Process) (string, error) {
	var others []string
	if root := p.Getenv("LAMBDA_TASK_ROOT"); root != "" {
		others = append(others, root)
	}
	return p.Folder(others...)
}
