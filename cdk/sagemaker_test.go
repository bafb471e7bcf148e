package cdk_test

import (
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/jsii-runtime-go"
	"github.com/google/go-cmp/cmp"

	"godwit.dev/cdk"
	"godwit.dev/infra/spec"
	"godwit.dev/runtime/fault"
)

const (
	sageMakerImage = "111122223333.dkr.ecr.eu-central-1.amazonaws.com/models/m"
	sageMakerLock  = "version: 1\npackages:\n  \"sagemaker\": {digest: \"sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08\", image: \"" + sageMakerImage + "\", platforms: [\"linux/amd64\"]}\n"
)

// sageMakerFunction is a function whose image was pushed for SageMaker.
func sageMakerFunction(t testing.TB, target, more string) *cdk.Function {
	t.Helper()
	f := load(t, "targets: {awslambda: {}, sagemaker: {"+target+"}}\n"+more)
	write(t, filepath.Join(f.Dir, "godwit.lock"), sageMakerLock)
	return f
}

func sageMakerTemplate(t testing.TB, target, more string) map[string]any {
	t.Helper()
	f := sageMakerFunction(t, target, more)
	return templateOf(t, cdk.NewSageMakerStack(app(), "m-sagemaker", &cdk.StackProps{Function: f}).Stack)
}

// What each key of targets.sagemaker becomes; a key that is neither here nor
// among those that say something elsewhere fails the test.
func TestSageMakerKeysArrive(t *testing.T) {
	const (
		model, config, target = "AWS::SageMaker::Model", "AWS::SageMaker::EndpointConfig", "AWS::ApplicationAutoScaling::ScalableTarget"
		key, role             = "arn:aws:kms:eu-central-1:111122223333:key/k", "arn:aws:iam::111122223333:role/r"
	)
	tests := []struct {
		field, target string
		of            string
		path          []any
		want          string
	}{
		{"Common.Env", "env: {A: b}", model, []any{"PrimaryContainer", "Environment"}, `{"A":"b","GODWIT_TARGET":"sagemaker"}`},
		{"Mode", "mode: serverless", config, []any{"ProductionVariants", 0, "ServerlessConfig"}, `{"MaxConcurrency":10,"MemorySizeInMB":2048}`},
		{"Memory", "mode: serverless, memory: 6GiB", config, []any{"ProductionVariants", 0, "ServerlessConfig", "MemorySizeInMB"}, "6144"},
		{"MaxConcurrency", "mode: serverless, maxConcurrency: 7", config, []any{"ProductionVariants", 0, "ServerlessConfig", "MaxConcurrency"}, "7"},
		{"InstanceType", "instanceType: ml.m6i.xlarge", config, []any{"ProductionVariants", 0, "InstanceType"}, `"ml.m6i.xlarge"`},
		{"MinInstances", "minInstances: 2", config, []any{"ProductionVariants", 0, "InitialInstanceCount"}, "2"},
		{"MinInstances", "minInstances: 2, maxInstances: 5", target, []any{"MinCapacity"}, "2"},
		{"MaxInstances", "maxInstances: 5", target, []any{"MaxCapacity"}, "5"},
		{"StartupTimeout", "startupTimeout: 20m", config, []any{"ProductionVariants", 0, "ContainerStartupHealthCheckTimeoutInSeconds"}, "1200"},
		{"AsyncOutput", "mode: async, asyncOutput: 's3://answers/of/m/'", config, []any{"AsyncInferenceConfig", "OutputConfig"}, `{"S3FailurePath":"s3://answers/of/m/failed/","S3OutputPath":"s3://answers/of/m/"}`},
		{"Role", "role: '" + role + "'", model, []any{"ExecutionRoleArn"}, `"` + role + `"`},
		{"KMSKey", "kmsKey: '" + key + "'", config, []any{"KmsKeyId"}, `"` + key + `"`},
		{"KMSKey", "kmsKey: '" + key + "'", "AWS::Logs::LogGroup", []any{"KmsKeyId"}, `"` + key + `"`},
		{"KMSKey", "kmsKey: '" + key + "', mode: async, asyncOutput: 's3://answers'", config, []any{"AsyncInferenceConfig", "OutputConfig", "KmsKeyId"}, `"` + key + `"`},
		{"VPC", "vpc: {subnets: [subnet-1, subnet-2], securityGroups: [sg-1]}", model, []any{"VpcConfig"}, `{"SecurityGroupIds":["sg-1"],"Subnets":["subnet-1","subnet-2"]}`},
	}
	// Where else keys are proven, or what they say.
	covered := map[string]string{
		"Region":                  "TestSageMakerRegion",
		"MaxPayload":              "TestSageMakerTransform",
		"MaxConcurrentTransforms": "TestSageMakerTransform",
		"Common.Secrets":          "TestSageMakerRefuses",
		"Common.Provider":         "said in the image's godwit.yaml; it goes with the instance type",
		"Common.ProviderOptions":  "said in the image's godwit.yaml",
	}
	for _, tt := range tests {
		covered[tt.field] = "here"
		t.Run(tt.target, func(t *testing.T) {
			p := only(t, sageMakerTemplate(t, tt.target, ""), tt.of)
			if got := asText(within(p, tt.path...)); got != tt.want {
				t.Errorf("%v: got %s, want %s", tt.path, got, tt.want)
			}
		})
	}
	var fields func(prefix string, of reflect.Type)
	fields = func(prefix string, of reflect.Type) {
		for i := range of.NumField() {
			f := of.Field(i)
			if f.Anonymous {
				fields(f.Name+".", f.Type)
			} else if covered[prefix+f.Name] == "" {
				t.Errorf("targets.sagemaker: %s%s arrives nowhere", prefix, f.Name)
			}
		}
	}
	fields("", reflect.TypeFor[spec.SageMaker]())
}

