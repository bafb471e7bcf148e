package cdk_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awslambda"
	"github.com/aws/jsii-runtime-go"
	"github.com/google/go-cmp/cmp"

	"godwit.dev/cdk"
	"godwit.dev/runtime/fault"
)

const lambda = "\ntargets: {awslambda: {api: none}}"

// batchOf is the properties of the one resource of a type that batch scoring made.
func batchOf(t testing.TB, tpl map[string]any, typ, id string) map[string]any {
	t.Helper()
	for name, r := range resources(tpl, typ) {
		if strings.HasPrefix(name, id) {
			p, _ := r["Properties"].(map[string]any)
			return p
		}
	}
	t.Fatalf("want a %s that begins with %s, got none", typ, id)
	return nil
}

// at is what lies below keys, as JSON.
func at(v any, keys ...string) string {
	for _, k := range keys {
		m, ok := v.(map[string]any)
		if !ok {
			return ""
		}
		v = m[k]
	}
	if v == nil {
		return ""
	}
	text, _ := json.Marshal(v)
	return string(text)
}

// grants is what the policy with an id may do: "Sid action… if condition", in order.
func grants(t testing.TB, tpl map[string]any, id string) []string {
	t.Helper()
	var all []string
	doc := batchOf(t, tpl, "AWS::IAM::ManagedPolicy", id)["PolicyDocument"].(map[string]any)
	for _, v := range doc["Statement"].([]any) {
		s := v.(map[string]any)
		actions, ok := s["Action"].([]any)
		if !ok {
			actions = []any{s["Action"]}
		}
		text := fmt.Sprint(s["Sid"], " ", actions)
		if c := at(s, "Condition"); c != "" {
			text += " if " + c
		}
		all = append(all, text)
	}
	return all
}

func TestBatchSettings(t *testing.T) {
	tpl := synth(t, load(t, "triggers: [objects, queue]\nbatch: {input: rows/, output: scores/, size: 100, window: 20s, attempts: 7, maxConcurrency: 9, timeout: 4m}"+lambda))
	mapping := batchOf(t, tpl, "AWS::Lambda::EventSourceMapping", "Batch")
	want := map[string]any{"BatchSize": 100.0, "MaximumBatchingWindowInSeconds": 20.0, "ScalingConfig": map[string]any{"MaximumConcurrency": 9.0}, "FunctionResponseTypes": []any{"ReportBatchItemFailures"}}
	got := map[string]any{}
	for k := range want {
		got[k] = mapping[k]
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("mapping (-want +got):\n%s", diff)
	}
	queue := batchOf(t, tpl, "AWS::SQS::Queue", "BatchQueue")
	dead := batchOf(t, tpl, "AWS::SQS::Queue", "BatchDeadLetters")
	if queue["VisibilityTimeout"] != 6*240.0+20 {
		t.Errorf("want messages hidden for six timeouts and the window, got %v", queue["VisibilityTimeout"])
	}
	if got := at(queue, "RedrivePolicy", "maxReceiveCount"); got != "7" {
		t.Errorf("want 7 deliveries, got %s", got)
	}
	if got := at(dead, "RedriveAllowPolicy", "redrivePermission"); got != `"byQueue"` {
		t.Errorf("want dead letters of one queue alone, got %s", got)
	}
	// Both names are the same text, or the dead letters are refused.
	if name := at(queue, "QueueName"); name == "" || !strings.Contains(at(dead, "RedriveAllowPolicy", "sourceQueueArns"), name) {
		t.Errorf("want dead letters of %s, got %s", name, at(dead, "RedriveAllowPolicy"))
	}
	if got := batchOf(t, tpl, "AWS::Lambda::Function", "Batch")["Timeout"]; got != 240.0 {
		t.Errorf("want batch.timeout, got %v", got)
	}
}

