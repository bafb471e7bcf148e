// Package batch scores what arrives in deliveries: each item's payload is a
// request of the protocol, and its answer goes to the sink, or back to where
// the platform passes answers on. Items of one delivery are scored at the same
// time, so that models which gain by it run them together; each ends by itself.
//
// A payload that lies in an object store is a file of rows, of any size. Score
// reads it in parts, and keeps the scores of each part under names that come
// from the object's version, the model's digest and the settings: first the
// part's rows, then its mark, and when all parts are marked, the manifest. A
// store keeps each name once. So whoever is ended in the middle, and however
// often and by how many at a time an object is scored, the scores are there once.
package batch
