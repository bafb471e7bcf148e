#!/usr/bin/env bash
# The image that godwit package makes and the files that godwit render makes, in a real cluster: Kubernetes, containerd and
# runc, Knative Serving and Eventing, and Traefik, all built from Go modules and Debian's packages. First answers from zero,
# scaling to several pods and back, a canary and its rollback, a version that never gets traffic, limits and what goes over
# them, an event that a Broker delivers and whose answer it takes, and one that starts a Job. A table of the figures at the
# end; DOCS=1 writes it into docs/benchmarks.md. Needs root; the first time it builds for a quarter of an hour or more.
# `make e2e-knative`; TRIES="deployed event" are some of the steps.
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
	cut -d' ' -f1 /proc/loadavg >"$work/load"
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
	printf '\n'
	figures ${DOCS:+-docs "$root/docs/benchmarks.md"}
}

# figures FLAG...: the table, of this machine and what the cluster is made of.
figures() {
	"$work/client" figures "$@" -time "$(date -u '+%Y-%m-%d %H:%M UTC')" -commit "$("$godwit" --version | sed 's/^godwit //; s/ .*//')" -machine "$(sed -n 's/^model name\t*: //p' /proc/cpuinfo | head -n 1)" \
		-processors "$(nproc)" -kernel "$(uname -r)" -load "$(cat "$work/load")" "$work/figures" \
		"Kubernetes=$(version k8s.io/kubernetes)" "Knative Serving=$(version knative.dev/serving)" "Knative Eventing=$(version knative.dev/eventing)" \
		"Traefik=$(sed -n 's#.*github.com/traefik/traefik/v3 \(v[^ ]*\).*#\1#p' "$cluster/traefik/go.mod" | head -n 1)" \
		"containerd=$(containerd --version | awk '{print $3}')" "runc=$(runc --version | awk 'NR == 1 {print $3}')"
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
	row image "the image, compressed, its base included" "$(mib "$(stat -c %s "$work/digits.tar")")" MiB "examples/digits, $1"
	row image-layers "of it what is above the base" "$(mib "$(tar -tvf "$work/digits.tar" | awk -v base="$2/" '{name = base $6; if (name ~ /sha256\/./ && (getline line <name) < 0) n += $3} END {print n}')")" MiB "function, ONNX Runtime and model"

	mkdir "$work/hungry"
	"$work/client" hungry "$work/hungry"
	cat >"$work/hungry/godwit.yaml" <<-EOF
		model: hungry.onnx
		image: dev.local/hungry
		auth: none
		targets: {knative: {ingress: traefik, cpu: 250m, memory: 256MiB, minScale: 1, maxScale: 1}}
	EOF
	digest=$("$godwit" package "$work/hungry" --target knative --arch "$1" --base "oci:$2" -o "$work/hungry.tar" --quiet)
	locked "$work/hungry" "$digest" dev.local/hungry
}
mib() { awk -v n="$1" 'BEGIN {printf "%.1f", n / 1048576}'; }

# locked DIR DIGEST IMAGE: godwit.lock says that the image was pushed.
locked() { printf 'version: 1\npackages:\n  "knative": {digest: "%s", image: "%s", platforms: ["linux/%s"]}\n' "$2" "$3" "$(dpkg --print-architecture)" >"$1/godwit.lock"; }

# say KEYS: what godwit.yaml says, with those keys for Knative. With $jobs events start Jobs, and with
# $version it is another version.
say() {
	cat >"$work/digits/godwit.yaml" <<-EOF
		model: digits.onnx
		image: $repository
		auth: none
		triggers: [events]
		batch: {input: "s3://lake/rows/", output: "s3://lake/scores/", timeout: 2m${jobs:+, deadLetter: true}}
		targets: {knative: {ingress: traefik, cpu: 250m, memory: 256MiB, maxScale: 4, target: 2, window: 6s, events: {deadLetter: "http://$node_ip:9999/dead"${jobs:+, jobSink: true}}, env: {AWS_ENDPOINT_URL_S3: "http://$node_ip:9998", AWS_REGION: eu-west-1, AWS_ACCESS_KEY_ID: key, AWS_SECRET_ACCESS_KEY: secretsecret${version:+, VERSION: $version}}${1:+, $1}}}
	EOF
}

# deploy KEYS: renders and applies; $revision is the new one.
deploy() {
	say "$@"
	locked "$work/digits" "$(cat "$work/digest")" $repository
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
# row ID WHAT VALUES UNIT [NOTE]: a figure.
row() { printf '%s\t%s\t%s\t%s\t%s\n' "$1" "$2" "$3" "$4" "${5:-}" >>"$work/figures"; }
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
	"${ctr[@]}" images import --digests --base-name dev.local/hungry "$work/hungry.tar" >/dev/null
	for host in hungry.default.example.com digits.default.example.com canary-digits.default.example.com stable-digits.default.example.com; do names $host public traefik; done
	for try in ${TRIES:-deployed zero scaled limits hunger canary rollback broken event job}; do step "$try" "$try"; done
	trap - EXIT
}