func TestBatchOnePlaceForEach(t *testing.T) {
	tests := map[string]struct {
		batch        string
		made         []string // buckets, by their ids
		output, rule bool     // is the function told of an output; does EventBridge tell of objects
	}{
		"both made":          {"{input: rows/, output: scores/}", []string{"Input", "Output"}, true, false},
		"input is there":     {"{input: s3://lake/rows/, output: scores/}", []string{"Output"}, true, true},
		"output is there":    {"{input: ./rows, output: s3://lake/scores/}", []string{"Input"}, false, false},
		"one that is there":  {"{input: s3://lake/rows/, output: s3://lake/scores/}", nil, false, true},
		"two that are there": {"{input: s3://lake, output: s3://sea}", nil, false, true},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			tpl := synth(t, load(t, "triggers: [objects]\nbatch: "+tt.batch+lambda))
			var made []string
			for id := range resources(tpl, "AWS::S3::Bucket") {
				made = append(made, strings.TrimSuffix(strings.TrimPrefix(id, "Batch"), id[len(id)-8:]))
			}
			slices.Sort(made)
			if diff := cmp.Diff(tt.made, made); diff != "" {
				t.Errorf("buckets (-want +got):\n%s", diff)
			}
			if got := at(batchOf(t, tpl, "AWS::Lambda::Function", "Batch"), "Environment", "Variables", "GODWIT_OUTPUT"); (got != "") != tt.output {
				t.Errorf("want GODWIT_OUTPUT %v, got %s", tt.output, got)
			}
			rules := resources(tpl, "AWS::Events::Rule")
			if (len(rules) == 1) != tt.rule {
				t.Errorf("want a rule of EventBridge %v, got %d", tt.rule, len(rules))
			}
			for _, r := range rules {
				detail := at(r, "Properties", "EventPattern", "detail")
				if !strings.Contains(detail, `"name":["lake"]`) || strings.Contains(tt.batch, "lake/rows") != strings.Contains(detail, `"prefix":"rows/"`) {
					t.Errorf("want events of that bucket and prefix alone, got %s", detail)
				}
			}
			outputs := tpl["Outputs"].(map[string]any)
			for _, name := range []string{"QueueUrl", "DeadLetterQueueUrl", "InputBucket", "OutputBucket", "ScorePrefixCommand"} {
				if outputs[name] == nil {
					t.Errorf("want an output %s, got none", name)
				}
			}
			if got := at(outputs, "InputBucketCommand"); strings.Contains(got, "--bucket lake") != tt.rule {
				t.Errorf("want said how the bucket's events are turned on %v, got %s", tt.rule, got)
			}
			for id, r := range tpl["Resources"].(map[string]any) {
				if typ := at(r, "Type"); strings.Contains(typ, "Custom") {
					t.Errorf("want nothing of CDK's own, got %s %s", id, typ)
				}
			}
		})
	}
}

func TestBatchBucketTellsTheQueue(t *testing.T) {
	tpl := synth(t, load(t, "triggers: [objects]\nbatch: {input: rows/2026, output: scores/}"+lambda))
	in := batchOf(t, tpl, "AWS::S3::Bucket", "BatchInput")
	tells := in["NotificationConfiguration"].(map[string]any)["QueueConfigurations"].([]any)
	if len(tells) != 1 || at(tells[0], "Event") != `"s3:ObjectCreated:*"` || at(tells[0], "Filter") != `{"S3Key":{"Rules":[{"Name":"prefix","Value":"rows/2026/"}]}}` {
		t.Errorf("want the queue told of objects below the prefix alone, got %s", at(in, "NotificationConfiguration"))
	}
	// S3 tries the queue when the bucket is made.
	for id, r := range resources(tpl, "AWS::S3::Bucket") {
		if strings.HasPrefix(id, "BatchInput") && !strings.Contains(at(r, "DependsOn"), "BatchQueuePolicy") {
			t.Errorf("want the bucket made after the queue's policy, got %s", at(r, "DependsOn"))
		}
	}
	policy := at(batchOf(t, tpl, "AWS::SQS::QueuePolicy", "BatchQueue"), "PolicyDocument")
	if name := at(in, "BucketName"); name == "" || !strings.Contains(policy, name) {
		t.Errorf("want the queue open to the bucket %s, got %s", name, policy)
	}
	if !strings.Contains(policy, `"aws:SourceAccount":{"Ref":"AWS::AccountId"}`) || !strings.Contains(policy, `{"Service":"s3.amazonaws.com"}`) {
		t.Errorf("want the queue open to S3 in this account, got %s", policy)
	}
}

