#!/usr/bin/env bash
# The image that godwit package makes and the files that godwit render makes, in a real cluster: Kubernetes, containerd and
# runc, Knative Serving and Eventing, and Traefik, all built from Go modules and Debian's packages. First answers from zero,
# scaling to several pods and back, a canary and its rollback, a version that never gets traffic, limits, and an event that
# a Broker delivers and whose answer it takes. A table of the figures at the end. Needs root; the first time it builds for a
# quarter of an hour or more. `make e2e-knative`; TRIES="deployed event" are some of the steps.
source "$(dirname "$0")/../lib.sh"
source "$here/servers/lib.sh"
source "$here/cluster/lib.sh"
source "$here/cluster/node.sh"
godwit=${GODWIT:-$root/bin/godwit}
repository=dev.local/digits

# outside: what needs the network, and then a new one. Whatever happens, all that was started ends with its namespaces.
outside() {
	[ "$(id -u)" = 0 ] || { echo "want root, for containers and namespaces" >&2 && exit 1; }
	step "programs" build_cluster
	built # the store that scores of events go to
	local arch base
	arch=$(dpkg --print-architecture) base=$cache/base-$arch
	[ -f "$base/index.json" ] || "$root/scripts/base.sh" "$base" "$arch" >/dev/null
	go build -C "$root" -o "$work/client" ./e2e/knative
	step "functions" "$root/scripts/functions.sh" --out "$(dirname "$godwit")" "$arch" >/dev/null
	step "image" package "$arch" "$base"
	step "images of the cluster" program_images "$work/programs.tar"
	make_group
	trap 'remove_group; finish' EXIT
	env GODWIT_CLUSTER="$work:$group" GOPROXY=off unshare --net --mount --pid --fork --kill-child --mount-proc --propagation private bash "$0" &
	inside=$!
	wait $inside || { echo "want a cluster that does what was asked, see above" >&2 && exit 1; }
}

