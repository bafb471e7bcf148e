package cdk_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsapplicationautoscaling"
	"github.com/aws/aws-cdk-go/awscdk/v2/awslambda"
	"github.com/aws/jsii-runtime-go"
	"github.com/google/go-cmp/cmp"

	"godwit.dev/cdk"
	"godwit.dev/infra/spec"
	"godwit.dev/runtime/fault"
)

const (
	aKey      = "arn:aws:kms:eu-central-1:111122223333:key/0a1b2c3d"
	aProvider = "arn:aws:lambda:eu-central-1:111122223333:capacity-provider:gpus"
	onManaged = "memory: 2GiB, managedInstances: {capacityProvider: '" + aProvider + "'"
)

// dug is what stands at a path such as "Environment.Variables.A" or "Tags.0", of
// the first resource of a type by logical id; nil where nothing does.
func dug(tpl map[string]any, typ, path string) any {
	all := resources(tpl, typ)
	if len(all) == 0 {
		return nil
	}
	v := any(all[slices.Min(slices.Collect(maps.Keys(all)))]["Properties"])
	for step := range strings.SplitSeq(path, ".") {
		switch here := v.(type) {
		case map[string]any:
			v = here[step]
		case []any:
			i, err := strconv.Atoi(step)
			if err != nil || i >= len(here) {
				return nil
			}
			v = here[i]
		default:
			return nil
		}
	}
	return v
}

func text(v any) string {
	b, _ := json.Marshal(v)
	return string(b)
}

const (
	lambdaFunction = "AWS::Lambda::Function"
	version        = "AWS::Lambda::Version"
	alias          = "AWS::Lambda::Alias"
)

// wanted is what a key of targets.awslambda becomes in the template. Where the
// type is empty the key is not for CloudFormation, and why is in path.
type wanted struct {
	key, yaml, typ, path string
	want                 any
}

