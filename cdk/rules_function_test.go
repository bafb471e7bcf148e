package cdk_test

import (
	"regexp"
	"slices"
	"strings"

	"godwit.dev/infra/data"
	"godwit.dev/infra/spec"
)

func ruleNoBodiesInLogs(t *document, say report) {
	for _, r := range t.each("AWS::ApiGateway::Stage", "AWS::ApiGatewayV2::Stage", "AWS::ApiGateway::Deployment", "AWS::StepFunctions::StateMachine") {
		eachValue(r.Properties, func(key string, v any) {
			if strings.EqualFold(key, "DataTraceEnabled") && isTrue(v) || strings.EqualFold(key, "IncludeExecutionData") && isTrue(v) {
				say(r, "want %s false, since it logs bodies, got %v", key, v)
			}
		})
	}
}

func eachValue(v any, fn func(key string, v any)) {
	switch c := v.(type) {
	case map[string]any:
		for k, e := range c {
			fn(k, e)
			eachValue(e, fn)
		}
	case []any:
		for _, e := range c {
			eachValue(e, fn)
		}
	}
}

// online is the functions that requests reach through a gateway.
func (t *document) online() []*resource {
	var all []*resource
	for _, f := range t.each("AWS::Lambda::Function") {
		for _, r := range t.each("AWS::ApiGatewayV2::Integration", "AWS::ApiGateway::Method") {
			if slices.Contains(t.functionsOf(r.Properties), f) {
				all = append(all, f)
				break
			}
		}
	}
	return all
}

// functionsOf is the functions that a value names, itself, by an alias or by a version.
func (t *document) functionsOf(v any) []*resource {
	var all []*resource
	for _, id := range t.ids(v) {
		switch r := t.Resources[id]; r.Type {
		case "AWS::Lambda::Function":
			all = append(all, r)
		case "AWS::Lambda::Alias", "AWS::Lambda::Version":
			all = append(all, t.functionsOf(r.at("FunctionName"))...)
		}
	}
	return all
}

func ruleTimeouts(t *document, say report) {
	api := t.spec.Targets.AWSLambda.API
	choices := []string{"api=" + api}
	if t.spec.Targets.AWSLambda.ResponseStreaming {
		choices = append(choices, "stream")
	}
	limit := float64(data.Find("awslambda", data.Time, choices...).Value) / 1000
	for _, f := range t.online() {
		if got := numberOf(f.at("Timeout")); got <= 0 || got >= limit {
			say(f, "want less than the %v s of its gateway, got Timeout %v", limit, f.at("Timeout"))
		}
		for _, r := range t.each("AWS::ApiGatewayV2::Integration", "AWS::ApiGateway::Method") {
			for _, path := range [][]string{{"TimeoutInMillis"}, {"Integration", "TimeoutInMillis"}} {
				if v := r.at(path...); v != nil && numberOf(v) < numberOf(f.at("Timeout"))*1000 {
					say(r, "want at least the function's %v s, got %v ms", f.at("Timeout"), v)
				}
			}
		}
	}
	if (api == "http" || api == "rest") && len(t.online()) == 0 && len(t.each("AWS::Lambda::Function")) > 0 {
		say(nil, "want a function behind a gateway for api: %s, got none", api)
	}
}

// mapping is the event source mapping that reads r, or nil.
func (t *document) mapping(r *resource) *resource {
	for _, m := range t.each("AWS::Lambda::EventSourceMapping") {
		if slices.Contains(t.ids(m.at("EventSourceArn")), r.id) {
			return m
		}
	}
	return nil
}

// named says that the adapter answers events of this source with the failed
// records by name, without which one bad record would repeat all of them;
// adapters/awslambda has the test of that.
func named(arn string) bool {
	return !strings.Contains(arn, ":kafka:") // MSK's records fail together
}

func rulePartialResponses(t *document, say report) {
	for _, m := range t.each("AWS::Lambda::EventSourceMapping") {
		source := textOf(m.at("EventSourceArn"))
		has := slices.Contains(manyOf(m.at("FunctionResponseTypes")), any("ReportBatchItemFailures"))
		if has != named(source) {
			say(m, "want ReportBatchItemFailures exactly where the adapter names failures, got %v for %s", m.at("FunctionResponseTypes"), source)
		}
	}
}

