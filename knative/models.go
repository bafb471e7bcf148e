package knative

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"

	"godwit.dev/infra/render"
	"godwit.dev/runtime/fault"
)

// modelsAt is where models from elsewhere are mounted, with the rest of the
// function's folder.
const modelsAt = "/models"

// volumes are the revision's, or with noted false those of Jobs, where Knative
// has no features to switch on.
func volumes(d *render.Deployment, noted bool) render.List {
	t := d.Spec.Targets.Knative
	all := render.List{render.Mapping{{"name", "tmp"}, {"emptyDir", render.Mapping{}}}}
	models := func(feature, kind string, source render.Mapping) {
		note := ""
		if noted && feature != "" {
			note = needs(feature)
		}
		all = append(all, render.Mapping{{"name", "models", note}, {kind, source}})
	}
	switch {
	case t.ModelClaim != "":
		models("kubernetes.podspec-persistent-volume-claim", "persistentVolumeClaim", render.Mapping{{"claimName", t.ModelClaim}, {"readOnly", true}})
	case t.ModelImage != "":
		models("kubernetes.podspec-volumes-image", "image", render.Mapping{{"reference", t.ModelImage}, {"pullPolicy", "IfNotPresent"}})
	case t.FetchModels:
		models("", "configMap", render.Mapping{{"name", functionName(d)}})
	}
	return all
}

func mounts(d *render.Deployment) render.List {
	t := d.Spec.Targets.Knative
	all := render.List{render.Mapping{{"name", "tmp"}, {"mountPath", "/tmp"}}}
	if t.ModelClaim != "" || t.ModelImage != "" || t.FetchModels {
		all = append(all, render.Mapping{{"name", "models"}, {"mountPath", modelsAt}, {"readOnly", true}})
	}
	return all
}

// claim is the volume that is made for models. Overlays choose its class.
func claim(d *render.Deployment) render.Mapping {
	t := d.Spec.Targets.Knative
	return render.Mapping{
		{"apiVersion", "v1", "Empty at first: docs/knative.md says how the function's folder gets into it."},
		{"kind", "PersistentVolumeClaim"},
		{"metadata", render.Mapping{{"name", t.ModelClaim}, {"labels", render.Mapping{{"app.kubernetes.io/name", d.Spec.Name}}}}},
		{"spec", render.Mapping{
			{"accessModes", render.List{"ReadWriteOnce"}},
			{"resources", render.Mapping{{"requests", render.Mapping{{"storage", render.Quantity(t.ModelStorage)}}}}},
		}},
	}
}

// function is godwit.yaml for a function that fetches its models, as a file.
func function(d *render.Deployment) ([]byte, error) {
	text, err := spelled(d)
	if err != nil {
		return nil, fault.New(fault.CodeOf(err), "knative.Render", "fetchModels", "%w", err)
	}
	b := bytes.NewBuffer(render.Document(render.Mapping{
		{"apiVersion", "v1", "The models are fetched to /tmp at every start, and checked against their sha256."},
		{"kind", "ConfigMap"},
		{"metadata", render.Mapping{{"name", functionName(d), "Of what is in it, so that a revision keeps what it began with."}, {"labels", render.Mapping{{"app.kubernetes.io/name", d.Spec.Name}}}}},
		{"immutable", true},
	}))
	b.WriteString("data:\n  godwit.yaml: |\n")
	for line := range bytes.Lines(text) {
		b.WriteString("    " + string(line))
	}
	return b.Bytes(), nil
}

// spelled is godwit.yaml as the function reads it: who gets how much traffic is
// not its affair, and must not make another revision of it.
func spelled(d *render.Deployment) ([]byte, error) {
	s, t := *d.Spec, *d.Spec.Targets.Knative
	t.Traffic = nil
	s.Targets.Knative = &t
	return s.Marshal()
}

func functionName(d *render.Deployment) string {
	text, err := spelled(d)
	if err != nil {
		return d.Spec.Name // function says why, and nothing is rendered
	}
	sum := sha256.Sum256(text)
	return d.Spec.Name + "-" + hex.EncodeToString(sum[:])[:10]
}
