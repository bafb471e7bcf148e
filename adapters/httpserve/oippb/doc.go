// Package oippb is the Open Inference Protocol's gRPC service, generated from
// inference.proto. scripts/proto.sh writes it anew; the result is committed, so
// that building needs no protoc.
//
// The server does not decode infer messages with this package but with
// runtime/codec, which borrows tensors from the bytes that arrived.
package oippb

//go:generate ../../../scripts/proto.sh
