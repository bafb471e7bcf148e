package cdk_test

import (
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awslambda"
	"github.com/aws/aws-cdk-go/awscdk/v2/awssns"
	"github.com/aws/jsii-runtime-go"
	"github.com/google/go-cmp/cmp"

	"godwit.dev/cdk"
	"godwit.dev/runtime/fault"
)

// observed are functions that have everything between them that is watched.
var observed = map[string]string{
	"http":  "triggers: [queue]\nbatch: {input: rows/, output: scores/}\ntargets: {awslambda: {provisionedConcurrency: 2, rollout: Linear10PercentEvery1Minute}}",
	"rest":  "targets: {awslambda: {api: rest}}",
	"url":   "targets: {awslambda: {api: url, rollout: Canary10Percent5Minutes}}",
	"alb":   "targets: {awslambda: {api: alb}}",
	"none":  "targets: {awslambda: {api: none}}",
	"hipaa": "compliance: hipaa\ntargets: {awslambda: {kmsKey: arn:aws:kms:eu-west-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab}}",
}

// theirs are the metrics of AWS that are watched, with what they are dimensioned
// by: AWS, "Types of metrics for Lambda functions", "Monitoring HTTP APIs",
// "Amazon API Gateway dimensions and metrics", "Available CloudWatch metrics for
// Amazon SQS", "CloudWatch metrics for your Application Load Balancer".
const theirs = `
AWS/Lambda ConcurrentExecutions FunctionName Resource
AWS/Lambda Duration ExecutedVersion FunctionName Resource
AWS/Lambda Duration FunctionName Resource
AWS/Lambda Errors ExecutedVersion FunctionName Resource
AWS/Lambda Errors FunctionName Resource
AWS/Lambda Invocations ExecutedVersion FunctionName Resource
AWS/Lambda Invocations FunctionName Resource
AWS/Lambda ProvisionedConcurrencySpilloverInvocations FunctionName Resource
AWS/Lambda ProvisionedConcurrentExecutions FunctionName Resource
AWS/Lambda Throttles FunctionName Resource
AWS/Lambda Url4xxCount FunctionName Resource
AWS/Lambda Url5xxCount FunctionName Resource
AWS/Lambda UrlRequestCount FunctionName Resource
AWS/Lambda UrlRequestLatency FunctionName Resource
AWS/ApiGateway 4XXError ApiName
AWS/ApiGateway 4xx ApiId
AWS/ApiGateway 5XXError ApiName
AWS/ApiGateway 5xx ApiId
AWS/ApiGateway Count ApiId
AWS/ApiGateway Count ApiName
AWS/ApiGateway Latency ApiId
AWS/ApiGateway Latency ApiName
AWS/ApplicationELB LambdaInternalError TargetGroup
AWS/ApplicationELB LambdaUserError TargetGroup
AWS/ApplicationELB RequestCount TargetGroup
AWS/SQS ApproximateAgeOfOldestMessage QueueName
AWS/SQS ApproximateNumberOfMessagesNotVisible QueueName
AWS/SQS ApproximateNumberOfMessagesVisible QueueName`

// observedTemplates are those of observed, made once: a stack takes a second here.
var observedTemplates = map[string]map[string]any{}

func templateOfObserved(t *testing.T, name string) map[string]any {
	t.Helper()
	if observedTemplates[name] == nil {
		observedTemplates[name] = synth(t, load(t, observed[name]))
	}
	return observedTemplates[name]
}

// series is a metric's namespace and name, and the names of its dimensions.
func series(namespace, name string, dimensions ...string) string {
	slices.Sort(dimensions)
	return strings.Join(append([]string{namespace, name}, dimensions...), " ")
}

// alarmed are the series that alarms go by.
func alarmed(tpl map[string]any) []string {
	var all []string
	add := func(m map[string]any) {
		var names []string
		for _, d := range asList(m["Dimensions"]) {
			names = append(names, d.(map[string]any)["Name"].(string))
		}
		all = append(all, series(m["Namespace"].(string), m["MetricName"].(string), names...))
	}
	for _, r := range resources(tpl, "AWS::CloudWatch::Alarm") {
		p := r["Properties"].(map[string]any)
		if p["MetricName"] != nil {
			add(p)
		}
		for _, m := range asList(p["Metrics"]) {
			if stat, ok := m.(map[string]any)["MetricStat"].(map[string]any); ok {
				add(stat["Metric"].(map[string]any))
			}
		}
	}
	return all
}