var arrivals = []wanted{
	{"memory", "memory: 3GiB", lambdaFunction, "MemorySize", 3072},
	{"architecture", "architecture: arm64", lambdaFunction, "Architectures", []string{"arm64"}},
	{"package", "package: image", lambdaFunction, "PackageType", "Image"},
	{"api", "api: rest", "AWS::ApiGateway::RestApi", "EndpointConfiguration.Types", []string{"REGIONAL"}},
	{"timeout", "timeout: 17s", lambdaFunction, "Timeout", 17},
	{"responseStreaming", "api: url, responseStreaming: true", "AWS::Lambda::Url", "InvokeMode", "RESPONSE_STREAM"},
	{key: "basePath", path: "is in the package, which takes it off; the mapping of a domain that puts it there is its owner's"},
	{"ephemeralStorage", "ephemeralStorage: 2GiB", lambdaFunction, "EphemeralStorage.Size", 2048},
	{"reservedConcurrency", "reservedConcurrency: 7", lambdaFunction, "ReservedConcurrentExecutions", 7},
	{"provisionedConcurrency", "provisionedConcurrency: 3", alias, "ProvisionedConcurrencyConfig.ProvisionedConcurrentExecutions", 3},
	{"provisionedSchedule", "provisionedConcurrency: 1, provisionedSchedule: [{at: 'cron(0 8 * * ? *)', concurrency: 4}]",
		"AWS::ApplicationAutoScaling::ScalableTarget", "ScheduledActions.0.ScheduledActionName", "Schedule1"},
	{"provisionedSchedule.at", "provisionedConcurrency: 1, provisionedSchedule: [{at: 'cron(0 8 * * ? *)', concurrency: 4}]",
		"AWS::ApplicationAutoScaling::ScalableTarget", "ScheduledActions.0.Schedule", "cron(0 8 * * ? *)"},
	{"provisionedSchedule.timezone", "provisionedConcurrency: 1, provisionedSchedule: [{at: 'cron(0 8 * * ? *)', timezone: Europe/Berlin, concurrency: 4}]",
		"AWS::ApplicationAutoScaling::ScalableTarget", "ScheduledActions.0.Timezone", "Europe/Berlin"},
	{"provisionedSchedule.concurrency", "provisionedConcurrency: 1, provisionedSchedule: [{at: 'cron(0 8 * * ? *)', concurrency: 4}]",
		"AWS::ApplicationAutoScaling::ScalableTarget", "ScheduledActions.0.ScalableTargetAction", map[string]any{"MinCapacity": 4, "MaxCapacity": 4}},
	{"gpu", onManaged + "}, gpu: 24GB", lambdaFunction, "AcceleratorConfig.AcceleratorMemorySize", 24},
	{"managedInstances", onManaged + "}", lambdaFunction, "CapacityProviderConfig.LambdaManagedInstancesCapacityProviderConfig", map[string]any{
		"CapacityProviderArn": aProvider, "ExecutionEnvironmentMemoryGiBPerVCpu": 2, "PerExecutionEnvironmentMaxConcurrency": 4}},
	{"managedInstances.capacityProvider", onManaged + "}", lambdaFunction, "CapacityProviderConfig.LambdaManagedInstancesCapacityProviderConfig.CapacityProviderArn", aProvider},
	{"managedInstances.maxConcurrency", onManaged + ", maxConcurrency: 9}", lambdaFunction, "CapacityProviderConfig.LambdaManagedInstancesCapacityProviderConfig.PerExecutionEnvironmentMaxConcurrency", 9},
	{"managedInstances.memoryPerVCPU", onManaged + ", memoryPerVCPU: 8GiB}", lambdaFunction, "CapacityProviderConfig.LambdaManagedInstancesCapacityProviderConfig.ExecutionEnvironmentMemoryGiBPerVCpu", 8},
	{"managedInstances.minEnvironments", onManaged + ", minEnvironments: 0}", version, "FunctionScalingConfig.MinExecutionEnvironments", 0},
	{"managedInstances.maxEnvironments", onManaged + ", maxEnvironments: 77}", version, "FunctionScalingConfig.MaxExecutionEnvironments", 77},
	{"throttle", "throttle: {rate: 5, burst: 9}", "AWS::ApiGatewayV2::Stage", "DefaultRouteSettings", map[string]any{"ThrottlingRateLimit": 5, "ThrottlingBurstLimit": 9}},
	{"throttle.rate", "api: rest, throttle: {rate: 5, burst: 9}", "AWS::ApiGateway::Stage", "MethodSettings.0.ThrottlingRateLimit", 5},
	{"throttle.burst", "api: rest, throttle: {rate: 5, burst: 9}", "AWS::ApiGateway::Stage", "MethodSettings.0.ThrottlingBurstLimit", 9},
	{"cors", "api: url, cors: ['https://a.example']", "AWS::Lambda::Url", "Cors.AllowOrigins", []string{"https://a.example"}},
	{"vpc", "vpc: {subnets: [subnet-1, subnet-2], securityGroups: [sg-1]}", lambdaFunction, "VpcConfig", map[string]any{"SubnetIds": []string{"subnet-1", "subnet-2"}, "SecurityGroupIds": []string{"sg-1"}}},
	{"vpc.id", "vpc: {id: vpc-1, subnets: [subnet-1]}", "AWS::EC2::SecurityGroup", "VpcId", "vpc-1"},
	{"vpc.subnets", "vpc: {subnets: [subnet-1], securityGroups: [sg-1]}", lambdaFunction, "VpcConfig.SubnetIds", []string{"subnet-1"}},
	{"vpc.securityGroups", "vpc: {subnets: [subnet-1], securityGroups: [sg-1]}", lambdaFunction, "VpcConfig.SecurityGroupIds", []string{"sg-1"}},
	{"kmsKey", "kmsKey: '" + aKey + "'", lambdaFunction, "KmsKeyArn", aKey},
	{"logRetention", "logRetention: 90d", "AWS::Logs::LogGroup", "RetentionInDays", 90},
	{"tracing", "tracing: passThrough", lambdaFunction, "TracingConfig.Mode", "PassThrough"},
	{key: "provider", path: "is in the package, whose function does not start without it"},
	{key: "providerOptions", path: "are in the package"},
	{"env", "env: {AB: b}", lambdaFunction, "Environment.Variables.AB", "b"},
	{"secrets", "secrets: {AB: team/a}", lambdaFunction, "Environment.Variables.AB", "{{resolve:secretsmanager:team/a:SecretString}}"},
	{key: "rollout", path: "CodeDeploy's, rollout_test.go"},
	{key: "edgeCache", path: "CloudFront's, cloudfront_test.go"},
}