func TestBatchRoles(t *testing.T) {
	all := synth(t, load(t, "triggers: [objects]\nbatch: {input: rows/, output: scores/, claims: dynamodb://claims, split: {queue: \"https://sqs.eu-west-1.amazonaws.com/111122223333/rows\", parts: 4}}"+lambda))
	want := []string{
		"WriteLog [logs:CreateLogStream logs:PutLogEvents]",
		"WriteTraces [xray:PutTraceSegments xray:PutTelemetryRecords]",
		"ReadRows [s3:GetObject]",
		`FindRows [s3:ListBucket] if {"StringLike":{"s3:prefix":"rows/*"}}`,
		"WriteScores [s3:GetObject s3:PutObject s3:AbortMultipartUpload]",
		`FindScores [s3:ListBucket] if {"StringLike":{"s3:prefix":"scores/*"}}`,
		"Claim [dynamodb:GetItem dynamodb:PutItem dynamodb:DeleteItem]",
		"PollQueue [sqs:ReceiveMessage sqs:DeleteMessage sqs:GetQueueAttributes]",
		"SplitObjects [sqs:SendMessage]",
	}
	if diff := cmp.Diff(want, grants(t, all, "BatchFunctionRolePolicy")); diff != "" {
		t.Errorf("the function's (-want +got):\n%s", diff)
	}
	if got := batchOf(t, all, "AWS::SQS::Queue", "BatchQueue")["QueueName"]; got != "rows" {
		t.Errorf("want the queue that batch.split names, got %v", got)
	}
	// Who gets messages alone reads nothing.
	least := synth(t, load(t, "triggers: [queue]\nbatch: {input: rows/, output: scores/}"+lambda))
	want = append(append(slices.Clone(want[:2]), want[4:6]...), want[7])
	if diff := cmp.Diff(want, grants(t, least, "BatchFunctionRolePolicy")); diff != "" {
		t.Errorf("of one with messages alone (-want +got):\n%s", diff)
	}
	if n := len(resources(least, "AWS::StepFunctions::StateMachine")); n != 0 {
		t.Errorf("want no state machine without objects, got %d", n)
	}
	machine := []string{
		"Score [lambda:InvokeFunction]",
		`FindRows [s3:ListBucket] if {"StringLike":{"s3:prefix":"rows/*"}}`,
		"WriteResults [s3:PutObject s3:GetObject s3:ListMultipartUploadParts s3:AbortMultipartUpload]",
		"RunMap [states:StartExecution]", "SeeMap [states:DescribeExecution]",
	}
	if got := grants(t, all, "BatchMapRolePolicy"); len(got) < len(machine) || !cmp.Equal(machine, got[:len(machine)]) {
		t.Errorf("the state machine's (-want +got):\n%s", cmp.Diff(machine, got))
	}
}

func TestBatchClaims(t *testing.T) {
	tpl := synth(t, load(t, "triggers: [queue]\nbatch: {input: rows/, output: scores/, claims: dynamodb://godwit-claims}"+lambda))
	want := map[string]any{
		"TableName": "godwit-claims", "BillingMode": "PAY_PER_REQUEST",
		"AttributeDefinitions":             []any{map[string]any{"AttributeName": "id", "AttributeType": "S"}},
		"KeySchema":                        []any{map[string]any{"AttributeName": "id", "KeyType": "HASH"}},
		"TimeToLiveSpecification":          map[string]any{"AttributeName": "expiration", "Enabled": true},
		"PointInTimeRecoverySpecification": map[string]any{"PointInTimeRecoveryEnabled": true},
		"SSESpecification":                 map[string]any{"SSEEnabled": true},
	}
	if diff := cmp.Diff(want, only(t, tpl, "AWS::DynamoDB::Table")); diff != "" {
		t.Errorf("table (-want +got):\n%s", diff)
	}
}

