package cdk_test

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"

	"godwit.dev/infra/spec"
)

func ruleNoInlinePolicies(t *document, say report) {
	for _, r := range t.each() {
		switch r.Type {
		case "AWS::IAM::Policy", "AWS::IAM::RolePolicy", "AWS::IAM::UserPolicy", "AWS::IAM::GroupPolicy":
			say(r, "want managed policies only, got an inline one")
		case "AWS::IAM::User", "AWS::IAM::AccessKey", "AWS::IAM::Group":
			say(r, "want roles only, got %s", r.Type)
		case "AWS::IAM::Role":
			if len(manyOf(r.at("Policies"))) > 0 {
				say(r, "want managed policies only, got Policies in the role")
			}
			for _, arn := range manyOf(r.at("ManagedPolicyArns")) {
				if t.the(arn) == nil {
					say(r, "want policies of this stack, got %s", textOf(arn))
				}
			}
		}
	}
}

func ruleNoWildcardActions(t *document, say report) {
	for _, s := range append(t.identities(), t.resourced()...) {
		if !s.allow {
			continue
		}
		for _, key := range []string{"NotAction", "NotResource", "NotPrincipal"} {
			if s.raw[key] != nil {
				say(s.owner, "%q: want what is allowed, got %s, which allows all else", s.sid, key)
			}
		}
		for _, a := range s.actions {
			if strings.ContainsAny(a, "*?") && !slices.Contains(wildcards(s), listed(s, a, "*")) {
				say(s.owner, "%q: want actions by name, got %s", s.sid, a)
			}
		}
	}
}

// A role is given what it needs; which of that has a wildcard is in
// testdata/wildcards.txt, statement by statement.
func ruleOnlyListedWildcards(t *document, say report) {
	for _, s := range append(t.identities(), t.resourced()...) {
		for _, w := range wildcards(s) {
			if _, ok := allowed()[w]; !ok {
				say(s.owner, "not in testdata/wildcards.txt: %s", w)
			}
		}
	}
}

// wildcards are the lines that a statement needs in testdata/wildcards.txt.
func wildcards(s policyStatement) []string {
	if !s.allow {
		return nil // takes away: the wider the better
	}
	var all []string
	for _, one := range s.resources {
		resource := textOf(one)
		if !strings.ContainsAny(resource, "*?") {
			continue
		}
		if s.owner.Type == "AWS::KMS::Key" && resource == "*" && !slices.ContainsFunc(s.actions, func(a string) bool { return strings.ContainsAny(a, "*?") }) {
			continue // in a key's policy * is this key
		}
		for _, a := range s.actions {
			all = append(all, listed(s, a, resource))
		}
	}
	return all
}

var variable = regexp.MustCompile(`\$\{([A-Za-z0-9]+?)[0-9A-F]{8}(\.[A-Za-z]+)?\}`)

// ownName is a name that begins with the stack's.
var ownName = regexp.MustCompile(`:[a-z0-9-]+?-(batch|rollout|online)-[0-9a-f]{8}-`)

func listed(s policyStatement, action, resource string) string {
	sid := s.sid
	if sid == "" {
		sid = "-"
	}
	resource = variable.ReplaceAllString(resource, "$${$1$2}")
	resource = ownName.ReplaceAllString(resource, ":NAME-$1-")
	return strings.Join([]string{plain(s.owner.id), sid, action, resource}, " ")
}

// allowed is testdata/wildcards.txt: "role sid action resource", and above
// them why.
var allowed = sync.OnceValue(func() map[string]string {
	b, err := os.ReadFile("testdata/wildcards.txt")
	if err != nil {
		panic(err)
	}
	all := map[string]string{}
	var why string
	for line := range strings.Lines(string(b)) {
		line = strings.TrimSpace(line)
		if comment, ok := strings.CutPrefix(line, "#"); ok {
			why = strings.TrimSpace(comment)
		} else if line != "" {
			all[line] = why
		}
	}
	return all
})

