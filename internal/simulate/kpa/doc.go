// Package kpa is our port of the decisions of Knative's autoscaler, as of
// knative.dev/serving v0.50.0: the windows over which a metric is averaged and
// the step from averages to a number of pods. It allocates nothing in a step
// and reads no clock, so that weeks can be simulated in seconds; knative/conformance
// feeds it and the original the same million random steps and wants no
// difference.
//
// Times are nanoseconds since some second that is far enough in the past for
// all of them to be positive. Values of this package belong to one goroutine.
package kpa
