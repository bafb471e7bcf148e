package cdk

import (
	"maps"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsdynamodb"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsiam"
	"github.com/aws/aws-cdk-go/awscdk/v2/awss3"
	"github.com/aws/jsii-runtime-go"
)

// makeBuckets makes those that props do not have.
func (b *BatchScoring) makeBuckets() {
	p := b.props
	b.InputBucket, b.OutputBucket = p.InputBucket, p.OutputBucket
	if !*p.Objects {
		b.InputBucket = nil
	}
	makeInput := *p.Objects && p.InputBucket == nil
	if *p.ServerAccessLogs && (makeInput || p.OutputBucket == nil) {
		// Access logs are written to no bucket with a customer's key.
		b.AccessLogsBucket = awss3.NewBucket(b.Construct, jsii.String("AccessLogs"), &awss3.BucketProps{
			Encryption: awss3.BucketEncryption_S3_MANAGED, BlockPublicAccess: awss3.BlockPublicAccess_BLOCK_ALL(), EnforceSSL: jsii.Bool(true),
			ObjectOwnership: awss3.ObjectOwnership_BUCKET_OWNER_ENFORCED, Versioned: jsii.Bool(true), RemovalPolicy: awscdk.RemovalPolicy_RETAIN,
			LifecycleRules: &[]*awss3.LifecycleRule{{
				Id: jsii.String("Expire"), Expiration: awscdk.Duration_Days(jsii.Number(365)), NoncurrentVersionExpiration: awscdk.Duration_Days(jsii.Number(30)),
				AbortIncompleteMultipartUploadAfter: awscdk.Duration_Days(jsii.Number(1)),
			}},
		})
	}
	if makeInput {
		name := ownName(b.Construct, "rows")
		in := b.bucket("Input", name)
		arn := awscdk.Stack_Of(b.Construct).FormatArn(&awscdk.ArnComponents{Service: jsii.String("s3"), Region: jsii.String(""), Account: jsii.String(""), Resource: name})
		b.takeFrom("s3.amazonaws.com", arn, b.Queue)
		configuration := &awss3.CfnBucket_QueueConfigurationProperty{Event: jsii.String("s3:ObjectCreated:*"), Queue: b.Queue.QueueArn()}
		if b.inputPrefix != "" {
			configuration.Filter = &awss3.CfnBucket_NotificationFilterProperty{S3Key: &awss3.CfnBucket_S3KeyFilterProperty{
				Rules: &[]any{&awss3.CfnBucket_FilterRuleProperty{Name: jsii.String("prefix"), Value: jsii.String(b.inputPrefix)}},
			}}
		}
		// A construct's notifications would be made by a function of CDK's own. S3
		// tries the queue out, so that its policy has to be there.
		in.Node().DefaultChild().(awss3.CfnBucket).SetNotificationConfiguration(&awss3.CfnBucket_NotificationConfigurationProperty{QueueConfigurations: &[]any{configuration}})
		in.Node().DefaultChild().Node().AddDependency(b.Queue.Node().FindChild(jsii.String("Policy")))
		b.InputBucket = in
	}
	if p.OutputBucket == nil {
		b.OutputBucket = b.bucket("Output", nil)
	}
}

// bucket makes one that nobody outside of the account's policies sees, and that
// stays when the stack goes.
func (b *BatchScoring) bucket(id string, name *string) awss3.Bucket {
	p := b.props
	props := &awss3.BucketProps{
		BucketName: name, Encryption: awss3.BucketEncryption_S3_MANAGED, BlockPublicAccess: awss3.BlockPublicAccess_BLOCK_ALL(), EnforceSSL: jsii.Bool(true),
		ObjectOwnership: awss3.ObjectOwnership_BUCKET_OWNER_ENFORCED, Versioned: jsii.Bool(true), RemovalPolicy: awscdk.RemovalPolicy_RETAIN,
		LifecycleRules: &[]*awss3.LifecycleRule{{
			Id:                                  jsii.String("Tidy"),
			AbortIncompleteMultipartUploadAfter: awscdk.Duration_Days(jsii.Number(7)),
			NoncurrentVersionExpiration:         p.NoncurrentVersionExpiration,
		}},
	}
	if p.EncryptionKey != nil {
		props.Encryption, props.EncryptionKey, props.BucketKeyEnabled = awss3.BucketEncryption_KMS, p.EncryptionKey, jsii.Bool(true)
	}
	made := awss3.NewBucket(b.Construct, jsii.String(id), props)
	if b.AccessLogsBucket == nil {
		return made
	}
	prefix := jsii.String(id + "/")
	made.Node().DefaultChild().(awss3.CfnBucket).SetLoggingConfiguration(&awss3.CfnBucket_LoggingConfigurationProperty{
		DestinationBucketName: b.AccessLogsBucket.BucketName(), LogFilePrefix: prefix,
	})
	b.AccessLogsBucket.AddToResourcePolicy(awsiam.NewPolicyStatement(&awsiam.PolicyStatementProps{
		Principals: &[]awsiam.IPrincipal{awsiam.NewServicePrincipal(jsii.String("logging.s3.amazonaws.com"), nil)},
		Actions:    jsii.Strings("s3:PutObject"), Resources: &[]*string{b.AccessLogsBucket.ArnForObjects(jsii.String(*prefix + "*"))},
		Conditions: &map[string]any{"StringEquals": map[string]any{"aws:SourceAccount": awscdk.Aws_ACCOUNT_ID()}},
	}))
	return made
}

