#!/usr/bin/env bash
# The simulator of autoscalers against the real ones: a million random decisions of Knative's own code and of our port;
# a trace served by real processes with Knative's autoscaler deciding by the wall clock, and simulated. AUTOSCALER_SECONDS
# is the length of the trace, 300 for the one in docs/simulator.md, 600 for one with the windows that Knative has by default;
# where it is given, a second trace is one at which the activator steps aside, and how fast a thousand functions live through
# two weeks is measured. With AUTOSCALER_DOCS=docs figures and plots are written there.
source "$(dirname "$0")/../lib.sh"

seconds=${AUTOSCALER_SECONDS:-150}
mkdir "$work/function"
(cd "$root" && go build -o "$work/pod" ./e2e/autoscaler/pod && "$work/pod" model "$work/function/m.onnx")
printf 'models: [{name: m, path: m.onnx, threads: {intraOp: 1, runs: 2}}]\n' >"$work/function/godwit.yaml"
(cd "$root/knative/conformance" && go test -c -o "$work/conformance" .)
cd "$root/knative/conformance"
"$work/conformance" -test.run '^TestAutoscalerIsKnatives$' -test.v -kpa.ticks 1000000
compare() { # SECONDS BURST OUT
	"$work/conformance" -test.run '^TestSimulatorIsCluster$' -test.v -test.timeout 30m -cluster.pod "$work/pod" -cluster.folder "$work/function" \
		-cluster.seconds "$1" -cluster.burst "$2" -cluster.out "$3"
}
compare "$seconds" 211 "$work/inpath.json" # the activator is in the path: Knative's default
[ -n "${AUTOSCALER_SECONDS:-}" ] || exit 0
compare 150 0 "$work/direct.json" # and where it steps aside
cd "$root"
if [ -n "${AUTOSCALER_DOCS:-}" ]; then
	mkdir -p "$AUTOSCALER_DOCS/results" "$AUTOSCALER_DOCS/plots"
	go run ./e2e/autoscaler/figures "$AUTOSCALER_DOCS/results/simulator.json" "$AUTOSCALER_DOCS/plots" "inpath=$work/inpath.json" "direct=$work/direct.json"
fi
go test -run '^$' -bench Second ./internal/simulate/kpa
go test -run '^$' -bench Fortnight -benchtime 1x ./internal/simulate
