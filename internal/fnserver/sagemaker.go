package fnserver

import (
	"log/slog"
	"net/http"

	"godwit.dev/adapters/sagemaker"
	"godwit.dev/functions/batch"
	"godwit.dev/infra/spec"
	"godwit.dev/internal/app"
	"godwit.dev/runtime/fault"
)

func adaptSageMaker(p *app.Process, log *slog.Logger) func(*Function) (http.Handler, error) {
	return func(f *Function) (http.Handler, error) {
		if f.Auth != nil {
			return nil, fault.New(fault.BadConfig, "fnserver.Main", "auth: "+f.Spec.Auth.Mode, "want auth: platform on SageMaker, got %s: keys and tokens do not reach the container, so nobody could call", f.Spec.Auth.Mode).
				WithHint(spec.NoKeysHint)
		}
		// Lines go back with the answer, whatever the spec says of where scores go.
		o := f.API.Options()
		lines := batch.New(f.Handler, &batch.Options{Limits: o.Limits, NaN: o.NaN, Log: log})
		opts := &sagemaker.Options{Model: onlyModel(f), Transforms: int(p.Quota().CPUs)}
		if t := f.Spec.Targets.SageMaker; t != nil && t.Mode == "transform" {
			opts.Transforms, opts.Payload = t.MaxConcurrentTransforms, int64(t.MaxPayload)
		}
		return sagemaker.New(f.API, lines, opts), nil
	}
}
