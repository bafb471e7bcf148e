package fnserver

import (
	"context"
	"time"

	"godwit.dev/adapters/auth"
	"godwit.dev/adapters/cloudrun"
	"godwit.dev/internal/app"
	"godwit.dev/runtime/fault"
)

// cloudRunPool refuses an instance of a worker pool: it is sent no requests, so a
// server would wait for nobody until its time is over.
func cloudRunPool(getenv func(string) string) func(context.Context, *app.Function) error {
	pool := getenv("CLOUD_RUN_WORKER_POOL")
	if pool == "" {
		return nil
	}
	return func(context.Context, *app.Function) error {
		return fault.New(fault.Unsupported, "fnserver.Main", "worker pool "+pool, "want a service or a job, got a worker pool, to which nothing is pushed").
			WithHint("Deploy it as a service, and let a push subscription deliver to it.")
	}
}

// pushed sets what the spec says of pushes.
func pushed(f *Function, getenv func(string) string, o *cloudrun.Options) error {
	t := f.Spec.Targets.CloudRun
	if t == nil || t.Push == nil {
		return nil
	}
	push := t.Push
	if len(push.ServiceAccounts) > 0 {
		tokens, err := auth.Tokens(&auth.TokenOptions{Issuer: cloudrun.Issuer, Audience: []string{push.Audience}, JWKSURL: cloudrun.JWKSURL, Log: o.Log})
		if err != nil {
			return err
		}
		f.ends = append(f.ends, tokens.Close)
		o.Push = &cloudrun.Push{Tokens: tokens, Emails: push.ServiceAccounts}
	}
	if at := time.Duration(push.AckDeadline); at > 0 {
		// The reply has to be there before the deadline, too.
		o.Timeout = at - min(at/10, 5*time.Second)
	}
	if push.DeadLetterTopic != "" {
		o.Aside = cloudrun.NewTopic(push.DeadLetterTopic, topicOptions(getenv)).Aside
	}
	return nil
}

// topicOptions are where Google's own libraries find Pub/Sub and the tokens for
// it, by the variables that they go by.
func topicOptions(getenv func(string) string) *cloudrun.TopicOptions {
	o := &cloudrun.TopicOptions{}
	if host := getenv("PUBSUB_EMULATOR_HOST"); host != "" {
		o.Endpoint, o.Anonymous = "http://"+host, true
	}
	if host := getenv("GCE_METADATA_HOST"); host != "" {
		o.Metadata = "http://" + host
	}
	return o
}