func TestSageMakerEndpoint(t *testing.T) {
	tpl := sageMakerTemplate(t, "", "")
	m := only(t, tpl, "AWS::SageMaker::Model")
	if within(m, "PrimaryContainer", "Image") != sageMakerImage+"@sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08" || within(m, "EnableNetworkIsolation") != true || m["VpcConfig"] != nil {
		t.Errorf("model %s", asText(m))
	}
	config := only(t, tpl, "AWS::SageMaker::EndpointConfig")
	if n := len(config["ProductionVariants"].([]any)); n != 1 || config["DataCaptureConfig"] != nil || config["KmsKeyId"] != nil || config["AsyncInferenceConfig"] != nil {
		t.Errorf("config %s", asText(config))
	}
	endpoint := only(t, tpl, "AWS::SageMaker::Endpoint")
	log := only(t, tpl, "AWS::Logs::LogGroup")
	if endpoint["EndpointName"] != "m" || log["LogGroupName"] != "/aws/sagemaker/Endpoints/m" || log["RetentionInDays"] != 30. {
		t.Errorf("endpoint %s, log %s", asText(endpoint), asText(log))
	}
	if len(resources(tpl, "AWS::ApplicationAutoScaling::ScalableTarget")) != 0 {
		t.Error("it scales, unasked")
	}
	got := map[string]string{}
	for _, s := range only(t, tpl, "AWS::IAM::ManagedPolicy")["PolicyDocument"].(map[string]any)["Statement"].([]any) {
		sid, _ := within(s, "Sid").(string)
		got[sid] = asText(within(s, "Resource"))
	}
	if want := []string{"LogIn", "PullImage", "WriteLog", "WriteMetrics"}; !slices.Equal(keysOf(got), want) {
		t.Errorf("statements %v, want %v", got, want)
	}
	if !strings.Contains(got["PullImage"], ":ecr:eu-central-1:111122223333:repository/models/m") {
		t.Errorf("pulls %s", got["PullImage"])
	}
	outputs, _ := tpl["Outputs"].(map[string]any)
	if !strings.Contains(asText(outputs["Url"]), "/invocations") || outputs["EndpointName"] == nil {
		t.Errorf("outputs %s", asText(outputs))
	}
}

func keysOf(m map[string]string) []string {
	var all []string
	for k := range m {
		all = append(all, k)
	}
	slices.Sort(all)
	return all
}

