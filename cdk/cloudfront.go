package cdk

import (
	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awscertificatemanager"
	"github.com/aws/aws-cdk-go/awscdk/v2/awscloudfront"
	"github.com/aws/aws-cdk-go/awscdk/v2/awscloudfrontorigins"
	"github.com/aws/aws-cdk-go/awscdk/v2/awslambda"
	"github.com/aws/aws-cdk-go/awscdk/v2/awss3"
	"github.com/aws/aws-cdk-go/awscdk/v2/interfaces/interfacesawscloudfront"
	"github.com/aws/constructs-go/constructs/v10"
	"github.com/aws/jsii-runtime-go"

	"godwit.dev/infra/spec"
	"godwit.dev/runtime/fault"
)

// EdgeCacheProps is a CloudFront distribution that keeps the answers to requests
// made with GET, under CloudFront's names.
type EdgeCacheProps struct {
	// Url is where the function is asked: of an HTTP API or a function URL. Required.
	Url *string
	// Function is whose URL it is, where only the distribution may call it: its
	// requests are signed, and no other's need be let in. nil signs nothing.
	Function awslambda.IFunction
	// MaxTtl is the longest that an answer is kept; how long it is the function
	// says with each. Required.
	MaxTtl awscdk.Duration
	// Digest is of the package. Answers of another one are not found: it is part
	// of what they are kept under. Required.
	Digest *string
	// After is what answers with that package: until it does, nothing is kept
	// under its digest.
	After []constructs.IDependable
	// TrustedKeyGroupId is the key group whose signed URLs and cookies let
	// viewers in; nil lets everybody in.
	TrustedKeyGroupId *string
	ReadTimeout       awscdk.Duration // nil: 30 s; CloudFront has at most 60 s
	DomainName        *string         // a name of one's own; nil: CloudFront's
	CertificateArn    *string         // of it, in us-east-1
	WebAclId          *string         // ARN; nil: none
	PriceClass        awscloudfront.PriceClass
	CorsAllowOrigins  []string // nil: none
	// AccessLogRetention keeps access logs in a bucket for that long. They hold
	// each request's path, and that is its values. nil: none are written.
	AccessLogRetention awscdk.Duration
}

// EdgeCache keeps answers near callers. Its fields may be read after it was made.
type EdgeCache struct {
	constructs.Construct
	Distribution awscloudfront.Distribution
	LogBucket    awss3.Bucket // nil: no access logs
	Url          *string      // where callers ask, without a slash at its end
}

// edgeCacheProps is what godwit.yaml says of it; nil for none.
func edgeCacheProps(f *Function, o *OnlineFunction) *EdgeCacheProps {
	t := f.Spec.Targets.AWSLambda
	e := t.EdgeCache
	if e == nil {
		return nil
	}
	p := &EdgeCacheProps{
		Url: o.Url, MaxTtl: seconds(e.MaxAge), Digest: jsii.String(packageDigest(f)), After: []constructs.IDependable{o.Construct},
		ReadTimeout:       seconds(min(t.Timeout, spec.Duration(60*1e9))),
		TrustedKeyGroupId: nonempty(e.KeyGroup), DomainName: nonempty(e.Domain), CertificateArn: nonempty(e.Certificate), WebAclId: nonempty(e.WebACL),
		CorsAllowOrigins: t.CORS,
		PriceClass: map[string]awscloudfront.PriceClass{
			"PriceClass_100": awscloudfront.PriceClass_PRICE_CLASS_100, "PriceClass_200": awscloudfront.PriceClass_PRICE_CLASS_200, "PriceClass_All": awscloudfront.PriceClass_PRICE_CLASS_ALL,
		}[e.PriceClass],
	}
	if f.Spec.Auth.Mode == "platform" {
		p.Function = o.Function
		if o.Alias != nil {
			p.Function = o.Alias
		}
	}
	if e.AccessLogs {
		p.AccessLogRetention = seconds(t.LogRetention)
	}
	return p
}

// addEdge puts CloudFront in front where godwit.yaml asks for it.
func (s *Stack) addEdge(f *Function) {
	p := edgeCacheProps(f, s.Online)
	if p == nil {
		return
	}
	s.Edge = NewEdgeCache(s.Stack, "Edge", p)
	awscdk.NewCfnOutput(s.Stack, jsii.String("EdgeUrl"), &awscdk.CfnOutputProps{
		Description: jsii.String("Where GET /v2/models/MODEL/infer/REQUEST is answered, from what is kept if it can be."), Value: s.Edge.Url,
	})
}

