package conformance

import (
	"context"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	monitoring "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	batch "k8s.io/api/batch/v1"
	core "k8s.io/api/core/v1"
	network "k8s.io/api/networking/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	delivery "knative.dev/eventing/pkg/apis/duck/v1"
	eventing "knative.dev/eventing/pkg/apis/eventing/v1"
	"knative.dev/eventing/pkg/apis/feature"
	sinks "knative.dev/eventing/pkg/apis/sinks/v1alpha1"
	"knative.dev/pkg/apis"
	duck "knative.dev/pkg/apis/duck/v1"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
	"sigs.k8s.io/yaml"

	"godwit.dev/infra/render"
)

// built is what kustomize, the one that is in kubectl, makes of a folder: objects
// in YAML.
func built(t testing.TB, fs filesys.FileSystem, dir string) (objects [][]byte) {
	t.Helper()
	all, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(fs, dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range all.Resources() {
		text, err := r.AsYAML()
		if err != nil {
			t.Fatal(err)
		}
		objects = append(objects, text)
	}
	return objects
}

func inMemory(t testing.TB, files []render.File) filesys.FileSystem {
	t.Helper()
	fs := filesys.MakeFsInMemory()
	for _, f := range files {
		if err := fs.MkdirAll(path.Dir(f.Path)); err != nil {
			t.Fatal(err)
		}
		if err := fs.WriteFile(f.Path, f.Data); err != nil {
			t.Fatal(err)
		}
	}
	return fs
}

// one is the only object of a kind.
func one(t testing.TB, objects [][]byte, kind string) []byte {
	t.Helper()
	var found []byte
	for _, o := range objects {
		if kindOf(t, o).Kind == kind {
			if found != nil {
				t.Fatalf("two of the kind %s", kind)
			}
			found = o
		}
	}
	if found == nil {
		t.Fatalf("none of the kind %s", kind)
	}
	return found
}

func kindOf(t testing.TB, object []byte) (kind meta.TypeMeta) {
	t.Helper()
	if err := yaml.Unmarshal(object, &kind); err != nil {
		t.Fatal(err)
	}
	return kind
}

// kafkaSource is what Knative's extension for Kafka reads, whose own types no
// module proxy serves: its fields, from its reference, around Eventing's types.
type kafkaSource struct {
	meta.TypeMeta   `json:",inline"`
	meta.ObjectMeta `json:"metadata"`
	Spec            struct {
		BootstrapServers []string `json:"bootstrapServers"`
		Topics           []string `json:"topics"`
		ConsumerGroup    string   `json:"consumerGroup"`
		Consumers        *int32   `json:"consumers"`
		InitialOffset    string   `json:"initialOffset"`
		Ordering         string   `json:"ordering"`
		Net              struct {
			SASL struct {
				Enable               bool `json:"enable"`
				User, Password, Type fromSecret
			} `json:"sasl"`
			TLS struct {
				Enable            bool `json:"enable"`
				CACert, Cert, Key fromSecret
			} `json:"tls"`
		} `json:"net"`
		Delivery        *delivery.DeliverySpec `json:"delivery"`
		duck.SourceSpec `json:",inline"`
	} `json:"spec"`
}

type fromSecret struct {
	SecretKeyRef *core.SecretKeySelector `json:"secretKeyRef"`
}

func (k *kafkaSource) Validate(ctx context.Context) *apis.FieldError {
	errs := k.Spec.SourceSpec.Validate(ctx).Also(k.Spec.Delivery.Validate(ctx).ViaField("delivery"))
	if len(k.Spec.BootstrapServers) == 0 || len(k.Spec.Topics) == 0 {
		errs = errs.Also(apis.ErrMissingField("bootstrapServers", "topics"))
	}
	if o := k.Spec.InitialOffset; o != "earliest" && o != "latest" {
		errs = errs.Also(apis.ErrInvalidValue(o, "initialOffset"))
	}
	if o := k.Spec.Ordering; o != "ordered" && o != "unordered" {
		errs = errs.Also(apis.ErrInvalidValue(o, "ordering"))
	}
	return errs.ViaField("spec")
}

// eventingContext is that of an Eventing as it comes.
func eventingContext(t testing.TB) context.Context {
	t.Helper()
	flags, err := feature.NewFlagsConfigFromMap(nil)
	if err != nil {
		t.Fatal(err)
	}
	return feature.ToContext(apis.WithinCreate(context.Background()), flags)
}

// accepted is what who reads a kind says to an object: nil, or why not. Where
// the kind has defaults and a validation in Go, both are run.
func accepted(t testing.TB, object []byte, features map[string]string) error {
	t.Helper()
	strict := func(into any) error { return yaml.UnmarshalStrict(object, into) }
	checked := func(into interface {
		Validate(context.Context) *apis.FieldError
	}) error {
		if err := strict(into); err != nil {
			return err
		}
		ctx := eventingContext(t)
		if d, ok := into.(apis.Defaultable); ok {
			d.SetDefaults(ctx)
		}
		if errs := into.Validate(ctx).Filter(apis.ErrorLevel); errs != nil {
			return errs
		}
		return nil
	}
	switch kind := kindOf(t, object); kind.APIVersion + " " + kind.Kind {
	case "serving.knative.dev/v1 Service":
		return admitted(t, object, features)
	case "eventing.knative.dev/v1 Broker":
		var b eventing.Broker
		if err := strict(&b); err != nil {
			return err
		}
		if b.Annotations == nil { // the cluster's default, from config-br-defaults
			b.Annotations = map[string]string{eventing.BrokerClassAnnotationKey: "MTChannelBasedBroker"}
		}
		if errs := b.Validate(eventingContext(t)); errs != nil {
			return errs
		}
		return nil
	case "eventing.knative.dev/v1 Trigger":
		return checked(new(eventing.Trigger))
	case "sources.knative.dev/v1 KafkaSource":
		return checked(new(kafkaSource))
	case "sinks.knative.dev/v1alpha1 JobSink": // its validation asks an API server
		var s sinks.JobSink
		if err := strict(&s); err != nil {
			return err
		}
		if s.Spec.Job == nil {
			return apis.ErrMissingField("spec.job")
		}
		return nil
	case "batch/v1 Job":
		return strict(new(batch.Job))
	case "networking.k8s.io/v1 NetworkPolicy":
		return strict(new(network.NetworkPolicy))
	case "monitoring.coreos.com/v1 PodMonitor":
		return strict(new(monitoring.PodMonitor))
	case "v1 PersistentVolumeClaim":
		return strict(new(core.PersistentVolumeClaim))
	case "v1 ConfigMap":
		return strict(new(core.ConfigMap))
	case "v1 ServiceAccount":
		return strict(new(core.ServiceAccount))
	default:
		t.Fatalf("nobody knows %v", kind)
		return nil
	}
}

// kustomize builds every folder of every golden, what it makes is accepted by
// clusters with the features that its own comments name, and the Service is not
// where any one of these is off.
func TestGoldensAreAccepted(t *testing.T) {
	folders, err := filepath.Glob("../testdata/golden/*/overlays/*")
	if err != nil || len(folders) < 20 {
		t.Fatalf("%d folders, %v", len(folders), err)
	}
	kinds := map[string]bool{}
	for _, dir := range folders {
		golden, overlay := filepath.Dir(filepath.Dir(dir)), filepath.Base(dir)
		t.Run(filepath.Base(golden)+"/"+overlay, func(t *testing.T) {
			with := features(t, golden, overlay)
			objects := built(t, filesys.MakeFsOnDisk(), dir)
			for _, o := range objects {
				kind := kindOf(t, o).Kind
				kinds[kind] = true
				if err := accepted(t, o, with); err != nil {
					t.Errorf("%s: %v", kind, err)
				}
			}
			service := one(t, objects, "Service")
			for _, f := range slices.Sorted(maps.Keys(with)) {
				fewer := maps.Clone(with)
				delete(fewer, f)
				if err := admitted(t, service, fewer); err == nil {
					t.Errorf("admitted without %s, which a comment says is needed", f)
				}
			}
		})
	}
	jobs, err := filepath.Glob("../testdata/golden/*/jobs/*.yaml")
	if err != nil || len(jobs) < 2 {
		t.Fatalf("%d jobs, %v", len(jobs), err)
	}
	for _, name := range jobs {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if err := accepted(t, text, nil); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if want := "Broker ConfigMap JobSink KafkaSource NetworkPolicy PersistentVolumeClaim PodMonitor Service ServiceAccount Trigger"; strings.Join(slices.Sorted(maps.Keys(kinds)), " ") != want {
		t.Errorf("kinds %v, want %s", slices.Sorted(maps.Keys(kinds)), want)
	}
}