func ruleNamedPrincipals(t *document, say report) {
	for _, r := range t.each("AWS::IAM::Role") {
		for _, s := range statementsOf(r, r.at("AssumeRolePolicyDocument")) {
			for _, p := range s.principals {
				if !strings.HasPrefix(p, "Service ") {
					say(r, "want a service of AWS to take the role, got %s", p)
				}
			}
			if len(s.principals) == 0 {
				say(r, "want a service of AWS to take the role, got nobody that could be read")
			}
		}
	}
	for _, s := range t.resourced() {
		if !s.allow {
			continue
		}
		for _, p := range s.principals {
			switch {
			case p == "*":
				say(s.owner, "%q: want a principal by name, got everybody", s.sid)
			case strings.HasPrefix(p, "Service ") && len(s.condition) == 0:
				say(s.owner, "%q: want a condition on whose behalf %s comes, got none", s.sid, p)
			}
		}
	}
}

// open says that requests must reach the function without IAM: everybody may
// call, or the function itself checks keys and tokens.
func open(s *spec.Spec) bool { return s.Auth.Mode != "platform" }

func rulePrivateUnlessAsked(t *document, say report) {
	for _, r := range t.each() {
		switch r.Type {
		case "AWS::Lambda::Url":
			if auth := r.at("AuthType"); auth != "AWS_IAM" && !open(t.spec) {
				say(r, "want AuthType AWS_IAM, got %v", auth)
			}
		case "AWS::Lambda::Permission":
			who := textOf(r.at("Principal"))
			switch {
			case who == "*" && open(t.spec) && (r.at("FunctionUrlAuthType") == "NONE" || isTrue(r.at("InvokedViaFunctionUrl"))):
			case who == "*":
				say(r, "want a principal by name, got everybody")
			case r.at("SourceArn") == nil && r.at("SourceAccount") == nil && r.at("PrincipalOrgID") == nil:
				say(r, "want SourceArn, on whose behalf %s calls, got none", who)
			}
		case "AWS::ApiGatewayV2::Route":
			preflight := strings.HasPrefix(textOf(r.at("RouteKey")), "OPTIONS ") && len(t.spec.Targets.AWSLambda.CORS) > 0
			if auth := textOf(r.at("AuthorizationType")); auth != "AWS_IAM" && !preflight && !(open(t.spec) && slices.Contains([]string{"", "NONE", "JWT"}, auth)) {
				say(r, "want AuthorizationType AWS_IAM for %v, got %q", r.at("RouteKey"), auth)
			}
		case "AWS::ApiGatewayV2::Api":
			if r.at("Target") != nil || r.at("Body") != nil {
				say(r, "want each route as a resource, got some within the API, where no rule sees them")
			}
		case "AWS::ApiGateway::RestApi":
			if r.at("Body") != nil || r.at("BodyS3Location") != nil {
				say(r, "want each method as a resource, got some within the API, where no rule sees them")
			}
			for _, s := range statementsOf(r, r.at("Policy")) {
				if s.allow && slices.Contains(s.principals, "*") && !open(t.spec) {
					say(r, "want no policy that allows everybody, got one")
				}
			}
		case "AWS::ApiGateway::Method":
			preflight := r.at("HttpMethod") == "OPTIONS" && r.at("Integration", "Type") == "MOCK" && len(t.spec.Targets.AWSLambda.CORS) > 0
			if auth := r.at("AuthorizationType"); auth != "AWS_IAM" && !open(t.spec) && !preflight {
				say(r, "want AuthorizationType AWS_IAM for %v, got %v", r.at("HttpMethod"), auth)
			}
		case "AWS::ElasticLoadBalancingV2::LoadBalancer":
			if scheme := r.at("Scheme"); scheme != "internal" && !open(t.spec) {
				say(r, "want Scheme internal, got %v", scheme)
			}
		case "AWS::CloudFront::Distribution":
			for _, b := range append(manyOf(r.at("DistributionConfig", "CacheBehaviors")), r.at("DistributionConfig", "DefaultCacheBehavior")) {
				if len(manyOf(dig(b, "TrustedKeyGroups"))) == 0 && !open(t.spec) {
					say(r, "want a key group, whose signatures let callers in, got a distribution that everybody may call")
				}
			}
		case "AWS::S3::Bucket":
			if r.at("AccessControl") != nil || r.at("WebsiteConfiguration") != nil {
				say(r, "want no access control list and no website, got %v and %v", r.at("AccessControl"), r.at("WebsiteConfiguration"))
			}
		case "AWS::SageMaker::NotebookInstance", "AWS::EC2::EIP", "AWS::Cognito::IdentityPool":
			say(r, "want nothing that faces the internet, got %s", r.Type)
		}
	}
}
