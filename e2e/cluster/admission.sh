# shellcheck shell=bash
# Kubernetes' API server with Knative's definitions and webhooks, and what makes Deployments of Services, as processes on
# loopback: they judge manifests as a cluster does, and make the Deployment that it would make. Nothing runs what they make, and nobody needs
# to be root. Sourced after lib.sh.

# start_admission: sets $kubectl, an array, and $api and $token, for whoever asks without kubectl.
start_admission() {
	local ports etcd serving_port eventing_port config=$work/kubeconfig
	build etcd kube-apiserver serving-webhook reconciler eventing-webhook
	mapfile -t ports < <(free_ports 5)
	etcd=http://127.0.0.1:${ports[0]} api=https://127.0.0.1:${ports[2]} serving_port=${ports[3]} eventing_port=${ports[4]}
	mkdir -m 700 "$work/etcd"
	openssl genpkey -quiet -algorithm RSA -out "$work/accounts.key"
	openssl pkey -in "$work/accounts.key" -pubout -out "$work/accounts.pub"
	token=$(openssl rand -hex 16)
	(umask 077 && echo "$token,admin,admin,system:masters" >"$work/tokens.csv")
	cat >"$config" <<-EOF
		apiVersion: v1
		kind: Config
		clusters: [{name: e2e, cluster: {server: "$api", certificate-authority: "$work/certificates/apiserver.crt"}}]
		users: [{name: e2e, user: {token: $token}}]
		contexts: [{name: e2e, context: {cluster: e2e, user: e2e}}]
		current-context: e2e
	EOF
	kubectl=("$(kubectl_program)" --kubeconfig "$config" --cache-dir "$work/discovery")

	"$programs/etcd" --data-dir "$work/etcd" --listen-client-urls "$etcd" --advertise-client-urls "$etcd" --unsafe-no-fsync \
		--listen-peer-urls "http://127.0.0.1:${ports[1]}" --initial-advertise-peer-urls "http://127.0.0.1:${ports[1]}" \
		--initial-cluster "default=http://127.0.0.1:${ports[1]}" >"$work/etcd.log" 2>&1 &
	pids=($! "${pids[@]}") # the last first: an API server without its etcd takes minutes to end
	# ServiceAccount would want tokens, which a controller makes that is not here.
	"$programs/kube-apiserver" --etcd-servers "$etcd" --bind-address 127.0.0.1 --advertise-address 127.0.0.1 --secure-port "${ports[2]}" \
		--endpoint-reconciler-type none --cert-dir "$work/certificates" --token-auth-file "$work/tokens.csv" --authorization-mode AlwaysAllow \
		--service-account-issuer https://e2e --service-account-key-file "$work/accounts.pub" --service-account-signing-key-file "$work/accounts.key" \
		--disable-admission-plugins ServiceAccount --service-cluster-ip-range 10.0.0.0/24 >"$work/apiserver.log" 2>&1 &
	pids=($! "${pids[@]}")
	until_ok 120 "${kubectl[@]}" get --raw /readyz || { tail "$work/etcd.log" "$work/apiserver.log" >&2 && return 1; }

	{ resources_of_serving && resources_of_eventing && resources_of_kafka && resources_of_prometheus; } | "${kubectl[@]}" apply --server-side -f - >/dev/null
	"${kubectl[@]}" wait --for condition=Established --timeout 60s crd --all >/dev/null
	{ config_of_serving && config_of_eventing; } | "${kubectl[@]}" apply --server-side -f - >/dev/null
	webhook_at serving webhook "$serving_port"
	webhook_at eventing eventing-webhook "$eventing_port"
	knative serving serving-webhook WEBHOOK_NAME=webhook "WEBHOOK_PORT=$serving_port"
	knative serving reconciler
	knative eventing eventing-webhook WEBHOOK_NAME=eventing-webhook "WEBHOOK_PORT=$eventing_port" WEBHOOK_SECRET_NAME=eventing-webhook-certs
}

# webhook_at PART SERVICE PORT: registers the webhooks of serving or eventing. There is neither a pod behind their Service
# nor a proxy in front of it: its name leads to loopback, and the registrations name the port there. The certificate is
# for the Service's name, which the webhook itself sees to.
webhook_at() {
	"${kubectl[@]}" -n "knative-$1" create service externalname "$2" --external-name 127.0.0.1 >/dev/null
	documents "$(source_of "knative.dev/$1")"/config/core/webhooks/*.yaml | sed "s/^\( *\)name: $2$/&\n\1port: $3/" | "${kubectl[@]}" apply -f - >/dev/null
}

# knative PART PROGRAM [VARIABLE=VALUE...]: starts one of the programs of serving or eventing.
knative() {
	local part=$1 name=$2
	shift 2
	env KUBECONFIG="$work/kubeconfig" SYSTEM_NAMESPACE="knative-$part" POD_NAME="$name" PROFILING_PORT=0 CONFIG_LOGGING_NAME=config-logging \
		CONFIG_OBSERVABILITY_NAME=config-observability "$@" "$programs/$name" >"$work/$name.log" 2>&1 &
	pids=($! "${pids[@]}")
}

# resources_of_kafka: the definition of a KafkaSource, as its release has it, which Knative's operator carries: the module
# with its types cannot be had. Versions are not converted, which would take its webhook: they differ in nothing.
resources_of_kafka() {
	local folder
	folder=$(module_dir "knative.dev/operator@$(version knative.dev/eventing)")/cmd/operator/kodata/eventing-source
	awk -v RS='(^|\n)---\n' '/\n  name: kafkasources\.sources\.knative\.dev\n/ {sub(/\n  conversion:.*/, ""); printf "---\n%s\n", $0}' \
		"$folder/$(find "$folder" -mindepth 1 -maxdepth 1 -printf '%f\n' | sort -V | tail -n 1)/kafka/eventing-kafka-controller.yaml"
}

# module_dir MODULE@VERSION: the folder of one that nothing here is built from.
module_dir() { (cd "$work" && go mod download -json "$1" | sed -n 's/^\t"Dir": "\(.*\)",*$/\1/p'); }

# resources_of_prometheus: the Prometheus operator's definition of a PodMonitor.
resources_of_prometheus() {
	documents "$(module_dir github.com/prometheus-operator/prometheus-operator@v0.85.0)"/example/prometheus-operator-crd/monitoring.coreos.com_podmonitors.yaml
}
