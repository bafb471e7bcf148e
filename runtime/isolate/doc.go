// Package isolate runs another engine in a worker process, so that what native
// code can do to a process (a segmentation fault, an abort, a stack overflow,
// all of the memory) costs the requests that were in it and not the server.
//
// New gives a driver.Engine whose sessions live in the worker; Serve is the
// worker's side, which a binary reaches by a hidden command. Tensors travel in
// memory that both processes map: inputs are copied into it once, and large
// outputs are handed to the caller as views of it. What is said besides goes
// over Unix sockets in small messages. The parent trusts none of them: a worker
// whose memory is damaged may say anything.
//
// A supervisor starts the worker again when it ends and opens its models anew.
// A run that was alone in a worker that crashed is to blame and fails with
// Internal. Runs that were there together are done again, one at a time, so
// that only the culprit fails; a run has no effect, so it may be repeated. What
// was in flight at two crashes is refused for a while with Unprocessable.
//
// Canary loads a model once in a worker of its own under limits, so that a
// model that brings its process down never reaches the one that serves.
package isolate
