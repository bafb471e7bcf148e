#!/usr/bin/env bash
# Objects and messages through real servers and what each platform does between them and a function: S3 → SQS → Lambda →
# S3, Cloud Storage → Pub/Sub → Cloud Run → Cloud Storage, blobs and queues → the Functions host → blobs, Kafka → Lambda
# and Knative → S3; large objects that become messages on their own queue, and prefixes that the tasks of jobs share.
# Functions, consumers, tasks and the broker are killed in the middle. Scored once is what counts.
source "$(dirname "$0")/../lib.sh"
source "$here/servers/lib.sh"

cd "$root"
go build -o "$work/queues" ./e2e/queues
GODWIT_ONNXRUNTIME=$("$root/scripts/onnxruntime.sh")
export GODWIT_ONNXRUNTIME
ask=$work/functions/restart-broker
mkdir -p "$work/functions"
# flow NAME...: the flows, while the broker is restarted when they ask for it
flow() {
	"$work/queues" -moto "$moto" -gcs "$gcs" -pubsub "$pubsub" -kafka "$kafka" -blobs "$azure_blob" -queues "$azure_queue" -kafka-tool "$bin/kafka" \
		-godwit "${GODWIT:-$root/bin/godwit}" -fn-lambda "${FN_LAMBDA:-$root/bin/fn-lambda}" -fn-server "${FN_SERVER:-$root/bin/fn-server}" -model "$root/examples/digits/digits.onnx" -work "$work/functions" "$@" &
	local pid=$!
	while kill -0 "$pid" 2>/dev/null; do
		if [ -f "$ask" ]; then
			kill -KILL "$kafka_pid" && wait "$kafka_pid" 2>/dev/null || :
			start_kafka
			rm "$ask"
		fi
		sleep 0.2
	done
	wait "$pid" || { tail -n 30 "$work"/functions/*.log >&2 && return 1; }
}
moto='' pubsub='' gcs='' azure_blob='' azure_queue='' kafka='' bin=''
for name in ${QUEUES:-sqs pubsub azure kafka split jobs}; do
	case $name in
	pubsub) start_pubsub && start_gcs ;;
	jobs) [ -n "$gcs" ] || start_gcs ;;
	azure) start_azurite ;;
	*) [ -n "$moto" ] || start_moto ;;
	esac
	[ "$name" != kafka ] || { built && start_kafka; }
	flow "$name"
done
