// Package httpserve is the life of a server, written once for every platform
// that sends requests to a port: listening, one port for HTTP/1.1, HTTP/2
// without TLS and gRPC, limits on connections, and draining.
//
// A connection that begins with a gRPC call is given to grpc-go's own
// transport, which costs a third of what net/http's costs for a small call.
// HTTP/1.1 requests of the usual form are answered by a loop of our own, a
// lane, with the same handler: docs/adr/004-fast-lane.md. Everything else is
// net/http's, gRPC calls among other requests included, and a connection on
// which anything unusual comes is net/http's from then on.
package httpserve
