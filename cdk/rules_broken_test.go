package cdk_test

import (
	"slices"
	"strings"
	"testing"
)

// broken is a template with one mistake, which the named rule must see.
type broken struct {
	name, variant, rule string
	change              func(b *breaker)
}

// A breaker changes a copy of a template. What it is to change must be there.
type breaker struct {
	*document
	testing.TB
}

// first is the first resource of a type whose id has part.
func (b *breaker) first(typ, part string) *resource {
	b.Helper()
	for _, r := range b.each(typ) {
		if strings.Contains(r.id, part) {
			return r
		}
	}
	b.Fatalf("want a %s %s to break, got none", typ, part)
	return nil
}

// set puts v at a path of the properties; nil takes what is there away.
func (b *breaker) set(r *resource, v any, path ...string) {
	b.Helper()
	at := r.Properties
	for _, k := range path[:len(path)-1] {
		next, ok := at[k].(map[string]any)
		if !ok {
			if list, isList := at[k].([]any); isList && len(list) > 0 {
				next, ok = list[0].(map[string]any)
			}
		}
		if !ok {
			next = map[string]any{}
			at[k] = next
		}
		at = next
	}
	last := path[len(path)-1]
	if v == nil {
		if at[last] == nil {
			b.Fatalf("want %v to take away, got nothing there", path)
		}
		delete(at, last)
		return
	}
	at[last] = v
}

func (b *breaker) add(id, typ string, properties map[string]any) *resource {
	b.Resources[id] = &resource{id: id, Type: typ, Properties: properties}
	return b.Resources[id]
}

// drop takes away every resource of a type whose id has part.
func (b *breaker) drop(typ, part string) {
	b.Helper()
	delete(b.Resources, b.first(typ, part).id)
}

// allow adds a statement to a policy, or to the first that the type has.
func (b *breaker) allow(r *resource, document string, s map[string]any) {
	d, ok := r.Properties[document].(map[string]any)
	if !ok {
		b.Fatalf("want %s in %s, got none", document, r.id)
	}
	d["Statement"] = append(manyOf(d["Statement"]), s)
}

type object = map[string]any

const (
	policies = "AWS::IAM::ManagedPolicy"
	function = "AWS::Lambda::Function"
	queue    = "AWS::SQS::Queue"
	bucket   = "AWS::S3::Bucket"
	mapping  = "AWS::Lambda::EventSourceMapping"
)

