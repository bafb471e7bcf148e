package cdk

import (
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsdynamodb"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsevents"
	"github.com/aws/aws-cdk-go/awscdk/v2/awslambda"
	"github.com/aws/aws-cdk-go/awscdk/v2/awslogs"
	"github.com/aws/aws-cdk-go/awscdk/v2/awss3"
	"github.com/aws/aws-cdk-go/awscdk/v2/awssns"
	"github.com/aws/aws-cdk-go/awscdk/v2/awssqs"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsstepfunctions"
	"github.com/aws/constructs-go/constructs/v10"
	"github.com/aws/jsii-runtime-go"

	"godwit.dev/infra/spec"
	"godwit.dev/runtime/fault"
)

// BatchScoringProps is a queue, the function that scores what it tells of, and
// where rows and scores are. The Timeout of LambdaProps is that of one delivery.
type BatchScoringProps struct {
	LambdaProps

	// Objects has the queue told of every object below InputPrefix of InputBucket.
	// A bucket that is made tells the queue itself; InputBucket, if given, through
	// EventBridge, for which it must have been turned on in that bucket.
	Objects     *bool
	InputBucket awss3.IBucket // nil: one is made
	InputPrefix *string       // "" or keys' begin, with a slash at its end

	// OutputBucket is where godwit.yaml's batch.output is. nil: one is made, and
	// the function is told, for a godwit.yaml whose batch.output names no bucket.
	OutputBucket awss3.IBucket
	OutputPrefix *string // likewise

	Topic    *bool // make a topic whose notifications go to the queue
	EventBus *bool // make a bus whose events go to the queue

	QueueName         *string         // nil: CloudFormation's choice
	Fifo              *bool           // a queue with order; not for Objects
	BatchSize         *float64        // messages of a delivery; nil: 10
	MaxBatchingWindow awscdk.Duration // nil: none
	MaxConcurrency    *float64        // deliveries at a time, from 2 on; nil: Lambda's own choice
	MaxReceiveCount   *float64        // deliveries of a message before it is a dead letter; nil: 5
	// SplitsObjects lets the function send messages for parts of large objects to
	// its own queue.
	SplitsObjects *bool

	ClaimsTableName *string            // nil and no ClaimsTable: no claims are kept
	ClaimsTable     awsdynamodb.ITable // one that is there, in the place of one that is made

	NoncurrentVersionExpiration awscdk.Duration // of objects in buckets that are made; nil: 30 days
	// ServerAccessLogs keeps who has read and written the buckets that are made, in
	// another bucket that is made.
	ServerAccessLogs *bool
}

// BatchScoring scores objects and messages. Its fields may be read after it was made.
type BatchScoring struct {
	constructs.Construct
	Function awslambda.Function
	Alias    awslambda.Alias // what the queue and the state machine call
	Role     *Role
	LogGroup awslogs.LogGroup

	Queue, DeadLetterQueue    awssqs.Queue
	EventSourceMapping        awslambda.EventSourceMapping
	InputBucket, OutputBucket awss3.IBucket // InputBucket is nil without Objects
	AccessLogsBucket          awss3.IBucket // nil without ServerAccessLogs
	Claims                    awsdynamodb.ITable
	Topic                     awssns.Topic                     // nil without
	EventBus                  awsevents.EventBus               // nil without
	StateMachine              awsstepfunctions.CfnStateMachine // scores all objects below a prefix; nil without Objects

	props                     *BatchScoringProps
	inputPrefix, outputPrefix string
}

// NewBatchScoring makes a queue with dead letters, the function that its messages
// go to, and the buckets that rows come from and scores go to. It panics with a
// *fault.Error of code BadConfig where props contradict each other.
func NewBatchScoring(scope constructs.Construct, id string, p *BatchScoringProps) *BatchScoring {
	d := p.withDefaults()
	if err := d.check(); err != nil {
		panic(err)
	}
	b := &BatchScoring{Construct: constructs.NewConstruct(scope, jsii.String(id)), props: d, inputPrefix: *d.InputPrefix, outputPrefix: *d.OutputPrefix}
	b.makeQueues()
	b.makeBuckets()
	b.makeFunction()
	b.makeClaims()
	b.makeMapping()
	b.makeSources()
	if *d.Objects {
		b.makeMap()
	}
	return b
}