// dashboard is the body of a template's dashboard; what CloudFormation puts in
// is "{…}".
func dashboard(t *testing.T, tpl map[string]any) (text string, widgets []map[string]any) {
	t.Helper()
	body := only(t, tpl, "AWS::CloudWatch::Dashboard")["DashboardBody"]
	for _, part := range body.(map[string]any)["Fn::Join"].([]any)[1].([]any) {
		if s, ok := part.(string); ok {
			text += s
		} else {
			text += "{…}"
		}
	}
	var all struct{ Widgets []map[string]any }
	if err := json.Unmarshal([]byte(text), &all); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	return text, all.Widgets
}

var search = regexp.MustCompile(`^SEARCH\('\{([^}]*)\} MetricName="(\w+)" Function="\{…\}"', '\w+', 300\)$`)

// drawn are the series that a dashboard shows.
func drawn(t *testing.T, widgets []map[string]any) []string {
	t.Helper()
	var all []string
	for _, w := range widgets {
		if w["type"] != "metric" {
			continue
		}
		for _, m := range w["properties"].(map[string]any)["metrics"].([]any) {
			m := m.([]any)
			if options, ok := m[0].(map[string]any); ok {
				parts := search.FindStringSubmatch(options["expression"].(string))
				if parts == nil {
					t.Fatalf("%v", options)
				}
				where := strings.Split(parts[1], ",")
				all = append(all, series(where[0], parts[2], where[1:]...))
				continue
			}
			var names []string
			for i := 2; i+1 < len(m); i += 2 {
				names = append(names, m[i].(string))
			}
			all = append(all, series(m[0].(string), m[1].(string), names...))
		}
	}
	return all
}

func asList(v any) []any { l, _ := v.([]any); return l }

// Every metric that is watched is one that somebody writes: AWS, or what the
// function has been seen to write, in the file of its own test.
func TestWatchedMetricsAreWritten(t *testing.T) {
	golden, err := os.ReadFile("../adapters/awslambda/testdata/metrics.golden")
	if err != nil {
		t.Fatal(err)
	}
	written := map[string]bool{}
	for l := range strings.Lines(string(golden) + strings.TrimPrefix(theirs, "\n")) {
		f := strings.Fields(l)
		written[series(f[0], f[1], f[2:]...)] = true
	}
	used := map[string]bool{}
	for name := range observed {
		tpl := templateOfObserved(t, name)
		_, widgets := dashboard(t, tpl)
		for _, s := range append(alarmed(tpl), drawn(t, widgets)...) {
			if used[s] = true; !written[s] {
				t.Errorf("%s: watched, and written by nobody: %s", name, s)
			}
		}
	}
	// What the issue asks to see on one page.
	for _, s := range []string{
		"Godwit Requests Function", "AWS/Lambda Duration FunctionName Resource", "AWS/Lambda Errors FunctionName Resource", "AWS/Lambda Throttles FunctionName Resource",
		"Godwit StartReady Function", "AWS/SQS ApproximateAgeOfOldestMessage QueueName", "AWS/SQS ApproximateNumberOfMessagesVisible QueueName",
		"Godwit BatchRows Function", "Godwit ComputeTime Function Model Version", "Godwit Faults ExecutedVersion Function",
	} {
		if !used[s] {
			t.Errorf("nobody watches %s", s)
		}
	}
	for l := range strings.Lines(strings.TrimPrefix(theirs, "\n")) {
		if s := strings.TrimSpace(l); !used[s] {
			t.Errorf("listed, and watched by nobody: %s", s)
		}
	}
}

