#!/usr/bin/env bash
# What godwit renders for Knative, before a real API server with Knative's own webhooks: everything of both examples, of
# the golden folders and of specs that say every key is admitted, with the features of the cluster that its comments name
# and not without; the Deployment that Knative makes of it is one that the Pod Security Standard "restricted" lets run; and
# what godwit refuses, the cluster refuses too, with the field's path. With KN=1 Knative's own kn makes the same Services by
# the lines that are printed. No pod is started. See ../cluster.
source "$(dirname "$0")/../lib.sh"
source "$here/servers/lib.sh"
source "$here/cluster/lib.sh"
source "$here/cluster/admission.sh"
godwit=${GODWIT:-$root/bin/godwit}
go build -C "$root" -o "$work/cases" ./e2e/knative

# The folders: of the examples, by the command; of every key; of the golden files.
mkdir "$work/folders"
image=registry.example.com/acme/model
digest=sha256:$(printf model | sha256sum | cut -d' ' -f1)
for example in "$root"/examples/*/godwit.yaml; do
	example=$(dirname "$example")
	name=$(basename "$example")
	cp -r "$example" "$work/$name" && rm -f "$work/$name/godwit.lock"
	sed -i "1i image: $image" "$work/$name/godwit.yaml"
	printf 'version: 1\npackages:\n  "knative": {digest: "%s", image: "%s", platforms: ["linux/amd64"]}\n' "$digest" "$image" >"$work/$name/godwit.lock"
	"$godwit" render "$work/$name" --target knative -o "$work/folders/example-$name" --quiet >/dev/null
done
"$work/cases" render "$work/folders"
for golden in "$root"/knative/testdata/golden/*/; do cp -r "$golden" "$work/folders/golden-$(basename "$golden")"; done

start=$SECONDS
start_admission
"${kubectl[@]}" version -o json | sed -n 's/.*"gitVersion": "\(.*\)",/\1/p' | tail -1 >"$work/version"

# What the manifests refer to. Pods of every namespace are held to the standard.
"${kubectl[@]}" label namespace default pod-security.kubernetes.io/enforce=restricted >/dev/null
{ grep -rhoE '^ *namespace: "?[a-z0-9-]+' "$work/folders" && echo "namespace: monitoring"; } | sed 's/.*: "*//' | sort -u | grep -vx -e default -e 'knative-.*' -e 'kube-.*' | while read -r name; do
	printf -- '---\n{apiVersion: v1, kind: Namespace, metadata: {name: "%s", labels: {pod-security.kubernetes.io/enforce: restricted}}}\n' "$name"
done | "${kubectl[@]}" apply -f - >/dev/null
find "$work/folders" -name '*.yaml' -exec awk '/runtimeClassName/ {sub(/.*: */, ""); if (!/runtimeClassName/) print; else {getline; sub(/.*: */, ""); print}}' {} + | tr -d '"' | sort -u | while read -r name; do
	printf -- '---\n{apiVersion: node.k8s.io/v1, kind: RuntimeClass, metadata: {name: "%s"}, handler: runc}\n' "$name"
done | "${kubectl[@]}" apply -f - >/dev/null

