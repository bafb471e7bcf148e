package spec

// KnativeTraffic is which revision gets which share of the requests.
type KnativeTraffic struct {
	Stable string  // the revision that gets the rest; "" is none
	Canary Percent // of the revision that is rendered
}

func (t *KnativeTraffic) keys() []key {
	name := rule{what: "a revision's name of lower-case letters, digits and '-'", typ: "name", pattern: `^[a-z]([a-z0-9-]{0,61}[a-z0-9])?$`}
	return []key{
		{name: "stable", to: text(&t.Stable, name), doc: "The revision that gets the other requests.", shown: "none: the new one gets all"},
		{name: "canary", to: percent(&t.Canary, 0, 100), doc: "The share of requests for the revision that is rendered; 0% is reached by its tag alone.", why: "a revision is tried at its own address first", shown: "0% beside a stable revision, else 100%"},
	}
}

// KnativeEvents is how Eventing delivers. Field names are those of a Trigger and
// of its delivery; how often and for how long batch says.
type KnativeEvents struct {
	Broker        string            // "" makes one that is called as the function
	BrokerClass   string            // of the one that is made; "" is the cluster's
	Filter        map[string]string // attributes and their values; nil takes all
	DeadLetter    string            // as kn names sinks: "ksvc:NAME", or a URL
	BackoffPolicy string            // "exponential" or "linear"
	BackoffDelay  Duration
	JobSink       bool // each event is scored by a Job of its own
}

func (e *KnativeEvents) keys() []key {
	name := rule{what: "a Broker's name of lower-case letters, digits and '-'", typ: "name", pattern: `^[a-z]([a-z0-9-]{0,61}[a-z0-9])?$`}
	class := rule{what: "a Broker's class such as MTChannelBasedBroker or Kafka", typ: "name", pattern: `^[A-Za-z][A-Za-z0-9._-]*$`, max: 63}
	attribute := rule{what: "a CloudEvents attribute of lower-case letters and digits, first a letter", typ: "name", pattern: `^[a-z][a-z0-9]*$`, max: 63}
	sink := rule{what: "a sink such as ksvc:NAME, broker:NAME, channel:NAME, jobsink:NAME, kafkasink:NAME or an http:// or https:// URL", typ: "sink",
		pattern: `^((ksvc|broker|channel|jobsink|kafkasink):[a-z0-9]([a-z0-9.-]*[a-z0-9])?|https?://[^\s"'\x60$\\]+)$`}
	return []key{
		{name: "broker", to: text(&e.Broker, name), doc: "The Broker whose events are taken, which is there already.", shown: "one is made, called as the function"},
		{name: "brokerClass", to: text(&e.BrokerClass, class), doc: "The class of the Broker that is made.", shown: "the cluster's"},
		{name: "filter", to: textMap{p: &e.Filter, key: attribute, value: freeText("an attribute's value")}, doc: "Attributes, and the values that an event must have to be taken.", shown: "all events"},
		{name: "deadLetter", to: text(&e.DeadLetter, sink), doc: "Who gets what failed for good, as kn names sinks.", required: true},
		{name: "backoffPolicy", to: oneOf(&e.BackoffPolicy, "exponential", "linear"), doc: "How the wait grows from one delivery to the next.", why: "what is overloaded gets time"},
		{name: "backoffDelay", to: duration(&e.BackoffDelay, second, 1*hour, second), doc: "The first wait; then twice, four times and so on, or with linear twice, three times.", why: "a pod that starts takes about as long"},
		{name: "jobSink", to: flag(&e.JobSink), doc: "Start a Job for each event, by a JobSink, instead of sending it to the service: for objects that take longer than a request may."},
	}
}

// KnativeKafka is a KafkaSource. Field names are its own.
type KnativeKafka struct {
	BootstrapServers, Topics []string
	ConsumerGroup            string // "" is the function's name
	InitialOffset            string // "earliest" or "latest"
	Consumers                int
	SASL                     *KafkaSASL
	TLS                      *KafkaTLS // nil speaks in the clear
}

// KafkaSASL and KafkaTLS name keys of Secrets, as NAME/KEY.
type (
	KafkaSASL struct{ User, Password, Mechanism string }
	KafkaTLS  struct{ CA, Cert, Key string } // CA "" trusts what the system does
)

