// Package loadtest puts load on a server of the Open Inference Protocol v2 and
// measures what its callers would see. It is what `godwit bench` runs and what
// tests of overload use.
//
// In an open loop requests arrive at a rate of their own, whatever the server
// answers, and a latency counts from the moment when the request was due, not
// from when it could be sent: a server that stalls for a second delays all who
// came in that second, and all of them are in the histogram. In a closed loop
// each connection sends its next request when it has the last answer; that
// measures throughput, and its latencies hide queueing.
//
// The client shares the machine with what it measures, so it is cheap: the
// bytes of every request are made before the start, of an answer only status
// and length are read. What it cannot do on time it says: Result.Late.
package loadtest
