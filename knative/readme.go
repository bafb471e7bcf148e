package knative

import (
	"bytes"
	"fmt"
	"strings"

	"godwit.dev/infra/render"
)

func readme(d *render.Deployment) []byte {
	s, t := d.Spec, d.Spec.Targets.Knative
	var b bytes.Buffer
	fmt.Fprintf(&b, "# %s on Knative\n\nRendered by godwit from godwit.yaml and the package %s. Change godwit.yaml and render again rather than these files.\n\n", s.Name, d.Digest)
	line := func(command, why string) { fmt.Fprintf(&b, "    %-54s # %s\n", command, why) }
	if t.Namespace != "default" {
		line("kubectl create namespace "+t.Namespace, "unless it is there")
	}
	for _, one := range secrets(t) {
		line(fmt.Sprintf("kubectl -n %s get secret %s", t.Namespace, one.secret), fmt.Sprintf("has to have the key %s, for %s", one.key, one.variable))
	}
	line("kubectl diff -k "+Overlay(d), "what would change")
	line("kubectl apply -k "+Overlay(d), "")
	line(fmt.Sprintf("kubectl -n %s wait --for=condition=Ready --timeout=%s ksvc/%s", t.Namespace, render.InSeconds(t.ProgressDeadline), s.Name), "")
	line(fmt.Sprintf("URL=$(kubectl -n %s get ksvc %s -o jsonpath={.status.url})", t.Namespace, s.Name), "")
	line("curl $URL/v2/health/ready", "")
	if r := d.Request; r != nil {
		as := map[string]string{"key": ` -H "x-api-key: $KEY"`, "jwt": ` -H "authorization: Bearer $TOKEN"`}[s.Auth.Mode]
		line(fmt.Sprintf("curl $URL/v2/models/%s/infer%s -d @%s", r.Model, as, render.Shell(r.Path)), "in the function's folder")
	}
	line("kubectl delete -k "+Overlay(d), "teardown; claims and secrets stay")
	if flags := flags(d); len(flags) > 0 {
		fmt.Fprintf(&b, "\nThe cluster has to allow what these files use, in the ConfigMap config-features of the namespace knative-serving:\n\n")
		for _, f := range flags {
			fmt.Fprintf(&b, "    kubectl -n knative-serving patch configmap config-features --type merge -p '{\"data\":{\"%s\":\"enabled\"}}'\n", f)
		}
	}
	if t.ModelClaim != "" {
		fmt.Fprintf(&b, "\nThe claim %s holds the function's folder: godwit.yaml and the models that it names. It is read only.\n", t.ModelClaim)
	}
	if t.Mesh != "none" {
		fmt.Fprintf(&b, "\nThe mesh (%s) has to let nobody reach a pod unchecked; its policies are not in these files.\n", t.Mesh)
	}
	fmt.Fprintf(&b, "\nThe same with kn:\n\n    %s\n\nkn has no flag for %s.\n", strings.ReplaceAll(KnLine(d), "\n", "\n    "), and(KnCannot(d)))
	return tidy(b.Bytes())
}

// flags are the cluster's features that the files use and that are off as it comes.
func flags(d *render.Deployment) (all []string) {
	t := d.Spec.Targets.Knative
	if len(t.NodeSelector) > 0 {
		all = append(all, "kubernetes.podspec-nodeselector")
	}
	if t.RuntimeClass != "" {
		all = append(all, "kubernetes.podspec-runtimeclassname")
	}
	if t.ModelClaim != "" {
		all = append(all, "kubernetes.podspec-persistent-volume-claim")
	}
	return all
}

func and(all []string) string {
	last := len(all) - 1
	return strings.Join(all[:last], ", ") + " and " + all[last]
}

// tidy takes away comments that say nothing.
func tidy(text []byte) []byte {
	var b bytes.Buffer
	for line := range bytes.Lines(text) {
		if before, ok := bytes.CutSuffix(bytes.TrimRight(line, "\n"), []byte(" # ")); ok {
			line = append(bytes.TrimRight(before, " "), '\n')
		}
		b.Write(line)
	}
	return b.Bytes()
}