func TestSageMakerScales(t *testing.T) {
	tpl := sageMakerTemplate(t, "maxInstances: 3", "")
	if got := asText(within(only(t, tpl, "AWS::ApplicationAutoScaling::ScalingPolicy"), "TargetTrackingScalingPolicyConfiguration")); got !=
		`{"PredefinedMetricSpecification":{"PredefinedMetricType":"SageMakerVariantConcurrentRequestsPerModelHighResolution"},"ScaleInCooldown":300,"ScaleOutCooldown":60,"TargetValue":4}` {
		t.Errorf("realtime: %s", got)
	}
	if only(t, tpl, "AWS::SageMaker::Endpoint")["RetainAllVariantProperties"] != true {
		t.Error("a new model puts the instances back to where they began")
	}
	// An asynchronous one begins with one instance, goes to zero, and comes back.
	tpl = sageMakerTemplate(t, "mode: async, asyncOutput: 's3://answers/m/', minInstances: 0, maxInstances: 2", "")
	if got := within(only(t, tpl, "AWS::SageMaker::EndpointConfig"), "ProductionVariants", 0, "InitialInstanceCount"); got != 1. {
		t.Errorf("begins with %v instances", got)
	}
	if target := only(t, tpl, "AWS::ApplicationAutoScaling::ScalableTarget"); target["MinCapacity"] != 0. || target["MaxCapacity"] != 2. {
		t.Errorf("target %s", asText(target))
	}
	steps := 0
	for _, r := range resources(tpl, "AWS::ApplicationAutoScaling::ScalingPolicy") {
		if within(r, "Properties", "StepScalingPolicyConfiguration", "StepAdjustments", 0, "ScalingAdjustment") == 1. {
			steps++
		} else if within(r, "Properties", "TargetTrackingScalingPolicyConfiguration", "CustomizedMetricSpecification", "MetricName") != "ApproximateBacklogSizePerInstance" {
			t.Errorf("policy %s", asText(r))
		}
	}
	if alarm := only(t, tpl, "AWS::CloudWatch::Alarm"); steps != 1 || alarm["MetricName"] != "HasBacklogWithoutCapacity" || len(alarm["AlarmActions"].([]any)) != 1 {
		t.Errorf("%d steps, alarm %s", steps, asText(alarm))
	}
	role := asText(only(t, tpl, "AWS::IAM::ManagedPolicy"))
	for _, want := range []string{`:s3:::answers/*"`, `:s3:::answers/m/*"`} {
		if !strings.Contains(role, want) {
			t.Errorf("the role lacks %s: %s", want, role)
		}
	}
}

func TestSageMakerTransform(t *testing.T) {
	const batch = "batch: {input: 's3://rows/in/', output: 's3://scores/out/'}"
	tpl := sageMakerTemplate(t, "mode: transform, maxPayload: 10MiB, maxConcurrentTransforms: 8, maxInstances: 2, instanceType: ml.m5.large, kmsKey: 'arn:aws:kms:eu-central-1:111122223333:key/k'", batch)
	if len(resources(tpl, "AWS::SageMaker::Endpoint"))+len(resources(tpl, "AWS::Logs::LogGroup")) != 0 {
		t.Error("got an endpoint for jobs")
	}
	outputs, _ := tpl["Outputs"].(map[string]any)
	var said strings.Builder
	for _, part := range within(outputs["CreateTransformJobCommand"], "Value", "Fn::Join", 1).([]any) {
		if s, ok := part.(string); ok {
			said.WriteString(s)
		} else {
			said.WriteString("MODEL")
		}
	}
	want := `aws sagemaker create-transform-job --transform-job-name m-$(date +%s) --model-name MODEL --batch-strategy MultiRecord --max-payload-in-mb 10 --max-concurrent-transforms 8` +
		` --transform-input '{"ContentType":"text/csv","DataSource":{"S3DataSource":{"S3DataType":"S3Prefix","S3Uri":"s3://rows/in/"}},"SplitType":"Line"}'` +
		` --transform-output '{"Accept":"text/csv","AssembleWith":"Line","KmsKeyId":"arn:aws:kms:eu-central-1:111122223333:key/k","S3OutputPath":"s3://scores/out/"}'` +
		` --transform-resources '{"InstanceCount":2,"InstanceType":"ml.m5.large","VolumeKmsKeyId":"arn:aws:kms:eu-central-1:111122223333:key/k"}'`
	if diff := cmp.Diff(want, said.String()); diff != "" {
		t.Errorf("command (-want +got):\n%s", diff)
	}
	role := asText(only(t, tpl, "AWS::IAM::ManagedPolicy"))
	for _, want := range []string{`:s3:::rows/in/*"`, `:s3:::scores/out/*"`, `"s3:prefix":"in/*"`, `log-group:/aws/sagemaker/TransformJobs:*`} {
		if !strings.Contains(role, want) {
			t.Errorf("the role lacks %s: %s", want, role)
		}
	}
}

func TestSageMakerRegion(t *testing.T) {
	s := cdk.NewSageMakerStack(app(), "m", &cdk.StackProps{Function: sageMakerFunction(t, "region: eu-north-1", "")})
	if got := *s.Stack.Region(); got != "eu-north-1" {
		t.Errorf("region %s", got)
	}
}

// A handler may ask other services; a model alone reaches nothing.
func TestSageMakerIsolation(t *testing.T) {
	for more, want := range map[string]any{"": true, "handler: handler": false} {
		if got := only(t, sageMakerTemplate(t, "", more), "AWS::SageMaker::Model")["EnableNetworkIsolation"]; got != want {
			t.Errorf("%q: isolated %v, want %v", more, got, want)
		}
	}
	if got := only(t, sageMakerTemplate(t, "mode: serverless", ""), "AWS::SageMaker::Model")["EnableNetworkIsolation"]; got != nil {
		t.Errorf("serverless: isolated %v", got)
	}
}