// Every key of targets.awslambda is in the template, or said not to be.
func TestEveryKeyArrives(t *testing.T) {
	var schema struct {
		Defs map[string]struct {
			Properties map[string]json.RawMessage
		} `json:"$defs"`
	}
	if err := json.Unmarshal(spec.Schema(), &schema); err != nil {
		t.Fatal(err)
	}
	var keys, here []string
	for block, prefix := range map[string]string{"AWSLambda": "", "ManagedInstances": "managedInstances.", "Throttle": "throttle.", "VPC": "vpc.", "ScheduledConcurrency": "provisionedSchedule."} {
		for k := range schema.Defs[block].Properties {
			keys = append(keys, prefix+k)
		}
	}
	for _, w := range arrivals {
		here = append(here, w.key)
	}
	slices.Sort(keys)
	slices.Sort(here)
	if diff := cmp.Diff(keys, here); diff != "" {
		t.Fatalf("keys of the spec and of this table (-spec +table):\n%s", diff)
	}
	for _, w := range arrivals {
		if w.typ == "" {
			continue
		}
		t.Run(w.key, func(t *testing.T) {
			tpl := synth(t, load(t, "targets: {awslambda: {"+w.yaml+"}}"))
			if got := dug(tpl, w.typ, w.path); text(got) != text(w.want) {
				t.Errorf("%s: want %s %s %s, got %s", w.yaml, w.typ, w.path, text(w.want), text(got))
			}
		})
	}
}

// Each API asks callers who they are unless godwit.yaml says who else does.
func TestAPIs(t *testing.T) {
	const key = "auth: key\n"
	const jwt = "auth: {jwt: {issuer: https://issuer.example.com/, audience: [models]}}\n"
	secret := ", secrets: {GODWIT_API_KEYS: k}"
	type have struct{ typ, path, want string }
	url, route, method := "AWS::Lambda::Url", "AWS::ApiGatewayV2::Route", "AWS::ApiGateway::Method"
	for _, c := range []struct {
		name, yaml string
		have       []have
	}{
		{"http, platform", "targets: {awslambda: {}}", []have{{route, "AuthorizationType", `"AWS_IAM"`}, {route, "RouteKey", `"$default"`},
			{"AWS::ApiGatewayV2::Integration", "PayloadFormatVersion", `"2.0"`}, {"AWS::Lambda::Permission", "Principal", `"apigateway.amazonaws.com"`}}},
		{"http, key", key + "targets: {awslambda: {api: http" + secret + "}}", []have{{route, "AuthorizationType", `"NONE"`}}},
		{"http, jwt", jwt + "targets: {awslambda: {api: http}}", []have{{route, "AuthorizationType", `"NONE"`}}},
		{"http, none", "auth: none\ntargets: {awslambda: {api: http}}", []have{{route, "AuthorizationType", `"NONE"`}}},
		{"rest, platform", "targets: {awslambda: {api: rest}}", []have{{method, "AuthorizationType", `"AWS_IAM"`}, {method, "Integration.Type", `"AWS_PROXY"`},
			{"AWS::ApiGateway::RestApi", "BinaryMediaTypes", `["*/*"]`}, {"AWS::ApiGateway::RequestValidator", "ValidateRequestBody", "true"},
			{"AWS::ApiGateway::Stage", "TracingEnabled", "true"}, {"AWS::ApiGateway::Stage", "MethodSettings.0.DataTraceEnabled", "false"},
			{"AWS::ApiGateway::Stage", "CacheClusterEnabled", "null"}}},
		{"rest that streams", "targets: {awslambda: {api: rest, responseStreaming: true, timeout: 5m}}", []have{
			{method, "Integration.ResponseTransferMode", `"STREAM"`}, {method, "Integration.TimeoutInMillis", "300000"}}},
		{"rest, key", key + "targets: {awslambda: {api: rest" + secret + "}}", []have{{method, "AuthorizationType", `"NONE"`}}},
		{"url, platform", "targets: {awslambda: {api: url}}", []have{{url, "AuthType", `"AWS_IAM"`}, {url, "InvokeMode", `"BUFFERED"`}, {"AWS::Lambda::Permission", "Principal", "null"}}},
		{"url, none", "auth: none\ntargets: {awslambda: {api: url}}", []have{{url, "AuthType", `"NONE"`}, {"AWS::Lambda::Permission", "Principal", `"*"`}}},
		{"url, key", key + "targets: {awslambda: {api: url" + secret + "}}", []have{{url, "AuthType", `"NONE"`}}},
		{"alb", "targets: {awslambda: {api: alb}}", []have{{"AWS::ElasticLoadBalancingV2::TargetGroup", "TargetType", `"lambda"`},
			{"AWS::ElasticLoadBalancingV2::TargetGroup", "TargetGroupAttributes", `[{"Key":"lambda.multi_value_headers.enabled","Value":"true"}]`},
			{"AWS::Lambda::Permission", "Principal", `"elasticloadbalancing.amazonaws.com"`}}},
		{"none", "targets: {awslambda: {api: none}}", []have{{"AWS::Lambda::Permission", "Principal", "null"}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			tpl := synth(t, load(t, c.yaml))
			for _, h := range c.have {
				if got := text(dug(tpl, h.typ, h.path)); got != h.want {
					t.Errorf("%s %s: want %s, got %s", h.typ, h.path, h.want, got)
				}
			}
			for typ, path := range map[string]string{"AWS::ApiGatewayV2::Stage": "AccessLogSettings.Format", "AWS::ApiGateway::Stage": "AccessLogSetting.Format"} {
				for id, s := range resources(tpl, typ) {
					format, _ := dug(map[string]any{"Resources": map[string]any{id: s}}, typ, path).(string)
					var line map[string]string
					if err := json.Unmarshal([]byte(format), &line); err != nil || line["requestId"] == "" {
						t.Errorf("%s: want a line of JSON for each request, got %q", id, format)
					}
					for _, v := range line {
						for _, leak := range []string{"body", "header", "query", "path", "apiKey"} {
							if strings.Contains(strings.ToLower(strings.ReplaceAll(v, "resourcePath", "")), leak) {
								t.Errorf("%s: want nothing of what was sent in the log, got %s", id, v)
							}
						}
					}
				}
			}
		})
	}
}

