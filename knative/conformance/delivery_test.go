package conformance

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cloudevents/sdk-go/v2/binding"
	ce "github.com/cloudevents/sdk-go/v2/event"
	cehttp "github.com/cloudevents/sdk-go/v2/protocol/http"
	"github.com/google/go-cmp/cmp"
	otelmetric "go.opentelemetry.io/otel/metric/noop"
	oteltrace "go.opentelemetry.io/otel/trace/noop"
	"go.uber.org/zap"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	eventing "knative.dev/eventing/pkg/apis/eventing/v1"
	"knative.dev/eventing/pkg/broker"
	"knative.dev/eventing/pkg/broker/filter"
	"knative.dev/eventing/pkg/client/clientset/versioned/fake"
	"knative.dev/eventing/pkg/client/informers/externalversions"
	"knative.dev/eventing/pkg/eventingtls"
	"knative.dev/eventing/pkg/kncloudevents"
	"knative.dev/pkg/apis"
	duck "knative.dev/pkg/apis/duck/v1"
	"sigs.k8s.io/yaml"

	adapter "godwit.dev/adapters/knative"
	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/trigger"
)

// addressable is a server's root.
func addressable(t *testing.T, url string) duck.Addressable {
	t.Helper()
	u, err := apis.ParseURL(url)
	if err != nil {
		t.Fatal(err)
	}
	return duck.Addressable{URL: u}
}

// inbox is a sink that keeps what it gets.
func inbox(t *testing.T) (duck.Addressable, *[]ce.Event) {
	t.Helper()
	var all []ce.Event // one at a time: the dispatcher waits for each
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		event, err := binding.ToEvent(r.Context(), cehttp.NewMessageFromHttpRequest(r))
		if err != nil {
			t.Errorf("a sink got no event: %v", err)
			return
		}
		all = append(all, *event)
		w.WriteHeader(http.StatusAccepted)
	}))
	t.Cleanup(s.Close)
	return addressable(t, s.URL), &all
}

