# shellcheck shell=bash
# Kubernetes and Knative on this machine. Sourced after ../lib.sh and ../servers/lib.sh; the programs are what go.mod here
# pins, built once into the cache.
cluster=$here/cluster
programs=$cache/cluster-$(cat "$cluster"/go.* "$cluster"/reconciler/*.go | sha256sum | cut -c1-16)

# program NAME: the package that is built as $programs/NAME.
program() {
	case $1 in
	etcd) echo go.etcd.io/etcd/server/v3 ;;
	reconciler) echo ./reconciler ;;
	kube*) echo "k8s.io/kubernetes/cmd/$1" ;;
	serving-*) echo "knative.dev/serving/cmd/${1#serving-}" ;;
	imc-*) echo "knative.dev/eventing/cmd/in_memory/${1#imc-}" ;;
	eventing-broker-*) echo "knative.dev/eventing/cmd/broker/${1#eventing-broker-}" ;;
	eventing-*) echo "knative.dev/eventing/cmd/${1#eventing-}" ;;
	*) echo "want the name of a program, got $1" >&2 && return 1 ;;
	esac
}

# build NAME...: makes the programs that are not there yet, one after the other, and says how far it is. Two checkouts may
# build at once: each program appears whole.
build() {
	local name package stamp kubernetes start missing=() n=0
	for name in "$@"; do [ -x "$programs/$name" ] || missing+=("$name"); done
	[ ${#missing[@]} -gt 0 ] || return 0
	mkdir -p "$programs"
	# As a plain go build leaves it, Kubernetes' version is one that kubectl and Knative cannot read.
	kubernetes=$(version k8s.io/kubernetes)
	stamp=k8s.io/component-base/version
	stamp="-X $stamp.gitVersion=$kubernetes -X $stamp.gitMajor=1 -X $stamp.gitMinor=$(cut -d. -f2 <<<"$kubernetes") -X $stamp.gitTreeState=clean"
	echo "building ${#missing[@]} programs of Kubernetes $kubernetes and Knative $(version knative.dev/serving), which takes minutes the first time" >&2
	for name in "${missing[@]}"; do
		n=$((n + 1)) start=$SECONDS
		[ ! -t 2 ] || printf '%2d of %d  %s …' $n ${#missing[@]} "$name" >&2
		package=$(program "$name")
		(cd "$cluster" && CGO_ENABLED=0 nice -n 10 go build -mod=readonly -trimpath -ldflags "-s -w $stamp" -o "$programs/$name.$$" "$package") || return 1
		mv "$programs/$name.$$" "$programs/$name"
		[ ! -t 2 ] || printf '\r\033[K' >&2
		printf '%2d of %d  %-28s %4d s\n' $n ${#missing[@]} "$name" $((SECONDS - start)) >&2
	done
}

# separate NAME FOLDER PACKAGE: builds a program whose module does not go with the others'. Without a folder it is made by
# the sources.sh of NAME.
separate() {
	local start=$SECONDS folder=$2
	[ ! -x "$programs/$1" ] || return 0
	[ -n "$folder" ] || { folder=$work/$1 && "$cluster/$1/sources.sh" "$folder"; }
	[ ! -t 2 ] || printf '%s …' "$1" >&2
	(cd "$folder" && CGO_ENABLED=0 nice -n 10 go build -trimpath -ldflags '-s -w' -o "$programs/$1.$$" "$3")
	mv "$programs/$1.$$" "$programs/$1"
	[ ! -t 2 ] || printf '\r\033[K' >&2
	printf '%-36s %4d s\n' "$1" $((SECONDS - start)) >&2
}

# kubectl_program: the machine's own kubectl, or ours; its path.
kubectl_program() {
	command -v kubectl || { build kubectl && echo "$programs/kubectl"; }
}

# version MODULE; source_of MODULE: its folder, for the manifests in it.
version() { (cd "$cluster" && go list -m -f '{{.Version}}' "$1"); }
source_of() { (cd "$cluster" && go mod download "$1" && go list -m -f '{{.Dir}}' "$1"); }

# until_ok SECONDS COMMAND...: asks until it succeeds; what it said last, if it never does.
until_ok() {
	local end=$((SECONDS + $1))
	shift
	until "$@" >"$work/until.log" 2>&1; do
		[ $SECONDS -lt $end ] || { cat "$work/until.log" >&2 && echo "want it to succeed in time: $*" >&2 && return 1; }
		sleep 0.2
	done
}

# documents FILE...: their YAML as one stream.
documents() { local f && for f in "$@"; do echo "---" && cat "$f"; done; }

# resources_of_serving, resources_of_eventing: their definitions, and config_of_…: their settings as they come. A module's
# zip has no links, so what Serving's tree links to comes from the modules that hold it.
resources_of_serving() {
	local serving networking caching
	serving=$(source_of knative.dev/serving) networking=$(source_of knative.dev/networking) caching=$(source_of knative.dev/caching)
	documents "$serving"/config/core/100-namespace.yaml "$serving"/config/core/300-resources/*.yaml \
		"$networking"/config/{certificate,domain-claim,ingress,serverlessservice}.yaml "$caching"/config/image.yaml
}
config_of_serving() {
	local serving networking
	serving=$(source_of knative.dev/serving) networking=$(source_of knative.dev/networking)
	documents "$serving"/config/core/configmaps/*.yaml "$networking"/config/config-network.yaml | local_images
}
resources_of_eventing() {
	local eventing
	eventing=$(source_of knative.dev/eventing)
	documents "$eventing"/config/core/100-namespace.yaml "$eventing"/config/core/resources/*.yaml
}
config_of_eventing() { documents "$(source_of knative.dev/eventing)"/config/core/configmaps/*.yaml | local_images; }

# local_images: names of programs become those of the images that are made here.
local_images() {
	sed -e 's#ko://knative.dev/serving/cmd/\([a-z]*\)#dev.local/serving-\1:e2e#g' -e 's#ko://knative.dev/eventing/cmd/in_memory/\([a-z_]*\)#dev.local/imc-\1:e2e#g' \
		-e 's#ko://knative.dev/eventing/cmd/broker/\([a-z]*\)#dev.local/eventing-broker-\1:e2e#g' -e 's#ko://knative.dev/eventing/cmd/\([a-z_]*\)#dev.local/eventing-\1:e2e#g'
}
