package cdk

import (
	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsstepfunctions"
	"github.com/aws/jsii-runtime-go"
)

// Bounds of one run over a prefix.
const (
	mapBatch       = 100    // items whose results fit into what a state may hand on
	mapConcurrency = 100    // where props have none: a run leaves others some of the account's
	mapBatchBytes  = 200000 // of the 256 KiB that a state may get
)

// makeMap makes the state machine that scores all objects below a prefix: a map
// that lists them and hands batches of them to the function.
func (b *BatchScoring) makeMap() {
	p := b.props
	stack := awscdk.Stack_Of(b.Construct)
	// The role tells of the machine and the machine of the role.
	name := ownName(b.Construct, "prefix")
	arn := func(resource string, separator awscdk.ArnFormat, of *string) *string {
		return stack.FormatArn(&awscdk.ArnComponents{Service: jsii.String("states"), Resource: jsii.String(resource), ResourceName: of, ArnFormat: separator})
	}
	machine := arn("stateMachine", awscdk.ArnFormat_COLON_RESOURCE_NAME, name)
	executions := arn("execution", awscdk.ArnFormat_COLON_RESOURCE_NAME, awscdk.Fn_Join(jsii.String(""), &[]*string{name, jsii.String(":*")}))
	integration := func(name string) *string {
		return awscdk.Fn_Join(jsii.String(""), &[]*string{jsii.String("arn:"), awscdk.Aws_PARTITION(), jsii.String(":states:::" + name)})
	}
	results := b.outputPrefix + "runs"

	role := newRole(b.Construct, "MapRole", "states.amazonaws.com")
	role.Allow("Score", []string{"lambda:InvokeFunction"}, b.Alias.FunctionArn())
	b.mayFind("FindRows", role, b.InputBucket, b.inputPrefix)
	role.Allow("WriteResults", []string{"s3:PutObject", "s3:GetObject", "s3:ListMultipartUploadParts", "s3:AbortMultipartUpload"}, b.OutputBucket.ArnForObjects(jsii.String(results+"/*")))
	role.Allow("RunMap", []string{"states:StartExecution"}, machine)
	role.Allow("SeeMap", []string{"states:DescribeExecution"}, executions)
	// Deliveries of logs and X-Ray have no resources to name.
	role.Allow("WriteLog", []string{
		"logs:CreateLogDelivery", "logs:GetLogDelivery", "logs:UpdateLogDelivery", "logs:DeleteLogDelivery", "logs:ListLogDeliveries",
		"logs:PutResourcePolicy", "logs:DescribeResourcePolicies", "logs:DescribeLogGroups",
	}, jsii.String("*"))
	role.Allow("WriteTraces", []string{"xray:PutTraceSegments", "xray:PutTelemetryRecords", "xray:GetSamplingRules", "xray:GetSamplingTargets"}, jsii.String("*"))
	if p.EncryptionKey != nil {
		role.Allow("UseKey", []string{"kms:Decrypt", "kms:GenerateDataKey"}, p.EncryptionKey.KeyArn())
	}

	concurrency := float64(mapConcurrency)
	if p.MaxConcurrency != nil {
		concurrency = *p.MaxConcurrency
	}
	definition := map[string]any{
		"Comment": "Scores all objects below a prefix, which is the input: {\"prefix\": \"" + b.inputPrefix + "\"}",
		"StartAt": "Objects",
		"States": map[string]any{"Objects": map[string]any{
			"Type":       "Map",
			"ItemReader": map[string]any{"Resource": integration("s3:listObjectsV2"), "Parameters": map[string]any{"Bucket": b.InputBucket.BucketName(), "Prefix.$": "$.prefix"}},
			"ItemBatcher": map[string]any{
				"MaxItemsPerBatch": min(*p.BatchSize, mapBatch), "MaxInputBytesPerBatch": mapBatchBytes, "BatchInput": map[string]any{"Bucket": b.InputBucket.BucketName()},
			},
			"MaxConcurrency":             concurrency,
			"ToleratedFailurePercentage": 0,
			"ResultWriter":               map[string]any{"Resource": integration("s3:putObject"), "Parameters": map[string]any{"Bucket": b.OutputBucket.BucketName(), "Prefix": results}},
			"ItemProcessor": map[string]any{
				"ProcessorConfig": map[string]any{"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"},
				"StartAt":         "Score",
				"States": map[string]any{"Score": map[string]any{
					"Type":       "Task",
					"Resource":   integration("lambda:invoke"),
					"Parameters": map[string]any{"FunctionName": b.Alias.FunctionArn(), "Payload.$": "$"},
					"OutputPath": "$.Payload",
					// Parts that are done are not done again.
					"Retry": []any{map[string]any{"ErrorEquals": []any{"States.ALL"}, "IntervalSeconds": 5, "MaxAttempts": *p.MaxReceiveCount, "BackoffRate": 2, "JitterStrategy": "FULL"}},
					"End":   true,
				}},
			},
			"End": true,
		}},
	}
	log := newLogGroup(b.Construct, "MapLog", p.LogRetention, p.EncryptionKey)
	m := awsstepfunctions.NewCfnStateMachine(b.Construct, jsii.String("Map"), &awsstepfunctions.CfnStateMachineProps{
		StateMachineName: name,
		RoleArn:          role.IRole.RoleArn(),
		DefinitionString: stack.ToJsonString(definition, nil),
		LoggingConfiguration: &awsstepfunctions.CfnStateMachine_LoggingConfigurationProperty{
			// Inputs and results stay out of the log.
			Level: jsii.String("ERROR"), IncludeExecutionData: jsii.Bool(false),
			Destinations: &[]any{&awsstepfunctions.CfnStateMachine_LogDestinationProperty{
				CloudWatchLogsLogGroup: &awsstepfunctions.CfnStateMachine_CloudWatchLogsLogGroupProperty{LogGroupArn: log.LogGroupArn()},
			}},
		},
		TracingConfiguration: &awsstepfunctions.CfnStateMachine_TracingConfigurationProperty{Enabled: jsii.Bool(true)},
	})
	m.Node().AddDependency(role.policy) // without which the log is refused
	b.StateMachine = m
}