// A browser's question comes without credentials, and nothing else does.
func TestBrowsers(t *testing.T) {
	tpl := synth(t, load(t, "targets: {awslambda: {cors: ['https://a.example']}}"))
	routes := map[string]any{}
	for _, r := range resources(tpl, "AWS::ApiGatewayV2::Route") {
		p := r["Properties"].(map[string]any)
		routes[p["RouteKey"].(string)] = p["AuthorizationType"]
	}
	if diff := cmp.Diff(map[string]any{"$default": "AWS_IAM", "OPTIONS /{proxy+}": "NONE"}, routes); diff != "" {
		t.Errorf("routes (-want +got):\n%s", diff)
	}
	methods := map[string]any{}
	for _, r := range resources(synth(t, load(t, "targets: {awslambda: {api: rest, cors: ['https://a.example']}}")), "AWS::ApiGateway::Method") {
		where := "/"
		if _, proxied := within(r, "Properties", "ResourceId", "Ref").(string); proxied {
			where = "/{proxy+}"
		}
		if within(r, "Properties", "HttpMethod") != "OPTIONS" {
			methods[where] = within(r, "Properties", "AuthorizationType")
			continue
		}
		methods["OPTIONS "+where] = within(r, "Properties", "AuthorizationType")
		if got := asText(within(r, "Properties", "Integration")); !strings.Contains(got, `"'https://a.example'"`) || !strings.Contains(got, `"ContentHandling":"CONVERT_TO_TEXT"`) || !strings.Contains(got, `"Type":"MOCK"`) {
			t.Errorf("a REST API: want it to answer browsers by itself, in text, got %s", got)
		}
	}
	if diff := cmp.Diff(map[string]any{"/": "AWS_IAM", "/{proxy+}": "AWS_IAM", "OPTIONS /": "NONE", "OPTIONS /{proxy+}": "NONE"}, methods); diff != "" {
		t.Errorf("methods of a REST API (-want +got):\n%s", diff)
	}
	for _, yaml := range []string{"auth: none\ntargets: {awslambda: {cors: ['https://a.example']}}", "targets: {awslambda: {}}"} {
		if n := len(resources(synth(t, load(t, yaml)), "AWS::ApiGatewayV2::Route")); n != 1 {
			t.Errorf("%s: want one route, got %d", yaml, n)
		}
	}
}

