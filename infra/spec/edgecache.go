package spec

import "strings"

// EdgeCache puts Amazon CloudFront in front of the function for inference
// requests that are made with GET, whose answers it keeps. Anything else goes to
// the function's own API.
type EdgeCache struct {
	MaxAge              Duration // how long an answer is kept, there and by callers
	KeyGroup            string   // CloudFront's key group whose signed URLs and cookies let viewers in; "" lets everybody in
	Domain, Certificate string   // a name of one's own, and its certificate's ARN in us-east-1; "" is CloudFront's
	WebACL              string   // ARN of a web ACL for CloudFront; "" is none
	PriceClass          string   // "PriceClass_100", "PriceClass_200" or "PriceClass_All": where answers are kept
	AccessLogs          bool     // whether CloudFront writes access logs, which hold each request's values
}

func (e *EdgeCache) keys() []key {
	return []key{
		{name: "maxAge", to: duration(&e.MaxAge, 1*second, 365*day, second), doc: "How long an answer is kept.", required: true},
		{name: "keyGroup", to: text(&e.KeyGroup, rule{what: "the id of a key group", typ: "id", pattern: `^[A-Za-z0-9-]{1,64}$`}), doc: "The CloudFront key group whose signed URLs and cookies let viewers in. Needed with `auth: platform`."},
		{name: "domain", to: text(&e.Domain, rule{what: "a domain name such as scores.example.com", typ: "name", max: 253, pattern: `^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z]{2,63}$`}), doc: "A name of your own, with its certificate. Without, callers may use TLS 1.0 and 1.1 too: CloudFront has no choice for its own name.", shown: "CloudFront's"},
		{name: "certificate", to: text(&e.Certificate, rule{what: "the ARN of a certificate in us-east-1", typ: "ARN", pattern: `^arn:[a-z-]+:acm:us-east-1:[0-9]{12}:certificate/[A-Za-z0-9-]+$`}), doc: "The certificate of the domain."},
		{name: "webACL", to: text(&e.WebACL, rule{what: "the ARN of a web ACL for CloudFront", typ: "ARN", pattern: `^arn:[a-z-]+:wafv2:us-east-1:[0-9]{12}:global/webacl/[^\s"/]+/[A-Za-z0-9-]+$`}), doc: "A web ACL of AWS WAF, which is made for CloudFront."},
		{name: "priceClass", to: oneOf(&e.PriceClass, "PriceClass_100", "PriceClass_200", "PriceClass_All"), doc: "Where answers are kept: North America and Europe; also Asia, the Middle East and Africa; everywhere.", why: "the cheapest"},
		{name: "accessLogs", to: flag(&e.AccessLogs), doc: "Keep CloudFront's access logs in a bucket. They hold each request's path, and that is its values."},
	}
}

func (e *EdgeCache) setDefaults(d *defaults) { set(d, "priceClass", &e.PriceClass, "PriceClass_100") }

// check notes where answers that are kept would be wrong, or anybody's.
func (e *EdgeCache) check(d *decoder, path string, api string, s *Spec) {
	note := func(key, hint, format string, args ...any) {
		p := path
		if key != "" {
			p = join(path, key)
		}
		d.add(d.where(p), p, hint, format, args...)
	}
	switch auth := s.Auth.Mode; {
	case auth == "key" || auth == "jwt":
		note("", "Say auth: platform with api: url and a keyGroup, or leave edgeCache out; models.cache keeps answers behind the check.",
			"auth: %s is checked in the function, and CloudFront answers without asking it", auth)
	case auth == "platform" && api != "url":
		note("", "Say api: url.", "want api url with auth: platform, since CloudFront can sign requests to a function URL only, got %s", api)
	case auth == "platform" && e.KeyGroup == "":
		note("", "Add keyGroup: with the id of a CloudFront key group, or say auth: none if everybody may call.",
			"auth: platform needs a keyGroup: CloudFront signs what it passes on, and would do so for everybody")
	case auth == "none" && e.KeyGroup != "":
		note("keyGroup", "Say auth: platform with api: url, so that nobody gets around CloudFront.", "auth: none lets everybody call the function itself")
	case auth == "none" && api != "url" && api != "http":
		note("", "Say api: http or api: url.", "want api http or url, got %s", api)
	}
	if s.Handler != "" {
		note("", "Leave edgeCache out.", "what a handler answers may depend on more than the request")
	}
	if s.Compliance == "hipaa" {
		note("", "Leave edgeCache out; models.cache keeps answers in the function's memory.", "compliance: hipaa does not go with it: the values of a request are in its path, which logs and caches hold")
	}
	if (e.Domain == "") != (e.Certificate == "") {
		note("", "Give both, or neither.", "want a domain with its certificate, got one of them")
	}
	if e.Domain != "" && strings.HasSuffix(e.Domain, ".cloudfront.net") {
		note("domain", "Leave it out for CloudFront's own name.", "want a domain of your own, got %s", quote(e.Domain))
	}
}