# make_group, remove_group: the control groups of the node, below one of our own.
make_group() {
	local controller
	group=/godwit-e2e.${work##*.}
	if [ -f /sys/fs/cgroup/cgroup.controllers ]; then
		mkdir "/sys/fs/cgroup$group"
	else
		for controller in /sys/fs/cgroup/*/; do
			[ ! -f "$controller/cgroup.procs" ] || mkdir -p "$controller$group" 2>/dev/null || :
		done
	fi
}
remove_group() {
	local _
	[ -n "${group:-}" ] || return 0
	if [ -n "${inside:-}" ]; then kill "$inside" 2>/dev/null && wait "$inside" || :; fi
	for _ in $(seq 50); do # a process that was killed is in its group for a moment
		find /sys/fs/cgroup -depth -type d -path "/sys/fs/cgroup*$group*" -exec rmdir {} + 2>/dev/null || :
		[ -n "$(find /sys/fs/cgroup -maxdepth 2 -name "${group#/}")" ] || return 0
		sleep 0.2
	done
}

# step NAME COMMAND...: with its time.
step() {
	local name=$1 start=$SECONDS
	shift
	echo "$name" >"$work/step"
	"$@"
	printf '%-28s %4d s\n' "$name" $((SECONDS - start))
}

package() {
	cp -r "$root/examples/digits" "$work/digits"
	say ''
	digest=$("$godwit" package "$work/digits" --target knative --arch "$1" --base "oci:$2" -o "$work/digits.tar" --quiet)
	echo "$digest" >"$work/digest"
}

# say KEYS: what godwit.yaml says, with those keys for Knative.
say() {
	cat >"$work/digits/godwit.yaml" <<-EOF
		model: digits.onnx
		image: $repository
		auth: none
		triggers: [events]
		batch: {input: "s3://lake/rows/", output: "s3://lake/scores/", timeout: 1m}
		targets: {knative: {ingress: traefik, cpu: 250m, memory: 256MiB, maxScale: 4, target: 2, window: 6s, events: {deadLetter: "http://$node_ip:9999/dead"}, env: {AWS_ENDPOINT_URL_S3: "http://$node_ip:9998", AWS_REGION: eu-west-1, AWS_ACCESS_KEY_ID: key, AWS_SECRET_ACCESS_KEY: secretsecret}${1:+, $1}}}
	EOF
}

# deploy KEYS: renders and applies; $revision is the new one.
deploy() {
	say "$@"
	printf 'version: 1\npackages:\n  "knative": {digest: "%s", image: "%s", platforms: ["linux/%s"]}\n' "$(cat "$work/digest")" $repository "$(dpkg --print-architecture)" >"$work/digits/godwit.lock"
	rm -rf "$work/k8s"
	"$godwit" render "$work/digits" --target knative -o "$work/k8s" --quiet >/dev/null
	"${kubectl[@]}" apply -k "$work/k8s/overlays/cpu" >/dev/null
	revision=$(sed -nE '/^ *template:/,/^ *spec:/s/^ *name: (digits-[0-9a-f]+)$/\1/p' "$work/k8s/base/service.yaml")
}
serving_ready() { "${kubectl[@]}" wait --for=condition=Ready --timeout "${1:-120}s" ksvc/digits >/dev/null; }
latest_is() { [ "$("${kubectl[@]}" get ksvc digits -o jsonpath='{.status.latestReadyRevisionName}')" = "$1" ]; }

# replicas REVISION; ready REVISION: how many there are to be, and are.
replicas() { "${kubectl[@]}" get deployment -l "serving.knative.dev/revision=$1" -o jsonpath='{.items[*].spec.replicas}'; }
ready() { "${kubectl[@]}" get deployment -l "serving.knative.dev/revision=$1" -o jsonpath='{.items[*].status.readyReplicas}'; }
at_zero() { [ "$(replicas "$1")" = 0 ] && [ -z "$(ready "$1")" ]; }
seconds() { awk -v a="$1" -v b="$(date +%s.%N)" 'BEGIN {printf "%.1f", b - a}'; }
row() { printf '%s\t%s\n' "$1" "$2" >>"$work/figures"; }
ask() { "$work/client" ask "$@" "$url" "$work/digits"; }
field() { sed -n "s/.* $1 \([0-9.]*\).*/\1/p"; }

# names HOST SERVICE SPACE: a name that leads into the cluster.
names() {
	local ip
	ip=$("${kubectl[@]}" -n "$3" get service "$2" -o jsonpath='{.spec.clusterIP}')
	echo "$ip $1" >>"$work/hosts"
}

inside() {
	trap failed EXIT
	echo "127.0.0.1 localhost" >"$work/hosts" && mount --bind "$work/hosts" /etc/hosts
	step "control plane" start_control_plane
	step "node" start_node
	step "Knative" start_knative
	"${ctr[@]}" images import --digests --base-name $repository "$work/digits.tar" >/dev/null
	for host in digits.default.example.com canary-digits.default.example.com stable-digits.default.example.com; do names $host public traefik; done
	for try in ${TRIES:-deployed zero scaled limits canary rollback broken event}; do step "$try" "$try"; done
	printf '\n' && column -t -s $'\t' "$work/figures"
	trap - EXIT
}

# failed says which step it was, and what there is to know about it.
failed() {
	{
		echo "FAILED: $(cat "$work/step")"
		"${kubectl[@]}" get pods -A -o wide
		"${kubectl[@]}" get ksvc,revision,broker,trigger -o wide
		"${kubectl[@]}" get events -A --sort-by=.lastTimestamp | tail -n 20
		"${kubectl[@]}" logs -l serving.knative.dev/service=digits -c user-container --tail 20
		for log in "$work"/figures "$work"/events; do [ ! -s "$log" ] || { echo "== $log" && cat "$log"; }; done
		for log in "$work"/*.log; do echo "== $log" && tail -n 4 "$log" | cut -c1-400; done
	} >&2 2>&1
}

deployed() {
	local start
	start=$(date +%s.%N)
	deploy 'traffic: {}'
	serving_ready
	row "applied to ready" "$(seconds "$start") s"
	url=$("${kubectl[@]}" get ksvc digits -o jsonpath='{.status.url}')
	until_ok 30 curl -sSf "$url/v2/models/digits/infer" -d @"$work/digits/requests/digits/1.json" # as docs/knative.md has it
	row "applied to answered" "$(seconds "$start") s" # the ingress takes a while to route what it has said is ready
	stable=$revision
	local form
	for form in 0 1 2 3; do ask -form $form -n 4 >/dev/null; done # gRPC too, through the ingress and queue-proxy
}

# zero: first answers when no pod is there.
zero() {
	local i start said all=()
	for i in 1 2 3 4 5; do
		until_ok 120 at_zero "$stable"
		said=$(ask -n 1) && all+=("$(field max <<<"$said")")
		start=$(date +%s.%N)
	done
	until_ok 120 at_zero "$stable"
	row "last request to no replica" "$(seconds "$start") s"
	row "first answer from zero, 5 of them" "$(printf '%s\n' "${all[@]}" | sort -n | awk '{v[NR] = $1} END {printf "median %.2f s, %.2f to %.2f s", v[3] / 1e3, v[1] / 1e3, v[5] / 1e3}')"
}

# scaled: to as many pods as there may be, from none, while 40 ask at a time; no answer is lost.
scaled() {
	local start load most=0 four='' now
	until_ok 120 at_zero "$stable"
	start=$(date +%s.%N)
	ask -n "${REQUESTS:-12000}" -c 40 >"$work/load" 2>&1 &
	load=$!
	while kill -0 $load 2>/dev/null; do
		now=$(ready "$stable")
		[ "${now:-0}" -le $most ] || most=$now
		[ -n "$four" ] || [ "$most" -lt 4 ] || four=$(seconds "$start")
		sleep 0.2
	done
	wait $load || { cat "$work/load" >&2 && return 1; }
	[ "$most" = 4 ] || { echo "want 4 pods under load, got $most" >&2 && return 1; }
	row "0 to 4 pods, 40 at a time" "$four s"
	row "answers meanwhile" "$(field answers <<<" $(cat "$work/load")") of $(field answers <<<" $(cat "$work/load")"), p50 $(field p50 <"$work/load") ms, p95 $(field p95 <"$work/load") ms, $(field rate <"$work/load")/s"
	start=$(date +%s.%N)
	until_ok 180 at_zero "$stable"
	row "back to zero" "$(seconds "$start") s"
}

# limits: what the kernel holds the pod to, and the threads that the engine makes of it.
limits() {
	local pod id dir quota memory
	ask -n 1 >/dev/null
	pod=$("${kubectl[@]}" get pod -l "serving.knative.dev/revision=$stable" --field-selector status.phase=Running -o jsonpath='{.items[0].metadata.name}')
	"${kubectl[@]}" logs "$pod" -c user-container >"$work/function.log"
	grep -o '"threads":[0-9]*' "$work/function.log" | grep -qx '"threads":1' || grep -q 'threads=1\b' "$work/function.log" || { cat "$work/function.log" >&2 && echo "want 1 thread with 250m, of $(nproc) processors" >&2 && return 1; }
	id=$("${kubectl[@]}" get pod "$pod" -o jsonpath='{.status.containerStatuses[?(@.name=="user-container")].containerID}')
	id=${id##*/}
	if [ -f /sys/fs/cgroup/cgroup.controllers ]; then
		dir=$(find "/sys/fs/cgroup$group" -type d -name "*$id*" | head -1)
		quota=$(cut -d' ' -f1 "$dir/cpu.max") memory=$(cat "$dir/memory.max")
	else
		quota=$(cat "$(find "/sys/fs/cgroup/cpu$group" -type d -name "*$id*" | head -1)/cpu.cfs_quota_us")
		memory=$(cat "$(find "/sys/fs/cgroup/memory$group" -type d -name "*$id*" | head -1)/memory.limit_in_bytes")
	fi
	[ "$quota/$memory" = 25000/$((256 << 20)) ] || { echo "want a quota of 25000 of 100000 µs and 256 MiB, got $quota and $memory" >&2 && return 1; }
	row "cpu: 250m, memory: 256MiB" "25 of 100 ms and 268435456 bytes in the kernel, 1 thread of the engine on $(nproc) processors"
}

# answered REVISION: inferences that its pods have counted.
answered() {
	local ip
	for ip in $("${kubectl[@]}" get pod -l "serving.knative.dev/revision=$1" --field-selector status.phase=Running -o jsonpath='{.items[*].status.podIP}'); do
		curl -s --max-time 5 "http://$ip:8080/metrics" || :
	done | awk '/^godwit_requests_total/ {n += $NF} END {print n + 0}'
}

# canary: another revision gets nothing, and then a fifth.
canary() {
	local old new
	deploy "minScale: 1, env: {VERSION: '1'}, traffic: {stable: $stable}"
	serving_ready
	canary=$revision
	[ "$canary" != "$stable" ] || { echo "want another revision than $stable" >&2 && return 1; }
	ask -n 20 >/dev/null
	[ "$(answered "$canary")" = 0 ] || { echo "want no request for a canary of 0%" >&2 && return 1; }
	until_ok 30 curl -sSf "${url/\/\//\/\/canary-}/v2/models/digits/infer" -d @"$work/digits/requests/digits/1.json" # at its tag
	deploy "minScale: 1, env: {VERSION: '1'}, traffic: {stable: $stable, canary: 20%}"
	[ "$revision" = "$canary" ] || { echo "want the same revision, $canary, got $revision" >&2 && return 1; }
	serving_ready
	until_ok 30 share "$canary" 20
	until_ok 30 reached "$canary" # the ingress is a moment behind
	old=$(answered "$canary")
	ask -n 500 >/dev/null
	new=$(($(answered "$canary") - old))
	[ $new -ge 80 ] && [ $new -le 120 ] || { echo "want 80 to 120 of 500 at the canary, got $new" >&2 && return 1; }
	row "canary: 20%, of 500 requests" "$new"
}
reached() {
	local before
	before=$(answered "$1")
	ask -n 20 && [ "$(answered "$1")" != "$before" ]
}
share() { [ "$("${kubectl[@]}" get ksvc digits -o jsonpath="{.status.traffic[?(@.revisionName==\"$1\")].percent}")" = "$2" ]; }

# rollback by kubectl alone.
rollback() {
	local start old
	start=$(date +%s.%N)
	"${kubectl[@]}" patch ksvc digits --type json -p '[{"op":"replace","path":"/spec/traffic/0/percent","value":100},{"op":"replace","path":"/spec/traffic/1/percent","value":0}]' >/dev/null
	until_ok 60 quiet
	row "rollback to the stable one" "$(seconds "$start") s until no request goes elsewhere"
}
# quiet: fifty requests and none of them for the canary.
quiet() {
	old=$(answered "$canary")
	ask -n 50 && [ "$(answered "$canary")" = "$old" ]
}

# broken: a version that cannot start, with all of the traffic, gets none.
broken() {
	deploy "secrets: {TOKEN: nobody-made/token}, progressDeadline: 20s, traffic: {stable: $stable, canary: 100%}"
	until_ok 120 revision_failed "$revision"
	ask -n 50 >/dev/null
	row "a version that cannot start" "$("${kubectl[@]}" get revision "$revision" -o jsonpath='{.status.conditions[?(@.type=="Ready")].reason}'), 50 of 50 answers from the one before"
	deploy 'traffic: {}'
	[ "$revision" = "$stable" ] || { echo "want $stable again, got $revision" >&2 && return 1; }
	serving_ready
}
revision_failed() { [ "$("${kubectl[@]}" get revision "$1" -o jsonpath='{.status.conditions[?(@.type=="Ready")].status}')" = False ]; }

# event: one that a Broker delivers to the function, which is at zero, and whose answer it delivers to who asked for it;
# and one that nobody can read, which goes to the dead letters.
event() {
	local start broker
	"$work/client" sink $node_ip:9999 >"$work/events" 2>"$work/sink.log" &
	mkdir -p "$work/s3/lake" # a folder is a bucket of the posix backend
	built
	ROOT_ACCESS_KEY=key ROOT_SECRET_KEY=secretsecret "$bin/versitygw" --port $node_ip:9998 --region eu-west-1 --quiet posix "$work/s3" >"$work/versitygw.log" 2>&1 &
	reachable $! $node_ip:9998 "$work/versitygw.log"
	"${kubectl[@]}" wait --for=condition=Ready --timeout=120s broker/digits trigger/digits >/dev/null
	printf '{"apiVersion": "eventing.knative.dev/v1", "kind": "Trigger", "metadata": {"name": "answers"}, "spec": {"broker": "digits", "filter": {"attributes": {"type": "dev.godwit.answer"}}, "subscriber": {"uri": "http://%s:9999/answers"}}}' $node_ip | "${kubectl[@]}" apply -f - >/dev/null
	"${kubectl[@]}" wait --for=condition=Ready --timeout=60s trigger/answers >/dev/null
	names broker-ingress.knative-eventing.svc.cluster.local broker-ingress knative-eventing
	broker=$("${kubectl[@]}" get broker digits -o jsonpath='{.status.address.url}')
	until_ok 120 at_zero "$stable"
	start=$(date +%s.%N)
	send() { curl -sSf "$broker" -H 'ce-specversion: 1.0' -H "ce-id: $1" -H 'ce-source: /e2e' -H 'ce-type: com.example.rows' -H 'content-type: application/json' -d "$2"; }
	send 1 @"$work/digits/requests/digits/1.json"
	until_ok 30 grep -q '^/answers dev.godwit.answer ' "$work/events"
	[ -n "$(find "$work/s3/lake/scores" -type f)" ] || { echo "want the answer in the store too, got nothing" >&2 && return 1; }
	row "event to a Broker, to its answer" "$(seconds "$start") s, from zero"
	send 2 '{"inputs": []}'
	until_ok 60 grep -q '^/dead com.example.rows 4' "$work/events"
	row "an event that cannot be read" "at the dead letters with $(awk '$1 == "/dead" {print $3; exit}' "$work/events")"
}

if [ -n "${GODWIT_CLUSTER:-}" ]; then
	trap - EXIT && rmdir "$work"
	work=${GODWIT_CLUSTER%%:*} group=${GODWIT_CLUSTER#*:}
	inside
else
	outside
fi
