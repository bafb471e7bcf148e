package cdk

import (
	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/jsii-runtime-go"
)

// addBatch makes batch scoring where godwit.yaml asks for it, and says in the
// stack's outputs where everything is.
func (s *Stack) addBatch(f *Function) {
	p := batchScoringProps(s.Stack, f)
	if p == nil {
		return
	}
	b := NewBatchScoring(s.Stack, "Batch", p)
	s.Batch = b
	output := func(name, description string, value *string) {
		awscdk.NewCfnOutput(s.Stack, jsii.String(name), &awscdk.CfnOutputProps{Description: jsii.String(description), Value: value})
	}
	output("BatchFunctionName", "The function that scores objects and messages.", b.Function.FunctionName())
	output("QueueUrl", "The queue of what is to be scored.", b.Queue.QueueUrl())
	output("DeadLetterQueueUrl", "What failed for good; godwit score DIR URL DST --redrive scores it again.", b.DeadLetterQueue.QueueUrl())
	output("OutputBucket", "Where scores go.", b.OutputBucket.BucketName())
	if b.Topic != nil {
		output("TopicArn", "The topic whose notifications are scored.", b.Topic.TopicArn())
	}
	if b.EventBus != nil {
		output("EventBusName", "The bus whose events are scored.", b.EventBus.EventBusName())
	}
	if b.InputBucket == nil {
		return
	}
	output("InputBucket", "Where rows are put.", b.InputBucket.BucketName())
	if p.InputBucket != nil {
		output("InputBucketCommand", "What turns events of the bucket on; it replaces the bucket's other notifications, if it has any.", awscdk.Fn_Join(jsii.String(""), &[]*string{
			jsii.String("aws s3api put-bucket-notification-configuration --bucket "), b.InputBucket.BucketName(),
			jsii.String(` --notification-configuration '{"EventBridgeConfiguration": {}}'`),
		}))
	}
	output("ScorePrefixCommand", "What scores all objects below a prefix.", awscdk.Fn_Join(jsii.String(""), &[]*string{
		jsii.String("aws stepfunctions start-execution --state-machine-arn "), b.StateMachine.Ref(),
		jsii.String(` --input '{"prefix": "` + b.inputPrefix + `"}'`),
	}))
}
