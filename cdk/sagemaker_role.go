package cdk

import (
	"strings"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsiam"
	"github.com/aws/jsii-runtime-go"
)

// makeRole makes the role that SageMaker takes to pull the image, to write the
// log and metrics, and to read and write objects; with network isolation the
// container itself never has it.
func (s *SageMakerEndpoint) makeRole() *string {
	p := s.props
	r := newRole(s.Construct, "Role", "sagemaker.amazonaws.com")
	s.Role = r
	stack := awscdk.Stack_Of(s.Construct)
	m := imageURI.FindStringSubmatch(*p.Image)
	r.Allow("PullImage", []string{"ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"}, stack.FormatArn(&awscdk.ArnComponents{
		Service: jsii.String("ecr"), Account: jsii.String(m[1]), Region: jsii.String(m[2]), Resource: jsii.String("repository"), ResourceName: jsii.String(m[3]),
	}))
	// A registry's token is for all of it.
	r.Allow("LogIn", []string{"ecr:GetAuthorizationToken"}, jsii.String("*"))
	space := "/aws/sagemaker/Endpoints"
	if s.LogGroup != nil {
		r.Allow("WriteLog", []string{"logs:CreateLogStream", "logs:DescribeLogStreams", "logs:PutLogEvents"}, s.LogGroup.LogGroupArn())
	} else {
		// All transform jobs of an account have one group, which the first makes.
		space = "/aws/sagemaker/TransformJobs"
		r.Allow("WriteLog", []string{"logs:CreateLogGroup", "logs:CreateLogStream", "logs:DescribeLogStreams", "logs:PutLogEvents"}, stack.FormatArn(&awscdk.ArnComponents{
			Service: jsii.String("logs"), Resource: jsii.String("log-group"), ResourceName: jsii.String(space + ":*"), ArnFormat: awscdk.ArnFormat_COLON_RESOURCE_NAME,
		}))
	}
	// CloudWatch has no resources to name.
	r.policy.AddStatements(awsiam.NewPolicyStatement(&awsiam.PolicyStatementProps{
		Sid: jsii.String("WriteMetrics"), Actions: jsii.Strings("cloudwatch:PutMetricData"), Resources: jsii.Strings("*"),
		Conditions: &map[string]any{"StringEquals": map[string]any{"cloudwatch:namespace": space}},
	}))
	if p.VpcConfig != nil {
		// Interfaces have no names before they are made, and Describe has no resources.
		r.Allow("UseInterfaces", []string{
			"ec2:CreateNetworkInterface", "ec2:CreateNetworkInterfacePermission", "ec2:DeleteNetworkInterface", "ec2:DeleteNetworkInterfacePermission",
			"ec2:DescribeDhcpOptions", "ec2:DescribeNetworkInterfaces", "ec2:DescribeSecurityGroups", "ec2:DescribeSubnets", "ec2:DescribeVpcs",
		}, jsii.String("*"))
	}
	if p.Mode == SageMakerMode_ASYNC || p.Mode == SageMakerMode_TRANSFORM {
		r.Allow("ReadRequests", []string{"s3:GetObject"}, s.objects(*p.S3InputPath))
		if p.Mode == SageMakerMode_TRANSFORM {
			// A job's input is a prefix, whose objects are listed.
			bucket, prefix := inBucket(*p.S3InputPath)
			r.policy.AddStatements(awsiam.NewPolicyStatement(&awsiam.PolicyStatementProps{
				Sid: jsii.String("FindRequests"), Actions: jsii.Strings("s3:ListBucket"), Resources: &[]*string{s.bucketARN(bucket)},
				Conditions: &map[string]any{"StringLike": map[string]any{"s3:prefix": prefix + "*"}},
			}))
		}
		r.Allow("WriteAnswers", []string{"s3:PutObject"}, s.objects(*p.S3OutputPath))
	}
	if p.KmsKey != nil {
		r.Allow("UseKey", []string{"kms:Decrypt", "kms:GenerateDataKey"}, p.KmsKey.KeyArn())
	}
	return r.IRole.RoleArn()
}

// inBucket takes s3://BUCKET/PREFIX apart; the prefix ends with a slash or is empty.
func inBucket(url string) (bucket, prefix string) {
	bucket, prefix, _ = strings.Cut(strings.TrimPrefix(url, "s3://"), "/")
	if prefix != "" && !strings.HasSuffix(prefix, "/") {
		prefix += "/"
	}
	return bucket, prefix
}

func (s *SageMakerEndpoint) bucketARN(bucket string) *string {
	return awscdk.Stack_Of(s.Construct).FormatArn(&awscdk.ArnComponents{Service: jsii.String("s3"), Region: jsii.String(""), Account: jsii.String(""), Resource: jsii.String(bucket)})
}

// objects are those below s3://BUCKET/PREFIX.
func (s *SageMakerEndpoint) objects(url string) *string {
	bucket, prefix := inBucket(url)
	return s.bucketARN(bucket + "/" + prefix + "*")
}
