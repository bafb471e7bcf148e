package spec

import (
	"strings"
	"testing"
)

func TestKnativeRefused(t *testing.T) {
	const batch = "batch: {input: a/, output: b/}\n"
	tests := []struct{ name, rest, keys, want string }{
		{"shares without a second one", "", "traffic: {canary: 20%}", "targets.knative.traffic.stable: want the revision that gets the other 80%"},
		{"a revision of another service", "", "traffic: {stable: other-1}", `targets.knative.traffic.stable: want a revision of m, whose name begins with "m-"`},
		{"a revision without its own part", "", "traffic: {stable: m-}", "targets.knative.traffic.stable"},
		{"a job of nothing", "", "job: {}", "targets.knative.job: a job scores what lies below batch.input"},
		{"more at a time than there are", batch, "job: {tasks: 2, parallelism: 3}", "targets.knative.job.parallelism: want at most tasks 2, got 3"},
		{"half a certificate", batch + "triggers: [stream]\n", "kafka: {bootstrapServers: ['k:1'], topics: [a], tls: {cert: a/b}}", "targets.knative.kafka.tls: want cert and key"},
		{"the class of a Broker that is there", batch + "triggers: [events]\n", "events: {broker: b, brokerClass: Kafka, deadLetter: 'ksvc:d'}", "targets.knative.events.brokerClass: only for a Broker that is made"},
		{"no dead letters", batch + "triggers: [events]\n", "events: {}", `key "deadLetter" is missing`},
		{"a sink without a kind", batch + "triggers: [events]\n", "events: {deadLetter: letters}", "targets.knative.events.deadLetter: want a sink"},
		{"a store beside godwit.yaml", "", "store: lake", "targets.knative.store: want a URL"},
		{"an identity of no cloud", "", "identity: a", "targets.knative.identity: want a cluster"},
		{"an identity of K3s", "", "cluster: k3s, identity: a", "targets.knative.identity: want a cluster"},
		{"models twice", "", "modelClaim: a, modelImage: b", "targets.knative.modelImage: want modelClaim or modelImage, got both"},
		{"a size of nothing", "", "modelStorage: 1GiB", "targets.knative.modelStorage: want the name of the claim"},
		{"models from two places", "", "fetchModels: true, modelClaim: a", "targets.knative.fetchModels: want models from one place"},
		{"models from nowhere", "", "fetchModels: true", `targets.knative.fetchModels: want models behind URLs, got "m.onnx"`},
		{"a folder that is not fetched", "handler: mine\n", "fetchModels: true", `targets.knative.fetchModels: want no handler`},
		{"a server without its port", batch + "triggers: [stream]\n", "kafka: {bootstrapServers: [k], topics: [a]}", "targets.knative.kafka.bootstrapServers[0]: want a broker as HOST:PORT"},
		{"a Secret without its key", batch + "triggers: [stream]\n", "kafka: {bootstrapServers: ['k:1'], topics: [a], sasl: {user: a, password: a/b}}", "targets.knative.kafka.sasl.user: want a key of a Secret as NAME/KEY"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Parse(FileName, []byte("model: m.onnx\n"+tt.rest+"targets: {knative: {"+tt.keys+"}}\n"))
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}

func TestKnativeTraffic(t *testing.T) {
	for keys, want := range map[string]KnativeTraffic{
		"traffic: {}":                         {Canary: 100},
		"traffic: {stable: m-1}":              {Stable: "m-1"},
		"traffic: {stable: m-1, canary: 20%}": {Stable: "m-1", Canary: 20},
	} {
		s, err := Parse(FileName, []byte("model: m.onnx\ntargets: {knative: {"+keys+"}}\n"))
		if err != nil {
			t.Errorf("%s: %v", keys, err)
		} else if got := *s.Targets.Knative.Traffic; got != want {
			t.Errorf("%s: got %+v, want %+v", keys, got, want)
		}
	}
}