func ruleVisibility(t *document, say report) {
	for _, m := range t.each("AWS::Lambda::EventSourceMapping") {
		q := t.the(m.at("EventSourceArn"))
		if q == nil || q.Type != "AWS::SQS::Queue" {
			continue
		}
		for _, f := range t.functionsOf(m.at("FunctionName")) {
			window := max(numberOf(m.at("MaximumBatchingWindowInSeconds")), 0)
			want := 6*numberOf(f.at("Timeout")) + window
			if got := numberOf(q.at("VisibilityTimeout")); got < want || got > 43200 {
				say(q, "want at least six times the %v s of %s and the window of %v s, got VisibilityTimeout %v", f.at("Timeout"), plain(f.id), window, q.at("VisibilityTimeout"))
			}
		}
	}
}

func ruleRuntimes(t *document, say report) {
	for _, f := range t.each("AWS::Lambda::Function") {
		if f.at("PackageType") == "Image" {
			if uri := textOf(f.at("Code", "ImageUri")); !strings.Contains(uri, "@sha256:") {
				say(f, "want an image by its digest, got %s", uri)
			}
			continue
		}
		if r := f.at("Runtime"); r != "provided.al2023" {
			say(f, "want provided.al2023, got %v", r)
		}
		if f.at("Code", "ZipFile") != nil {
			say(f, "want a package, got code within the template")
		}
	}
}

func ruleMemory(t *document, say report) {
	for _, f := range t.each("AWS::Lambda::Function") {
		if got := numberOf(f.at("MemorySize")) * float64(spec.MiB); got <= float64(t.models) {
			say(f, "want more memory than the models' %d bytes, got MemorySize %v", t.models, f.at("MemorySize"))
		}
	}
}

func ruleNoCustomResources(t *document, say report) {
	for _, r := range t.each() {
		if !strings.HasPrefix(r.Type, "AWS::") || r.Type == "AWS::CloudFormation::CustomResource" || r.Type == "AWS::CDK::Metadata" || r.Type == "AWS::CloudFormation::Macro" {
			say(r, "want what CloudFormation has, got %s", r.Type)
		}
	}
}

func ruleRemoval(t *document, say report) {
	for _, r := range t.each() {
		want := map[string]string{
			"AWS::S3::Bucket": "Retain", "AWS::DynamoDB::Table": "Retain", "AWS::DynamoDB::GlobalTable": "Retain", "AWS::KMS::Key": "any",
			"AWS::Logs::LogGroup": "Delete", "AWS::SQS::Queue": "any",
		}[r.Type]
		if r.Type == "AWS::KMS::Key" && t.locks(r) {
			want = "Retain"
		}
		got := r.DeletionPolicy
		switch {
		case want == "":
		case got == "" || r.UpdateReplacePolicy == "":
			say(r, "want an explicit DeletionPolicy and UpdateReplacePolicy, got %q and %q", got, r.UpdateReplacePolicy)
		case want == "Retain" && got != "Retain" && got != "RetainExceptOnCreate" || want == "Delete" && got != "Delete":
			say(r, "want %s, got %s", want, got)
		}
	}
}

// locks says whether what stays when the stack goes is encrypted with the key.
func (t *document) locks(key *resource) bool {
	return slices.ContainsFunc(t.each("AWS::S3::Bucket", "AWS::DynamoDB::Table", "AWS::DynamoDB::GlobalTable"), func(r *resource) bool {
		return slices.Contains(t.ids(r.Properties), key.id)
	})
}

var (
	secretName  = regexp.MustCompile(`(?i)(password|passwd|secret|token|api_?keys?|credentials?|private_?key)s?$`)
	secretValue = regexp.MustCompile(`AKIA[0-9A-Z]{16}|ASIA[0-9A-Z]{16}|-----BEGIN [A-Z ]*PRIVATE KEY|\beyJ[A-Za-z0-9_-]{10,}\.eyJ|\bgh[pous]_[A-Za-z0-9]{36}|\bsk-[A-Za-z0-9]{20,}`)
)

