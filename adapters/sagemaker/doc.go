// Package sagemaker serves a function in a container of Amazon SageMaker: as a
// real-time, serverless or asynchronous endpoint, and in batch transform jobs.
// SageMaker starts the image with the argument serve, asks GET /ping for health
// and sends every caller's body to POST /invocations.
//
// The body is one of the protocol, with the content type application/json, or
// with binary tensors as Triton has it,
//
//	application/vnd.sagemaker-triton.binary+json;json-header-size=N
//
// where N is the length of the JSON, because SageMaker lets the header that the
// protocol has for it not through. Rows of numbers may be text/csv, without a
// header line, for a model with one numeric input of two dimensions; who says
// Accept: text/csv gets rows back, from a model with one numeric output of at
// most two, and who says Accept: application/jsonlines a line of JSON for each
// row. A body of application/jsonlines has a request of the protocol in each
// line, and its answer an answer or an error in each. Other content types are
// refused with 415.
//
// Where a function has several models, a caller names one in TargetModel, or
// as CustomAttributes model=NAME&version=V.
//
// # Multi-model endpoints
//
// A function's models are fixed when it is packaged, and SageMaker's mode with
// many models in one container (SAGEMAKER_MULTI_MODEL) wants to load and unload
// others at any time. Of its routes GET /models, GET /models/NAME and POST
// /models/NAME/invoke work; POST /models says 409 for a model that is there, as
// for one that has been loaded, and 501 for any other; DELETE says 501. Never
// 507, which would have SageMaker unload others and come again.
//
// # Callers
//
// SageMaker checks callers by IAM and takes every other credential away, so
// auth: key and auth: jwt would let nobody in, and are refused at the start.
package sagemaker
