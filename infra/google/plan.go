package google

import (
	"crypto/sha256"
	"encoding/hex"
	"maps"
	"slices"
	"strings"
	"time"

	"godwit.dev/infra/render"
	"godwit.dev/infra/spec"
)

// A plan is what stands around the service, under the names that script and
// module give it.
type plan struct {
	runs     account // what service and job run as
	pusher   account // what deliveries are made as; zero without triggers
	gateway  bool
	gate     account  // what the gateway calls as, where Cloud Run checks that
	topics   []topic  // whose messages are pushed to the service
	dead     string   // the topic for what failed for good; "" without triggers
	inbox    *bucket  // whose objects are told of; nil without that trigger
	reads    []string // buckets that the service reads; the inbox is not among them
	writes   []string // buckets that scores go to; the inbox is not among them
	publish  []string // topics of others that the service publishes to, as projects/P/topics/T
	secrets  []string // secrets that it reads
	deadline int      // seconds that a delivery has
	attempts int      // deliveries before a message is put aside
	audience string   // of the deliveries' tokens; "" for the service's URL
	checks   bool     // Cloud Run checks callers
	key      string   // CMEK; "" for Google's own
}

// An account is one to be made, or one that godwit.yaml names.
type account struct {
	id   string // the part before @; "" where it is not made here
	mail string // of one that is there; "" for one in the project
	what string // its display name
}

func (a account) there() bool { return a.mail != "" }

// A topic, and the subscription of the same name that pushes its messages.
type topic struct {
	name string
	why  string
}

// A bucket whose objects are told of.
type bucket struct {
	name   string // "" where one is made, named after project and function
	prefix string // of rows; "" for all objects
	topic  string // which it tells; "" where Eventarc does
	out    bool   // scores go there too
}

// minutes that Pub/Sub waits at most: its longest acknowledgement deadline.
const longest = 600 * time.Second

func newPlan(d *render.Deployment) (*plan, error) {
	s, t := d.Spec, d.Spec.Targets.CloudRun
	p := &plan{checks: s.Auth.Mode == "platform", key: t.EncryptionKey}
	p.runs = identity(s.Name, "-run", t.ServiceAccount, "runs "+s.Name)
	for _, v := range sorted(t.Secrets) {
		name, _, _ := strings.Cut(v.value, ":")
		p.secrets = append(p.secrets, name)
	}
	if p.gateway = t.Gateway != nil; p.gateway && p.checks {
		p.gate = identity(s.Name, "-gate", "", "calls "+s.Name+" for the gateway")
	}
	slices.Sort(p.secrets)
	p.secrets = slices.Compact(p.secrets)
	if t.Job != nil {
		p.reads, p.writes = append(p.reads, bucketOf(s.Batch.Input)), append(p.writes, bucketOf(s.Batch.Output))
	}
	if err := p.deliveries(s); err != nil {
		return nil, err
	}
	for _, all := range []*[]string{&p.reads, &p.writes, &p.publish} {
		slices.Sort(*all)
		*all = slices.Compact(*all)
	}
	return p, nil
}

// deliveries adds what triggers need.
func (p *plan) deliveries(s *spec.Spec) error {
	t := s.Targets.CloudRun
	if len(s.Triggers) == 0 {
		return nil
	}
	push := t.Push
	if push == nil {
		push = &spec.CloudRunPush{}
	}
	p.pusher = identity(s.Name, "-push", "", "delivers to "+s.Name)
	if len(push.ServiceAccounts) > 0 {
		p.pusher = account{mail: push.ServiceAccounts[0]}
	}
	p.audience, p.attempts = push.Audience, s.Batch.Attempts
	p.deadline = render.Seconds(push.AckDeadline)
	if p.deadline == 0 {
		p.deadline = int(min(longest, time.Duration(t.Timeout)) / time.Second)
	}
	p.deadline = max(10, p.deadline)
	p.dead = s.Name + "-dead"
	if _, name, ok := topicOf(push.DeadLetterTopic); ok {
		p.dead = name
		p.publish = append(p.publish, push.DeadLetterTopic)
	}
	for _, trigger := range s.Triggers {
		switch trigger {
		case "queue", "topic":
			p.topics = append(p.topics, topic{s.Name + "-" + trigger, "Requests, one a message."})
		case "objects":
			p.objects(s)
		}
	}
	if b := s.Batch; strings.HasPrefix(b.Output, "gs://") && (p.inbox == nil || bucketOf(b.Output) != p.inbox.name) {
		p.writes = append(p.writes, bucketOf(b.Output))
	}
	if split := s.Batch.Split; split != nil {
		return p.split(s, split)
	}
	return nil
}

