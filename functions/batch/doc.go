// Package batch scores what arrives in deliveries: each item's payload is a
// request of the protocol, and its answer goes to the sink, or back to where
// the platform passes answers on. Items of one delivery are scored at the same
// time, so that models which gain by it run them together; each ends by itself.
package batch
