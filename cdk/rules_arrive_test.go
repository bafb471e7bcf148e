package cdk_test

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"godwit.dev/infra/spec"
)

func days(d spec.Duration) float64 { return time.Duration(d).Hours() / 24 }

// ours is the functions that score: for requests below Online, for batches
// below Batch.
func (t *document) ours(construct string) []*resource {
	var all []*resource
	for _, f := range t.each("AWS::Lambda::Function") {
		if strings.HasPrefix(f.id, construct) {
			all = append(all, f)
		}
	}
	return all
}

// ruleArrives is that what godwit.yaml says stands in the template: a key that
// is accepted and does nothing would be worse than one that is refused.
func ruleArrives(t *document, say report) {
	a := t.spec.Targets.AWSLambda
	want := func(r *resource, what string, want, got any) {
		if textOf(want) != textOf(got) {
			say(r, "want %s %s, got %s", what, textOf(want), cmp.Or(textOf(got), "none"))
		}
	}
	for _, f := range append(t.ours("Online"), t.ours("Batch")...) {
		want(f, "MemorySize", float64(a.Memory/spec.MiB), f.at("MemorySize"))
		want(f, "EphemeralStorage", float64(a.EphemeralStorage/spec.MiB), f.at("EphemeralStorage", "Size"))
		want(f, "Architectures", map[string]string{"amd64": "x86_64", "arm64": "arm64"}[a.Architecture], f.at("Architectures", "0"))
		want(f, "TracingConfig", map[string]string{"active": "Active", "passThrough": "PassThrough"}[a.Tracing], f.at("TracingConfig", "Mode"))
		for name, value := range a.Env {
			want(f, "variable "+name, value, f.at("Environment", "Variables", name))
		}
		for name := range a.Secrets {
			if f.at("Environment", "Variables", name) == nil {
				say(f, "want variable %s, got none", name)
			}
		}
		want(f, "PackageType Image", t.image, f.at("PackageType") == "Image")
		if v := a.VPC; v != nil {
			want(f, "SubnetIds", strings.Join(v.Subnets, ","), joinOf(manyOf(f.at("VpcConfig", "SubnetIds")), ","))
			if len(v.SecurityGroups) > 0 {
				want(f, "SecurityGroupIds", strings.Join(v.SecurityGroups, ","), joinOf(manyOf(f.at("VpcConfig", "SecurityGroupIds")), ","))
			}
			if len(manyOf(f.at("VpcConfig", "SecurityGroupIds"))) == 0 {
				say(f, "want a security group, got none")
			}
		}
		const managed = "LambdaManagedInstancesCapacityProviderConfig"
		if m := a.ManagedInstances; m != nil {
			c := f.at("CapacityProviderConfig", managed)
			want(f, "CapacityProviderArn", m.CapacityProvider, dig(c, "CapacityProviderArn"))
			want(f, "MaxConcurrency", float64(m.MaxConcurrency), dig(c, "PerExecutionEnvironmentMaxConcurrency"))
			want(f, "MemoryPerVCPU", float64(m.MemoryPerVCPU)/float64(spec.GiB), dig(c, "ExecutionEnvironmentMemoryGiBPerVCpu"))
			// Managed instances run published versions alone. The scaling of the
			// function is for $LATEST.PUBLISHED, which nobody calls.
			var published bool
			for _, v := range t.each("AWS::Lambda::Version") {
				if slices.Contains(t.functionsOf(v.at("FunctionName")), f) {
					published = true
					want(v, "MinExecutionEnvironments", float64(m.MinEnvironments), v.at("FunctionScalingConfig", "MinExecutionEnvironments"))
					want(v, "MaxExecutionEnvironments", float64(m.MaxEnvironments), v.at("FunctionScalingConfig", "MaxExecutionEnvironments"))
				}
			}
			if !published {
				say(f, "want a version, as managed instances run nothing else, got none")
			}
			for _, e := range t.each("AWS::Lambda::EventSourceMapping") {
				if slices.Contains(t.ids(e.at("FunctionName")), f.id) {
					say(e, "want a version or an alias called, as managed instances run nothing else, got the function")
				}
			}
		} else if f.at("CapacityProviderConfig") != nil {
			say(f, "want Lambda's own machines, got a capacity provider")
		}
		if a.GPU > 0 {
			want(f, "AcceleratorMemorySize", float64(a.GPU/spec.GB), f.at("AcceleratorConfig", "AcceleratorMemorySize"))
		}
	}
	if a.API != "none" && len(t.ours("Online")) == 0 {
		say(nil, "want a function for requests with api: %s, got none", a.API)
	}
	if (t.spec.Batch != nil && len(t.spec.Triggers) > 0) != (len(t.ours("Batch")) > 0) {
		say(nil, "want a function for batches exactly where something starts them, got %d", len(t.ours("Batch")))
	}
	for _, f := range t.ours("Online") {
		want(f, "Timeout", time.Duration(a.Timeout).Seconds(), f.at("Timeout"))
		if a.ReservedConcurrency > 0 {
			want(f, "ReservedConcurrentExecutions", float64(a.ReservedConcurrency), f.at("ReservedConcurrentExecutions"))
		}
	}
	arriveAPI(t, say)
	arriveAlias(t, say)
	arriveBatch(t, say)
}