// Secrets are references, of which CloudFormation makes values when it deploys.
func TestSecrets(t *testing.T) {
	const secret = "arn:aws:secretsmanager:eu-central-1:111122223333:secret:team/a-AbCdEf"
	for ref, want := range map[string]string{
		"team/a":        "{{resolve:secretsmanager:team/a:SecretString}}",
		"team/a:key":    "{{resolve:secretsmanager:team/a:SecretString:key}}",
		secret:          "{{resolve:secretsmanager:" + secret + ":SecretString}}",
		secret + ":key": "{{resolve:secretsmanager:" + secret + ":SecretString:key}}",
		"arn:aws:ssm:eu-central-1:111122223333:parameter/team/a": "{{resolve:ssm:/team/a}}",
		"arn:aws:ssm:eu-central-1:111122223333:parameter/a":      "{{resolve:ssm:a}}",
	} {
		tpl := synth(t, load(t, "targets: {awslambda: {secrets: {AB: '"+ref+"'}}}"))
		if got := dug(tpl, lambdaFunction, "Environment.Variables.AB"); got != want {
			t.Errorf("%s: want %s, got %v", ref, want, got)
		}
	}
	for _, ref := range []string{"arn:aws:iam::111122223333:role/r", "a:b:c", "https://vault.example/a"} {
		e := refused(t, func() { synth(t, load(t, "targets: {awslambda: {secrets: {AB: '"+ref+"'}}}")) })
		if e.Code != fault.BadConfig || !strings.Contains(e.Error(), strconv.Quote(ref)) || e.Hint == "" {
			t.Errorf("%s: want it named and a hint, got %v, %q", ref, e, e.Hint)
		}
	}
}

