// Package azurefunctions serves a function as a custom handler of Azure
// Functions: a process that the Functions host starts, and calls over HTTP on
// loopback. Requests of callers arrive as they are (proxied or forwarded) or,
// when host.json asks for neither, inside the host's JSON envelope; deliveries
// of queues, blobs, Service Bus, Event Grid, Event Hubs, Kafka and timers always
// arrive in the envelope.
//
// What the host does and its documentation does not say is taken from its
// source, src/WebJobs.Script of Azure/azure-functions-host.
//
// A delivery has one reply for all its items: a 2xx status completes it, any
// other fails it, and the host or the service delivers it again: a queue's
// message five times, then it is in QUEUE-poison; a blob five times; a Service
// Bus message ten times, then it is a dead letter. The host has no word for "this
// will never succeed", so a permanent failure takes the same way, and the log
// has the reason at each try. There are no partial replies either: where a
// batch (cardinality "many") has any item that failed, the whole fails, which
// loses nothing; those that were done come again, with the same Item.Key, and it
// is by that key that their work is found done. Event Hubs and Kafka go on behind
// a failed batch unless the function has a retry policy, so it needs one.
//
// Azure's own Go worker is a preview and is built with CGO_ENABLED=0; ONNX
// Runtime needs cgo, so a custom handler is the way that works.
package azurefunctions