# failed says which step it was, and what there is to know about it.
failed() {
	{
		echo "FAILED: $(cat "$work/step")"
		"${kubectl[@]}" get pods -A -o wide
		"${kubectl[@]}" get ksvc,revision,broker,trigger,jobsink,job -o wide
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
	row rendered-and-applied "\`godwit render\` started, to \`kubectl apply\` ended" "$(seconds "$start")" s
	start=$(date +%s.%N)
	serving_ready
	row applied-to-ready "applied, to ready" "$(seconds "$start")" s "no image was pulled"
	url=$("${kubectl[@]}" get ksvc digits -o jsonpath='{.status.url}')
	until_ok 30 curl -sSf "$url/v2/models/digits/infer" -d @"$work/digits/requests/digits/1.json" # as docs/knative.md has it
	row applied-to-answered "applied, to the first answer" "$(seconds "$start")" s "the ingress takes a while to route what it has said is ready"
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
	row first-answer-from-zero "the first answer when there is no pod" "$(printf '%s\n' "${all[@]}" | awk '{printf "%.3f ", $1 / 1e3}')" s "cpu: 250m"
	row last-request-to-no-replica "the last request, to no replica" "$(seconds "$start")" s "window: 6s, the least there is"
}

# scaled: to as many pods as there may be, from none, while 40 ask at a time; no answer is lost.
scaled() {
	local start load most=0 four='' now
	until_ok 120 at_zero "$stable"
	start=$(date +%s.%N)
	ask -n "${REQUESTS:-12000}" -c 40 >"$work/pressure" 2>&1 &
	load=$!
	while kill -0 $load 2>/dev/null; do
		now=$(ready "$stable")
		[ "${now:-0}" -le $most ] || most=$now
		[ -n "$four" ] || [ "$most" -lt 4 ] || four=$(seconds "$start")
		sleep 0.2
	done
	wait $load || { cat "$work/pressure" >&2 && return 1; }
	[ "$most" = 4 ] || { echo "want 4 pods under load, got $most" >&2 && return 1; }
	row zero-to-four-pods "from none to four pods ready, 40 requests at a time" "$four" s "maxScale: 4, target: 2"
	row rate-meanwhile "answers meanwhile" "$(field rate <"$work/pressure")" /s "$(field answers <<<" $(cat "$work/pressure")") requests, none lost"
	row p95-meanwhile "their p95" "$(field p95 <"$work/pressure")" ms "p50 $(field p50 <"$work/pressure") ms, the first second without a pod included"
	start=$(date +%s.%N)
	until_ok 180 at_zero "$stable"
	row back-to-zero "the last request, to none of the four" "$(seconds "$start")" s
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
	row cpu-quota "\`cpu: 250m\` in the kernel" 25 "ms of 100"
	row memory-limit "\`memory: 256MiB\` in the kernel" 256 MiB
	row threads "threads that the engine makes of it" 1 "" "of $(nproc) processors"
}

# hunger: a request that takes more memory than its pod may. The kernel ends it, the kubelet starts it again, and who asks
# meanwhile is answered, or refused with a status.
hunger() {
	local url=http://hungry.default.example.com/v2/models/hungry/infer small='{"inputs": [{"name": "n", "shape": [1], "datatype": "INT64", "data": [1000]}]}' start said press status back
	rm -rf "$work/k8s-hungry"
	"$godwit" render "$work/hungry" --target knative -o "$work/k8s-hungry" --quiet >/dev/null
	"${kubectl[@]}" apply -k "$work/k8s-hungry/overlays/cpu" >/dev/null
	"${kubectl[@]}" wait --for=condition=Ready --timeout 120s ksvc/hungry >/dev/null
	until_ok 30 curl -sSf "$url" -d "$small"
	"$work/client" press -c 4 -for 30s "$url" >"$work/pressed" 2>"$work/press.log" &
	press=$!
	until_ok 10 curl -sSf "$url" -d "$small"
	start=$(date +%s.%N)
	status=$(curl -s -o "$work/killed" -w '%{http_code}' --max-time 60 "$url" -d "${small/1000/400000000}")
	until_ok 60 killed
	until_ok 60 curl -sSf "$url" -d "$small"
	back=$(seconds "$start")
	wait $press || { cat "$work/pressed" "$work/press.log" >&2 && return 1; }
	case $status in 5??) ;; *) echo "want the request that takes 1.6 GB refused with a status, got $status: $(cat "$work/killed")" >&2 && return 1 ;; esac
	"${kubectl[@]}" wait --for=condition=Ready --timeout 1s ksvc/hungry >/dev/null
	said=$(cat "$work/pressed")
	row over-memory-to-answered "a request of 1.6 GB with \`memory: 256MiB\`, to the next answer" "$back" s "the pod ended with OOMKilled, the request with $status"
	row over-memory-refused "requests refused meanwhile" "$(python3 -c 'import json, sys; print(sum(json.loads(sys.argv[1])["refused"].values()))' "$said")" "" \
		"$(python3 -c 'import json, sys; s = json.loads(sys.argv[1]); print(", ".join(f"{n} with {c}" for c, n in sorted(s["refused"].items())) or "none", "and", s["answers"], "answered; none without a status")' "$said")"
	"${kubectl[@]}" delete -k "$work/k8s-hungry/overlays/cpu" --wait=false >/dev/null
}
killed() { [ "$("${kubectl[@]}" get pod -l serving.knative.dev/service=hungry -o jsonpath='{.items[0].status.containerStatuses[?(@.name=="user-container")].lastState.terminated.reason}')" = OOMKilled ]; }

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
	version=next deploy "minScale: 1, traffic: {stable: $stable}"
	serving_ready
	canary=$revision
	[ "$canary" != "$stable" ] || { echo "want another revision than $stable" >&2 && return 1; }
	ask -n 20 >/dev/null
	[ "$(answered "$canary")" = 0 ] || { echo "want no request for a canary of 0%" >&2 && return 1; }
	until_ok 30 curl -sSf "${url/\/\//\/\/canary-}/v2/models/digits/infer" -d @"$work/digits/requests/digits/1.json" # at its tag
	version=next deploy "minScale: 1, traffic: {stable: $stable, canary: 20%}"
	[ "$revision" = "$canary" ] || { echo "want the same revision, $canary, got $revision" >&2 && return 1; }
	serving_ready
	until_ok 30 share "$canary" 20
	until_ok 30 reached "$canary" # the ingress is a moment behind
	old=$(answered "$canary")
	ask -n 500 >/dev/null
	new=$(($(answered "$canary") - old))
	[ $new -ge 80 ] && [ $new -le 120 ] || { echo "want 80 to 120 of 500 at the canary, got $new" >&2 && return 1; }
	row canary-share "\`canary: 20%\`" "$(awk -v n=$new 'BEGIN {print n / 5}')" % "$new of 500 requests"
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
	row rollback "the rollback, until no request goes elsewhere" "$(seconds "$start")" s
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
	row broken-answers "a version that cannot start, with all of the traffic: answers from the one before" 50 "of 50" "$("${kubectl[@]}" get revision "$revision" -o jsonpath='{.status.conditions[?(@.type=="Ready")].reason}')"
	deploy 'traffic: {}'
	[ "$revision" = "$stable" ] || { echo "want $stable again, got $revision" >&2 && return 1; }
	serving_ready
}
revision_failed() { [ "$("${kubectl[@]}" get revision "$1" -o jsonpath='{.status.conditions[?(@.type=="Ready")].status}')" = False ]; }