// What AWS would refuse after minutes, or what nobody meant, is refused at synth.
func TestRefused(t *testing.T) {
	const jwt = "auth: {jwt: {issuer: https://issuer.example.com/, audience: [models]}}\n"
	for yaml, want := range map[string]string{
		"targets: {awslambda: {api: rest, timeout: 29s}}":                                         "want less than the 29s after which api rest gives up, got 29s",
		"targets: {awslambda: {api: none, cors: ['https://a.example']}}":                          "api none has no browsers",
		"targets: {awslambda: {vpc: {subnets: [subnet-1]}}}":                                      "want securityGroups, or the VPC's id",
		"auth: key\ntargets: {awslambda: {}}":                                                     "want the variable GODWIT_API_KEYS",
		"auth: {key: {env: FRAUD_KEYS}}\ntargets: {awslambda: {secrets: {GODWIT_API_KEYS: a}}}":   "want the variable FRAUD_KEYS",
		"auth: {key: {file: /etc/keys}}\ntargets: {awslambda: {}}":                                `got the file "/etc/keys"`,
		jwt + "compliance: hipaa\ntargets: {awslambda: {api: rest, reservedConcurrency: 1}}":      "want a way to https://issuer.example.com/",
		"image: ghcr.io/a/b\ntargets: {awslambda: {package: image, memory: 128MiB}, knative: {}}": "",
	} {
		if want == "" {
			continue
		}
		t.Run(want, func(t *testing.T) {
			f := load(t, yaml)
			e := refused(t, func() { synth(t, f) })
			if e.Code != fault.BadConfig || !strings.Contains(e.Error(), want) || e.Hint == "" {
				t.Errorf("want %q and a hint, got %v, %q", want, e, e.Hint)
			}
		})
	}
	one := jsii.Number(1)
	code := func(p cdk.OnlineFunctionProps) *cdk.OnlineFunctionProps {
		p.Code = awslambda.Code_FromAsset(jsii.String(pack(t, t.TempDir()+"/f.zip", map[string]string{"bootstrap": "x"})), nil)
		return &p
	}
	for want, p := range map[string]*cdk.OnlineFunctionProps{
		"want code, got none":                        {},
		`want http, rest, url, alb or none`:          code(cdk.OnlineFunctionProps{ApiType: "grpc"}),
		"api http cannot stream":                     code(cdk.OnlineFunctionProps{InvokeMode: awslambda.InvokeMode_RESPONSE_STREAM}),
		"want less than the 30s after which api htt": code(cdk.OnlineFunctionProps{LambdaProps: cdk.LambdaProps{Timeout: awscdk.Duration_Seconds(jsii.Number(30))}}),
		"want an alias":                              code(cdk.OnlineFunctionProps{Live: jsii.Bool(false), ProvisionedConcurrentExecutions: one}),
		"want a number of environments":              code(cdk.OnlineFunctionProps{ProvisionedSchedule: []awsapplicationautoscaling.ScalingSchedule{{}}}),
		"want subnets and security groups":           code(cdk.OnlineFunctionProps{LambdaProps: cdk.LambdaProps{VpcConfig: &awslambda.CfnFunction_VpcConfigProperty{SubnetIds: jsii.Strings("subnet-1")}}}),
		"a GPU needs managed instances and an image": code(cdk.OnlineFunctionProps{LambdaProps: cdk.LambdaProps{AcceleratorMemorySize: one}}),
		"managed instances have no provisioned": code(cdk.OnlineFunctionProps{ProvisionedConcurrentExecutions: one, LambdaProps: cdk.LambdaProps{
			CapacityProviderConfig: &awslambda.CfnFunction_LambdaManagedInstancesCapacityProviderConfigProperty{CapacityProviderArn: jsii.String(aProvider)}}}),
	} {
		t.Run(want, func(t *testing.T) {
			e := refused(t, func() { cdk.NewOnlineFunction(awscdk.NewStack(app(), jsii.String("s"), nil), "F", p) })
			if e.Code != fault.BadConfig || !strings.Contains(e.Error(), want) {
				t.Errorf("want %q, got %v", want, e)
			}
		})
	}
}

// Nothing of ours must be public before somebody says so: what defaults make is
// closed, keeps its log a month and holds one environment's vCPU.
func TestDefaults(t *testing.T) {
	s := awscdk.NewStack(app(), jsii.String("s"), nil)
	code := awslambda.Code_FromAsset(jsii.String(pack(t, t.TempDir()+"/f.zip", map[string]string{"bootstrap": "x"})), nil)
	o := cdk.NewOnlineFunction(s, "F", &cdk.OnlineFunctionProps{LambdaProps: cdk.LambdaProps{Code: code}})
	if o.Url == nil || o.HttpApi == nil || o.RestApi != nil || o.FunctionUrl != nil || o.TargetGroup != nil || o.AccessLogGroup == nil {
		t.Errorf("want an HTTP API alone, got %+v", o)
	}
	if want := "bodies of at most 6 MB and answers of 6 MB"; !strings.Contains(o.Payload, want) {
		t.Errorf("want %q, got %q", want, o.Payload)
	}
	tpl := templateOf(t, s)
	for path, want := range map[string]any{"MemorySize": 1769, "Timeout": 29, "Runtime": "provided.al2023", "Handler": "bootstrap", "TracingConfig.Mode": "Active"} {
		if got := dug(tpl, lambdaFunction, path); text(got) != text(want) {
			t.Errorf("%s: want %v, got %v", path, want, got)
		}
	}
	if got := dug(tpl, "AWS::ApiGatewayV2::Route", "AuthorizationType"); got != "AWS_IAM" {
		t.Errorf("want AWS_IAM, got %v", got)
	}
	for id, l := range resources(tpl, "AWS::Logs::LogGroup") {
		if got := fmt.Sprintf("%v %v", l["Properties"].(map[string]any)["RetentionInDays"], l["DeletionPolicy"]); got != "30 Delete" {
			t.Errorf("%s: want 30 days and to end with the stack, got %s", id, got)
		}
	}
}