func secretKeyRule() rule {
	return rule{what: "a key of a Secret as NAME/KEY", typ: "NAME/KEY", pattern: `^[a-z0-9]([a-z0-9.-]*[a-z0-9])?/[A-Za-z0-9._-]+$`, max: 507}
}

func (k *KnativeKafka) keys() []key {
	server := rule{what: "a broker as HOST:PORT", typ: "HOST:PORT", pattern: `^[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?:[0-9]{1,5}$`, max: 260}
	topic := rule{what: "a topic of letters, digits, '.', '_' and '-'", typ: "topic", pattern: `^[A-Za-z0-9._-]+$`, max: 249}
	return []key{
		{name: "bootstrapServers", to: texts{&k.BootstrapServers, server}, doc: "The first brokers to ask.", required: true},
		{name: "topics", to: texts{&k.Topics, topic}, doc: "The topics that are read.", required: true},
		{name: "consumerGroup", to: text(&k.ConsumerGroup, topic), doc: "The group whose offsets are kept; it cannot be changed afterwards.", shown: "the function's name"},
		{name: "initialOffset", to: oneOf(&k.InitialOffset, "earliest", "latest"), doc: "Where a new group begins.", why: "what was written before is another job"},
		{name: "consumers", to: integer(&k.Consumers, 1, 1000), doc: "Consumers of the group; partitions bound them.", why: "one delivery at a time for each partition is enough to begin with"},
		{name: "sasl", to: object[KafkaSASL](&k.SASL), doc: "Who it is, from a Secret.", shown: "nobody"},
		{name: "tls", to: object[KafkaTLS](&k.TLS), doc: "TLS to the brokers; {} trusts the authorities that the system does.", shown: "none"},
	}
}

func (s *KafkaSASL) keys() []key {
	ref := secretKeyRule()
	return []key{
		{name: "user", to: text(&s.User, ref), doc: "The user.", required: true},
		{name: "password", to: text(&s.Password, ref), doc: "The password.", required: true},
		{name: "mechanism", to: text(&s.Mechanism, ref), doc: "The mechanism: PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512.", shown: "PLAIN"},
	}
}

func (t *KafkaTLS) keys() []key {
	ref := secretKeyRule()
	return []key{
		{name: "ca", to: text(&t.CA, ref), doc: "The authority that has signed the brokers' certificates.", shown: "those of the system"},
		{name: "cert", to: text(&t.Cert, ref), doc: "Our own certificate."},
		{name: "key", to: text(&t.Key, ref), doc: "Its key."},
	}
}

// KnativeJob is an indexed Job that scores all below batch.input.
type KnativeJob struct{ Tasks, Parallelism, MaxRetries int }

func (j *KnativeJob) keys() []key {
	return []key{
		{name: "tasks", to: integer(&j.Tasks, 1, 10000), doc: "Tasks that share the work.", why: "splitting is asked for by number"},
		{name: "parallelism", to: integer(&j.Parallelism, 1, 10000), doc: "Tasks at a time.", why: "all at once", shown: "tasks"},
		{name: "maxRetries", to: integer(&j.MaxRetries, 0, 10), doc: "How often a failed task is tried again.", why: "as Cloud Run has it"},
	}
}

// KnativeMonitor is a PodMonitor.
type KnativeMonitor struct {
	Namespace string            // that Prometheus runs in
	Labels    map[string]string // that the Prometheus selects PodMonitors by; nil for none
	Token     string            // NAME/KEY of a Secret; "" sends none
}

func (m *KnativeMonitor) keys() []key {
	label := rule{what: "a Kubernetes label", typ: "name", pattern: `^[A-Za-z0-9]([A-Za-z0-9_./-]*[A-Za-z0-9])?$`, max: 317}
	namespace := rule{what: "a namespace of lower-case letters, digits and '-'", typ: "name", pattern: `^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`}
	return []key{
		{name: "namespace", to: text(&m.Namespace, namespace), doc: "The namespace that Prometheus runs in, which may reach /metrics.", required: true},
		{name: "labels", to: textMap{p: &m.Labels, key: label, value: label}, doc: "Labels by which the Prometheus finds its PodMonitors, such as release."},
		{name: "token", to: text(&m.Token, secretKeyRule()), doc: "What is sent as a bearer token, with auth: key or jwt.", shown: "none"},
	}
}