// objects is told of by the bucket itself, which knows prefixes, or for a whole
// bucket by Eventarc, which does not.
func (p *plan) objects(s *spec.Spec) {
	in := s.Batch.Input
	p.inbox = &bucket{name: bucketOf(in), prefix: in}
	if p.inbox.name != "" {
		p.inbox.prefix = strings.TrimPrefix(strings.TrimPrefix(in, "gs://"+p.inbox.name), "/")
	}
	p.inbox.prefix = strings.TrimPrefix(p.inbox.prefix, "./")
	out := bucketOf(s.Batch.Output)
	p.inbox.out = !strings.HasPrefix(s.Batch.Output, "gs://") || out == p.inbox.name
	if p.inbox.prefix != "" || p.inbox.out {
		p.inbox.topic = s.Name + "-objects"
		p.topics = append(p.topics, topic{p.inbox.topic, "What the bucket tells of new objects."})
	}
}

// split sends the parts of large objects to the topic that triggers the function.
func (p *plan) split(s *spec.Spec, split *spec.Split) error {
	rest, ok := strings.CutPrefix(split.Queue, "https://pubsub.googleapis.com/")
	_, name, _ := topicOf(rest)
	if !ok || !topicName().MatchString(rest) {
		return bad("batch.split.queue", "want https://pubsub.googleapis.com/projects/P/topics/T, got %q", split.Queue)
	}
	i := slices.IndexFunc(p.topics, func(t topic) bool { return t.name == s.Name+"-queue" })
	if i < 0 {
		return bad("triggers", "want queue, whose messages the parts of objects are, got %s", strings.Join(s.Triggers, ", ")).WithHint("Add queue to triggers.")
	}
	p.topics[i] = topic{name, "Parts of large objects, and requests, one a message."}
	p.publish = append(p.publish, rest)
	return nil
}

// identity is the account that is named, or one of the function's own. An id
// has 6 to 30 letters, so a long name is cut and told from others by its hash.
func identity(function, suffix, named, what string) account {
	switch {
	case strings.Contains(named, "@"):
		return account{mail: named}
	case named != "":
		return account{mail: named + "@PROJECT_ID.iam.gserviceaccount.com"}
	}
	id := function + suffix
	if len(id) < 6 {
		id = function + "-fn" + suffix
	}
	if len(id) > 30 {
		sum := sha256.Sum256([]byte(function))
		keep := 30 - len(suffix) - 7
		id = strings.TrimRight(function[:keep], "-") + "-" + hex.EncodeToString(sum[:3]) + suffix
	}
	return account{id: id, what: what}
}

// email is the account's address; project is what stands for the project there.
func (a account) email(project string) string {
	if a.there() {
		return strings.Replace(a.mail, "@PROJECT_ID.", "@"+project+".", 1)
	}
	return a.id + "@" + project + ".iam.gserviceaccount.com"
}

// bucketOf is the bucket of a gs:// URL, or "".
func bucketOf(place string) string {
	rest, ok := strings.CutPrefix(place, "gs://")
	if !ok {
		return ""
	}
	name, _, _ := strings.Cut(rest, "/")
	return name
}

// topicOf parts projects/P/topics/T.
func topicOf(name string) (project, topic string, ok bool) {
	parts := strings.Split(name, "/")
	if len(parts) != 4 || parts[0] != "projects" || parts[2] != "topics" {
		return "", "", false
	}
	return parts[1], parts[3], true
}

// A pair is one name and value.
type pair struct{ name, value string }

func sorted(all map[string]string) (pairs []pair) {
	for _, k := range slices.Sorted(maps.Keys(all)) {
		pairs = append(pairs, pair{k, all[k]})
	}
	return pairs
}