func arriveAPI(t *document, say report) {
	a := t.spec.Targets.AWSLambda
	front := map[string]string{"http": "AWS::ApiGatewayV2::Api", "rest": "AWS::ApiGateway::RestApi", "url": "AWS::Lambda::Url", "alb": "AWS::ElasticLoadBalancingV2::TargetGroup"}
	for api, typ := range front {
		if n := len(t.each(typ)); (n > 0) != (api == a.API) || n > 1 {
			say(nil, "want %s exactly with api: %s, got %d with api: %s", typ, api, n, a.API)
		}
	}
	if n := len(t.each("AWS::CloudFront::Distribution")); n > 0 != (a.EdgeCache != nil) {
		say(nil, "want a distribution exactly with edgeCache, got %d", n)
	}
	for _, u := range t.each("AWS::Lambda::Url") {
		if streams := u.at("InvokeMode") == "RESPONSE_STREAM"; streams != a.ResponseStreaming {
			say(u, "want InvokeMode as responseStreaming: %v says, got %v", a.ResponseStreaming, u.at("InvokeMode"))
		}
	}
	for _, m := range t.each("AWS::ApiGateway::Method") {
		if m.at("Integration", "Type") != "AWS_PROXY" {
			continue
		}
		if streams := m.at("Integration", "ResponseTransferMode") == "STREAM"; streams != a.ResponseStreaming {
			say(m, "want ResponseTransferMode as responseStreaming: %v says, got %v", a.ResponseStreaming, m.at("Integration", "ResponseTransferMode"))
		}
		if streams := strings.HasSuffix(textOf(m.at("Integration", "Uri")), "/response-streaming-invocations"); streams != a.ResponseStreaming {
			say(m, "want the URI that streams with responseStreaming alone, got %s", textOf(m.at("Integration", "Uri")))
		}
	}
	for _, r := range t.each("AWS::ApiGateway::RestApi") {
		if !slices.Contains(manyOf(r.at("BinaryMediaTypes")), any("*/*")) {
			say(r, "want BinaryMediaTypes */*, without which tensors are garbled, got %v", r.at("BinaryMediaTypes"))
		}
	}
	if l := a.Throttle; l != nil {
		for _, s := range t.each("AWS::ApiGatewayV2::Stage") {
			if numberOf(s.at("DefaultRouteSettings", "ThrottlingRateLimit")) != float64(l.Rate) || numberOf(s.at("DefaultRouteSettings", "ThrottlingBurstLimit")) != float64(l.Burst) {
				say(s, "want throttle %v, got %v", *l, s.at("DefaultRouteSettings"))
			}
		}
		for _, s := range t.each("AWS::ApiGateway::Stage") {
			if numberOf(s.at("MethodSettings", "0", "ThrottlingRateLimit")) != float64(l.Rate) || numberOf(s.at("MethodSettings", "0", "ThrottlingBurstLimit")) != float64(l.Burst) {
				say(s, "want throttle %v, got %v", *l, s.at("MethodSettings"))
			}
		}
	}
	if a.API == "none" || a.API == "alb" {
		return // the function answers browsers itself, or nobody does
	}
	said := map[string]bool{}
	for _, r := range t.each("AWS::ApiGatewayV2::Api", "AWS::Lambda::Url", "AWS::ApiGateway::Method", "AWS::ApiGateway::GatewayResponse") {
		if r.at("CorsConfiguration") == nil && r.at("Cors") == nil && r.at("HttpMethod") != "OPTIONS" {
			continue
		}
		eachString(r.Properties, "", func(_, s string) {
			for _, o := range a.CORS {
				said[o] = said[o] || strings.Contains(s, o)
			}
		})
		if len(a.CORS) == 0 && r.at("HttpMethod") != "OPTIONS" {
			say(r, "want no browsers without cors, got %v", r.Properties)
		}
	}
	for _, o := range a.CORS {
		if !said[o] {
			say(nil, "want cors to let %s in, got an API that does not", o)
		}
	}
}