func ruleNoSecrets(t *document, say report) {
	for _, r := range t.each() {
		eachString(r.Properties, r.id, func(path, s string) {
			if m := secretValue.FindString(s); m != "" {
				say(r, "want no secret at %s, got what looks like one", path)
			}
		})
		if r.Type != "AWS::Lambda::Function" {
			continue
		}
		vars, _ := r.at("Environment", "Variables").(map[string]any)
		for name, v := range vars {
			value, secret := textOf(v), t.spec.Targets.AWSLambda.Secrets[name]
			known := strings.Contains(value, "{{resolve:") || strings.HasPrefix(value, "arn:") || secret != "" && strings.Contains(value, secret)
			if (secret != "" || secretName.MatchString(name)) && value != "" && !known {
				say(r, "want variable %s to say where the secret is, got its value", name)
			}
		}
	}
	for name, p := range t.Parameters {
		if secretName.MatchString(name) && dig(p, "Default") != nil {
			say(nil, "want no default for parameter %s, got one", name)
		}
	}
}

func ruleNewTLS(t *document, say report) {
	for _, d := range t.each("AWS::CloudFront::Distribution") {
		c := d.at("DistributionConfig")
		behaviors := append(manyOf(dig(c, "CacheBehaviors")), dig(c, "DefaultCacheBehavior"))
		for _, b := range behaviors {
			if p := dig(b, "ViewerProtocolPolicy"); p != "https-only" && p != "redirect-to-https" {
				say(d, "want https-only, got ViewerProtocolPolicy %v", p)
			}
		}
		for _, o := range manyOf(dig(c, "Origins")) {
			if p := dig(o, "CustomOriginConfig", "OriginProtocolPolicy"); dig(o, "CustomOriginConfig") != nil && p != "https-only" {
				say(d, "want https-only, got OriginProtocolPolicy %v", p)
			}
		}
	}
	for _, l := range t.each("AWS::ElasticLoadBalancingV2::Listener") {
		if p := l.at("Protocol"); p != "HTTPS" && dig(l.at("DefaultActions", "0"), "Type") != "redirect" {
			say(l, "want HTTPS, got %v", p)
		}
	}
	for _, d := range t.each("AWS::ApiGateway::DomainName", "AWS::ApiGatewayV2::DomainName") {
		if p := textOf(d.Properties["SecurityPolicy"]) + textOf(d.at("DomainNameConfigurations", "0", "SecurityPolicy")); !strings.HasPrefix(p, "TLS_1_2") && !strings.HasPrefix(p, "SecurityPolicy_TLS") {
			say(d, "want TLS 1.2, got %q", p)
		}
	}
}

func ruleClosedNetwork(t *document, say report) {
	for _, r := range t.each() {
		switch r.Type {
		case "AWS::EC2::NatGateway", "AWS::EC2::InternetGateway", "AWS::EC2::EgressOnlyInternetGateway":
			say(r, "want endpoints, got %s", r.Type)
		case "AWS::EC2::Subnet":
			if isTrue(r.at("MapPublicIpOnLaunch")) {
				say(r, "want private subnets, got MapPublicIpOnLaunch")
			}
		case "AWS::EC2::SecurityGroup":
			for _, in := range manyOf(r.at("SecurityGroupIngress")) {
				ingress(t, r, in, say)
			}
			for _, out := range manyOf(r.at("SecurityGroupEgress")) {
				if dig(out, "IpProtocol") == "-1" && (dig(out, "CidrIp") == "0.0.0.0/0" || dig(out, "CidrIpv6") == "::/0") {
					say(r, "want egress to where the function calls, got all of it")
				}
			}
		case "AWS::EC2::SecurityGroupIngress":
			ingress(t, r, r.Properties, say)
		}
	}
}

func ingress(t *document, r *resource, in any, say report) {
	if (dig(in, "CidrIp") == "0.0.0.0/0" || dig(in, "CidrIpv6") == "::/0") && !(open(t.spec) && t.spec.Targets.AWSLambda.API == "alb" && numberOf(dig(in, "FromPort")) == 443) {
		say(r, "want ingress by security group, got the whole internet")
	}
}

func ruleSmall(t *document, say report) {
	if n := len(t.Resources); n == 0 || n >= 500 {
		say(nil, "want fewer than CloudFormation's 500 resources and at least one, got %d", n)
	}
	if len(t.raw) >= 1_000_000 {
		say(nil, "want less than CloudFormation's 1 MB, got %d bytes", len(t.raw))
	}
}