func TestBatchOtherTriggers(t *testing.T) {
	tpl := synth(t, load(t, "triggers: [topic, events]\nbatch: {input: rows/, output: scores/}"+lambda))
	subscription := batchOf(t, tpl, "AWS::SNS::Subscription", "Batch")
	if at(subscription, "Protocol") != `"sqs"` || at(subscription, "RedrivePolicy", "deadLetterTargetArn") == "" {
		t.Errorf("want notifications on the queue, with dead letters, got %v", subscription)
	}
	if got := batchOf(t, tpl, "AWS::SNS::Topic", "Batch")["KmsMasterKeyId"]; got != "alias/aws/sns" {
		t.Errorf("want the topic encrypted, got %v", got)
	}
	rule := batchOf(t, tpl, "AWS::Events::Rule", "Batch")
	if at(rule, "EventBusName") == "" || at(rule, "EventPattern") != `{"account":[{"Ref":"AWS::AccountId"}]}` || at(rule, "Targets") == "" {
		t.Errorf("want all events of a bus of its own on the queue, got %v", rule)
	}
	policy := at(batchOf(t, tpl, "AWS::SQS::QueuePolicy", "BatchQueue"), "PolicyDocument")
	for _, service := range []string{"sns", "events"} {
		if !strings.Contains(policy, `{"Service":"`+service+`.amazonaws.com"}`) {
			t.Errorf("want the queue open to %s, got %s", service, policy)
		}
	}
	if n := len(resources(tpl, "AWS::S3::Bucket")); n != 1 {
		t.Errorf("want a bucket for scores alone, got %d", n)
	}

	ordered := synth(t, load(t, "triggers: [queue, topic]\nbatch: {input: rows/, output: scores/, order: stop}"+lambda))
	for _, id := range []string{"BatchQueue", "BatchDeadLetters"} {
		if q := batchOf(t, ordered, "AWS::SQS::Queue", id); q["FifoQueue"] != true {
			t.Errorf("want %s with order, got %v", id, q)
		}
	}
	if topic := batchOf(t, ordered, "AWS::SNS::Topic", "Batch"); topic["FifoTopic"] != true {
		t.Errorf("want a topic with order, got %v", topic)
	}
}

func TestBatchKey(t *testing.T) {
	tpl := synth(t, load(t, "compliance: hipaa\ntriggers: [objects, topic]\nbatch: {input: rows/, output: scores/, claims: dynamodb://claims, maxConcurrency: 5}"+lambda))
	if got := grants(t, tpl, "BatchFunctionRolePolicy"); !slices.Contains(got, "UseKey [kms:Decrypt kms:GenerateDataKey]") {
		t.Errorf("want the role to use the key, got %q", got)
	}
	opened := at(batchOf(t, tpl, "AWS::KMS::Key", "Key"), "KeyPolicy")
	for _, service := range []string{"s3", "sns"} { // which write to the queue
		if !strings.Contains(opened, `{"Service":"`+service+`.amazonaws.com"}`) {
			t.Errorf("want the key open to %s, got %s", service, opened)
		}
	}
	for _, id := range []string{"BatchInput", "BatchOutput"} {
		if b := batchOf(t, tpl, "AWS::S3::Bucket", id); at(b, "LoggingConfiguration", "DestinationBucketName") == "" {
			t.Errorf("want access to %s logged, got %v", id, b)
		}
	}
	if got := batchOf(t, tpl, "AWS::Lambda::Function", "Batch")["ReservedConcurrentExecutions"]; got != 5.0 {
		t.Errorf("want the concurrency reserved, got %v", got)
	}
}

func TestBatchWholePrefix(t *testing.T) {
	tpl := synth(t, load(t, "triggers: [objects]\nbatch: {input: rows/, output: scores/, size: 1000, window: 1s, maxConcurrency: 30}"+lambda))
	machine := batchOf(t, tpl, "AWS::StepFunctions::StateMachine", "Batch")
	// Its text with the parts that only CloudFormation knows left out.
	var text strings.Builder
	for _, part := range machine["DefinitionString"].(map[string]any)["Fn::Join"].([]any)[1].([]any) {
		if s, ok := part.(string); ok {
			text.WriteString(s)
		}
	}
	var got struct{ States map[string]map[string]any }
	if err := json.Unmarshal([]byte(text.String()), &got); err != nil {
		t.Fatal(err)
	}
	m := got.States["Objects"]
	for key, want := range map[string]string{
		"Type": `"Map"`, "MaxConcurrency": "30", "ToleratedFailurePercentage": "0",
		"ItemReader":   `{"Parameters":{"Bucket":"","Prefix.$":"$.prefix"},"Resource":"arn::states:::s3:listObjectsV2"}`,
		"ItemBatcher":  `{"BatchInput":{"Bucket":""},"MaxInputBytesPerBatch":200000,"MaxItemsPerBatch":100}`,
		"ResultWriter": `{"Parameters":{"Bucket":"","Prefix":"scores/runs"},"Resource":"arn::states:::s3:putObject"}`,
	} {
		if got := at(m, key); got != want {
			t.Errorf("%s: want %s, got %s", key, want, got)
		}
	}
	if at(machine, "LoggingConfiguration", "IncludeExecutionData") != "false" || at(machine, "TracingConfiguration", "Enabled") != "true" {
		t.Errorf("want a log without data, and traces, got %v", machine)
	}
}

