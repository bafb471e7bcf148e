#!/usr/bin/env bash
# Serves examples/digits under a mixed load (every form, errors, callers that leave) and prints what memory, threads
# and descriptors of the process do; fails when they grow or an answer is wrong. `make soak` calls it.
#   SOAK_SECONDS  how long (default 1800)    SOAK_RATE  calls a second (default 300)
#   SOAK_CSV      where the samples go (default dist/soak.csv)
# Then it kills the worker of a server with isolate: on SOAK_KILLS times (default 1000) under load, and prints how long
# it took to come back and what the restarts left.
source "$(dirname "$0")/../e2e/lib.sh"
cd "$root"
go build -o "$work/soak" ./e2e/soak
serve examples/digits
"$work/soak" -server "$address" -pid "$server" -for "${SOAK_SECONDS:-1800}s" -rate "${SOAK_RATE:-300}" -csv "${SOAK_CSV:-dist/soak.csv}"

# The load is gone, and so must its goroutines be: Go prints all of them when it gets SIGQUIT.
log=$(ls "$work"/serve.*.err) before=$(wc -l <"$log")
sleep 2
kill -QUIT "$server" && wait "$server" || :
goroutines=$(tail -n "+$before" "$log" | grep -c '^goroutine ' || :)
echo "$goroutines goroutines are left; samples in ${SOAK_CSV:-dist/soak.csv}"
[ "$goroutines" -gt 0 ] && [ "$goroutines" -lt 40 ] || { tail -n "+$before" "$log" | grep -A2 '^goroutine ' | head -200 >&2; exit 1; }

cp -r examples/digits "$work/digits" && echo 'isolate: on' >>"$work/digits/godwit.yaml"
serve "$work/digits"
go run ./e2e/isolate "$server" "http://$address" "${SOAK_KILLS:-1000}" | tail -n 2

# Batch scoring: schedules of crashes, duplicates and lost answers are simulated (SOAK_SCHEDULES, default 100000), and an
# object of SOAK_OBJECT_MB (default 5000) is scored in bounded memory.
GODWIT_SCHEDULES="${SOAK_SCHEDULES:-100000}" GODWIT_OBJECT_MB="${SOAK_OBJECT_MB:-5000}" \
	go test -count=1 -v -timeout 2h -run '^(TestNoScheduleLosesOrDoublesAnything|TestMemoryIsBounded)$' ./functions/batch
