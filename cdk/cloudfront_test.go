package cdk_test

import (
	"encoding/json"
	"regexp"
	"strings"
	"testing"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awscloudfront"
	"github.com/aws/aws-cdk-go/awscdk/v2/awslambda"
	"github.com/aws/jsii-runtime-go"
	"github.com/google/go-cmp/cmp"

	"godwit.dev/cdk"
)

// edge is the template of a function's URL with an edge cache in front.
func edge(t testing.TB, change func(function awslambda.Function, p *cdk.EdgeCacheProps)) map[string]any {
	t.Helper()
	stack := awscdk.NewStack(app(), jsii.String("edge"), nil)
	function := awslambda.NewFunction(stack, jsii.String("Function"), &awslambda.FunctionProps{
		Code: awslambda.Code_FromInline(jsii.String("x")), Handler: jsii.String("x"), Runtime: awslambda.Runtime_NODEJS_22_X(),
	})
	url := function.AddFunctionUrl(&awslambda.FunctionUrlOptions{AuthType: awslambda.FunctionUrlAuthType_AWS_IAM})
	p := &cdk.EdgeCacheProps{Url: url.Url(), MaxTtl: awscdk.Duration_Hours(jsii.Number(1)), Digest: jsii.String("sha256:0123")}
	change(function, p)
	cdk.NewEdgeCache(stack, "Edge", p)
	return templateOf(t, stack)
}

// within walks into maps and lists of JSON.
func within(v any, path ...any) any {
	for _, one := range path {
		switch at := one.(type) {
		case string:
			m, _ := v.(map[string]any)
			v = m[at]
		case int:
			l, _ := v.([]any)
			if at >= len(l) {
				return nil
			}
			v = l[at]
		}
	}
	return v
}

func asText(v any) string {
	b, _ := json.Marshal(v)
	return string(b)
}

func TestEdgeCacheForEverybody(t *testing.T) {
	tpl := edge(t, func(function awslambda.Function, p *cdk.EdgeCacheProps) {
		p.After = append(p.After, function)
	})
	policy := within(only(t, tpl, "AWS::CloudFront::CachePolicy"), "CachePolicyConfig")
	delete(policy.(map[string]any), "Name")
	delete(policy.(map[string]any), "Comment")
	want := map[string]any{
		"MinTTL": 0., "DefaultTTL": 0., "MaxTTL": 3600.,
		"ParametersInCacheKeyAndForwardedToOrigin": map[string]any{
			"CookiesConfig": map[string]any{"CookieBehavior": "none"}, "QueryStringsConfig": map[string]any{"QueryStringBehavior": "none"},
			"EnableAcceptEncodingBrotli": true, "EnableAcceptEncodingGzip": true,
			"HeadersConfig": map[string]any{"HeaderBehavior": "whitelist", "Headers": []any{"x-godwit-package"}},
		},
	}
	if diff := cmp.Diff(want, policy); diff != "" {
		t.Errorf("what answers are kept under (-want +got):\n%s", diff)
	}
	config := within(only(t, tpl, "AWS::CloudFront::Distribution"), "DistributionConfig")
	for path, want := range map[string]any{"ViewerProtocolPolicy": "https-only", "AllowedMethods": []any{"GET", "HEAD"}, "Compress": true, "TrustedKeyGroups": nil, "ResponseHeadersPolicyId": nil} {
		if diff := cmp.Diff(want, within(config, "DefaultCacheBehavior", path)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", path, diff)
		}
	}
	origin := within(config, "Origins", 0)
	if within(origin, "CustomOriginConfig", "OriginProtocolPolicy") != "https-only" || asText(within(origin, "CustomOriginConfig", "OriginSSLProtocols")) != `["TLSv1.2"]` || within(origin, "OriginAccessControlId") != nil {
		t.Errorf("origin %s", asText(origin))
	}
	if got := asText(within(origin, "DomainName")); !strings.Contains(got, `"Fn::Split":["/",`) || !strings.Contains(got, `FunctionUrl`) {
		t.Errorf("origin's name %s", got)
	}
	kept := map[float64]bool{}
	for i := range 6 {
		one := within(config, "CustomErrorResponses", i)
		if within(one, "ErrorCachingMinTTL") == 0. {
			code, _ := within(one, "ErrorCode").(float64)
			kept[code] = true
		}
	}
	if diff := cmp.Diff(map[float64]bool{403: true, 404: true, 500: true, 502: true, 503: true, 504: true}, kept); diff != "" {
		t.Errorf("failures that are not kept (-want +got):\n%s", diff)
	}
	if config.(map[string]any)["Logging"] != nil || config.(map[string]any)["Aliases"] != nil || config.(map[string]any)["WebACLId"] != nil {
		t.Errorf("got logs, names or a web ACL that nobody asked for: %s", asText(config))
	}
	// The digest is there when the function's new code is, and not before.
	for _, key := range resources(tpl, "AWS::CloudFront::Function") {
		if code, _ := within(key, "Properties", "FunctionCode").(string); !strings.Contains(code, "['x-godwit-package'] = {value: 'sha256:0123'}") || within(key, "Properties", "AutoPublish") != true {
			t.Errorf("key %s", asText(key))
		}
		if got := asText(key["DependsOn"]); !strings.Contains(got, `"Function`) {
			t.Errorf("the key depends on %s, want the function", got)
		}
	}
	if n := len(resources(tpl, "AWS::Lambda::Permission")); n != 0 {
		t.Errorf("%d permissions", n)
	}
}

