package knative

import (
	"fmt"
	"slices"
	"strings"

	"godwit.dev/infra/render"
	"godwit.dev/infra/spec"
)

// sinkKinds are the sinks that kn names, and some more, by what stands before the colon.
var sinkKinds = map[string][2]string{
	"ksvc":      {"serving.knative.dev/v1", "Service"},
	"broker":    {"eventing.knative.dev/v1", "Broker"},
	"channel":   {"messaging.knative.dev/v1", "Channel"},
	"jobsink":   {"sinks.knative.dev/v1alpha1", "JobSink"},
	"kafkasink": {"eventing.knative.dev/v1alpha1", "KafkaSink"},
}

// brokered reports whether events come through a Broker, and streamed whether
// they come from Kafka.
func brokered(s *spec.Spec) bool {
	return slices.ContainsFunc(s.Triggers, func(t string) bool { return t == "events" || t == "objects" || t == "topic" })
}

func streamed(s *spec.Spec) bool { return slices.Contains(s.Triggers, "stream") }

// eventing is what brings events to the function: files of the base.
func eventing(d *render.Deployment) (files []render.File) {
	s, t := d.Spec, d.Spec.Targets.Knative
	add := func(name string, m render.Mapping) {
		files = append(files, render.File{Path: "base/" + name, Data: render.Document(m)})
	}
	if t.Events == nil {
		return nil
	}
	if brokered(s) {
		if t.Events.Broker == "" {
			add("broker.yaml", broker(d))
		}
		add("trigger.yaml", trigger(d))
	}
	if streamed(s) {
		add("kafkasource.yaml", kafkaSource(d))
	}
	if t.Events.JobSink {
		add("jobsink.yaml", jobSink(d))
	}
	return files
}

// brokerName is the Broker's, which is made or there.
func brokerName(s *spec.Spec) string {
	if name := s.Targets.Knative.Events.Broker; name != "" {
		return name
	}
	return s.Name
}

func named(d *render.Deployment) render.Mapping {
	return render.Mapping{{"name", d.Spec.Name}, {"labels", render.Mapping{{"app.kubernetes.io/name", d.Spec.Name}}}}
}

func broker(d *render.Deployment) render.Mapping {
	meta := named(d)
	if class := d.Spec.Targets.Knative.Events.BrokerClass; class != "" {
		meta.Add("annotations", render.Mapping{{"eventing.knative.dev/broker.class", class}})
	}
	return render.Mapping{
		{"apiVersion", "eventing.knative.dev/v1", "Sources send their events here, and the function's answers come here again,\nas events of the type dev.godwit.answer."},
		{"kind", "Broker"},
		{"metadata", meta},
		{"spec", render.Mapping{{"delivery", delivery(d, false), "For Triggers that say nothing of it."}}},
	}
}

func trigger(d *render.Deployment) render.Mapping {
	var m render.Mapping
	m.Add("broker", brokerName(d.Spec))
	if f := d.Spec.Targets.Knative.Events.Filter; len(f) > 0 {
		m.Add("filter", render.Mapping{{"attributes", render.Texts(f)}})
	}
	m.Add("subscriber", subscriber(d))
	m.Add("delivery", delivery(d, true))
	return render.Mapping{
		{"apiVersion", "eventing.knative.dev/v1"},
		{"kind", "Trigger"},
		{"metadata", named(d)},
		{"spec", m},
	}
}

// subscriber is who gets the events.
func subscriber(d *render.Deployment) render.Mapping {
	kind := sinkKinds["ksvc"]
	if d.Spec.Targets.Knative.Events.JobSink {
		kind = sinkKinds["jobsink"]
	}
	return render.Mapping{{"ref", render.Mapping{{"apiVersion", kind[0]}, {"kind", kind[1]}, {"name", d.Spec.Name}}}}
}

