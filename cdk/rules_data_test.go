package cdk_test

import (
	"slices"
	"strings"
)

// tlsOnly says whether a policy of the resource refuses what comes without TLS.
func (t *document) tlsOnly(r *resource, policy, names string) bool {
	for _, p := range t.each(policy) {
		if !slices.Contains(t.ids(p.at(names)), r.id) {
			continue
		}
		for _, s := range statementsOf(p, p.at("PolicyDocument")) {
			if s.allow || !slices.Contains(s.principals, "*") {
				continue
			}
			if textOf(dig(s.condition, "Bool", "aws:SecureTransport")) != "false" || len(s.condition) != 1 {
				continue
			}
			all := strings.ToLower(strings.Split(policy, "::")[1]) + ":*"
			covered := slices.ContainsFunc(s.resources, func(v any) bool { return slices.Contains(t.ids(v), r.id) })
			if (slices.Contains(s.actions, all) || policy == "AWS::SNS::TopicPolicy" && slices.Contains(s.actions, "sns:Publish")) && (covered || policy == "AWS::SNS::TopicPolicy") {
				return true
			}
		}
	}
	return false
}

// deadLetterOf is the queues whose dead letters r takes.
func (t *document) deadLetterOf(r *resource) []*resource {
	var all []*resource
	for _, q := range t.each("AWS::SQS::Queue") {
		if slices.Contains(t.ids(q.at("RedrivePolicy", "deadLetterTargetArn")), r.id) {
			all = append(all, q)
		}
	}
	return all
}

// takesDead says whether r takes the dead letters of a queue, of a topic or of a function.
func (t *document) takesDead(r *resource) bool {
	if len(t.deadLetterOf(r)) > 0 {
		return true
	}
	for _, o := range t.each() {
		for _, v := range []any{o.at("DeadLetterConfig"), o.at("DestinationConfig", "OnFailure"), o.at("RedrivePolicy", "deadLetterTargetArn")} {
			if v != nil && slices.Contains(t.ids(v), r.id) {
				return true
			}
		}
	}
	return false
}

func ruleQueues(t *document, say report) {
	for _, q := range t.each("AWS::SQS::Queue") {
		if !isTrue(q.at("SqsManagedSseEnabled")) && q.at("KmsMasterKeyId") == nil {
			say(q, "want SqsManagedSseEnabled or KmsMasterKeyId, got neither")
		}
		if !t.tlsOnly(q, "AWS::SQS::QueuePolicy", "Queues") {
			say(q, "want a policy that refuses what comes without TLS, got none")
		}
	}
}

func ruleDeadLetters(t *document, say report) {
	const fourDays = 345600 // SQS's own
	kept := func(q *resource) float64 {
		if p := numberOf(q.at("MessageRetentionPeriod")); p >= 0 {
			return p
		}
		return fourDays
	}
	for _, q := range t.each("AWS::SQS::Queue") {
		policy := q.at("RedrivePolicy")
		if policy == nil {
			if !t.takesDead(q) {
				say(q, "want a dead-letter queue, or to be one, got neither")
			}
			continue
		}
		dead := t.the(dig(policy, "deadLetterTargetArn"))
		if dead == nil || dead.id == q.id {
			say(q, "want a dead-letter queue of this stack, got %s", textOf(dig(policy, "deadLetterTargetArn")))
			continue
		}
		// A message keeps its age when it moves.
		if kept(dead) < kept(q) || kept(dead) < 1209600 {
			say(dead, "want to keep letters for 14 days, and as long as %s does, got %v s", plain(q.id), kept(dead))
		}
		if isTrue(q.at("FifoQueue")) != isTrue(dead.at("FifoQueue")) {
			say(dead, "want both queues FIFO or neither, got %v and %v", q.at("FifoQueue"), dead.at("FifoQueue"))
		}
		if b := t.spec.Batch; b != nil && t.mapping(q) != nil && numberOf(dig(policy, "maxReceiveCount")) != float64(b.Attempts) {
			say(q, "want maxReceiveCount %d, as batch.attempts, got %v", b.Attempts, dig(policy, "maxReceiveCount"))
		}
	}
}

func ruleAlarms(t *document, say report) {
	alarmed := func(id string) bool {
		for _, a := range t.each("AWS::CloudWatch::Alarm") {
			if slices.Contains(t.ids(a.Properties), id) && a.at("ComparisonOperator") != nil {
				return true
			}
		}
		return false
	}
	for _, q := range t.each("AWS::SQS::Queue") {
		if !alarmed(q.id) {
			say(q, "want an alarm on the queue, got none")
		}
	}
	for _, a := range t.each("AWS::CloudWatch::Alarm") {
		for _, v := range append(manyOf(a.at("AlarmActions")), manyOf(a.at("OKActions"))...) {
			if len(t.ids(v)) == 0 && !strings.HasPrefix(textOf(v), "arn:") {
				say(a, "want an action of this stack or an ARN, got %s", textOf(v))
			}
		}
	}
}

