// Package simulate answers what a function would see on a platform before it
// is there: how many instances, how many cold starts, which latencies, how
// many billed seconds, for arrivals of a trace or of a seeded generator.
//
// Run is event-driven under a virtual clock. Each function is a world of its
// own (platforms scale functions, not accounts), is advanced only when
// something happens to it, and has its own seeded random numbers, so that one
// function's figures do not depend on which others are simulated beside it.
// An instance is our own server: the policy of its queue and of its shared runs
// is that of runtime/infer, which tests hold it to. The autoscaler of Knative
// is our port of it (package kpa), held to the original by tests in
// knative/conformance. docs/simulator.md says what is validated and what is not.
//
// All times are virtual, measured from the start of the trace.
package simulate