func TestSageMakerRefuses(t *testing.T) {
	for _, tt := range []struct{ name, target, more, want string }{
		{"secrets", "secrets: {A: b}", "", "no variables that come from a secret store"},
		{"a VPC without security groups", "vpc: {subnets: [subnet-1]}", "", "want securityGroups, got none"},
		{"a serverless endpoint in a VPC", "mode: serverless, vpc: {subnets: [subnet-1], securityGroups: [sg-1]}", "", "run in no VPC"},
		{"a job of nowhere", "mode: transform", "", "want where rows lie and scores go"},
		{"a long variable", "env: {A: '" + strings.Repeat("x", 1025) + "'}", "", "want at most 1024 bytes, got 1025"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := sageMakerFunction(t, tt.target, tt.more)
			e := refused(t, func() { cdk.NewSageMakerStack(app(), "m", &cdk.StackProps{Function: f}) })
			if e.Code != fault.BadConfig || !strings.Contains(e.Error(), tt.want) || e.Hint == "" {
				t.Errorf("%v (%s), want %s", e, e.Hint, tt.want)
			}
		})
	}
	for lock, want := range map[string]string{
		"":             "got no lock",
		"version: 1\n": "got none",
		"packages: [":  "want a lock",
		strings.Replace(sageMakerLock, "sagemaker", "cloudrun", 1): "want an image for sagemaker that was pushed, got none",
	} {
		f := load(t, "targets: {awslambda: {}, sagemaker: {}}")
		if lock != "" {
			write(t, filepath.Join(f.Dir, "godwit.lock"), lock)
		}
		if e := refused(t, func() { cdk.NewSageMakerStack(app(), "m", &cdk.StackProps{Function: f}) }); !strings.Contains(e.Error(), want) || !strings.Contains(e.Hint, "--target sagemaker --push") {
			t.Errorf("lock %q: %v (%s)", lock, e, e.Hint)
		}
	}
	// Props without godwit.yaml.
	for want, p := range map[string]*cdk.SageMakerEndpointProps{
		"Mode":                   {Mode: "multi", Image: jsii.String(image), EndpointName: jsii.String("m")},
		"Image":                  {Image: jsii.String("docker.io/m:latest"), EndpointName: jsii.String("m")},
		"EndpointName":           {Image: jsii.String(image)},
		"MinCapacity":            {Image: jsii.String(image), EndpointName: jsii.String("m"), MinCapacity: jsii.Number(0)},
		"S3OutputPath":           {Image: jsii.String(image), EndpointName: jsii.String("m"), Mode: cdk.SageMakerMode_ASYNC},
		"EnableNetworkIsolation": {Image: jsii.String(image), EndpointName: jsii.String("m"), Mode: cdk.SageMakerMode_SERVERLESS, EnableNetworkIsolation: jsii.Bool(true)},
	} {
		e := refused(t, func() { cdk.NewSageMakerEndpoint(awscdk.NewStack(app(), jsii.String("s"), nil), "Model", p) })
		if e.Subject != "Model "+want {
			t.Errorf("%s: %v", want, e)
		}
	}
}

// The app has a stack for each target of AWS.
func TestStacksOfTargets(t *testing.T) {
	for targets, want := range map[string][]string{
		"awslambda: {}":                {"m"},
		"awslambda: {}, sagemaker: {}": {"m", "m-sagemaker"},
		"sagemaker: {}":                {"m-sagemaker"},
	} {
		dir := folder(t, "targets: {"+targets+"}")
		write(t, filepath.Join(dir, "godwit.lock"), sageMakerLock)
		f, err := cdk.Load(dir, &cdk.LoadOptions{Zip: pack(t, filepath.Join(dir, "m.zip"), map[string]string{"bootstrap": "x"})})
		if err != nil {
			t.Fatal(err)
		}
		a := app()
		cdk.NewStacks(a, f)
		var got []string
		for _, c := range *a.Node().Children() {
			got = append(got, *c.Node().Id())
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", targets, diff)
		}
	}
	if _, err := cdk.Load(folder(t, "targets: {knative: {mesh: istio}}"), nil); fault.CodeOf(err) != fault.BadConfig || !strings.Contains(err.Error(), "want a target awslambda or sagemaker") {
		t.Errorf("no target of AWS: %v", err)
	}
}
