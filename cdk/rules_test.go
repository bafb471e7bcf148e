package cdk_test

import (
	"fmt"
	"slices"
)

// A rule is what no golden file can bless: it looks at one template and says
// what is wrong with it. TestRulesSeeWhatIsBroken breaks each of them.
type rule struct {
	name  string
	check func(*document, report)
}

// report takes what a rule says of a resource, or of the whole template where it is nil.
type report func(r *resource, format string, args ...any)

// rules are all of them; findings runs them.
var rules = []rule{
	{"inline", ruleNoInlinePolicies}, {"action", ruleNoWildcardActions}, {"resource", ruleOnlyListedWildcards}, {"trust", ruleNamedPrincipals},
	{"public", rulePrivateUnlessAsked}, {"queue", ruleQueues}, {"redrive", ruleDeadLetters}, {"alarm", ruleAlarms}, {"bucket", ruleBuckets}, {"topic", ruleTopics}, {"table", ruleTables},
	{"key", ruleCustomerKey}, {"log", ruleLogs}, {"trace", ruleNoBodiesInLogs}, {"time", ruleTimeouts}, {"partial", rulePartialResponses}, {"visible", ruleVisibility},
	{"runtime", ruleRuntimes}, {"memory", ruleMemory}, {"custom", ruleNoCustomResources}, {"removal", ruleRemoval}, {"secret", ruleNoSecrets}, {"tls", ruleNewTLS},
	{"network", ruleClosedNetwork}, {"size", ruleSmall}, {"arrive", ruleArrives},
}

// findings is what rules say of a template, as "rule id: what", sorted.
func findings(t *document) []string {
	var all []string
	for _, r := range rules {
		r.check(t, func(res *resource, format string, args ...any) {
			id := "template"
			if res != nil {
				id = plain(res.id)
			}
			all = append(all, r.name+" "+id+": "+fmt.Sprintf(format, args...))
		})
	}
	slices.Sort(all)
	return slices.Compact(all)
}
