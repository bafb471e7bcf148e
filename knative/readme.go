package knative

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"godwit.dev/infra/render"
	"godwit.dev/runtime/lazy"
)

func readme(d *render.Deployment) []byte {
	s, t := d.Spec, d.Spec.Targets.Knative
	var b bytes.Buffer
	fmt.Fprintf(&b, "# %s on Knative\n\nRendered by godwit from godwit.yaml and the package %s. Change godwit.yaml and render again rather than these files.\n\n", s.Name, d.Digest)
	line := func(command, why string) { fmt.Fprintf(&b, "    %-54s # %s\n", command, why) }
	if t.Namespace != "default" {
		line("kubectl create namespace "+t.Namespace, "unless it is there")
	}
	needed := secrets(t)
	if k := t.Kafka; k != nil {
		needed = append(needed, kafkaSecrets(k)...)
	}
	if t.Monitor != nil && t.Monitor.Token != "" {
		name, key, _ := strings.Cut(t.Monitor.Token, "/")
		needed = append(needed, secret{"Prometheus", name, key})
	}
	for i, one := range needed {
		if slices.ContainsFunc(needed[:i], func(s secret) bool { return s.secret == one.secret }) {
			continue
		}
		var keys []string
		for _, s := range needed[i:] {
			if key := s.key + ", for " + s.variable; s.secret == one.secret && !slices.Contains(keys, key) {
				keys = append(keys, key)
			}
		}
		line(fmt.Sprintf("kubectl -n %s get secret %s", t.Namespace, one.secret), "has to have the key "+strings.Join(keys, "; the key "))
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
	if t.Job != nil {
		line("kubectl create -f jobs/score.yaml", "score all below "+s.Batch.Input)
	}
	stays := "teardown; claims and secrets stay"
	if t.ModelStorage > 0 {
		stays = "teardown, of the models in the claim as well; secrets stay"
	}
	line("kubectl delete -k "+Overlay(d), stays)
	sendEvent(&b, d)
	shareTraffic(&b, d)
	otherClusters(&b, d)
	if flags := flags(d); len(flags) > 0 {
		fmt.Fprintf(&b, "\nThe cluster has to allow what these files use, in the ConfigMap config-features of the namespace knative-serving:\n\n")
		for _, f := range flags {
			fmt.Fprintf(&b, "    kubectl -n knative-serving patch configmap config-features --type merge -p '{\"data\":{\"%s\":\"enabled\"}}'\n", f)
		}
	}
	switch {
	case t.ModelClaim != "" && t.ModelStorage > 0:
		fmt.Fprintf(&b, "\nThe claim %s is made empty; the function starts when its folder is in it: godwit.yaml and the models that it names. To the function it is read only.\n", t.ModelClaim)
	case t.ModelClaim != "":
		fmt.Fprintf(&b, "\nThe claim %s holds the function's folder: godwit.yaml and the models that it names. It is read only.\n", t.ModelClaim)
	case t.ModelImage != "":
		fmt.Fprintf(&b, "\nThe image %s is mounted as a volume (Kubernetes 1.33): its root is the function's folder, godwit.yaml and the models that it names.\n", t.ModelImage)
	case t.FetchModels:
		fmt.Fprint(&b, "\nThe models are fetched from their URLs at every start, to /tmp, and checked against their sha256.\n")
	}
	if t.Mesh != "none" {
		fmt.Fprintf(&b, "\nThe mesh (%s) has to let nobody reach a pod unchecked; its policies are not in these files.\n", t.Mesh)
	}
	fmt.Fprintf(&b, "\nThe same Service with kn:\n\n    %s\n\nThis line leaves out %s.\n", strings.ReplaceAll(KnLine(d), "\n", "\n    "), and(KnCannot(d)))
	if t.ModelClaim != "" {
		fmt.Fprintf(&b, "A claim that could be written is refused unless the cluster has %s enabled, so that this line needs it and the files do not.\n", claimWrite)
	}
	return tidy(b.Bytes())
}

// sendEvent is how one event is sent, to see what comes of it.
func sendEvent(b *bytes.Buffer, d *render.Deployment) {
	s, t := d.Spec, d.Spec.Targets.Knative
	if t.Events == nil || !brokered(s) {
		return
	}
	kind := "dev.example.rows"
	if f := t.Events.Filter["type"]; f != "" {
		kind = f
	}
	file := "FILE" // there is no recorded request to send
	if d.Request != nil {
		file = d.Request.Path
	}
	fmt.Fprintf(b, `
An event to the Broker, from within the cluster:

    kubectl -n %[1]s run send --rm -i --restart=Never --image=curlimages/curl -- -sS -d @- \
      -H 'content-type: application/json' -H 'ce-specversion: 1.0' -H 'ce-id: 1' -H 'ce-source: /by-hand' -H %[5]s \
      "$(kubectl -n %[1]s get broker %[2]s -o jsonpath={.status.address.url})" <%[3]s
    kubectl -n %[1]s get trigger %[4]s
`, t.Namespace, brokerName(s), render.Shell(file), s.Name, render.Shell("ce-type: "+kind))
}

// shareTraffic is how the traffic is moved, and back.
func shareTraffic(b *bytes.Buffer, d *render.Deployment) {
	s, t := d.Spec, d.Spec.Targets.Knative
	if t.Traffic == nil {
		return
	}
	name := RevisionName(d)
	fmt.Fprintf(b, "\nThis revision is %s.", name)
	if t.Traffic.Stable == "" {
		fmt.Fprintf(b, " It gets everything. The next one begins beside it with:\n\n    traffic: {stable: %s, canary: 20%%}                   # in godwit.yaml, under targets.knative\n", name)
	} else {
		fmt.Fprintf(b, " It gets %d%%, %s the rest; canary-%s answers before the address of the Service for this one alone, stable-%s for the other.\n\n", t.Traffic.Canary, t.Traffic.Stable, s.Name, s.Name)
		fmt.Fprintf(b, "    kubectl -n %s get ksvc %s -o jsonpath='{range .status.traffic[*]}{.tag} {.percent} {.url}{\"\\n\"}{end}'\n", t.Namespace, s.Name)
		fmt.Fprintf(b, "    kubectl -n %s patch ksvc %s --type json -p '[{\"op\":\"replace\",\"path\":\"/spec/traffic/0/percent\",\"value\":100},{\"op\":\"replace\",\"path\":\"/spec/traffic/1/percent\",\"value\":0}]' # back\n", t.Namespace, s.Name)
		fmt.Fprintf(b, "    kn service update %s --namespace %s --traffic %s=100 --traffic %s=0 # back, with kn\n", s.Name, t.Namespace, t.Traffic.Stable, name)
	}
	fmt.Fprintf(b, "\nThe same traffic with kn, when the revisions are there:\n\n    %s\n", strings.ReplaceAll(KnTraffic(d), "\n", "\n    "))
}

// otherClusters are the other folders, and what they need of the cluster.
func otherClusters(b *bytes.Buffer, d *render.Deployment) {
	t := d.Spec.Targets.Knative
	if all := overlays(d); t.Cluster == "any" && len(all) > 1 {
		var folders []string
		for _, o := range all[1:] {
			folders = append(folders, "overlays/"+o.name)
		}
		fmt.Fprintf(b, "\n%s is for any cluster. For nodes and storage of one kind of it apply %s instead; cluster: in godwit.yaml names it once and for all.\n", Overlay(d), or(folders))
	}
	if t.GPU == 0 {
		return
	}
	plugin := map[string]string{
		"aks": "AKS: a node pool with --gpu-driver install has the driver; NVIDIA's device plugin is a DaemonSet of yours. The overlay expects the taint sku=gpu:NoSchedule.",
		"eks": "EKS: Auto Mode and Bottlerocket's NVIDIA images have the device plugin; with AL2023's it is a DaemonSet of yours.",
		"gke": "GKE: a node pool with --accelerator type=nvidia-l4,gpu-driver-version=default has driver and device plugin; Autopilot makes it.",
		"k3s": "K3s: NVIDIA's container toolkit has to be there when k3s starts, and the device plugin is a DaemonSet of yours.",
	}
	fmt.Fprint(b, "\nThe GPU's driver and NVIDIA's device plugin, which nvidia.com/gpu is counted by:\n\n")
	for _, c := range clusters {
		if t.Cluster == "any" || t.Cluster == c.name {
			fmt.Fprintf(b, "- %s\n", plugin[c.name])
		}
	}
	if t.Cluster == "any" {
		fmt.Fprint(b, "- elsewhere NVIDIA's GPU operator brings both\n")
	}
}

var feature = lazy.Regexp(`(?m)` + needsMark + `(\S+): enabled in the ConfigMap$`)

// flags are the cluster's features that the files use and that are off as it comes.
func flags(d *render.Deployment) (all []string) {
	text := append(render.Document(service(d)), render.Document(overlayOf(d).all(d))...)
	for _, m := range feature().FindAllSubmatch(text, -1) {
		all = append(all, string(m[1]))
	}
	slices.Sort(all)
	return slices.Compact(all)
}

func and(all []string) string { return joined(all, " and ") }

func or(all []string) string { return joined(all, " or ") }

func joined(all []string, word string) string {
	last := len(all) - 1
	if last == 0 {
		return all[0]
	}
	return strings.Join(all[:last], ", ") + word + all[last]
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