func arriveAlias(t *document, say report) {
	a := t.spec.Targets.AWSLambda
	var provisioned, moved bool
	for _, l := range t.each("AWS::Lambda::Alias") {
		if !strings.HasPrefix(l.id, "Online") {
			continue
		}
		if n := l.at("ProvisionedConcurrencyConfig", "ProvisionedConcurrentExecutions"); n != nil {
			provisioned = numberOf(n) == float64(a.ProvisionedConcurrency)
		}
	}
	for _, s := range t.each("AWS::ApplicationAutoScaling::ScalableTarget") {
		provisioned = provisioned || numberOf(s.at("MinCapacity")) == float64(a.ProvisionedConcurrency)
	}
	if a.API != "none" && a.ProvisionedConcurrency > 0 && !provisioned {
		say(nil, "want provisionedConcurrency %d at an alias, got none", a.ProvisionedConcurrency)
	}
	for _, g := range t.each("AWS::CodeDeploy::DeploymentGroup") {
		moved = moved || strings.Contains(textOf(g.at("DeploymentConfigName")), a.Rollout)
		// All at once, no traffic of the new version's alone is there to alarm.
		some := isTrue(g.at("AlarmConfiguration", "Enabled")) && len(manyOf(g.at("AlarmConfiguration", "Alarms"))) > 0
		if !isTrue(g.at("AutoRollbackConfiguration", "Enabled")) || a.Rollout != "AllAtOnce" && !some {
			say(g, "want alarms that roll back, got %v and %v", g.at("AutoRollbackConfiguration"), g.at("AlarmConfiguration"))
		}
	}
	if (a.API != "none" || a.Rollout != "AllAtOnce") && !moved && len(t.ours("Online")) > 0 {
		say(nil, "want CodeDeploy's %s, got none", a.Rollout)
	}
}

func arriveBatch(t *document, say report) {
	b := t.spec.Batch
	if b == nil || len(t.spec.Triggers) == 0 {
		if n := len(t.each("AWS::Lambda::EventSourceMapping")); n > 0 {
			say(nil, "want no event source without batch and triggers, got %d", n)
		}
		return
	}
	for _, f := range t.ours("Batch") {
		if got := numberOf(f.at("Timeout")); got != time.Duration(b.Timeout).Seconds() {
			say(f, "want Timeout %v s, as batch.timeout, got %v", time.Duration(b.Timeout).Seconds(), got)
		}
	}
	if (slices.Contains(t.spec.Triggers, "objects") || slices.Contains(t.spec.Triggers, "queue")) && len(t.each("AWS::Lambda::EventSourceMapping")) == 0 {
		say(nil, "want an event source for triggers %v, got none", t.spec.Triggers)
	}
	for _, m := range t.each("AWS::Lambda::EventSourceMapping") {
		q := t.the(m.at("EventSourceArn"))
		if q == nil || q.Type != "AWS::SQS::Queue" {
			continue
		}
		if got := numberOf(m.at("BatchSize")); got != float64(b.Size) {
			say(m, "want BatchSize %d, got %v", b.Size, got)
		}
		if got, want := max(numberOf(m.at("MaximumBatchingWindowInSeconds")), 0), time.Duration(b.Window).Seconds(); got != want {
			say(m, "want MaximumBatchingWindowInSeconds %v, got %v", want, got)
		}
		if got := max(numberOf(m.at("ScalingConfig", "MaximumConcurrency")), 0); got != float64(b.MaxConcurrency) {
			say(m, "want MaximumConcurrency %d, got %v", b.MaxConcurrency, got)
		}
		if fifo := isTrue(q.at("FifoQueue")); fifo != (b.Order != "none") {
			say(q, "want a FIFO queue exactly with an order, got %v with order %s", fifo, b.Order)
		}
	}
	if name, ok := strings.CutPrefix(b.Claims, "dynamodb://"); ok {
		tables := t.each("AWS::DynamoDB::Table", "AWS::DynamoDB::GlobalTable")
		if !slices.ContainsFunc(tables, func(d *resource) bool { return textOf(d.at("TableName")) == name }) {
			granted := slices.ContainsFunc(t.identities(), func(s policyStatement) bool {
				return slices.ContainsFunc(s.resources, func(v any) bool { return strings.HasSuffix(textOf(v), "table/"+name) })
			})
			if !granted {
				say(nil, "want the table %s, made or granted, got neither", name)
			}
		}
	}
}