// Where the function asks for signed requests, the distribution alone may call
// it, and whoever calls the distribution shows a signature of the key group.
func TestEdgeCacheForSome(t *testing.T) {
	tpl := edge(t, func(function awslambda.Function, p *cdk.EdgeCacheProps) {
		p.Function, p.TrustedKeyGroupId = function, jsii.String("key-group")
	})
	access := within(only(t, tpl, "AWS::CloudFront::OriginAccessControl"), "OriginAccessControlConfig")
	if within(access, "OriginAccessControlOriginType") != "lambda" || within(access, "SigningBehavior") != "always" || within(access, "SigningProtocol") != "sigv4" {
		t.Errorf("access %s", asText(access))
	}
	config := within(only(t, tpl, "AWS::CloudFront::Distribution"), "DistributionConfig")
	if asText(within(config, "DefaultCacheBehavior", "TrustedKeyGroups")) != `["key-group"]` || !strings.Contains(asText(within(config, "Origins", 0, "OriginAccessControlId")), "EdgeAccess") {
		t.Errorf("distribution %s", asText(config))
	}
	actions := map[string]string{}
	for _, r := range resources(tpl, "AWS::Lambda::Permission") {
		p := within(r, "Properties")
		action, _ := within(p, "Action").(string)
		actions[action] = asText(within(p, "FunctionUrlAuthType")) + " " + asText(within(p, "InvokedViaFunctionUrl"))
		if source := asText(within(p, "SourceArn")); within(p, "Principal") != "cloudfront.amazonaws.com" || !strings.Contains(source, `:distribution/`) || !strings.Contains(source, `EdgeDistribution`) {
			t.Errorf("permission %s", asText(p))
		}
	}
	if diff := cmp.Diff(map[string]string{"lambda:InvokeFunctionUrl": `"AWS_IAM" null`, "lambda:InvokeFunction": `null true`}, actions); diff != "" {
		t.Errorf("permissions (-want +got):\n%s", diff)
	}
}

func TestEdgeCacheWithAll(t *testing.T) {
	tpl := edge(t, func(_ awslambda.Function, p *cdk.EdgeCacheProps) {
		p.DomainName, p.CertificateArn = jsii.String("scores.example.com"), jsii.String("arn:aws:acm:us-east-1:111122223333:certificate/c")
		p.WebAclId, p.PriceClass = jsii.String("arn:aws:wafv2:us-east-1:111122223333:global/webacl/w/1"), awscloudfront.PriceClass_PRICE_CLASS_200
		p.CorsAllowOrigins, p.ReadTimeout = []string{"https://example.com"}, awscdk.Duration_Seconds(jsii.Number(42))
		p.AccessLogRetention = awscdk.Duration_Days(jsii.Number(30))
	})
	config := within(only(t, tpl, "AWS::CloudFront::Distribution"), "DistributionConfig")
	for _, want := range []struct {
		path []any
		want string
	}{
		{[]any{"Aliases", 0}, `"scores.example.com"`},
		{[]any{"ViewerCertificate"}, `{"AcmCertificateArn":"arn:aws:acm:us-east-1:111122223333:certificate/c","MinimumProtocolVersion":"TLSv1.2_2021","SslSupportMethod":"sni-only"}`},
		{[]any{"WebACLId"}, `"arn:aws:wafv2:us-east-1:111122223333:global/webacl/w/1"`},
		{[]any{"PriceClass"}, `"PriceClass_200"`},
		{[]any{"Origins", 0, "CustomOriginConfig", "OriginReadTimeout"}, "42"},
	} {
		if got := asText(within(config, want.path...)); got != want.want {
			t.Errorf("%v: got %s, want %s", want.path, got, want.want)
		}
	}
	cors := within(only(t, tpl, "AWS::CloudFront::ResponseHeadersPolicy"), "ResponseHeadersPolicyConfig", "CorsConfig")
	if asText(within(cors, "AccessControlAllowOrigins", "Items")) != `["https://example.com"]` || within(cors, "AccessControlAllowCredentials") != false {
		t.Errorf("CORS %s", asText(cors))
	}
	bucket := only(t, tpl, "AWS::S3::Bucket")
	if within(bucket, "LifecycleConfiguration", "Rules", 0, "ExpirationInDays") != 30. || asText(within(bucket, "PublicAccessBlockConfiguration")) != `{"BlockPublicAcls":true,"BlockPublicPolicy":true,"IgnorePublicAcls":true,"RestrictPublicBuckets":true}` ||
		asText(within(bucket, "OwnershipControls", "Rules", 0)) != `{"ObjectOwnership":"BucketOwnerPreferred"}` {
		t.Errorf("bucket %s", asText(bucket))
	}
	if !strings.Contains(asText(within(config, "Logging", "Bucket")), "EdgeAccessLogs") {
		t.Errorf("logs go to %s", asText(within(config, "Logging")))
	}
}

