package cdk

import (
	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsiam"
	"github.com/aws/aws-cdk-go/awscdk/v2/awskms"
	"github.com/aws/constructs-go/constructs/v10"
	"github.com/aws/jsii-runtime-go"
)

// NewEncryptionKey makes a key that is rotated each year and kept when its stack
// goes, since what it encrypted stays too, and lets CloudWatch encrypt log
// groups of this account with it. Constructs that are given it open it to the
// services that need it.
func NewEncryptionKey(scope constructs.Construct, id string) awskms.Key {
	key := awskms.NewKey(scope, jsii.String(id), &awskms.KeyProps{
		EnableKeyRotation: jsii.Bool(true),
		RemovalPolicy:     awscdk.RemovalPolicy_RETAIN,
	})
	stack := awscdk.Stack_Of(scope)
	key.AddToResourcePolicy(awsiam.NewPolicyStatement(&awsiam.PolicyStatementProps{
		Sid:        jsii.String("EncryptLogs"),
		Principals: &[]awsiam.IPrincipal{awsiam.NewServicePrincipal(awscdk.Fn_Join(jsii.String(""), &[]*string{jsii.String("logs."), stack.Region(), jsii.String(".amazonaws.com")}), nil)},
		Actions:    jsii.Strings("kms:Encrypt", "kms:Decrypt", "kms:ReEncryptFrom", "kms:ReEncryptTo", "kms:GenerateDataKey", "kms:GenerateDataKeyWithoutPlaintext", "kms:DescribeKey"),
		Resources:  jsii.Strings("*"), // in a key's policy, the key
		Conditions: &map[string]any{"ArnLike": map[string]any{"kms:EncryptionContext:aws:logs:arn": stack.FormatArn(&awscdk.ArnComponents{
			Service: jsii.String("logs"), Resource: jsii.String("log-group"), ResourceName: jsii.String("*"), ArnFormat: awscdk.ArnFormat_COLON_RESOURCE_NAME})}},
	}), nil)
	return key
}

// encryptionKey is the key that godwit.yaml names, or one that is made where its
// rules ask for one; nil is AWS's own. The policy of a key that is named is its
// owner's: docs/aws.md says who has to be let in.
func encryptionKey(scope constructs.Construct, f *Function) awskms.IKey {
	if arn := f.Spec.Targets.AWSLambda.KMSKey; arn != "" {
		return awskms.Key_FromKeyArn(scope, jsii.String("ImportedKey"), jsii.String(arn))
	}
	if f.Spec.Compliance == "hipaa" {
		return NewEncryptionKey(scope, "Key")
	}
	return nil
}
