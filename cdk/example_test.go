package cdk_test

import (
	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsapigatewayv2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsec2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awslambda"
	"github.com/aws/jsii-runtime-go"

	"godwit.dev/cdk"
)

// A whole function folder in an app that has other stacks as well.
func ExampleNewStack() {
	defer jsii.Close()
	f, err := cdk.Load("../models/fraud", &cdk.LoadOptions{Zip: "fraud.zip"})
	if err != nil {
		panic(err)
	}
	app := awscdk.NewApp(nil)
	s := cdk.NewStack(app, "Fraud", &cdk.StackProps{Function: f})
	awscdk.Tags_Of(s).Add(jsii.String("team"), jsii.String("payments"), nil)
	app.Synth(nil)
}

// A function of one's own stack, without godwit.yaml, in a network that has no
// way out.
func ExampleNewOnlineFunction() {
	defer jsii.Close()
	app := awscdk.NewApp(nil)
	stack := awscdk.NewStack(app, jsii.String("Fraud"), nil)
	key := cdk.NewEncryptionKey(stack, "Key")
	network := cdk.NewNetwork(stack, "Network", &cdk.NetworkProps{EncryptionKey: key})
	fraud := cdk.NewOnlineFunction(stack, "Fraud", &cdk.OnlineFunctionProps{
		LambdaProps: cdk.LambdaProps{
			Code:          awslambda.Code_FromAsset(jsii.String("fraud.zip"), nil),
			MemorySize:    jsii.Number(3538),
			EncryptionKey: key,
			VpcConfig:     network.VpcConfig,
		},
		ApiType:                         cdk.ApiType_HTTP, // by IAM, as all APIs are unless AuthType says NONE
		Throttle:                        &awsapigatewayv2.ThrottleSettings{RateLimit: jsii.Number(100), BurstLimit: jsii.Number(200)},
		ProvisionedConcurrentExecutions: jsii.Number(2),
	})
	fraud.Role.Allow("ReadFeatures", []string{"dynamodb:GetItem"}, jsii.String("arn:aws:dynamodb:eu-central-1:111122223333:table/features"))
	awscdk.NewCfnOutput(stack, jsii.String("Url"), &awscdk.CfnOutputProps{Value: fraud.Url})
	app.Synth(nil)
}

// What functions call through the network besides S3 and DynamoDB is said.
func ExampleNewNetwork() {
	defer jsii.Close()
	app := awscdk.NewApp(nil)
	stack := awscdk.NewStack(app, jsii.String("Network"), nil)
	cdk.NewNetwork(stack, "Network", &cdk.NetworkProps{
		InterfaceEndpoints: map[string]awsec2.IInterfaceVpcEndpointService{"SQS": awsec2.InterfaceVpcEndpointAwsService_SQS()},
	})
	app.Synth(nil)
}
