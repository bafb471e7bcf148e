// Package oip serves the Open Inference Protocol v2 as an http.Handler: no
// server, no gRPC. What REST and gRPC have in common, from deadlines to log
// lines, is in Server too, so that both wires give the same answers.
//
// docs/protocol.md lists the routes, limits and status codes.
package oip
