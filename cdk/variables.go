package cdk

import (
	"regexp"
	"strings"
	"time"

	"github.com/aws/aws-cdk-go/awscdk/v2/awsecr"
	"github.com/aws/aws-cdk-go/awscdk/v2/awslambda"
	"github.com/aws/aws-cdk-go/awscdk/v2/awslogs"
	"github.com/aws/constructs-go/constructs/v10"
	"github.com/aws/jsii-runtime-go"

	"godwit.dev/infra/spec"
	"godwit.dev/runtime/fault"
)

// variables are the environment of both functions: what godwit.yaml gives, and
// what managed instances do not set.
func variables(f *Function) *map[string]*string {
	t := f.Spec.Targets.AWSLambda
	all := map[string]*string{}
	if t.ManagedInstances != nil {
		// They start processes without a home; /tmp is all that is writable.
		all["HOME"], all["XDG_CACHE_HOME"] = jsii.String("/tmp"), jsii.String("/tmp/.cache")
	}
	for name, value := range t.Env {
		all[name] = jsii.String(value)
	}
	for name, ref := range t.Secrets {
		all[name] = jsii.String(secretRef("targets.awslambda.secrets."+name, ref))
	}
	if len(all) == 0 {
		return nil
	}
	return &all
}

var (
	secretARN    = regexp.MustCompile(`^(arn:aws[a-z-]*:secretsmanager:[a-z0-9-]+:[0-9]{12}:secret:[A-Za-z0-9/_+=.@-]+)(?::([A-Za-z0-9_.-]+))?$`)
	parameterARN = regexp.MustCompile(`^arn:aws[a-z-]*:ssm:[a-z0-9-]+:[0-9]{12}:parameter(/[A-Za-z0-9_.-]+)+$`)
	secretName   = regexp.MustCompile(`^([A-Za-z0-9/_+=.@-]+)(?::([A-Za-z0-9_.-]+))?$`)
	imageURI     = regexp.MustCompile(`^([0-9]{12})\.dkr\.ecr\.([a-z0-9-]+)\.amazonaws\.com(?:\.cn)?/([a-z0-9._/-]+)@(sha256:[0-9a-f]{64})$`)
)

// secretRef is CloudFormation's dynamic reference to a secret of Secrets
// Manager, by name or ARN with a key of its JSON behind a colon, or to a
// parameter, by ARN. The value is in no template: CloudFormation puts it into
// the function's variables when it deploys.
func secretRef(subject, ref string) string {
	if parameterARN.MatchString(ref) {
		_, name, _ := strings.Cut(ref, ":parameter")
		if strings.Count(name, "/") == 1 { // only paths have one in front
			name = name[1:]
		}
		return "{{resolve:ssm:" + name + "}}"
	}
	m := secretARN.FindStringSubmatch(ref)
	if m == nil {
		m = secretName.FindStringSubmatch(ref)
	}
	if m == nil {
		panic(fault.New(fault.BadConfig, "cdk.NewStack", subject, "want a secret of Secrets Manager as NAME, NAME:KEY, its ARN or ARN:KEY, or a parameter's ARN, got %q", ref).
			WithHint("Make the secret with aws secretsmanager create-secret, and write its name here."))
	}
	s := "{{resolve:secretsmanager:" + m[1] + ":SecretString"
	if m[2] != "" {
		s += ":" + m[2]
	}
	return s + "}}"
}

// imageCode is an image by its digest, in a registry of ECR: no other is one that
// Lambda pulls from.
func imageCode(scope constructs.Construct, uri string) awslambda.Code {
	m := imageURI.FindStringSubmatch(uri)
	if m == nil {
		panic(fault.New(fault.BadConfig, "cdk.NewStack", "image", "want ACCOUNT.dkr.ecr.REGION.amazonaws.com/REPOSITORY@sha256:DIGEST, got %q", uri).
			WithHint("Lambda pulls from ECR alone: set image to a repository there, and run godwit package --target awslambda --push."))
	}
	partition := "aws"
	if strings.HasPrefix(m[2], "cn-") {
		partition = "aws-cn"
	} else if strings.HasPrefix(m[2], "us-gov-") {
		partition = "aws-us-gov"
	}
	id := "Repository"
	repository := scope.Node().TryFindChild(jsii.String(id))
	if repository == nil {
		repository = awsecr.Repository_FromRepositoryAttributes(scope, jsii.String(id), &awsecr.RepositoryAttributes{
			RepositoryArn:  jsii.String("arn:" + partition + ":ecr:" + m[2] + ":" + m[1] + ":repository/" + m[3]),
			RepositoryName: jsii.String(m[3]),
		})
	}
	return awslambda.Code_FromEcrImage(repository.(awsecr.IRepository), &awslambda.EcrImageCodeProps{TagOrDigest: jsii.String(m[4])})
}

// retention is a duration that the spec has checked to be one of CloudWatch's.
func retention(d spec.Duration) awslogs.RetentionDays {
	const day = 24 * time.Hour
	return map[time.Duration]awslogs.RetentionDays{
		0: awslogs.RetentionDays_ONE_MONTH, 1 * day: awslogs.RetentionDays_ONE_DAY, 3 * day: awslogs.RetentionDays_THREE_DAYS,
		5 * day: awslogs.RetentionDays_FIVE_DAYS, 7 * day: awslogs.RetentionDays_ONE_WEEK, 14 * day: awslogs.RetentionDays_TWO_WEEKS,
		30 * day: awslogs.RetentionDays_ONE_MONTH, 60 * day: awslogs.RetentionDays_TWO_MONTHS, 90 * day: awslogs.RetentionDays_THREE_MONTHS,
		120 * day: awslogs.RetentionDays_FOUR_MONTHS, 150 * day: awslogs.RetentionDays_FIVE_MONTHS, 180 * day: awslogs.RetentionDays_SIX_MONTHS,
		365 * day: awslogs.RetentionDays_ONE_YEAR, 400 * day: awslogs.RetentionDays_THIRTEEN_MONTHS,
		545 * day: awslogs.RetentionDays_EIGHTEEN_MONTHS, 731 * day: awslogs.RetentionDays_TWO_YEARS,
	}[time.Duration(d)]
}