// When each alarm goes off, and what it makes of no data.
func TestAlarms(t *testing.T) {
	got := map[string]string{}
	for name := range observed {
		tpl := templateOfObserved(t, name)
		for _, r := range resources(tpl, "AWS::CloudWatch::Alarm") {
			p := r["Properties"].(map[string]any)
			name := p["AlarmName"].(string)
			compare := map[any]string{"GreaterThanOrEqualToThreshold": ">=", "GreaterThanThreshold": ">"}[p["ComparisonOperator"]]
			period := p["Period"]
			for _, m := range asList(p["Metrics"]) {
				if stat, ok := m.(map[string]any)["MetricStat"].(map[string]any); ok {
					period = stat["Period"]
				}
			}
			text := fmt.Sprintf("%s %v in %v of %v times %v s, %v", compare, p["Threshold"], p["DatapointsToAlarm"], p["EvaluationPeriods"], period, p["TreatMissingData"])
			if got[name] != "" && got[name] != text && !strings.HasSuffix(name, "-duration") {
				t.Errorf("%s: %s and %s", name, got[name], text)
			}
			got[name] = max(got[name], text)
			if len(asList(p["AlarmActions"])) != 1 || len(asList(p["OKActions"])) != 1 || p["AlarmDescription"] == "" {
				t.Errorf("%s: %v, %v, %v", name, p["AlarmActions"], p["OKActions"], p["AlarmDescription"])
			}
		}
	}
	want := map[string]string{
		"m-online-errors":            ">= 1 in 1 of 1 times 300 s, notBreaching",
		"m-online-duration":          ">= 48000 in 2 of 3 times 300 s, notBreaching",
		"m-online-faults":            ">= 1 in 1 of 1 times 300 s, notBreaching",
		"m-online-throttles":         ">= 1 in 1 of 1 times 300 s, notBreaching",
		"m-online-spillover":         ">= 1 in 3 of 3 times 300 s, notBreaching",
		"m-online-api-5xx":           ">= 1 in 1 of 1 times 300 s, notBreaching",
		"m-online-api-errors":        ">= 1 in 1 of 1 times 300 s, notBreaching",
		"m-rollout-errors":           ">= 1 in 1 of 1 times 60 s, notBreaching",
		"m-rollout-duration":         ">= 48000 in 1 of 1 times 60 s, notBreaching",
		"m-rollout-batch-errors":     ">= 1 in 1 of 1 times 60 s, notBreaching",
		"m-rollout-batch-duration":   ">= 240000 in 1 of 1 times 60 s, notBreaching",
		"m-batch-errors":             ">= 1 in 1 of 1 times 300 s, notBreaching",
		"m-batch-duration":           ">= 240000 in 2 of 3 times 300 s, notBreaching",
		"m-batch-queue-age":          ">= 1800 in 1 of 1 times 300 s, notBreaching",
		"m-batch-queue-dead-letters": "> 0 in 1 of 1 times 60 s, ignore",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// Alarms go to a topic that they may write to, under a key that they may use,
// and nobody else without TLS.
func TestAlarmTopic(t *testing.T) {
	tpl := templateOfObserved(t, "none")
	topic := only(t, tpl, "AWS::SNS::Topic")
	if diff := cmp.Diff(map[string]any{"Fn::GetAtt": []any{"ObservabilityKey84D8AFE9", "Arn"}}, topic["KmsMasterKeyId"]); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	ours := map[string]any{"StringEquals": map[string]any{"aws:SourceAccount": map[string]any{"Ref": "AWS::AccountId"}}}
	cloudwatch := map[string]any{"Service": "cloudwatch.amazonaws.com"}
	at := map[string]any{"Ref": "ObservabilityTopicFFC7823B"}
	want := []any{
		map[string]any{"Sid": "AllowPublishThroughSSLOnly", "Effect": "Deny", "Principal": "*", "Action": "sns:Publish", "Resource": at,
			"Condition": map[string]any{"Bool": map[string]any{"aws:SecureTransport": "false"}}},
		map[string]any{"Sid": "PublishAlarms", "Effect": "Allow", "Principal": cloudwatch, "Action": "sns:Publish", "Resource": at, "Condition": ours},
	}
	policy := only(t, tpl, "AWS::SNS::TopicPolicy")["PolicyDocument"].(map[string]any)
	if diff := cmp.Diff(want, policy["Statement"]); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	key := only(t, tpl, "AWS::KMS::Key")
	allowed := key["KeyPolicy"].(map[string]any)["Statement"].([]any)[1]
	wantKey := map[string]any{"Sid": "EncryptAlarms", "Effect": "Allow", "Principal": cloudwatch, "Action": []any{"kms:Decrypt", "kms:GenerateDataKey"}, "Resource": "*", "Condition": ours}
	if diff := cmp.Diff(wantKey, allowed); diff != "" || key["EnableKeyRotation"] != true {
		t.Errorf("(-want +got):\n%s", diff)
	}
	// A key of the stack's owner is used instead.
	tpl = templateOfObserved(t, "hipaa")
	if n := len(resources(tpl, "AWS::KMS::Key")); n != 0 || only(t, tpl, "AWS::SNS::Topic")["KmsMasterKeyId"] != "arn:aws:kms:eu-west-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab" {
		t.Errorf("%d keys, %v", n, only(t, tpl, "AWS::SNS::Topic"))
	}
}

// Without a stack of ours: a topic that is there, a name of one's own, and a
// function that has no alias.
func TestObservabilityByItself(t *testing.T) {
	stack := awscdk.NewStack(app(), jsii.String("other"), nil)
	arn := "arn:aws:sns:eu-west-1:111122223333:alarms"
	o := cdk.NewObservability(stack, "Watch", &cdk.ObservabilityProps{
		Name: jsii.String("fraud"), AlarmTopic: awssns.Topic_FromTopicArn(stack, jsii.String("Topic"), &arn), ErrorPercent: jsii.Number(5)})
	w := &cdk.WatchedFunction{
		Function: awslambda.Function_FromFunctionName(stack, jsii.String("F"), jsii.String("fraud-prod")), Timeout: awscdk.Duration_Seconds(jsii.Number(10))}
	o.WatchFunction("Fraud", w)
	o.WatchFunctionUrl("FraudUrl", w)
	if e := refused(t, func() { o.WatchFunction("Fraud", w) }); e.Code != fault.BadConfig || e.Hint == "" {
		t.Errorf("%v", e)
	}
	if o.Key != nil || len(o.Alarms) != 5 {
		t.Errorf("%v, %d alarms", o.Key, len(o.Alarms))
	}
	tpl := templateOf(t, stack)
	for id, r := range resources(tpl, "AWS::CloudWatch::Alarm") {
		p := r["Properties"].(map[string]any)
		if !strings.HasPrefix(p["AlarmName"].(string), "fraud-fraud") || !cmp.Equal(p["AlarmActions"], []any{arn}) {
			t.Errorf("%s: %v", id, p)
		}
		if strings.HasSuffix(p["AlarmName"].(string), "-errors") && p["Threshold"] != 5.0 {
			t.Errorf("%s: %v", id, p["Threshold"])
		}
	}
	for _, s := range alarmed(tpl) {
		if strings.Contains(s, "Resource") {
			t.Errorf("of an alias: %s", s)
		}
	}
	if n := len(resources(tpl, "AWS::SNS::Topic")) + len(resources(tpl, "AWS::KMS::Key")); n != 0 {
		t.Errorf("%d topics and keys", n)
	}
}

// The dashboard is one page, the same at each synthesis, of widgets that do not
// lie upon each other.
func TestDashboard(t *testing.T) {
	tpl := templateOfObserved(t, "http")
	text, widgets := dashboard(t, tpl)
	if again, _ := dashboard(t, synth(t, load(t, observed["http"]))); again != text {
		t.Fatalf("another body (-want +got):\n%s", cmp.Diff(text, again))
	}
	taken := map[[2]int]string{}
	alarms := 0
	for _, w := range widgets {
		title := fmt.Sprint(w["properties"].(map[string]any)["title"])
		x, y := int(w["x"].(float64)), int(w["y"].(float64))
		for i := range int(w["width"].(float64)) {
			for j := range int(w["height"].(float64)) {
				at := [2]int{x + i, y + j}
				if other := taken[at]; other != "" || at[0] >= 24 {
					t.Fatalf("%s lies on %q at %v", title, other, at)
				}
				taken[at] = title
			}
		}
		if w["type"] == "alarm" {
			alarms += len(w["properties"].(map[string]any)["alarms"].([]any))
		}
	}
	if n := len(resources(tpl, "AWS::CloudWatch::Alarm")); alarms != n {
		t.Errorf("want all %d alarms on it, got %d", n, alarms)
	}
}
