#!/usr/bin/env bash
# A server that is asked for three and ten times what it can do answers nearly as much as it can, refuses the rest with
# a time to come back, recovers at once, and lets no caller take another's share. The table has the figures. Server and
# client get processors of their own where there are two: in a fight for one of them the client's load would be less.
source "$(dirname "$0")/../lib.sh"

mkdir "$work/slow"
(cd "$root" && go run ./e2e/overload/model "$work/slow/slow.onnx" && go build -o "$work/overload" ./e2e/overload)
printf 'model: slow.onnx\nauth: key\n' >"$work/slow/godwit.yaml"
export GODWIT_API_KEYS=a:the-first-callers-key,b:the-second-callers-key
cpus=()
for range in $(taskset -cp $$ | sed 's/.*: *//; s/,/ /g'); do
	mapfile -t -O "${#cpus[@]}" cpus < <(seq "${range%-*}" "${range#*-}")
done
half=$((${#cpus[@]} / 2)) on=(env) client=(env)
if [ "$half" -gt 0 ]; then
	on=(taskset -c "$(IFS=, && echo "${cpus[*]:0:half}")") client=(taskset -c "$(IFS=, && echo "${cpus[*]:half}")")
fi
serve "$work/slow" "${on[@]}"
"${client[@]}" "$work/overload" -server "http://$address" -pid "$server" -seconds "${OVERLOAD_SECONDS:-2}" \
	the-first-callers-key the-second-callers-key
kill -0 "$server"