good=$work/folders/golden-plain/overlays/cpu
until_ok 60 "${kubectl[@]}" apply --dry-run=server -k "$good" || { tail -n 5 "$work"/*webhook.log >&2 && exit 1; }
echo "Kubernetes $(cat "$work/version"), Knative Serving $(version knative.dev/serving) and Eventing $(version knative.dev/eventing): up after $((SECONDS - start)) s"

admit() {
	case $1 in *.jobs.*) set -- create "$1" ;; *) set -- apply "$1" ;; esac
	"${kubectl[@]}" "$1" --dry-run=server -f "$2" >"$work/said" 2>&1
}
features() { "${kubectl[@]}" -n knative-serving patch configmap config-features --type merge -p "{\"data\":{$1}}" >/dev/null; }
needs() { sed -nE 's/.*# +Needs //p' $(find "$@" -name '*.yaml') | { grep -oE 'kubernetes\.[a-z-]+' || :; } | sort -u; }

mkdir "$work/manifests"
: >"$work/needed"
n=0 held=0
for overlay in "$work"/folders/*/overlays/*/ "$work"/folders/*/jobs/; do
	[ -d "$overlay" ] || continue
	name=${overlay#"$work/folders/"} && name=${name%/} && file=$work/manifests/${name//\//.}.yaml
	if [ -f "$overlay/kustomization.yaml" ]; then "${kubectl[@]}" kustomize "$overlay" >"$file"; else cat "$overlay"/*.yaml >"$file"; fi
done
[ "$(find "$work/manifests" -name '*.yaml' | wc -l)" -ge 40 ] || { echo "want 40 manifests or more" >&2 && exit 1; }

# needed FILE: the features of the cluster that the comments of what it is made of name.
needed() {
	local path=${1#"$work/manifests/"} folder parts part
	IFS=. read -r folder parts part _ <<<"$path"
	folder=$work/folders/$folder
	[ "$parts" != jobs ] || return 0 # Knative does not see them
	needs "$folder/base" "$folder/overlays/$part" $(sed -n 's#^ *- \.\./\([a-z0-9]*\)$#'"$folder"'/overlays/\1#p' "$folder/overlays/$part/kustomization.yaml")
}

# As the cluster comes: what needs nothing of it is admitted, and what needs something is not.
for file in "$work"/manifests/*.yaml; do
	if [ -z "$(needed "$file" | tee -a "$work/needed")" ]; then
		admit "$file" || { cat "$work/said" >&2 && echo "want ${file##*/} admitted" >&2 && exit 1; }
		n=$((n + 1))
	else
		! admit "$file" || { echo "want ${file##*/} refused without $(needed "$file" | tr '\n' ' ')" >&2 && exit 1; }
		grep -q 'validation.webhook.serving.knative.dev.*denied' "$work/said" || { cat "$work/said" >&2 && exit 1; }
		held=$((held + 1)) && later+=("$file")
	fi
done
echo "$n manifests admitted as the cluster comes, $held refused until it has the features that their comments name"
features "$(sort -u "$work/needed" | sed 's/.*/"&":"enabled"/' | paste -sd,)"
until_ok 30 admit "${later[0]}"
for file in "${later[@]}"; do
	admit "$file" || { cat "$work/said" >&2 && echo "want ${file##*/} admitted with its features" >&2 && exit 1; }
done
echo "$held more admitted with $(sort -u "$work/needed" | paste -sd' ')"
[ "$(grep -l '^kind: KafkaSource' "$work"/manifests/*.yaml | wc -l)" -ge 2 ] || { echo "want two KafkaSources or more among them" >&2 && exit 1; }

# Mistakes.
"$work/cases" refused -api "$api" -ca "$work/certificates/apiserver.crt" -token "$token" "$root/knative/testdata/golden" "$root/knative/testdata/refused.yaml"

# The lines of kn that are printed: KN=1, as make e2e-knative has it, since kn is built of modules that nothing else here has.
if [ -n "${KN:-}" ]; then
	separate kn "$cluster/kn" knative.dev/client/cmd/kn
	printf '#!/bin/sh\nexec "%s" --kubeconfig "%s" "$@"\n' "$programs/kn" "$work/kubeconfig" >"$work/kn" && chmod +x "$work/kn"
	features '"kubernetes.podspec-persistent-volume-write":"enabled"' # kn knows no claim that is read only
	"$work/cases" kn -api "$api" -ca "$work/certificates/apiserver.crt" -token "$token" "$work/kn" "$work/manifests"
fi

# A revision that has a name can be applied again: the cluster holds what is sent against what it has made of it.
for file in "$(find "$work/manifests" -name 'golden-canary.overlays.*' | sort | head -n 1)" "$(find "$work/manifests" -name 'golden-fetched.overlays.*' | sort | head -n 1)"; do
	"${kubectl[@]}" apply -f "$file" >/dev/null
	"${kubectl[@]}" apply -f "$file" >/dev/null
	"${kubectl[@]}" delete -f "$file" --wait=false >/dev/null
done

# Made, not only judged: the Deployment, whose pod "restricted" lets run, with queue-proxy beside the function.
for name in example-digits example-penguins golden-plain; do
	function=${name#*-} && [ "$function" != plain ] || function=m
	"${kubectl[@]}" apply -f "$work/manifests/$name.overlays.cpu.yaml" >/dev/null
	until_ok 60 "${kubectl[@]}" get deployment "$function-00001-deployment"
	"${kubectl[@]}" get deployment "$function-00001-deployment" -o json >"$work/deployment.json"
	"$work/cases" deployment "$work/deployment.json" >"$work/pod.json"
	"${kubectl[@]}" create --dry-run=server -f "$work/pod.json" >/dev/null
done