func ruleBuckets(t *document, say report) {
	for _, b := range t.each("AWS::S3::Bucket") {
		for _, k := range []string{"BlockPublicAcls", "BlockPublicPolicy", "IgnorePublicAcls", "RestrictPublicBuckets"} {
			if !isTrue(b.at("PublicAccessBlockConfiguration", k)) {
				say(b, "want %s, got %v", k, b.at("PublicAccessBlockConfiguration", k))
			}
		}
		algorithm := textOf(b.at("BucketEncryption", "ServerSideEncryptionConfiguration", "0", "ServerSideEncryptionByDefault", "SSEAlgorithm"))
		if algorithm != "AES256" && algorithm != "aws:kms" && algorithm != "aws:kms:dsse" {
			say(b, "want encryption, got %q", algorithm)
		}
		if !t.tlsOnly(b, "AWS::S3::BucketPolicy", "Bucket") {
			say(b, "want a policy that refuses what comes without TLS, got none")
		}
		if owner := textOf(b.at("OwnershipControls", "Rules", "0", "ObjectOwnership")); owner != "" && owner != "BucketOwnerEnforced" && !t.edgeLogs(b) {
			say(b, "want BucketOwnerEnforced, got %s", owner)
		}
	}
}

// edgeLogs says whether CloudFront writes its access logs to r, which it does by
// an access control list.
func (t *document) edgeLogs(r *resource) bool {
	for _, d := range t.each("AWS::CloudFront::Distribution") {
		if slices.Contains(t.ids(d.at("DistributionConfig", "Logging", "Bucket")), r.id) {
			return r.at("OwnershipControls", "Rules", "0", "ObjectOwnership") == "BucketOwnerPreferred"
		}
	}
	return false
}

func ruleTopics(t *document, say report) {
	for _, p := range t.each("AWS::SNS::Topic") {
		if !t.tlsOnly(p, "AWS::SNS::TopicPolicy", "Topics") {
			say(p, "want a policy that refuses what comes without TLS, got none")
		}
	}
	for _, s := range t.each("AWS::SNS::Subscription") {
		if s.at("Protocol") == "http" {
			say(s, "want https, got http")
		}
	}
}

func ruleTables(t *document, say report) {
	for _, d := range t.each("AWS::DynamoDB::Table") {
		if !isTrue(d.at("PointInTimeRecoverySpecification", "PointInTimeRecoveryEnabled")) {
			say(d, "want point-in-time recovery, got none")
		}
	}
	for _, d := range t.each("AWS::DynamoDB::GlobalTable") {
		if !isTrue(d.at("Replicas", "0", "PointInTimeRecoverySpecification", "PointInTimeRecoveryEnabled")) {
			say(d, "want point-in-time recovery, got none")
		}
	}
}

// encrypted is where each type says its key.
var encrypted = map[string][]string{
	"AWS::Lambda::Function": {"KmsKeyArn"},
	"AWS::Logs::LogGroup":   {"KmsKeyId"},
	"AWS::SQS::Queue":       {"KmsMasterKeyId"},
	"AWS::SNS::Topic":       {"KmsMasterKeyId"},
	"AWS::S3::Bucket":       {"BucketEncryption", "ServerSideEncryptionConfiguration", "0", "ServerSideEncryptionByDefault", "KMSMasterKeyID"},
	"AWS::DynamoDB::Table":  {"SSESpecification", "KMSMasterKeyId"},
}

func ruleCustomerKey(t *document, say report) {
	for _, k := range t.each("AWS::KMS::Key") {
		if !isTrue(k.at("EnableKeyRotation")) {
			say(k, "want EnableKeyRotation, got %v", k.at("EnableKeyRotation"))
		}
	}
	arn := t.spec.Targets.AWSLambda.KMSKey
	if arn == "" && t.spec.Compliance != "hipaa" {
		return
	}
	for _, r := range t.each() {
		path := encrypted[r.Type]
		if path == nil {
			continue
		}
		key := r.at(path...)
		own := t.the(key)
		if given := textOf(key); !(arn != "" && strings.Contains(given, arn[strings.LastIndex(arn, "/")+1:]) || arn == "" && own != nil && own.Type == "AWS::KMS::Key") {
			if r.Type == "AWS::S3::Bucket" && (t.accessLogs(r) || t.edgeLogs(r)) {
				continue // S3 takes no customer's key for them, CloudFront only one that is open to the delivery of anybody's logs
			}
			say(r, "want the customer's key, got %q", given)
		}
	}
}

// accessLogs says whether other buckets write their access logs to r.
func (t *document) accessLogs(r *resource) bool {
	for _, b := range t.each("AWS::S3::Bucket") {
		if slices.Contains(t.ids(b.at("LoggingConfiguration", "DestinationBucketName")), r.id) {
			return true
		}
	}
	return false
}

func ruleLogs(t *document, say report) {
	want := days(t.spec.Targets.AWSLambda.LogRetention)
	for _, g := range t.each("AWS::Logs::LogGroup") {
		if got := numberOf(g.at("RetentionInDays")); got != want {
			say(g, "want RetentionInDays %v, got %v", want, g.at("RetentionInDays"))
		}
	}
	for _, f := range t.each("AWS::Lambda::Function") {
		if g := t.the(f.at("LoggingConfig", "LogGroup")); g == nil || g.Type != "AWS::Logs::LogGroup" {
			say(f, "want a log group of this stack, got %q, which would be kept for ever", textOf(f.at("LoggingConfig", "LogGroup")))
		}
	}
}
