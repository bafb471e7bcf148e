// Package emulate plays the platforms: for each target, the side of its
// contract that the platform is on. It starts a function as the platform
// would, with its environment and its patience, carries callers' requests to
// it in the platform's wire format, hands it event documents, and stops it.
// Nothing of it knows what the function is: the contract is all they share.
//
// It is the client of every adapter's conformance test, and what
// `godwit serve --as` and `godwit verify` run functions under.
package emulate