func nonempty(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// NewEdgeCache makes the distribution.
func NewEdgeCache(scope constructs.Construct, id string, p *EdgeCacheProps) *EdgeCache {
	p.check(id)
	e := &EdgeCache{Construct: constructs.NewConstruct(scope, jsii.String(id))}
	behavior := &awscloudfront.BehaviorOptions{
		Origin:               e.origin(p),
		AllowedMethods:       awscloudfront.AllowedMethods_ALLOW_GET_HEAD(),
		CachedMethods:        awscloudfront.CachedMethods_CACHE_GET_HEAD(),
		ViewerProtocolPolicy: awscloudfront.ViewerProtocolPolicy_HTTPS_ONLY,
		Compress:             jsii.Bool(true),
		CachePolicy: awscloudfront.NewCachePolicy(e.Construct, jsii.String("CachePolicy"), &awscloudfront.CachePolicyProps{
			Comment: jsii.String("The path is the request. What says nothing of keeping is not kept."),
			MinTtl:  awscdk.Duration_Seconds(jsii.Number(0)), DefaultTtl: awscdk.Duration_Seconds(jsii.Number(0)), MaxTtl: p.MaxTtl,
			HeaderBehavior:             awscloudfront.CacheHeaderBehavior_AllowList(jsii.String(packageHeader)),
			QueryStringBehavior:        awscloudfront.CacheQueryStringBehavior_None(),
			CookieBehavior:             awscloudfront.CacheCookieBehavior_None(),
			EnableAcceptEncodingGzip:   jsii.Bool(true),
			EnableAcceptEncodingBrotli: jsii.Bool(true),
		}),
		FunctionAssociations: &[]*awscloudfront.FunctionAssociation{{EventType: awscloudfront.FunctionEventType_VIEWER_REQUEST, Function: e.key(p)}},
	}
	if p.TrustedKeyGroupId != nil {
		group := awscloudfront.KeyGroup_FromKeyGroupId(e.Construct, jsii.String("KeyGroup"), p.TrustedKeyGroupId)
		behavior.TrustedKeyGroups = &[]interfacesawscloudfront.IKeyGroupRef{group}
	}
	if len(p.CorsAllowOrigins) > 0 {
		behavior.ResponseHeadersPolicy = awscloudfront.NewResponseHeadersPolicy(e.Construct, jsii.String("Headers"), &awscloudfront.ResponseHeadersPolicyProps{
			CorsBehavior: &awscloudfront.ResponseHeadersCorsBehavior{
				AccessControlAllowCredentials: jsii.Bool(false), AccessControlAllowHeaders: jsii.Strings("*"), AccessControlAllowMethods: jsii.Strings("GET", "HEAD"),
				AccessControlAllowOrigins: jsii.Strings(p.CorsAllowOrigins...), OriginOverride: jsii.Bool(true),
			},
		})
	}
	props := &awscloudfront.DistributionProps{
		Comment: jsii.String(id + " keeps answers of " + *awscdk.Stack_Of(e.Construct).StackName()), DefaultBehavior: behavior,
		HttpVersion: awscloudfront.HttpVersion_HTTP2_AND_3, EnableIpv6: jsii.Bool(true), PriceClass: p.PriceClass, WebAclId: p.WebAclId,
		// What failed is not kept for the ten seconds that CloudFront would.
		ErrorResponses: &[]*awscloudfront.ErrorResponse{},
	}
	for _, status := range []float64{403, 404, 500, 502, 503, 504} {
		*props.ErrorResponses = append(*props.ErrorResponses, &awscloudfront.ErrorResponse{HttpStatus: jsii.Number(status), Ttl: awscdk.Duration_Seconds(jsii.Number(0))})
	}
	if p.DomainName != nil {
		props.DomainNames = &[]*string{p.DomainName}
		props.Certificate = awscertificatemanager.Certificate_FromCertificateArn(e.Construct, jsii.String("Certificate"), p.CertificateArn)
		props.MinimumProtocolVersion = awscloudfront.SecurityPolicyProtocol_TLS_V1_2_2021
		props.SslSupportMethod = awscloudfront.SSLMethod_SNI
	}
	if p.AccessLogRetention != nil {
		e.makeLogBucket(p)
		props.EnableLogging, props.LogBucket = jsii.Bool(true), e.LogBucket
	}
	e.Distribution = awscloudfront.NewDistribution(e.Construct, jsii.String("Distribution"), props)
	e.letIn(p)
	name := e.Distribution.DistributionDomainName()
	if p.DomainName != nil {
		name = p.DomainName
	}
	e.Url = awscdk.Fn_Join(jsii.String(""), &[]*string{jsii.String("https://"), name})
	return e
}

// check panics where props contradict each other.
func (p *EdgeCacheProps) check(id string) {
	refuse := func(prop, hint, format string, args ...any) {
		panic(fault.New(fault.BadConfig, "cdk.NewEdgeCache", id+" "+prop, format, args...).WithHint("%s", hint))
	}
	switch {
	case p.Url == nil:
		refuse("Url", "Give an HTTP API or a function URL.", "want the address of the function, got none")
	case p.MaxTtl == nil:
		refuse("MaxTtl", "Give the longest that an answer is kept.", "want a time, got none")
	case p.Digest == nil || *p.Digest == "":
		refuse("Digest", "Give the digest of the package.", "want a digest, got none: after a deployment the old answers would be given")
	case p.Function != nil && p.TrustedKeyGroupId == nil:
		refuse("TrustedKeyGroupId", "Give a key group, or leave Function out if everybody may call.", "want a key group: CloudFront would sign requests of everybody")
	case (p.DomainName == nil) != (p.CertificateArn == nil):
		refuse("CertificateArn", "Give both, or neither.", "want a domain with its certificate, got one of them")
	}
}

// origin is the function's API, over TLS 1.2, with signed requests where it asks
// for them.
func (e *EdgeCache) origin(p *EdgeCacheProps) awscloudfront.IOrigin {
	props := &awscloudfrontorigins.HttpOriginProps{
		ProtocolPolicy:     awscloudfront.OriginProtocolPolicy_HTTPS_ONLY,
		OriginSslProtocols: &[]awscloudfront.OriginSslPolicy{awscloudfront.OriginSslPolicy_TLS_V1_2},
		ReadTimeout:        p.ReadTimeout,
	}
	if p.Function != nil {
		props.OriginAccessControlId = awscloudfront.NewFunctionUrlOriginAccessControl(e.Construct, jsii.String("Access"), nil).OriginAccessControlId()
	}
	// https://HOST, and what may follow it.
	host := awscdk.Fn_Select(jsii.Number(2), awscdk.Fn_Split(jsii.String("/"), p.Url, nil))
	return awscloudfrontorigins.NewHttpOrigin(host, props)
}

// letIn permits the distribution, and no other, to call the function's URL.
func (e *EdgeCache) letIn(p *EdgeCacheProps) {
	if p.Function == nil {
		return
	}
	arn := awscdk.Stack_Of(e.Construct).FormatArn(&awscdk.ArnComponents{
		Service: jsii.String("cloudfront"), Region: jsii.String(""), Resource: jsii.String("distribution"), ResourceName: e.Distribution.DistributionId(),
	})
	awslambda.NewCfnPermission(e.Construct, jsii.String("CallUrl"), &awslambda.CfnPermissionProps{
		Action: jsii.String("lambda:InvokeFunctionUrl"), FunctionName: p.Function.FunctionArn(), Principal: jsii.String("cloudfront.amazonaws.com"),
		FunctionUrlAuthType: jsii.String("AWS_IAM"), SourceArn: arn,
	})
	// Lambda asks for both.
	awslambda.NewCfnPermission(e.Construct, jsii.String("CallFunction"), &awslambda.CfnPermissionProps{
		Action: jsii.String("lambda:InvokeFunction"), FunctionName: p.Function.FunctionArn(), Principal: jsii.String("cloudfront.amazonaws.com"),
		InvokedViaFunctionUrl: true, SourceArn: arn,
	})
}

// packageHeader is part of what an answer is kept under.
const packageHeader = "x-godwit-package"

// key says which package a request is for, whatever the viewer says. It changes
// when the new package answers, and not before: otherwise old answers would be
// kept under its digest.
func (e *EdgeCache) key(p *EdgeCacheProps) awscloudfront.Function {
	code := "function handler(event) {\n" +
		"  event.request.headers['" + packageHeader + "'] = {value: '" + *p.Digest + "'};\n" +
		"  return event.request;\n" +
		"}\n"
	key := awscloudfront.NewFunction(e.Construct, jsii.String("Key"), &awscloudfront.FunctionProps{
		Code: awscloudfront.FunctionCode_FromInline(jsii.String(code)), Runtime: awscloudfront.FunctionRuntime_JS_2_0(),
		Comment: jsii.String("Which package a kept answer is of."),
	})
	for _, one := range p.After {
		key.Node().AddDependency(one)
	}
	return key
}

// makeLogBucket makes a bucket that CloudFront writes its access logs to, which
// it does by an access control list.
func (e *EdgeCache) makeLogBucket(p *EdgeCacheProps) {
	e.LogBucket = awss3.NewBucket(e.Construct, jsii.String("AccessLogs"), &awss3.BucketProps{
		Encryption: awss3.BucketEncryption_S3_MANAGED, BlockPublicAccess: awss3.BlockPublicAccess_BLOCK_ALL(), EnforceSSL: jsii.Bool(true),
		ObjectOwnership: awss3.ObjectOwnership_BUCKET_OWNER_PREFERRED, Versioned: jsii.Bool(true), RemovalPolicy: awscdk.RemovalPolicy_RETAIN,
		LifecycleRules: &[]*awss3.LifecycleRule{{
			Id: jsii.String("Expire"), Expiration: p.AccessLogRetention, NoncurrentVersionExpiration: awscdk.Duration_Days(jsii.Number(1)),
			AbortIncompleteMultipartUploadAfter: awscdk.Duration_Days(jsii.Number(1)),
		}},
	})
}
