// Package vertexai serves a function in a custom container of Vertex AI, for
// online endpoints and batch predictions: two routes, which Vertex AI names in
// the container's environment. On the predict route it takes
//
//   - predict requests, {"instances": […], "parameters": {…}}, translated by the
//     model's signature: see codec.DecodeInstances,
//   - by rawPredict the protocol's own JSON, told apart by its member "inputs",
//   - by rawPredict bodies with binary tensors, as Triton has them: content type
//     application/vnd.vertex-ai-triton.binary+json;json-header-size=N.
//
// Of several models a predict request names one in its parameters, "model" and
// "version", and a raw one in Triton's header X-Vertex-Ai-Triton-Redirect, which
// has the protocol's path; where that is one for GET, the body is of no account.
// All other paths are the protocol's, for endpoints that pass on more than the
// predict route, and so is gRPC, for those whose container names the port in
// grpcPorts. An answer to streamRawPredict is one piece.
//
// Numbers are exact here, but Vertex AI holds those of predict requests and of
// their answers as 64-bit floats: whole numbers beyond 2^53 need rawPredict.
// Vertex AI answers predict with the members "predictions" and "metadata" of
// ours, which holds the model's name, version and digest, and the keys of a
// sequence of maps. A model with other outputs that have no row for each instance
// is asked by rawPredict, and so is a function that takes other inputs than its
// model, by whose signature instances are read.
//
// AIP_STORAGE_URI, where Vertex AI keeps a copy of the model's artifacts, is not
// fetched: the function must be in the image.
package vertexai
