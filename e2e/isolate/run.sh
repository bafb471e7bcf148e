#!/usr/bin/env bash
# The engine in a worker process: killing it under load costs at most the one request that was alone in it; the
# worker ends with the server, however that ends; SIGTERM to all of them drains.
source "$(dirname "$0")/../lib.sh"

cp -r "$root/examples/digits" "$work/digits"
echo 'isolate: on' >>"$work/digits/godwit.yaml"
worker() { cat /proc/"$server"/task/*/children; }
gone() { # PID WHAT
	for _ in $(seq 100); do
		[ -d "/proc/$1" ] || return 0
		sleep 0.1
	done
	echo "$2: the worker is still there" >&2
	exit 1
}

serve "$work/digits"
(cd "$root" && go run ./e2e/isolate "$server" "http://$address" "${KILLS:-12}") # each kill is a line
child=$(worker) && child=${child%% *}
kill -TERM "$child" # as a platform may that stops every process: the worker stays until the server has drained
curl -sf "http://$address/v2/models/digits/infer" -d @"$root/examples/digits/requests/digits/1.json" >/dev/null
kill -TERM "$server" "$child"
wait "$server" || { echo "SIGTERM: want exit code 0, got $?" >&2 && exit 1; }
gone "$child" SIGTERM
pids=()

serve "$work/digits"
child=$(worker) && child=${child%% *}
kill -KILL "$server"
{ wait "$server" || :; } 2>/dev/null
gone "$child" SIGKILL
pids=()
echo 'the worker ends with the server'

# A new version whose loading aborts the process that loads it: it is tried in a process of its own first, refused with
# what happened, and the old version serves on.
real=${GODWIT_ONNXRUNTIME:-$("$root/scripts/onnxruntime.sh")}
cc -shared -fPIC -I"$root/runtime/ort/include" -DREAL="\"$real\"" -DCRASH='"path"' -o "$work/libonnxruntime.so" \
	"$root/runtime/isolate/testdata/stub.c" -ldl
for isolate in on off; do
	rm -rf "$work/digits" "$work"/serve.* && cp -r "$root/examples/digits" "$work/digits"
	echo "isolate: $isolate" >>"$work/digits/godwit.yaml"
	serve "$work/digits" env GODWIT_ONNXRUNTIME="$work/libonnxruntime.so"
	before=$(worker)
	cp "$work/digits/digits.onnx" "$work/digits/crash.onnx" && printf '\x72\x00' >>"$work/digits/crash.onnx" # another digest
	sed -i 's/^model: .*/models: [{name: digits, path: crash.onnx}]/' "$work/digits/godwit.yaml"
	kill -HUP "$server"
	for _ in $(seq 200); do
		grep -q 'isolate.Canary' "$work"/serve.*.err && break
		sleep 0.1
	done
	grep -h 'isolate.Canary' "$work"/serve.*.err | grep -q 'SIGABRT: abort' || { tail -n 5 "$work"/serve.*.err >&2 && exit 1; }
	curl -sf "http://$address/v2/models/digits/infer" -d @"$root/examples/digits/requests/digits/1.json" >/dev/null
	curl -sf "http://$address/v2/health/ready" >/dev/null
	[ "$(worker)" = "$before" ] || { echo 'the worker that serves was replaced' >&2 && exit 1; }
	kill -TERM "$server" && wait "$server"
	pids=()
	echo "isolate: $isolate: a model that aborts at load is refused, the old one serves on"
done
