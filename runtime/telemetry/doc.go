// Package telemetry is the seam between Godwit and whoever watches it: events
// for metrics, trace context, and log lines. Formats (Prometheus in
// telemetry/prom, the clouds' own elsewhere) implement Sink; this package
// imports none of them.
//
// What is recorded never holds tensor values, bodies, credentials or paths.
package telemetry
