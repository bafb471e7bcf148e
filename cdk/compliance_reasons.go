package cdk

import (
	"slices"

	"godwit.dev/infra/spec"
	"godwit.dev/runtime/fault"
)

// addCompliance checks the stack against the rules that godwit.yaml names, after
// all else was made. What the rules forbid, and no setting of ours could make
// right, is refused with what to say instead.
func (s *Stack) addCompliance(f *Function) {
	profile := f.Spec.Compliance
	if profile == "none" {
		return
	}
	checkCompliance(f.Spec)
	var own []Acknowledgement
	if f.Spec.Auth.Mode != "platform" {
		const reason = "auth: key or jwt in godwit.yaml: the function itself checks the key or the token of each request, before anything is read."
		for _, path := range []string{"Online/HttpApi/DefaultRoute/Resource", "Online/RestApi/Default/ANY/Resource", "Online/RestApi/Default/{proxy+}/ANY/Resource"} {
			own = append(own, Acknowledgement{ID: "AwsSolutions-APIG4", Path: path, Reason: reason})
		}
	}
	AddCompliance(s.Stack, profile, own...)
}

// checkCompliance panics where the rules of a profile forbid what is asked for.
func checkCompliance(s *spec.Spec) {
	refuse := func(subject, hint, format string, args ...any) {
		panic(fault.New(fault.BadConfig, "cdk.NewStack", subject, format, args...).WithHint("%s", hint))
	}
	t := s.Targets.AWSLambda
	if s.Auth.Mode == "none" && t.API != "none" {
		refuse("auth", "Use auth: platform, key or jwt.", "want callers to be asked who they are under compliance %s, got auth: none", s.Compliance)
	}
	if s.Compliance == "hipaa" && t.API == "url" && s.Auth.Mode != "platform" {
		refuse("targets.awslambda.api", "Use api: http or rest, or auth: platform.", "want a function that only named callers may invoke under compliance hipaa, got a function URL that is open to all with auth: %s", s.Auth.Mode)
	}
	if e := t.EdgeCache; e != nil && e.Domain == "" {
		refuse("targets.awslambda.edgeCache", "Add domain: and certificate: of your own.", "want TLS 1.2 between callers and CloudFront under compliance %s, got CloudFront's own domain, which takes TLS 1.0", s.Compliance)
	}
}

