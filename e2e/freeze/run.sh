#!/usr/bin/env bash
# Processes that are stopped for half a minute while their peers close the sockets between them: what waited is answered
# when they go on, and so is the first request after that. The server, and functions on Lambda whose Runtime API is the peer.
source "$(dirname "$0")/../lib.sh"

serve "$root/examples/digits"
cd "$root"
go build -o "$work/freeze" ./e2e/freeze
"$work/freeze" -for "${FREEZE:-30s}" -server "$server" -address "$address" -fn "${FN_LAMBDA:-$root/bin/fn-lambda}" -folder "$root/examples/digits"
kill -TERM "$server" && wait "$server"
pids=()