// Eventing's own Broker, its dispatcher and its filter, delivers to the function
// by the Trigger that is rendered: what it takes for an answer, for a failure
// that may pass, for one that stays, and where each goes.
func TestBrokerDelivers(t *testing.T) {
	text, err := os.ReadFile("../testdata/golden/events/base/trigger.yaml")
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name, id, kind, source string
		calls                  int32
		replies, dead          []string // types, or ids with the code
	}{
		{"an answer", "1", "com.example.rows", "/rows", 1, []string{"dev.godwit.answer"}, nil},
		{"nothing to answer", "nothing", "com.example.rows", "/rows", 1, nil, nil},
		{"of another type", "1", "com.example.other", "/rows", 0, nil, nil},
		{"failed for good", "fail-invalid", "com.example.rows", "/rows", 1, nil, []string{"fail-invalid 400"}},
		{"too large", "fail-too_large", "com.example.rows", "/rows", 1, nil, []string{"fail-too_large 413"}},
		{"a full queue that stays full", "fail-rate_limited", "com.example.rows", "/rows", 6, nil, []string{"fail-rate_limited 429"}},
		{"away for long", "fail-unavailable", "com.example.rows", "/rows", 6, nil, []string{"fail-unavailable 503"}},
		{"away for a while", "twice-unavailable", "com.example.rows", "/rows", 3, []string{"dev.godwit.answer"}, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var calls atomic.Int32
			function := httptest.NewServer(adapter.New(http.NotFoundHandler(), trigger.HandlerFunc(func(_ context.Context, ev *trigger.Event) []trigger.Outcome {
				n := calls.Add(1)
				before, code, fails := strings.Cut(ev.Items[0].ID, "-")
				if fails && (before == "fail" || n < 3) {
					for _, c := range fault.Codes() {
						if c.String() == code {
							return []trigger.Outcome{trigger.Of(fault.New(c, "test", "", "told to"))}
						}
					}
				}
				if !ev.Replies {
					t.Error("a Broker passes answers on, and did not say so")
				}
				if ev.Items[0].ID == "nothing" {
					return []trigger.Outcome{{State: trigger.Done}}
				}
				return []trigger.Outcome{{State: trigger.Done, Result: []byte(`{"outputs":[]}`)}}
			}), &adapter.Options{Source: "/godwit/fraud"}))
			defer function.Close()
			var tr eventing.Trigger
			if err := yaml.UnmarshalStrict(text, &tr); err != nil {
				t.Fatal(err)
			}
			tr.Namespace, tr.UID = "default", "uid"
			tr.Status.SubscriberURI = addressable(t, function.URL).URL
			filtering := httptest.NewServer(brokerFilter(t, &tr))
			defer filtering.Close()

			retries, err := kncloudevents.RetryConfigFromDeliverySpec(*tr.Spec.Delivery)
			if err != nil {
				t.Fatal(err)
			}
			retries.Backoff = func(int, *http.Response) time.Duration { return 0 } // the test does not wait
			replies, replied := inbox(t)
			letters, dead := inbox(t)
			event := ce.New()
			event.SetID(tt.id)
			event.SetType(tt.kind)
			event.SetSource(tt.source)
			if err := event.SetData("application/json", []byte(`{"inputs":[]}`)); err != nil {
				t.Fatal(err)
			}
			if err := broker.SetTTL(event.Context, 255); err != nil {
				t.Fatal(err)
			}
			dispatcher := kncloudevents.NewDispatcher(eventingtls.ClientConfig{}, nil)
			if _, err := dispatcher.SendEvent(t.Context(), event, addressable(t, filtering.URL+"/triggers/default/"+tr.Name+"/uid"),
				kncloudevents.WithReply(&replies), kncloudevents.WithDeadLetterSink(&letters), kncloudevents.WithRetryConfig(&retries)); err != nil {
				t.Error(err)
			}
			var types, failed []string
			for _, e := range *replied {
				types = append(types, e.Type())
				if ttl, err := broker.GetTTL(e.Context); err != nil || ttl != 255 || e.Source() != "/godwit/fraud" || e.Validate() != nil {
					t.Errorf("the answer %v (%v)", e, err)
				}
			}
			for _, e := range *dead {
				code, _ := e.Extensions()["knativeerrorcode"].(string)
				failed = append(failed, e.ID()+" "+code)
				if string(e.Data()) != `{"inputs":[]}` {
					t.Errorf("the dead letter has %s", e.Data())
				}
			}
			if calls.Load() != tt.calls {
				t.Errorf("delivered %d times, want %d", calls.Load(), tt.calls)
			}
			if diff := cmp.Diff([][]string{tt.replies, tt.dead}, [][]string{types, failed}); diff != "" {
				t.Errorf("answers and dead letters (-want +got):\n%s", diff)
			}
			// An answer that comes round to us again is taken, and nothing more.
			for _, e := range *replied {
				if err := broker.SetTTL(e.Context, 254); err != nil {
					t.Fatal(err)
				}
				tr.Spec.Filter = nil
				before := calls.Load()
				info, err := dispatcher.SendEvent(t.Context(), e, addressable(t, filtering.URL+"/triggers/default/"+tr.Name+"/uid"), kncloudevents.WithReply(&replies))
				if err != nil || info.ResponseCode != http.StatusAccepted || calls.Load() != before {
					t.Errorf("our own answer: %+v, %v", info, err)
				}
			}
		})
	}
}

// brokerFilter is the Broker's filter, in front of the subscriber of tr.
func brokerFilter(t *testing.T, tr *eventing.Trigger) http.Handler {
	t.Helper()
	all := externalversions.NewSharedInformerFactory(fake.NewSimpleClientset(), 0)
	triggers, brokers := all.Eventing().V1().Triggers(), all.Eventing().V1().Brokers()
	if err := triggers.Informer().GetStore().Add(tr); err != nil {
		t.Fatal(err)
	}
	if err := brokers.Informer().GetStore().Add(&eventing.Broker{ObjectMeta: meta.ObjectMeta{Name: tr.Spec.Broker, Namespace: tr.Namespace}}); err != nil {
		t.Fatal(err)
	}
	h, err := filter.NewHandler(zap.NewNop(), nil, nil, triggers, brokers, all.Messaging().V1().Subscriptions(), nil,
		func(ctx context.Context) context.Context { return ctx }, otelmetric.NewMeterProvider(), oteltrace.NewTracerProvider())
	if err != nil {
		t.Fatal(err)
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h.ServeHTTP(w, r)
		_, _ = io.Copy(io.Discard, r.Body)
	})
}