# event: one that a Broker delivers to the function, which is at zero, and whose answer it delivers to who asked for it;
# and one that nobody can read, which goes to the dead letters.
event() {
	local start
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
	row event-from-zero "an event to a Broker, to its answer at a Trigger" "$(seconds "$start")" s "no pod is there when it comes"
	send 2 '{"inputs": []}'
	until_ok 60 grep -q '^/dead com.example.rows 4' "$work/events"
}

# job: an event that a Broker delivers to a JobSink, which starts a Job that scores it into the store; the same event again
# starts no other.
job() {
	local start before jobs=yes
	before=$(find "$work/s3/lake/scores" -type f | wc -l)
	deploy 'traffic: {}'
	until_ok 60 points_at_job
	"${kubectl[@]}" wait --for=condition=Ready --timeout=120s jobsink/digits trigger/digits >/dev/null
	start=$(date +%s.%N)
	send 3 @"$work/digits/requests/digits/2.json"
	until_ok 120 scored "$before"
	row job-of-an-event "an event to a Broker, to the scores of the Job that it starts" "$(seconds "$start")" s "through a JobSink"
	until_ok 60 one_job
	send 3 @"$work/digits/requests/digits/2.json" # as if it came twice
	send 4 @"$work/digits/requests/digits/1.json"
	until_ok 120 two_jobs # the fourth event comes after the third
}
points_at_job() { "${kubectl[@]}" get trigger digits -o jsonpath='{.status.subscriberUri}' | grep -q job-sink; }
scored() { [ "$(find "$work/s3/lake/scores" -type f | wc -l)" -gt "$1" ]; }
completed() { "${kubectl[@]}" get job -o jsonpath='{range .items[*]}{.status.succeeded}{"\n"}{end}'; }
one_job() { [ "$(completed)" = 1 ]; }
two_jobs() { [ "$(completed | paste -sd' ')" = "1 1" ]; }

if [ -n "${GODWIT_CLUSTER:-}" ]; then
	trap - EXIT && rmdir "$work"
	work=${GODWIT_CLUSTER%%:*} group=${GODWIT_CLUSTER#*:}
	inside
else
	outside
fi