// delivery is how often, how fast and to whom in the end. A JobSink answers at
// once, and its Jobs are tried again by Kubernetes.
func delivery(d *render.Deployment, timed bool) render.Mapping {
	e := d.Spec.Targets.Knative.Events
	m := render.Mapping{
		{"retry", d.Spec.Batch.Attempts - 1},
		{"backoffPolicy", e.BackoffPolicy},
		{"backoffDelay", iso(e.BackoffDelay)},
	}
	if timed && !e.JobSink {
		m.Add("timeout", iso(d.Spec.Batch.Timeout))
	}
	m.Add("deadLetterSink", sink(e.DeadLetter), "What failed for good, and what was tried in vain.")
	return m
}

// sink is a destination by kn's name of it.
func sink(name string) render.Mapping {
	before, after, _ := strings.Cut(name, ":")
	kind, ok := sinkKinds[before]
	if !ok {
		return render.Mapping{{"uri", name}}
	}
	return render.Mapping{{"ref", render.Mapping{{"apiVersion", kind[0]}, {"kind", kind[1]}, {"name", after}}}}
}

// iso is d as ISO 8601 has it, in whole seconds.
func iso(d spec.Duration) string { return fmt.Sprintf("PT%dS", render.Seconds(d)) }

func kafkaSource(d *render.Deployment) render.Mapping {
	k, b := d.Spec.Targets.Knative.Kafka, d.Spec.Batch
	var m render.Mapping
	m.Add("bootstrapServers", list(k.BootstrapServers))
	m.Add("topics", list(k.Topics))
	m.Add("consumerGroup", consumerGroup(d.Spec))
	m.Add("consumers", k.Consumers)
	m.Add("initialOffset", k.InitialOffset)
	if b.Order == "none" {
		m.Add("ordering", "unordered")
	} else {
		m.Add("ordering", "ordered", "A record is delivered when the one before it was, in each partition.")
	}
	var net render.Mapping
	if k.SASL != nil {
		sasl := render.Mapping{{"enable", true}, {"user", keyOf(k.SASL.User)}, {"password", keyOf(k.SASL.Password)}}
		if k.SASL.Mechanism != "" {
			sasl.Add("type", keyOf(k.SASL.Mechanism))
		}
		net.Add("sasl", sasl)
	}
	if k.TLS != nil {
		tls := render.Mapping{{"enable", true}}
		for _, one := range []pair{{"caCert", k.TLS.CA, ""}, {"cert", k.TLS.Cert, ""}, {"key", k.TLS.Key, ""}} {
			if one.value != "" {
				tls.Add(one.name, keyOf(one.value))
			}
		}
		net.Add("tls", tls)
	}
	if len(net) > 0 {
		m.Add("net", net)
	}
	m.Add("sink", subscriber(d))
	m.Add("delivery", delivery(d, true))
	return render.Mapping{
		{"apiVersion", "sources.knative.dev/v1", "Needs Knative's extension for Kafka (eventing-kafka-broker) in the cluster."},
		{"kind", "KafkaSource"},
		{"metadata", named(d)},
		{"spec", m},
	}
}

func consumerGroup(s *spec.Spec) string {
	if g := s.Targets.Knative.Kafka.ConsumerGroup; g != "" {
		return g
	}
	return s.Name
}

// keyOf is a reference to a key of a Secret, from NAME/KEY.
func keyOf(ref string) render.Mapping {
	return render.Mapping{{"secretKeyRef", secretKeyRef(ref)}}
}

func secretKeyRef(ref string) render.Mapping {
	name, key, _ := strings.Cut(ref, "/")
	return render.Mapping{{"name", name}, {"key", key}}
}

func list(all []string) (l render.List) {
	for _, one := range all {
		l = append(l, one)
	}
	return l
}

// kafkaSecrets are the keys that a KafkaSource needs, and what for.
func kafkaSecrets(k *spec.KnativeKafka) (all []secret) {
	of := func(what, ref string) {
		if name, key, ok := strings.Cut(ref, "/"); ok {
			all = append(all, secret{"Kafka's " + what, name, key})
		}
	}
	if k.SASL != nil {
		of("user", k.SASL.User)
		of("password", k.SASL.Password)
		of("mechanism", k.SASL.Mechanism)
	}
	if k.TLS != nil {
		of("authority", k.TLS.CA)
		of("certificate", k.TLS.Cert)
		of("key", k.TLS.Key)
	}
	return all
}