var brokens = []broken{
	{"an inline policy", "digits", "inline", func(b *breaker) {
		b.add("X", "AWS::IAM::Policy", object{"PolicyDocument": object{"Statement": []any{}}})
	}},
	{"a policy in a role", "digits", "inline", func(b *breaker) {
		b.set(b.first("AWS::IAM::Role", "Online"), []any{object{"PolicyName": "x"}}, "Policies")
	}},
	{"a policy of AWS", "digits", "inline", func(b *breaker) {
		b.set(b.first("AWS::IAM::Role", "Online"), []any{"arn:aws:iam::aws:policy/AdministratorAccess"}, "ManagedPolicyArns")
	}},
	{"a user", "digits", "inline", func(b *breaker) { b.add("X", "AWS::IAM::User", nil) }},
	{"a wildcard action", "digits", "action", func(b *breaker) {
		b.allow(b.first(policies, "Online"), "PolicyDocument", object{"Effect": "Allow", "Action": "s3:Get*", "Resource": "arn:aws:s3:::x"})
	}},
	{"a wildcard in an inline policy", "digits", "action", func(b *breaker) {
		b.set(b.first("AWS::IAM::Role", "Online"), []any{object{"PolicyDocument": object{"Statement": object{"Effect": "Allow", "Action": "*", "Resource": "x"}}}}, "Policies")
	}},
	{"all but one action", "digits", "action", func(b *breaker) {
		b.allow(b.first(policies, "Online"), "PolicyDocument", object{"Effect": "Allow", "NotAction": "iam:CreateUser", "Resource": "x"})
	}},
	{"a wildcard resource", "digits", "resource", func(b *breaker) {
		b.allow(b.first(policies, "Online"), "PolicyDocument", object{"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*"})
	}},
	{"a wildcard at the end", "digits", "resource", func(b *breaker) {
		b.allow(b.first(policies, "Online"), "PolicyDocument", object{"Effect": "Allow", "Action": "s3:GetObject", "Resource": object{"Fn::Join": []any{"", []any{"arn:", object{"Ref": "AWS::Partition"}, ":s3:::rows/*"}}}})
	}},
	{"another action on a listed resource", "digits", "resource", func(b *breaker) {
		b.allow(b.first(policies, "Online"), "PolicyDocument", object{"Effect": "Allow", "Sid": "WriteTraces", "Action": "xray:GetTraceSummaries", "Resource": "*"})
	}},
	{"a role for everybody", "digits", "trust", func(b *breaker) {
		b.set(b.first("AWS::IAM::Role", "Online"), object{"Statement": []any{object{"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": object{"AWS": "*"}}}}, "AssumeRolePolicyDocument")
	}},
	{"a role for another account", "digits", "trust", func(b *breaker) {
		b.set(b.first("AWS::IAM::Role", "Online"), object{"Statement": []any{object{"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": object{"AWS": "arn:aws:iam::999999999999:root"}}}}, "AssumeRolePolicyDocument")
	}},
	{"a queue for everybody", "digits-batch", "trust", func(b *breaker) {
		b.allow(b.first("AWS::SQS::QueuePolicy", "Batch"), "PolicyDocument", object{"Effect": "Allow", "Action": "sqs:SendMessage", "Principal": "*", "Resource": "x"})
	}},
	{"a queue for all of S3", "digits-batch", "trust", func(b *breaker) {
		b.allow(b.first("AWS::SQS::QueuePolicy", "Batch"), "PolicyDocument", object{"Effect": "Allow", "Action": "sqs:SendMessage", "Principal": object{"Service": "s3.amazonaws.com"}, "Resource": "x"})
	}},
	{"an open function URL", "digits-url-stream", "public", func(b *breaker) { b.set(b.first("AWS::Lambda::Url", ""), "NONE", "AuthType") }},
	{"a function for everybody", "digits", "public", func(b *breaker) {
		b.add("X", "AWS::Lambda::Permission", object{"Principal": "*", "Action": "lambda:InvokeFunction"})
	}},
	{"a function for everybody, behind a URL with keys", "digits-url-key", "public", func(b *breaker) {
		b.add("X", "AWS::Lambda::Permission", object{"Principal": "*", "Action": "lambda:InvokeFunction"})
	}},
	{"a function for all of a service", "digits", "public", func(b *breaker) {
		p := b.first("AWS::Lambda::Permission", "Online")
		delete(p.Properties, "SourceAccount")
		b.set(p, nil, "SourceArn")
	}},
	{"an open route", "digits", "public", func(b *breaker) { b.set(b.first("AWS::ApiGatewayV2::Route", ""), "NONE", "AuthorizationType") }},
	{"a route without a word", "digits", "public", func(b *breaker) { b.set(b.first("AWS::ApiGatewayV2::Route", ""), nil, "AuthorizationType") }},
	{"a route within the API", "digits", "public", func(b *breaker) { b.set(b.first("AWS::ApiGatewayV2::Api", ""), "arn:aws:lambda:x", "Target") }},
	{"an open method", "digits-aws-solutions", "public", func(b *breaker) {
		for _, m := range b.each("AWS::ApiGateway::Method") {
			b.set(m, "NONE", "AuthorizationType")
		}
	}},
	{"a distribution", "digits", "public", func(b *breaker) {
		b.add("X", "AWS::CloudFront::Distribution", object{"DistributionConfig": object{"DefaultCacheBehavior": object{"ViewerProtocolPolicy": "https-only"}}})
	}},
	{"a website", "digits-batch", "public", func(b *breaker) {
		b.set(b.first(bucket, ""), object{"IndexDocument": "index.html"}, "WebsiteConfiguration")
	}},
	{"an open load balancer", "digits", "public", func(b *breaker) {
		b.add("X", "AWS::ElasticLoadBalancingV2::LoadBalancer", object{"Scheme": "internet-facing"})
	}},
	{"no encryption of a queue", "digits-batch", "queue", func(b *breaker) {
		q := b.first(queue, "")
		delete(q.Properties, "KmsMasterKeyId")
		b.set(q, false, "SqsManagedSseEnabled")
	}},
	{"no TLS for a queue", "digits-batch", "queue", func(b *breaker) { b.drop("AWS::SQS::QueuePolicy", "") }},
	{"TLS for a queue but for some", "digits-batch", "queue", func(b *breaker) {
		for _, p := range b.each("AWS::SQS::QueuePolicy") {
			for _, s := range manyOf(p.at("PolicyDocument", "Statement")) {
				if c, ok := dig(s, "Condition").(map[string]any); ok && dig(s, "Effect") == "Deny" {
					c["StringNotEquals"] = object{"aws:PrincipalAccount": "999999999999"}
				}
			}
		}
	}},
	{"no dead-letter queue", "digits-batch", "redrive", func(b *breaker) {
		for _, q := range b.each(queue) {
			delete(q.Properties, "RedrivePolicy")
		}
	}},
	{"a queue that is its own dead-letter queue", "digits-batch", "redrive", func(b *breaker) {
		for _, q := range b.each(queue) {
			if q.at("RedrivePolicy") != nil {
				b.set(q, object{"deadLetterTargetArn": object{"Fn::GetAtt": []any{q.id, "Arn"}}, "maxReceiveCount": 5.}, "RedrivePolicy")
			}
		}
	}},
	{"dead letters that are gone soon", "digits-batch", "redrive", func(b *breaker) { b.set(b.first(queue, "DeadLetters"), 60., "MessageRetentionPeriod") }},
	{"other attempts", "digits-batch", "redrive", func(b *breaker) {
		for _, q := range b.each(queue) {
			if q.at("RedrivePolicy") != nil {
				b.set(q, 1., "RedrivePolicy", "maxReceiveCount")
			}
		}
	}},
	{"FIFO with dead letters that are none", "digits-batch-ordered", "redrive", func(b *breaker) { b.set(b.first(queue, "DeadLetters"), nil, "FifoQueue") }},
	{"no alarm", "digits-batch", "alarm", func(b *breaker) {
		for _, a := range b.each("AWS::CloudWatch::Alarm") {
			delete(b.Resources, a.id)
		}
	}},
	{"an alarm that tells nobody that is there", "digits-batch", "alarm", func(b *breaker) {
		b.set(b.first("AWS::CloudWatch::Alarm", ""), []any{object{"Ref": "Nobody"}}, "AlarmActions")
	}},
	{"a public access block with a hole", "digits-batch", "bucket", func(b *breaker) {
		b.set(b.first(bucket, ""), false, "PublicAccessBlockConfiguration", "BlockPublicPolicy")
	}},
	{"no public access block", "digits-batch", "bucket", func(b *breaker) { b.set(b.first(bucket, ""), nil, "PublicAccessBlockConfiguration") }},
	{"no encryption of a bucket", "digits-batch", "bucket", func(b *breaker) { b.set(b.first(bucket, ""), nil, "BucketEncryption") }},
	{"no TLS for a bucket", "digits-batch", "bucket", func(b *breaker) { b.drop("AWS::S3::BucketPolicy", "") }},
	{"TLS for another bucket", "digits-batch", "bucket", func(b *breaker) {
		p := b.first("AWS::S3::BucketPolicy", "")
		b.set(p, object{"Ref": "Other"}, "Bucket")
	}},
	{"access control lists", "digits-batch", "public", func(b *breaker) { b.set(b.first(bucket, ""), "PublicRead", "AccessControl") }},
	{"a topic without TLS", "digits-batch", "topic", func(b *breaker) { b.add("X", "AWS::SNS::Topic", object{}) }},
	{"a subscription without TLS", "digits-batch", "topic", func(b *breaker) { b.add("X", "AWS::SNS::Subscription", object{"Protocol": "http"}) }},
	{"a table that cannot be restored", "digits-batch-ordered", "table", func(b *breaker) { b.add("X", "AWS::DynamoDB::Table", object{}) }},
	{"a key that stays", "digits", "key", func(b *breaker) { b.add("X", "AWS::KMS::Key", object{"KeyPolicy": object{}}) }},
	{"variables with AWS's key", "digits-vpc", "key", func(b *breaker) { b.set(b.first(function, ""), nil, "KmsKeyArn") }},
	{"a queue with AWS's key", "digits-hipaa", "key", func(b *breaker) { b.set(b.first(queue, ""), "alias/aws/sqs", "KmsMasterKeyId") }},
	{"a log with AWS's key", "digits-hipaa", "key", func(b *breaker) { b.set(b.first("AWS::Logs::LogGroup", ""), nil, "KmsKeyId") }},
	{"a bucket with AWS's key", "digits-hipaa", "key", func(b *breaker) {
		b.set(b.first(bucket, "Input"), []any{object{"ServerSideEncryptionByDefault": object{"SSEAlgorithm": "AES256"}}}, "BucketEncryption", "ServerSideEncryptionConfiguration")
	}},
	{"a log for ever", "digits", "log", func(b *breaker) { b.set(b.first("AWS::Logs::LogGroup", ""), nil, "RetentionInDays") }},
	{"a log of Lambda's own", "digits", "log", func(b *breaker) { b.set(b.first(function, "Online"), nil, "LoggingConfig") }},
	{"bodies in logs", "digits-aws-solutions", "trace", func(b *breaker) {
		b.set(b.first("AWS::ApiGateway::Stage", ""), []any{object{"DataTraceEnabled": true}}, "MethodSettings")
	}},
	{"bodies in logs of an HTTP API", "digits", "trace", func(b *breaker) {
		b.set(b.first("AWS::ApiGatewayV2::Stage", ""), true, "DefaultRouteSettings", "DataTraceEnabled")
	}},
	{"a timeout beyond the gateway's", "digits", "time", func(b *breaker) { b.set(b.first(function, "Online"), 30., "Timeout") }},
	{"a timeout beyond the REST API's", "digits-rest-jwt", "time", func(b *breaker) { b.set(b.first(function, "Online"), 29., "Timeout") }},
	{"an integration that gives up first", "digits", "time", func(b *breaker) {
		b.set(b.first("AWS::ApiGatewayV2::Integration", ""), 5000., "TimeoutInMillis")
	}},
	{"one bad record for all", "digits-batch", "partial", func(b *breaker) { b.set(b.first(mapping, ""), nil, "FunctionResponseTypes") }},
	{"a short visibility", "digits-batch", "visible", func(b *breaker) {
		for _, q := range b.each(queue) {
			if q.at("VisibilityTimeout") != nil {
				b.set(q, 1799., "VisibilityTimeout")
			}
		}
	}},
	{"SQS's own visibility", "digits-batch", "visible", func(b *breaker) {
		for _, q := range b.each(queue) {
			delete(q.Properties, "VisibilityTimeout")
		}
	}},
	{"an old runtime", "digits", "runtime", func(b *breaker) { b.set(b.first(function, "Online"), "provided.al2", "Runtime") }},
	{"an image by a tag", "penguins-image", "runtime", func(b *breaker) {
		b.set(b.first(function, "Online"), "1.dkr.ecr.eu-central-1.amazonaws.com/x:latest", "Code", "ImageUri")
	}},
	{"code in the template", "digits", "runtime", func(b *breaker) { b.set(b.first(function, "Online"), "exports.handler", "Code", "ZipFile") }},
	{"too little memory", "digits", "memory", func(b *breaker) { b.models = 4 << 30 }},
	{"a custom resource", "digits", "custom", func(b *breaker) { b.add("X", "Custom::S3AutoDeleteObjects", nil) }},
	{"CDK's own metadata", "digits", "custom", func(b *breaker) { b.add("X", "AWS::CDK::Metadata", nil) }},
	{"a bucket that goes", "digits-batch", "removal", func(b *breaker) { b.first(bucket, "").DeletionPolicy = "Delete" }},
	{"a key that goes before what it encrypted", "digits-hipaa", "removal", func(b *breaker) {
		for _, k := range b.each("AWS::KMS::Key") {
			k.DeletionPolicy = "Delete"
		}
	}},
	{"a table without a word", "digits-batch-ordered", "removal", func(b *breaker) {
		d := b.add("X", "AWS::DynamoDB::Table", object{})
		d.DeletionPolicy = ""
	}},
	{"a log that stays", "digits", "removal", func(b *breaker) { b.first("AWS::Logs::LogGroup", "").DeletionPolicy = "Retain" }},
	{"a secret among the variables", "digits", "secret", func(b *breaker) {
		b.set(b.first(function, "Online"), "hunter2", "Environment", "Variables", "DB_PASSWORD")
	}},
	{"the keys of callers", "digits-url-key", "secret", func(b *breaker) {
		b.set(b.first(function, "Online"), "k1,k2", "Environment", "Variables", "GODWIT_API_KEYS")
	}},
	{"an access key", "digits", "secret", func(b *breaker) {
		b.set(b.first(function, "Online"), "AKIA"+strings.Repeat("A", 16), "Environment", "Variables", "ID")
	}},
	{"a distribution without TLS", "digits-url-key", "tls", func(b *breaker) {
		b.add("X", "AWS::CloudFront::Distribution", object{"DistributionConfig": object{"DefaultCacheBehavior": object{"ViewerProtocolPolicy": "allow-all"}}})
	}},
	{"a listener without TLS", "digits", "tls", func(b *breaker) {
		b.add("X", "AWS::ElasticLoadBalancingV2::Listener", object{"Protocol": "HTTP"})
	}},
	{"a NAT gateway", "digits-vpc", "network", func(b *breaker) { b.add("X", "AWS::EC2::NatGateway", nil) }},
	{"ingress for the internet", "digits-vpc", "network", func(b *breaker) {
		b.add("X", "AWS::EC2::SecurityGroup", object{"SecurityGroupIngress": []any{object{"CidrIp": "0.0.0.0/0", "FromPort": 443.}}})
	}},
	{"egress to everywhere", "digits-vpc", "network", func(b *breaker) {
		b.add("X", "AWS::EC2::SecurityGroup", object{"SecurityGroupEgress": []any{object{"CidrIp": "0.0.0.0/0", "IpProtocol": "-1"}}})
	}},
	{"too many resources", "digits", "size", func(b *breaker) {
		for i := range 500 {
			b.add(strings.Repeat("X", 1+i), "AWS::SNS::TopicPolicy", nil)
		}
	}},
	{"other memory", "digits", "arrive", func(b *breaker) { b.set(b.first(function, "Online"), 128., "MemorySize") }},
	{"another processor", "penguins-image", "arrive", func(b *breaker) { b.set(b.first(function, "Online"), []any{"x86_64"}, "Architectures") }},
	{"no tracing", "digits", "arrive", func(b *breaker) { b.set(b.first(function, "Online"), nil, "TracingConfig") }},
	{"no capacity provider", "digits-managed-gpu", "arrive", func(b *breaker) { b.set(b.first(function, "Batch"), nil, "CapacityProviderConfig") }},
	{"no subnets", "digits-vpc", "arrive", func(b *breaker) { b.set(b.first(function, "Online"), nil, "VpcConfig") }},
	{"no throttle", "digits-rest-jwt", "arrive", func(b *breaker) { b.set(b.first("AWS::ApiGateway::Stage", ""), nil, "MethodSettings") }},
	{"no streaming", "digits-url-stream", "arrive", func(b *breaker) { b.set(b.first("AWS::Lambda::Url", ""), nil, "InvokeMode") }},
	{"no binary media types", "digits-rest-jwt", "arrive", func(b *breaker) { b.set(b.first("AWS::ApiGateway::RestApi", ""), nil, "BinaryMediaTypes") }},
	{"no rollout", "digits-canary", "arrive", func(b *breaker) { b.drop("AWS::CodeDeploy::DeploymentGroup", "") }},
	{"a rollout that goes on through alarms", "digits-canary", "arrive", func(b *breaker) {
		b.set(b.first("AWS::CodeDeploy::DeploymentGroup", ""), nil, "AlarmConfiguration")
	}},
	{"no waiting environments", "digits-canary", "arrive", func(b *breaker) {
		for _, a := range b.each("AWS::Lambda::Alias") {
			delete(a.Properties, "ProvisionedConcurrencyConfig")
		}
		for _, s := range b.each("AWS::ApplicationAutoScaling::ScalableTarget") {
			delete(s.Properties, "MinCapacity")
		}
	}},
	{"other batches", "digits-batch", "arrive", func(b *breaker) { b.set(b.first(mapping, ""), 1., "BatchSize") }},
	{"no order", "digits-batch-ordered", "arrive", func(b *breaker) { b.set(b.first(queue, "BatchQueue"), nil, "FifoQueue") }},
}

// TestRulesSeeWhatIsBroken is that no rule sleeps: each reports a mistake that
// is put into a template which has none.
func TestRulesSeeWhatIsBroken(t *testing.T) {
	whole := map[string]*document{}
	tried, ran := map[string]bool{}, 0
	for _, b := range brokens {
		t.Run(b.name, func(t *testing.T) {
			if whole[b.variant] == nil {
				i := slices.IndexFunc(variants, func(v variant) bool { return v.name == b.variant })
				whole[b.variant] = variants[i].proven(t).document
			}
			before := findings(whole[b.variant])
			changed := whole[b.variant].copied(t)
			b.change(&breaker{changed, t})
			if !slices.ContainsFunc(findings(changed), func(f string) bool {
				return strings.HasPrefix(f, b.rule+" ") && !slices.Contains(before, f)
			}) {
				t.Errorf("want rule %s to see it, got nothing new", b.rule)
			}
			tried[b.rule] = true
			ran++
		})
	}
	for _, r := range rules {
		if !tried[r.name] && ran == len(brokens) { // with -run, some
			t.Errorf("want rule %s broken once, got no such case", r.name)
		}
	}
}