// acknowledgements are the findings that the constructs of this package leave
// open, by profile. testdata/compliance has what each comes to in templates.
func acknowledgements(profile string) []Acknowledgement {
	at := func(id, finding, reason string, paths ...string) (all []Acknowledgement) {
		for _, p := range paths {
			all = append(all, Acknowledgement{ID: id, Finding: finding, Path: p, Reason: reason})
		}
		return all
	}
	if profile == "hipaa" {
		return slices.Concat(
			at("HIPAA.Security-APIGWCacheEnabledAndEncrypted", "", "Requests are POST, which the API's cache does not keep, and kept inputs and scores would be more to protect.", "Online/RestApi/DeploymentStage.prod/Resource"),
			at("HIPAA.Security-APIGWSSLEnabled", "", "A client certificate is for HTTP backends; this one is Lambda, which API Gateway calls with its own signature over TLS.", "Online/RestApi/DeploymentStage.prod/Resource"),
			at("HIPAA.Security-DynamoDBInBackupPlan", "", "Point-in-time recovery is on, and a claim is worth nothing once its message is gone: the table expires claims by itself.", "Batch/Claims/Resource"),
			at("HIPAA.Security-LambdaConcurrency", "", "reservedConcurrency in godwit.yaml takes environments from the account's for good, so nobody but its owner says how many.", "Online/Function/Resource"),
			at("HIPAA.Security-LambdaConcurrency", "", "batch.maxConcurrency in godwit.yaml bounds it, at the function and at the event source; without, the account's limit does.", "Batch/Function/Resource"),
			at("HIPAA.Security-LambdaDLQ", "", "Called for answers only: a caller is told of a failure, and no event waits that could be lost.", "Online/Function/Resource"),
			at("HIPAA.Security-LambdaDLQ", "", "Its events are the queue's messages; what fails for good goes to that queue's dead-letter queue.", "Batch/Function/Resource"),
			at("HIPAA.Security-LambdaConcurrency", "", "Called once for each deployment, and there is one at a time.", "Rollout/Hook/Resource", "RolloutBatch/Hook/Resource"),
			at("HIPAA.Security-LambdaDLQ", "", "CodeDeploy waits for its word: a call that is lost ends the deployment and rolls it back.", "Rollout/Hook/Resource", "RolloutBatch/Hook/Resource"),
			at("HIPAA.Security-LambdaInsideVPC", "", "It asks Lambda and CodeDeploy alone, through AWS's own network, with requests that are recorded in the package: no data of callers.", "Rollout/Hook/Resource", "RolloutBatch/Hook/Resource"),
			at("HIPAA.Security-S3BucketReplicationEnabled", "", "Copies in another region are for the owner of the data to decide: rows come from elsewhere, scores can be made again, versions are kept.", "Batch/Input/Resource", "Batch/Output/Resource"),
			at("HIPAA.Security-S3BucketReplicationEnabled", "", "Access logs, which tell of objects and hold none of their content.", "Batch/AccessLogs/Resource"),
			at("HIPAA.Security-S3DefaultEncryptionKMS", "", "S3 delivers access logs only to buckets that it encrypts with its own key.", "Batch/AccessLogs/Resource"),
			at("HIPAA.Security-VPCDefaultSecurityGroupClosed", "", "Nothing is in the default group. Emptying it takes a function of CDK's own that may change security groups.", "Network/Vpc/Resource"),
		)
	}
	return slices.Concat(
		at("AwsSolutions-IAM5", `/^Resource::\*$/`, "X-Ray and the network interfaces of a VPC have no resources to name.", "Online/FunctionRolePolicy/Resource", "Batch/FunctionRolePolicy/Resource"),
		at("AwsSolutions-IAM5", `/^Resource::\*$/`, "X-Ray and the delivery of a state machine's log have no resources to name.", "Batch/MapRolePolicy/Resource"),
		at("AwsSolutions-IAM5", `/^Resource::(<\w+\.Arn>|arn:[^:]*(::[^:]*)?:s3:::[^:]*)\/[^*]*\*$/`, "Objects have no names before they are there: those below the prefix of godwit.yaml.", "Batch/FunctionRolePolicy/Resource", "Batch/MapRolePolicy/Resource"),
		at("AwsSolutions-IAM5", `/^Resource::.*:execution:.*:\*$/`, "Runs have no names before they are there: those of this state machine.", "Batch/MapRolePolicy/Resource"),
		at("AwsSolutions-SF1", "", "Failures are logged. Every event of every object would be logged otherwise; a run's result files say the same.", "Batch/Map"),
		at("AwsSolutions-APIG3", "", "Callers are asked who they are, and requests are throttled. A web ACL has a price and rules that are its owner's: associate one with the stage.", "Online/RestApi/DeploymentStage.prod/Resource"),
		at("AwsSolutions-COG4", "", "Callers are known by IAM, or by the key or token that the function checks; there is no user pool.", "Online/RestApi/Default/ANY/Resource", "Online/RestApi/Default/{proxy+}/ANY/Resource"),
		at("AwsSolutions-CFR1", "", "Who may call is a matter of keys and signatures, not of countries.", "Edge/Distribution/Resource"),
		at("AwsSolutions-CFR2", "", "edgeCache.webACL in godwit.yaml takes one, whose rules and price are its owner's.", "Edge/Distribution/Resource"),
		at("AwsSolutions-CFR3", "", "Access logs hold each request's path, which is its values; edgeCache.accessLogs in godwit.yaml writes them.", "Edge/Distribution/Resource"),
		at("AwsSolutions-S1", "", "The bucket of access logs itself.", "Edge/AccessLogs/Resource"),
	)
}
