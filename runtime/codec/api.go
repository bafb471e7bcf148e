package codec

import (
	"godwit.dev/runtime/driver"
	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/infer"
)

// DecodeRequest decodes the body of an infer request. header is the value of
// Inference-Header-Content-Length, -1 when that header is absent: the whole
// body is JSON then. Header 0 is a raw request, which is DecodeRaw's.
//
// Model and Version are the caller's to set, since they stand in the path.
// The binary_data_size parameters are consumed; all others are in Params,
// InputParams and Outputs[i].Params. The request borrows body.
//
// Errors: Invalid, TooLarge, Unsupported.
func DecodeRequest(body []byte, header int, lim *Limits) (*infer.Request, error) {
	return nil, errTODO("codec.DecodeRequest")
}

// DecodeRaw decodes a raw request (Inference-Header-Content-Length: 0), whose
// whole body is the one input of a model with the signature sig: little-endian
// elements, or for BYTES the one element itself, without a length. A single
// variable dimension follows from the body's length; where there are two and
// one is the first, that one is 1. Answer it with EncodeOptions.Binary. The
// request borrows body.
//
// Errors: Invalid, also when the signature does not allow raw requests; TooLarge.
func DecodeRaw(body []byte, sig *driver.Signature, lim *Limits) (*infer.Request, error) {
	return nil, errTODO("codec.DecodeRaw")
}

// EncodeResponse appends resp as the answer to req to dst: outputs in the
// order that req asks for, binary where its binary_data_output and
// binary_data parameters or opts say so. header is the value for
// Inference-Header-Content-Length, or -1 when all of it is JSON. req may be nil.
//
// Errors: Unprocessable when an output cannot be written in JSON (NaN under
// NaNError, BYTES that are not UTF-8), TooLarge beyond Limits.Response,
// Internal when resp lacks a requested output. body is then dst as it was.
func EncodeResponse(dst []byte, req *infer.Request, resp *infer.Response, opts *EncodeOptions) (body []byte, header int, err error) {
	return dst, -1, errTODO("codec.EncodeResponse")
}

// EncodeRequest appends req to dst, for clients. With binary every input is a
// binary tensor and binary outputs are asked for, unless req.Params already
// holds binary_data_output. header is as in EncodeResponse.
//
// Errors: Unprocessable when an input cannot be written in JSON.
func EncodeRequest(dst []byte, req *infer.Request, binary bool) (body []byte, header int, err error) {
	return dst, -1, errTODO("codec.EncodeRequest")
}

// DecodeResponse decodes the body of an infer response, for clients; header is
// as in DecodeRequest. In FP outputs null reads as NaN and "NaN", "Infinity"
// and "-Infinity" as themselves. The response borrows body.
//
// Errors: Invalid, TooLarge.
func DecodeResponse(body []byte, header int, lim *Limits) (*infer.Response, error) {
	return nil, errTODO("codec.DecodeResponse")
}

// DecodeInferGRPC decodes the wire bytes of an inference.ModelInferRequest.
// raw tells whether tensors came as raw_input_contents, in which case the
// answer should be raw too; such tensors, and BYTES, borrow msg.
//
// Errors: Invalid, TooLarge, Unsupported.
func DecodeInferGRPC(msg []byte, lim *Limits) (req *infer.Request, raw bool, err error) {
	return nil, false, errTODO("codec.DecodeInferGRPC")
}

// AppendInferGRPC appends resp, as the answer to req, as the wire bytes of an
// inference.ModelInferResponse. FP16 and BF16 have no typed form, so one such
// output makes all of them raw. req may be nil.
//
// Errors: Internal when resp lacks a requested output. dst is then unchanged.
func AppendInferGRPC(dst []byte, req *infer.Request, resp *infer.Response, raw bool) ([]byte, error) {
	return dst, errTODO("codec.AppendInferGRPC")
}

// AppendInferRequestGRPC appends req as the wire bytes of an
// inference.ModelInferRequest, for clients; raw as in AppendInferGRPC.
func AppendInferRequestGRPC(dst []byte, req *infer.Request, raw bool) ([]byte, error) {
	return dst, errTODO("codec.AppendInferRequestGRPC")
}

// DecodeInferResponseGRPC decodes the wire bytes of an
// inference.ModelInferResponse, for clients. The response borrows msg.
//
// Errors: Invalid, TooLarge.
func DecodeInferResponseGRPC(msg []byte, lim *Limits) (*infer.Response, error) {
	return nil, errTODO("codec.DecodeInferResponseGRPC")
}

func errTODO(op string) error {
	return fault.New(fault.Internal, op, "", "not written yet")
}
