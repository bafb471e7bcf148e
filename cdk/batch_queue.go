package cdk

import (
	"strings"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsevents"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsiam"
	"github.com/aws/aws-cdk-go/awscdk/v2/awskms"
	"github.com/aws/aws-cdk-go/awscdk/v2/awslambda"
	"github.com/aws/aws-cdk-go/awscdk/v2/awssns"
	"github.com/aws/aws-cdk-go/awscdk/v2/awssqs"
	"github.com/aws/constructs-go/constructs/v10"
	"github.com/aws/jsii-runtime-go"
)

// ownName is a name that is known before what has it is made, so that policies
// can tell of each other's resources without a circle. It ends with parts of the
// stack's id: a stack that is made again does not meet what an earlier one left.
func ownName(scope constructs.Construct, what string) *string {
	base := awscdk.Names_UniqueResourceName(scope, &awscdk.UniqueResourceNameOptions{MaxLength: jsii.Number(30), Separator: jsii.String("-")})
	id := awscdk.Fn_Split(jsii.String("-"), awscdk.Fn_Select(jsii.Number(2), awscdk.Fn_Split(jsii.String("/"), awscdk.Aws_STACK_ID(), nil)), nil)
	return awscdk.Fn_Join(jsii.String("-"), &[]*string{
		jsii.String(strings.ToLower(strings.Trim(*base, "-")) + "-" + what), awscdk.Fn_Select(jsii.Number(0), id), awscdk.Fn_Select(jsii.Number(4), id),
	})
}

// makeQueues makes the queue and that of its dead letters. Their messages tell of
// objects that stay, so they go with the stack.
func (b *BatchScoring) makeQueues() {
	p := b.props
	stack := awscdk.Stack_Of(b.Construct)
	props := func(days float64) *awssqs.QueueProps {
		q := &awssqs.QueueProps{
			Encryption: awssqs.QueueEncryption_SQS_MANAGED, EnforceSSL: jsii.Bool(true),
			RetentionPeriod: awscdk.Duration_Days(jsii.Number(days)), RemovalPolicy: awscdk.RemovalPolicy_DESTROY,
		}
		if p.EncryptionKey != nil {
			q.Encryption, q.EncryptionMasterKey = awssqs.QueueEncryption_KMS, p.EncryptionKey
		}
		if *p.Fifo {
			q.Fifo, q.ContentBasedDeduplication = jsii.Bool(true), jsii.Bool(true)
		}
		return q
	}
	name := p.QueueName
	if name == nil {
		name = ownName(b.Construct, "queue")
		if *p.Fifo {
			name = jsii.String(*name + ".fifo") // CDK looks at the end of the text, tokens or not
		}
	}
	arn := stack.FormatArn(&awscdk.ArnComponents{Service: jsii.String("sqs"), Resource: name})
	dead := props(14) // a message keeps its age when it moves
	dead.RedriveAllowPolicy = &awssqs.RedriveAllowPolicy{
		RedrivePermission: awssqs.RedrivePermission_BY_QUEUE,
		SourceQueues:      &[]awssqs.IQueue{awssqs.Queue_FromQueueAttributes(b.Construct, jsii.String("Source"), &awssqs.QueueAttributes{QueueArn: arn, Fifo: p.Fifo})},
	}
	b.DeadLetterQueue = awssqs.NewQueue(b.Construct, jsii.String("DeadLetters"), dead)
	live := props(7)
	live.QueueName = name
	live.VisibilityTimeout = awscdk.Duration_Seconds(jsii.Number(p.visibility()))
	live.DeadLetterQueue = &awssqs.DeadLetterQueue{Queue: b.DeadLetterQueue, MaxReceiveCount: p.MaxReceiveCount}
	b.Queue = awssqs.NewQueue(b.Construct, jsii.String("Queue"), live)
}

// makeMapping has Lambda deliver the queue's messages.
func (b *BatchScoring) makeMapping() {
	p := b.props
	// What Lambda's poller needs, and asks for before it makes the mapping.
	b.Role.Allow("PollQueue", []string{"sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"}, b.Queue.QueueArn())
	if *p.SplitsObjects {
		b.Role.Allow("SplitObjects", []string{"sqs:SendMessage"}, b.Queue.QueueArn())
	}
	props := &awslambda.EventSourceMappingProps{
		Target: b.Alias, EventSourceArn: b.Queue.QueueArn(), BatchSize: p.BatchSize, MaxConcurrency: p.MaxConcurrency,
		ReportBatchItemFailures: jsii.Bool(true),
	}
	if *p.MaxBatchingWindow.ToSeconds(nil) > 0 {
		props.MaxBatchingWindow = p.MaxBatchingWindow
	}
	b.EventSourceMapping = awslambda.NewEventSourceMapping(b.Construct, jsii.String("Mapping"), props)
	b.EventSourceMapping.Node().AddDependency(b.Role.policy)
}

