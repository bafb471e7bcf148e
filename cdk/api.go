package cdk

import (
	"fmt"
	"time"

	"github.com/aws/aws-cdk-go/awscdk/v2/awslambda"

	"godwit.dev/infra/data"
	"godwit.dev/runtime/fault"
)

// ApiType is what stands in front of a function.
type ApiType string

// The types of API.
const (
	ApiType_HTTP         ApiType = "http" // an HTTP API
	ApiType_REST         ApiType = "rest" // a REST API
	ApiType_FUNCTION_URL ApiType = "url"  // the function's own URL
	// ApiType_ALB is a target group, for a rule of a load balancer's listener.
	// The rule is whose the listener is, and it is that rule which asks callers
	// who they are.
	ApiType_ALB  ApiType = "alb"
	ApiType_NONE ApiType = "none" // direct calls and events
)

// choices are p's as infra/data knows them.
func (p *OnlineFunctionProps) choices() []string {
	all := []string{"api=" + string(p.ApiType)}
	if p.InvokeMode == awslambda.InvokeMode_RESPONSE_STREAM {
		all = append(all, "stream")
	}
	if p.CapacityProviderConfig != nil {
		all = append(all, "managed")
	}
	return all
}

// check panics where props contradict each other, or their API could not do it.
func (p *OnlineFunctionProps) check(id string) {
	refuse := func(prop, hint, format string, args ...any) {
		panic(fault.New(fault.BadConfig, "cdk.NewOnlineFunction", id+" "+prop, format, args...).WithHint("%s", hint))
	}
	if p.Code == nil {
		refuse("Code", "Give Code_FromAsset of the zip that godwit package made.", "want code, got none")
	}
	switch p.ApiType {
	case ApiType_HTTP, ApiType_REST, ApiType_FUNCTION_URL, ApiType_ALB, ApiType_NONE:
	default:
		refuse("ApiType", "", "want http, rest, url, alb or none, got %q", p.ApiType)
	}
	if p.InvokeMode == awslambda.InvokeMode_RESPONSE_STREAM && p.ApiType != ApiType_REST && p.ApiType != ApiType_FUNCTION_URL {
		refuse("InvokeMode", "Use a function URL or a REST API.", "api %s cannot stream", p.ApiType)
	}
	// The gateway gives up at its limit, and what the function does after that
	// is paid for and answers nobody.
	if gateway := p.ApiType == ApiType_HTTP || p.ApiType == ApiType_REST; gateway {
		limit := data.Find("awslambda", data.Time, p.choices()...)
		if got := time.Duration(*p.Timeout.ToMilliseconds(nil)) * time.Millisecond; got >= time.Duration(limit.Value)*time.Millisecond {
			refuse("Timeout", "Make it shorter, stream the answer of a REST API, or use a function URL.",
				"want less than the %s after which api %s gives up, got %s", time.Duration(limit.Value)*time.Millisecond, p.ApiType, got)
		}
	}
	if p.Throttle != nil && p.ApiType != ApiType_HTTP && p.ApiType != ApiType_REST {
		refuse("Throttle", "Use an HTTP or a REST API, or reserved concurrency.", "api %s has no throttle", p.ApiType)
	}
	if len(p.CorsAllowOrigins) > 0 && p.ApiType == ApiType_NONE {
		refuse("CorsAllowOrigins", "Give it an API, or leave the origins out.", "api none has no browsers")
	}
	if len(p.ProvisionedSchedule) > 0 && p.ProvisionedConcurrentExecutions == nil {
		refuse("ProvisionedSchedule", "Give ProvisionedConcurrentExecutions.", "want a number of environments to begin with, got none")
	}
	if p.CapacityProviderConfig != nil && p.ProvisionedConcurrentExecutions != nil {
		refuse("ProvisionedConcurrentExecutions", "Use FunctionScalingConfig.", "managed instances have no provisioned concurrency")
	}
	if !*p.Live && (p.ProvisionedConcurrentExecutions != nil || p.CapacityProviderConfig != nil) {
		refuse("Live", "Leave Live out.", "want an alias: only versions have provisioned concurrency and run on managed instances")
	}
	if v := p.VpcConfig; v != nil && (v.SubnetIds == nil || len(*v.SubnetIds) == 0 || v.SecurityGroupIds == nil || len(*v.SecurityGroupIds) == 0) {
		refuse("VpcConfig", "Give both.", "want subnets and security groups, got one of them or none")
	}
	if p.AcceleratorMemorySize != nil && (p.CapacityProviderConfig == nil || p.Image == nil || !*p.Image) {
		refuse("AcceleratorMemorySize", "Give CapacityProviderConfig, and an image.", "a GPU needs managed instances and an image")
	}
}

// payload says what a request and an answer may be.
func (p *OnlineFunctionProps) payload() string {
	in, out := data.Find("awslambda", data.Request, p.choices()...), data.Find("awslambda", data.Response, p.choices()...)
	if stream := data.Find("awslambda", data.Response, "stream"); p.InvokeMode == awslambda.InvokeMode_RESPONSE_STREAM {
		out = stream
	}
	return fmt.Sprintf("bodies of at most %d MB and answers of %d MB, as base64 where they are binary", in.Value/1e6, out.Value/1e6)
}

// accessLogFormat is an API's access log: one line of JSON for each request, with
// who, when, what route and how it ended; no body, no header and no query. route
// is the gateway's variable for the route.
func accessLogFormat(route string) string {
	return `{"requestId":"$context.requestId","time":"$context.requestTime","ip":"$context.identity.sourceIp",` +
		`"caller":"$context.identity.userArn","method":"$context.httpMethod","route":"` + route + `","status":"$context.status",` +
		`"bytes":"$context.responseLength","milliseconds":"$context.responseLatency","functionStatus":"$context.integrationStatus"}`
}

// browserHeaders are what a page may send: the protocol's, and what callers are
// known by.
func browserHeaders() []string {
	return []string{"authorization", "content-type", "inference-header-content-length", "traceparent", "x-amz-content-sha256", "x-amz-date", "x-amz-security-token", "x-api-key", "x-request-id"}
}
