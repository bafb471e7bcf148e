#!/usr/bin/env bash
# Processes that score are killed: a hundred with SIGKILL at moments spread over an object's parts, three at a time on the
# same object in an S3 server; and a function by the kernel, for want of memory, in the middle of a delivery. What is
# written is what nobody's death would have left, byte by byte. Also the engine's own test of kills, a hundred times.
source "$(dirname "$0")/../lib.sh"
source "$here/servers/lib.sh"

cd "$root"
go build -o "$work/kills" ./e2e/kills
GODWIT_ONNXRUNTIME=$("$root/scripts/onnxruntime.sh")
export GODWIT_ONNXRUNTIME AWS_ACCESS_KEY_ID=key AWS_SECRET_ACCESS_KEY=secretsecret AWS_REGION=eu-west-1 # as the emulator of Lambda has it
start_versitygw
mkdir "$work/versitygw/kills" # a folder is a bucket of the posix backend
group=$(memory_group $((400 << 20)))
trap 'finish; rmdir "$group"' EXIT
"$work/kills" -store "$versitygw" -data "$work/versitygw" -group "$group" -work "$work/functions" -folder "$root/examples/digits" \
	-godwit "${GODWIT:-$root/bin/godwit}" -fn-lambda "${FN_LAMBDA:-$root/bin/fn-lambda}" -kills "${KILLS:-100}" -seed "${GODWIT_SEED:-1}"
GODWIT_KILLS=100 go test -count=1 -run '^TestKillsChangeNothing$' ./functions/batch