func TestBatchNeedsTrigger(t *testing.T) {
	tpl := synth(t, load(t, "batch: {input: rows/, output: scores/}\ntargets: {awslambda: {}}"))
	for id := range tpl["Resources"].(map[string]any) {
		if strings.HasPrefix(id, "Batch") {
			t.Errorf("want nothing that nothing would start, got %s", id)
		}
	}
}

func TestBatchRefuses(t *testing.T) {
	tests := map[string]struct{ yaml, subject string }{
		"a stream":               {"triggers: [stream]\nbatch: {input: rows/, output: scores/}", "triggers"},
		"another cloud's input":  {"triggers: [objects]\nbatch: {input: gs://lake/rows/, output: scores/}", "batch.input"},
		"another cloud's output": {"triggers: [queue]\nbatch: {input: rows/, output: azblob://acme/scores/}", "batch.output"},
		"claims in a folder":     {"triggers: [queue]\nbatch: {input: rows/, output: scores/, claims: \"file:claims\"}", "batch.claims"},
		"order of objects":       {"triggers: [objects]\nbatch: {input: rows/, output: scores/, order: stop}", "batch.order"},
		"order of parts":         {"triggers: [queue]\nbatch: {input: rows/, output: scores/, order: stop, split: {queue: \"https://sqs.eu-west-1.amazonaws.com/1/rows\", parts: 1}}", "batch.order"},
		"another cloud's queue":  {"triggers: [objects]\nbatch: {input: rows/, output: scores/, split: {queue: \"https://pubsub.googleapis.com/projects/a/topics/b\", parts: 1}}", "batch.split.queue"},
		"a queue with order":     {"triggers: [objects]\nbatch: {input: rows/, output: scores/, split: {queue: \"https://sqs.eu-west-1.amazonaws.com/1/rows.fifo\", parts: 1}}", "batch.split.queue"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			f := load(t, tt.yaml+lambda)
			e := refused(t, func() { cdk.NewStack(app(), "s", &cdk.StackProps{Function: f}) })
			if e.Code != fault.BadConfig || e.Subject != tt.subject || e.Hint == "" {
				t.Errorf("want %s refused with a hint, got %v, hint %q", tt.subject, e, e.Hint)
			}
		})
	}
}

func TestBatchPropsRefused(t *testing.T) {
	code := awslambda.Code_FromInline(jsii.String("x"))
	yes, long := jsii.Bool(true), awscdk.Duration_Minutes(jsii.Number(121))
	tests := map[string]struct {
		props   cdk.BatchScoringProps
		subject string
	}{
		"no messages":            {cdk.BatchScoringProps{BatchSize: jsii.Number(0)}, "BatchSize"},
		"many with order":        {cdk.BatchScoringProps{Fifo: yes, BatchSize: jsii.Number(11)}, "BatchSize"},
		"many without a window":  {cdk.BatchScoringProps{BatchSize: jsii.Number(11)}, "MaxBatchingWindow"},
		"a window with order":    {cdk.BatchScoringProps{Fifo: yes, MaxBatchingWindow: awscdk.Duration_Seconds(jsii.Number(1))}, "MaxBatchingWindow"},
		"objects with order":     {cdk.BatchScoringProps{Fifo: yes, Objects: yes}, "Fifo"},
		"parts with order":       {cdk.BatchScoringProps{Fifo: yes, SplitsObjects: yes}, "Fifo"},
		"too long hidden":        {cdk.BatchScoringProps{LambdaProps: cdk.LambdaProps{Timeout: long}}, "Timeout"},
		"too few deliveries":     {cdk.BatchScoringProps{MaxReceiveCount: jsii.Number(3)}, "MaxReceiveCount"},
		"one at a time":          {cdk.BatchScoringProps{MaxConcurrency: jsii.Number(1)}, "MaxConcurrency"},
		"a prefix of no folder":  {cdk.BatchScoringProps{Objects: yes, InputPrefix: jsii.String("rows")}, "InputPrefix"},
		"a prefix with patterns": {cdk.BatchScoringProps{OutputPrefix: jsii.String("*/")}, "OutputPrefix"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			tt.props.Code = code
			stack := awscdk.NewStack(app(), jsii.String("s"), nil)
			if e := refused(t, func() { cdk.NewBatchScoring(stack, "b", &tt.props) }); e.Subject != tt.subject {
				t.Errorf("want %s refused, got %v", tt.subject, e)
			}
		})
	}
}
