// Package adaptertest is the conformance suite of adapters: a new adapter is
// done when it passes. The suite makes the subject, a few small models and a
// handler that does what a request's parameters say, and calls it in the
// platform's own wire format through a Client that the adapter's test hands in.
//
// Run is for requests and RunEvents for what starts a function otherwise. Each
// case starts an adapter of its own and can be run alone. Where an adapter runs
// in another process, as one that owns its process must, that process makes the
// same subject with New and the Setup that Env has carried there.
//
// Answers are compared with what the subject's server says when it is asked in
// process, so every adapter that passes gives the same bytes for the same
// request. What a platform cannot do is said in Caps and EventCaps, and leaves
// out cases by name.
package adaptertest
