#!/usr/bin/env bash
# The runs that a server allows itself follow the CPU quota of its control
# group, version 1 or 2, and the memory size of a Lambda function. Needs root.
source "$(dirname "$0")/../lib.sh"

group=$(mktemp -u /sys/fs/cgroup/godwit-e2e.XXXXXX)
if [ -d /sys/fs/cgroup/cpu ]; then
	group=/sys/fs/cgroup/cpu/${group##*/}
	limit() { echo "$1" >"$group/cpu.cfs_quota_us"; }
else
	limit() { echo "$1 100000" >"$group/cpu.max"; }
fi
mkdir "$group" || { echo "want to make a control group in /sys/fs/cgroup: run as root" >&2 && exit 1; }
trap 'finish; rmdir "$group"' EXIT
within=(sh -c 'echo $$ >"$0/cgroup.procs" && exec "$@"' "$group")

# expect RUNS WHAT COMMAND...: serve by COMMAND says that it runs that many at once.
expect() {
	local runs=$1 what=$2
	shift 2
	serve "$root/examples/digits" "$@"
	got=$(sed -n 's/.*"runs": \([0-9]*\).*/\1/p' "$work"/serve.*.out | tail -n 1)
	kill "$server" && wait "$server"
	pids=() && rm -f "$work"/serve.*
	[ "$got" = "$runs" ] || { echo "$what: want $runs runs at once, got $got" >&2 && exit 1; }
	echo "$what: $got at once"
}

cores=$(nproc)
expect "$cores" "no quota, $cores cores" env
limit 25000 && expect 1 'a quarter of a CPU' "${within[@]}"
limit 100000 && expect 1 'one CPU' "${within[@]}"
limit 200000 && expect $((cores < 2 ? cores : 2)) 'two CPUs' "${within[@]}"
expect 1 'Lambda with 1769 MB' env AWS_LAMBDA_FUNCTION_MEMORY_SIZE=1769
