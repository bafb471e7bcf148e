// Package codec turns the bytes of the Open Inference Protocol v2 into
// infer.Request and infer.Response and back: JSON, JSON with binary tensors,
// and the wire form of the gRPC messages. It knows no HTTP and no gRPC
// library, and it holds no state, so all of it may be called concurrently.
// docs/protocol.md tells what is accepted and what is written.
//
// What is decoded borrows the bytes it was decoded from: binary tensors, raw
// gRPC tensors and JSON strings without escapes are slices of them, so those
// bytes must neither change nor be reused while the request lives. Borrowed
// data is as aligned as it happened to arrive; tensor.View and engines copy
// where they need alignment. Names, ids and parameters are copies.
//
// Memory is bounded by the bytes that came in, because what a tensor needs is
// computed from its shape and compared with what is there before anything is
// decoded: at most 8 times the body for JSON, 6 for binary tensors, 12 for
// gRPC messages, and 128 KiB.
//
// Errors are *fault.Error: Invalid for what is malformed, TooLarge for what
// exceeds Limits.Body, Elements or Response, Unsupported for a parameter that
// asks for a feature which this server does not have, and Unprocessable for
// an answer that cannot be written as asked.
package codec