func TestEdgeCacheRefuses(t *testing.T) {
	for want, change := range map[string]func(awslambda.Function, *cdk.EdgeCacheProps){
		"Url":               func(_ awslambda.Function, p *cdk.EdgeCacheProps) { p.Url = nil },
		"MaxTtl":            func(_ awslambda.Function, p *cdk.EdgeCacheProps) { p.MaxTtl = nil },
		"Digest":            func(_ awslambda.Function, p *cdk.EdgeCacheProps) { p.Digest = jsii.String("") },
		"TrustedKeyGroupId": func(f awslambda.Function, p *cdk.EdgeCacheProps) { p.Function = f },
		"CertificateArn":    func(_ awslambda.Function, p *cdk.EdgeCacheProps) { p.DomainName = jsii.String("scores.example.com") },
	} {
		if e := refused(t, func() { edge(t, change) }); e.Subject != "Edge "+want || e.Hint == "" {
			t.Errorf("%s: %v (%s)", want, e, e.Hint)
		}
	}
}

// What godwit.yaml says of it, in front of a whole function.
func TestEdgeCacheOfASpec(t *testing.T) {
	tpl := synth(t, load(t, `targets: {awslambda: {api: url, timeout: 20s, logRetention: 90d, cors: [https://example.com], edgeCache: {maxAge: 2h, keyGroup: group, priceClass: PriceClass_All, accessLogs: true,
  domain: scores.example.com, certificate: "arn:aws:acm:us-east-1:111122223333:certificate/c", webACL: "arn:aws:wafv2:us-east-1:111122223333:global/webacl/w/1"}}}`))
	config := within(only(t, tpl, "AWS::CloudFront::Distribution"), "DistributionConfig")
	for _, want := range []struct {
		path []any
		want string
	}{
		{[]any{"Aliases"}, `["scores.example.com"]`},
		{[]any{"ViewerCertificate", "MinimumProtocolVersion"}, `"TLSv1.2_2021"`},
		{[]any{"WebACLId"}, `"arn:aws:wafv2:us-east-1:111122223333:global/webacl/w/1"`},
		{[]any{"PriceClass"}, `"PriceClass_All"`},
		{[]any{"DefaultCacheBehavior", "TrustedKeyGroups"}, `["group"]`},
		{[]any{"Origins", 0, "CustomOriginConfig", "OriginReadTimeout"}, "20"},
	} {
		if got := asText(within(config, want.path...)); got != want.want {
			t.Errorf("%v: got %s, want %s", want.path, got, want.want)
		}
	}
	if got := within(only(t, tpl, "AWS::CloudFront::CachePolicy"), "CachePolicyConfig", "MaxTTL"); got != 7200. {
		t.Errorf("kept for at most %v s", got)
	}
	if got := asText(within(config, "Origins", 0, "DomainName")); !strings.Contains(got, `FunctionUrl`) {
		t.Errorf("origin %s, want the function's URL", got)
	}
	callers := 0
	for _, r := range resources(tpl, "AWS::Lambda::Permission") {
		if within(r, "Properties", "Principal") != "cloudfront.amazonaws.com" {
			continue
		}
		callers++
		if got := asText(within(r, "Properties", "FunctionName")); !strings.Contains(got, "OnlineLive") {
			t.Errorf("CloudFront may call %s, want the alias", got)
		}
	}
	if callers != 2 {
		t.Errorf("%d permissions of CloudFront, want two", callers)
	}
	if url := only(t, tpl, "AWS::Lambda::Url"); url["AuthType"] != "AWS_IAM" {
		t.Errorf("the URL lets everybody in: %s", asText(url))
	}
	digest := regexp.MustCompile(`value: 'sha256:[0-9a-f]{64}'`)
	for _, key := range resources(tpl, "AWS::CloudFront::Function") {
		if code, _ := within(key, "Properties", "FunctionCode").(string); !digest.MatchString(code) || !strings.Contains(asText(key["DependsOn"]), "OnlineLive") {
			t.Errorf("key %s", asText(key))
		}
	}
	for _, b := range resources(tpl, "AWS::S3::Bucket") {
		if within(b, "Properties", "LifecycleConfiguration", "Rules", 0, "ExpirationInDays") != 90. {
			t.Errorf("logs %s, want them kept as long as others", asText(b))
		}
	}
	if outputs, _ := tpl["Outputs"].(map[string]any); outputs["EdgeUrl"] == nil {
		t.Error("no output EdgeUrl")
	}
	open := synth(t, load(t, "auth: none\ntargets: {awslambda: {edgeCache: {maxAge: 1h}}}"))
	config = within(only(t, open, "AWS::CloudFront::Distribution"), "DistributionConfig")
	if got := asText(within(config, "Origins", 0)); !strings.Contains(got, "OnlineHttpApi") || strings.Contains(got, "OriginAccessControlId") {
		t.Errorf("origin %s, want the HTTP API as it is", got)
	}
}