func (p *BatchScoringProps) withDefaults() *BatchScoringProps {
	d := *p
	for _, flag := range []**bool{&d.Objects, &d.Topic, &d.EventBus, &d.Fifo, &d.SplitsObjects, &d.ServerAccessLogs} {
		if *flag == nil {
			*flag = jsii.Bool(false)
		}
	}
	for _, n := range []struct {
		to    **float64
		value float64
	}{{&d.BatchSize, 10}, {&d.MaxReceiveCount, 5}} {
		if *n.to == nil {
			*n.to = jsii.Number(n.value)
		}
	}
	for _, prefix := range []**string{&d.InputPrefix, &d.OutputPrefix} {
		if *prefix == nil {
			*prefix = jsii.String("")
		}
	}
	if d.Timeout == nil {
		d.Timeout = awscdk.Duration_Minutes(jsii.Number(5))
	}
	if d.MaxBatchingWindow == nil {
		d.MaxBatchingWindow = awscdk.Duration_Seconds(jsii.Number(0))
	}
	if d.NoncurrentVersionExpiration == nil {
		d.NoncurrentVersionExpiration = awscdk.Duration_Days(jsii.Number(30))
	}
	return &d
}

// maxVisibility is SQS's own.
const maxVisibility = 12 * 60 * 60

// visibility is how long a message is hidden: six times as long as a delivery may
// take, as AWS advises, and as long as the first of a delivery may wait for it.
func (p *BatchScoringProps) visibility() float64 {
	return 6**p.Timeout.ToSeconds(nil) + *p.MaxBatchingWindow.ToSeconds(nil)
}

func (p *BatchScoringProps) check() error {
	const op = "cdk.NewBatchScoring"
	bad := func(subject, hint, format string, args ...any) error {
		return fault.New(fault.BadConfig, op, subject, format, args...).WithHint("%s", hint)
	}
	size, window, fifo := *p.BatchSize, *p.MaxBatchingWindow.ToSeconds(nil), *p.Fifo
	switch {
	case size < 1 || size > 10000:
		return bad("BatchSize", "", "want 1 to 10000 messages, got %v", size)
	case fifo && size > 10:
		return bad("BatchSize", "Make it 10 or less, or leave the order out.", "want at most 10 of a queue with order, got %v", size)
	case fifo && window > 0:
		return bad("MaxBatchingWindow", "Leave the window out, or the order.", "want none for a queue with order, which delivers what is there, got %v s", window)
	case size > 10 && window < 1:
		return bad("MaxBatchingWindow", "Add a window of 1 s.", "want at least 1 s for more than 10 messages, got %v s", window)
	case fifo && *p.Objects:
		return bad("Fifo", "Leave the order out: a bucket tells of its objects in none.", "want a queue without order for objects, got one with it")
	case fifo && *p.SplitsObjects:
		return bad("Fifo", "Leave the order out, or the splitting.", "want a queue without order for parts of objects, got one with it")
	case p.visibility() > maxVisibility:
		return bad("Timeout", "Make it 2 h or less, window included.", "want six times the timeout to be at most the 12 h that SQS hides a message, got %v s", p.visibility())
	case *p.MaxReceiveCount < 5:
		return bad("MaxReceiveCount", "", "want at least 5, as throttling alone can use up fewer, got %v", *p.MaxReceiveCount)
	case p.MaxConcurrency != nil && (*p.MaxConcurrency < 2 || *p.MaxConcurrency > 1000):
		return bad("MaxConcurrency", "", "want 2 to 1000 deliveries at a time, got %v", *p.MaxConcurrency)
	}
	for name, prefix := range map[string]string{"InputPrefix": *p.InputPrefix, "OutputPrefix": *p.OutputPrefix} {
		if prefix != "" && (!strings.HasSuffix(prefix, "/") || strings.HasPrefix(prefix, "/") || strings.ContainsAny(prefix, "*?$'\"\\")) {
			return bad(name, "Write rows/, say.", "want keys' begin with a slash at its end, and without '*', '?', '$', quotes and backslashes, got %q", prefix)
		}
	}
	return nil
}

// visibleTo is where a prefix of godwit.yaml is: in a bucket that it names, or "".
func visibleTo(prefix string) (bucket, keys string) {
	if rest, ok := strings.CutPrefix(prefix, "s3://"); ok {
		bucket, prefix, _ = strings.Cut(rest, "/")
	}
	if keys = strings.Trim(strings.TrimPrefix(prefix, "./"), "/"); keys != "" && keys != "." {
		return bucket, keys + "/"
	}
	return bucket, ""
}

