#!/usr/bin/env bash
# Runs serve and predict where only loopback exists, under strace: nothing may try to reach further, and no file may
# appear. ONNX Runtime reports home within a minute where it is let; as a control, one in Node is, and must be caught.
#   GODWIT_E2E_NETNS_SECONDS is how long the server is watched (default 65).
source "$(dirname "$0")/../lib.sh"
seconds=${GODWIT_E2E_NETNS_SECONDS:-65}
[ "$(uname)" = Linux ] || { echo "network namespaces need Linux" >&2 && exit 1; }
if [ -z "${GODWIT_E2E_INSIDE:-}" ]; then
	command -v strace >/dev/null || deb strace
	command -v ip >/dev/null || deb iproute2
	npm_install onnxruntime-node@1.30.0
	library=$("$root/scripts/onnxruntime.sh")
	user=-n && [ "$(id -u)" = 0 ] || user=-rn
	rm -rf "$work"
	GODWIT_E2E_INSIDE=1 GODWIT_ONNXRUNTIME=$library exec unshare "$user" "$0"
fi

ip link set lo up
[ -z "$(ip route show table all | grep -v 'table local\|dev lo')" ] || { ip route show table all >&2 && exit 1; }
watched=("$here/netns/watched.sh" "$work")
digits=$root/examples/digits request=$root/examples/digits/requests/digits/1.json
started=$SECONDS

serve "$digits" "${watched[@]}" serve.trace
bin=${GODWIT:-$root/bin/godwit}
curl -sf --noproxy '*' -o "$work/ready" "http://$address/v2/health/ready"
"${watched[@]}" predict-url.trace "$bin" predict "http://$address" "$request" --model digits >"$work/url.json"
"${watched[@]}" predict-dir.trace "$bin" predict "$digits" "$request" >"$work/dir.json"
"$here/netns/same.sh" "$work/url.json" "$work/dir.json"
left=$(find "$work/home" "$work/tmp" -mindepth 1)
[ -z "$left" ] || { printf 'files appeared:\n%s\n' "$left" >&2 && exit 1; }

GODWIT_E2E_MODULE=$cache/npm/node_modules/onnxruntime-node "${watched[@]}" control.trace \
	node "$here/netns/control.cjs" "$digits/digits.onnx" "$seconds" 2>/dev/null &
control=$!
rest=$((seconds - (SECONDS - started))) && sleep "$((rest > 0 ? rest : 0))"
curl -sf --noproxy '*' -o "$work/ready" "http://$address/v2/health/ready"
"$here/netns/threads.sh" "$server"
kill "$server" && wait "$server"
wait "$control" || :
sleep 1 # strace is not ours to wait for: it ends with what it watched

for name in serve predict-url predict-dir; do
	"$here/netns/trace.sh" "$work/$name.trace" || { echo "$name does that" >&2 && exit 1; }
	echo "$name: $(wc -l <"$work/$name.trace") calls watched, none beyond loopback, no file made"
done
if "$here/netns/trace.sh" "$work/control.trace" >"$work/control" 2>&1; then
	echo "the control was not caught: the check sees nothing" >&2 && exit 1
fi
echo "control: ONNX Runtime with its telemetry on was caught, $(wc -l <"$work/control") times"