// makeFunction makes the function and lets it read rows and write scores.
func (b *BatchScoring) makeFunction() {
	p := b.props
	if p.OutputBucket == nil {
		all := map[string]*string{}
		if p.Environment != nil {
			maps.Copy(all, *p.Environment)
		}
		all["GODWIT_OUTPUT"] = b.OutputBucket.S3UrlForObject(nil)
		p.Environment = &all
	}
	l := newLambda(b.Construct, "Function", &p.LambdaProps)
	b.Function, b.Role, b.LogGroup = l.Function, l.Role, l.LogGroup
	b.Alias = newLive(b.Construct, b.Function, nil)
	if *p.Objects {
		b.Role.Allow("ReadRows", []string{"s3:GetObject"}, b.InputBucket.ArnForObjects(jsii.String(b.inputPrefix+"*")))
		b.mayFind("FindRows", b.Role, b.InputBucket, b.inputPrefix)
	}
	// What was written is read before it is written again, and to find out
	// whether it was where an answer was lost.
	b.Role.Allow("WriteScores", []string{"s3:GetObject", "s3:PutObject", "s3:AbortMultipartUpload"}, b.OutputBucket.ArnForObjects(jsii.String(b.outputPrefix+"*")))
	b.mayFind("FindScores", b.Role, b.OutputBucket, b.outputPrefix)
	if p.EncryptionKey != nil {
		b.Role.Allow("UseKey", []string{"kms:Decrypt", "kms:GenerateDataKey"}, p.EncryptionKey.KeyArn())
	}
}

// mayFind lets a role list keys below a prefix. Without it, S3 says of an object
// that is not there that it may not be read.
func (b *BatchScoring) mayFind(sid string, r *Role, bucket awss3.IBucket, prefix string) {
	props := &awsiam.PolicyStatementProps{Sid: jsii.String(sid), Actions: jsii.Strings("s3:ListBucket"), Resources: &[]*string{bucket.BucketArn()}}
	if prefix != "" {
		props.Conditions = &map[string]any{"StringLike": map[string]any{"s3:prefix": prefix + "*"}}
	}
	r.policy.AddStatements(awsiam.NewPolicyStatement(props))
}

// makeClaims makes the table that says which messages were scored, with the
// attributes of adapters/stores/dynamodb.
func (b *BatchScoring) makeClaims() {
	p := b.props
	if b.Claims = p.ClaimsTable; b.Claims == nil {
		if p.ClaimsTableName == nil {
			return
		}
		props := &awsdynamodb.TableProps{
			TableName: p.ClaimsTableName, PartitionKey: &awsdynamodb.Attribute{Name: jsii.String("id"), Type: awsdynamodb.AttributeType_STRING},
			BillingMode: awsdynamodb.BillingMode_PAY_PER_REQUEST, TimeToLiveAttribute: jsii.String("expiration"),
			PointInTimeRecoverySpecification: &awsdynamodb.PointInTimeRecoverySpecification{PointInTimeRecoveryEnabled: jsii.Bool(true)},
			Encryption:                       awsdynamodb.TableEncryption_AWS_MANAGED, RemovalPolicy: awscdk.RemovalPolicy_RETAIN,
		}
		if p.EncryptionKey != nil {
			props.Encryption, props.EncryptionKey = awsdynamodb.TableEncryption_CUSTOMER_MANAGED, p.EncryptionKey
		}
		b.Claims = awsdynamodb.NewTable(b.Construct, jsii.String("Claims"), props)
	}
	b.Role.Allow("Claim", []string{"dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:DeleteItem"}, b.Claims.TableArn())
}