// makeSources makes what puts messages on the queue besides whoever may send to it.
func (b *BatchScoring) makeSources() {
	p := b.props
	if *p.Topic {
		props := &awssns.TopicProps{EnforceSSL: jsii.Bool(true), MasterKey: p.EncryptionKey}
		if *p.Fifo { // false is no value of either
			props.Fifo, props.ContentBasedDeduplication = jsii.Bool(true), jsii.Bool(true)
		}
		b.Topic = awssns.NewTopic(b.Construct, jsii.String("Topic"), props)
		if p.EncryptionKey == nil {
			b.Topic.Node().DefaultChild().(awssns.CfnTopic).SetKmsMasterKeyId(jsii.String("alias/aws/sns"))
		}
		b.takeFrom("sns.amazonaws.com", b.Topic.TopicArn(), b.Queue, b.DeadLetterQueue)
		cfn := awssns.NewCfnSubscription(b.Construct, jsii.String("Subscription"), &awssns.CfnSubscriptionProps{
			TopicArn: b.Topic.TopicArn(), Protocol: jsii.String("sqs"), Endpoint: b.Queue.QueueArn(),
			RedrivePolicy: map[string]any{"deadLetterTargetArn": b.DeadLetterQueue.QueueArn()},
		})
		cfn.Node().AddDependency(b.Queue, b.DeadLetterQueue) // and their policies
	}
	if *p.EventBus {
		b.EventBus = awsevents.NewEventBus(b.Construct, jsii.String("EventBus"), &awsevents.EventBusProps{
			EventBusName: ownName(b.Construct, "events"), KmsKey: p.EncryptionKey,
		})
		b.rule("Events", b.EventBus.EventBusName(), map[string]any{"account": []any{awscdk.Aws_ACCOUNT_ID()}})
	}
	if *p.Objects && p.InputBucket != nil {
		object := map[string]any{}
		if b.inputPrefix != "" {
			object["object"] = map[string]any{"key": []any{map[string]any{"prefix": b.inputPrefix}}}
		}
		object["bucket"] = map[string]any{"name": []any{b.InputBucket.BucketName()}}
		b.rule("Objects", nil, map[string]any{"source": []any{"aws.s3"}, "detail-type": []any{"Object Created"}, "detail": object})
	}
}

// rule sends events to the queue, and to the dead letters what the queue does not take.
func (b *BatchScoring) rule(id string, bus *string, pattern map[string]any) {
	target := &awsevents.CfnRule_TargetProperty{
		Id: jsii.String("Queue"), Arn: b.Queue.QueueArn(),
		DeadLetterConfig: &awsevents.CfnRule_DeadLetterConfigProperty{Arn: b.DeadLetterQueue.QueueArn()},
	}
	if *b.props.Fifo {
		target.SqsParameters = &awsevents.CfnRule_SqsParametersProperty{MessageGroupId: jsii.String("events")}
		target.DeadLetterConfig = nil // EventBridge sends its dead letters to queues without order alone
	}
	rule := awsevents.NewCfnRule(b.Construct, jsii.String(id+"Rule"), &awsevents.CfnRuleProps{
		EventBusName: bus, EventPattern: pattern, Targets: &[]any{target},
	})
	b.takeFrom("events.amazonaws.com", rule.AttrArn(), b.Queue)
	if target.DeadLetterConfig != nil {
		b.takeFrom("events.amazonaws.com", rule.AttrArn(), b.DeadLetterQueue)
	}
}

// takeFrom lets a service send to queues for one resource of this account, and use
// the queues' key.
func (b *BatchScoring) takeFrom(service string, source *string, queues ...awssqs.Queue) {
	principal := awsiam.NewServicePrincipal(jsii.String(service), nil)
	conditions := map[string]any{
		"ArnEquals":    map[string]any{"aws:SourceArn": source},
		"StringEquals": map[string]any{"aws:SourceAccount": awscdk.Aws_ACCOUNT_ID()},
	}
	for _, q := range queues {
		q.AddToResourcePolicy(awsiam.NewPolicyStatement(&awsiam.PolicyStatementProps{
			Principals: &[]awsiam.IPrincipal{principal}, Actions: jsii.Strings("sqs:SendMessage"), Resources: &[]*string{q.QueueArn()}, Conditions: &conditions,
		}))
	}
	if key := b.props.EncryptionKey; key != nil {
		letUse(key, principal)
	}
}

// letUse lets a service of this account use a key that this app makes; one that
// is imported is its owner's to open.
func letUse(key awskms.IKey, service awsiam.IPrincipal) {
	key.AddToResourcePolicy(awsiam.NewPolicyStatement(&awsiam.PolicyStatementProps{
		Principals: &[]awsiam.IPrincipal{service}, Actions: jsii.Strings("kms:GenerateDataKey", "kms:Decrypt"), Resources: jsii.Strings("*"),
		Conditions: &map[string]any{"StringEquals": map[string]any{"aws:SourceAccount": awscdk.Aws_ACCOUNT_ID()}},
	}), jsii.Bool(true))
}