// batchScoringProps is BatchScoringProps as godwit.yaml has them, nil where
// nothing starts batch scoring. scope is where buckets that it names are imported.
func batchScoringProps(scope constructs.Construct, f *Function) *BatchScoringProps {
	s := f.Spec
	if s.Batch == nil || len(s.Triggers) == 0 {
		return nil
	}
	if err := checkBatch(s); err != nil {
		panic(err)
	}
	b := s.Batch
	has := func(trigger string) *bool { return jsii.Bool(slices.Contains(s.Triggers, trigger)) }
	p := &BatchScoringProps{
		LambdaProps: lambdaProps(scope, f), Objects: has("objects"), Topic: has("topic"), EventBus: has("events"),
		Fifo: jsii.Bool(b.Order != "none"), BatchSize: jsii.Number(float64(b.Size)), MaxBatchingWindow: seconds(b.Window),
		MaxReceiveCount: jsii.Number(float64(b.Attempts)), SplitsObjects: jsii.Bool(b.Split != nil),
		ServerAccessLogs: jsii.Bool(s.Compliance != "none"),
	}
	p.Timeout = seconds(b.Timeout)
	p.ReservedConcurrentExecutions = nil // those of the spec are for requests
	if b.MaxConcurrency > 0 {
		p.MaxConcurrency = jsii.Number(float64(b.MaxConcurrency))
		if s.Compliance == "hipaa" {
			p.ReservedConcurrentExecutions = p.MaxConcurrency
		}
	}
	imported := map[string]awss3.IBucket{}
	bucket := func(id, prefix string) (awss3.IBucket, *string) {
		name, keys := visibleTo(prefix)
		if name == "" {
			return nil, jsii.String(keys)
		}
		if imported[name] == nil {
			imported[name] = awss3.Bucket_FromBucketName(scope, jsii.String(id), jsii.String(name))
		}
		return imported[name], jsii.String(keys)
	}
	if *p.Objects {
		p.InputBucket, p.InputPrefix = bucket("ImportedInput", b.Input)
	}
	p.OutputBucket, p.OutputPrefix = bucket("ImportedOutput", b.Output)
	if table, ok := strings.CutPrefix(b.Claims, "dynamodb://"); ok {
		p.ClaimsTableName = jsii.String(table)
	}
	if b.Split != nil {
		u, _ := url.Parse(b.Split.Queue) // checkBatch has read it
		p.QueueName = jsii.String(u.Path[strings.LastIndexByte(u.Path, '/')+1:])
	}
	return p
}

// checkBatch refuses what a godwit.yaml may say and this stack cannot make.
func checkBatch(s *spec.Spec) error {
	b := s.Batch
	bad := func(subject, hint, format string, args ...any) error {
		return fault.New(fault.BadConfig, "cdk.NewStack", subject, format, args...).WithHint("%s", hint)
	}
	if slices.Contains(s.Triggers, "stream") {
		return bad("triggers", "Leave stream out and add queue: a pipe of EventBridge puts a stream's records on it.", "no stream is made on awslambda")
	}
	for name, prefix := range map[string]string{"batch.input": b.Input, "batch.output": b.Output} {
		if strings.Contains(prefix, "://") && !strings.HasPrefix(prefix, "s3://") {
			return bad(name, "Name a bucket as s3://bucket/rows/, or write rows/ and have one made.", "a function on awslambda reads and writes S3 alone, got %q", prefix)
		}
		if strings.HasPrefix(prefix, "/") {
			return bad(name, "Name a bucket as s3://bucket/rows/, or write rows/ and have one made.", "no folder is mounted on awslambda, got %q", prefix)
		}
	}
	if b.Claims != "none" && !strings.HasPrefix(b.Claims, "dynamodb://") {
		return bad("batch.claims", "Use dynamodb://TABLE, which is made.", "no folder is mounted on awslambda, got %q", b.Claims)
	}
	if b.Order != "none" && slices.Contains(s.Triggers, "objects") {
		return bad("batch.order", "Leave the order out: a bucket tells of its objects in none.", "want no order with objects, got %s", b.Order)
	}
	if time.Duration(b.Timeout) > 90*time.Minute {
		return bad("batch.timeout", "Make it 90m or less.", "want at most 90m, which Lambda gives a delivery on managed instances, got %s", b.Timeout)
	}
	if b.Split == nil {
		return nil
	}
	if b.Order != "none" {
		return bad("batch.order", "Parts of objects have none: leave the order out, or the splitting.", "want no order with split, got %s", b.Order)
	}
	u, err := url.Parse(b.Split.Queue)
	if err != nil || !strings.HasPrefix(u.Host, "sqs.") || strings.Count(u.Path, "/") != 2 || strings.HasSuffix(u.Path, "/") || strings.HasSuffix(u.Path, ".fifo") {
		return bad("batch.split.queue", "Write https://sqs.REGION.amazonaws.com/ACCOUNT/NAME; the queue is made with this name.", "a function on awslambda sends to a queue of SQS without order, got %q", b.Split.Queue)
	}
	return nil
}
