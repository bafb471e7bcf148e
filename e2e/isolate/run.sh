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
(cd "$root" && go run ./e2e/isolate "$server" "http://$address" "${KILLS:-12}")
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
