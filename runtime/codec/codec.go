package codec

// Limits bound what a decoder accepts and an encoder writes. A nil *Limits
// and zero fields mean the defaults. Exceeding Body, Elements or Response is
// fault.TooLarge, exceeding any other limit fault.Invalid; the error always
// tells the limit.
type Limits struct {
	// Body is the number of bytes of a decompressed body or gRPC message;
	// default 16 MiB. A tensor may need at most four times as many bytes.
	Body int64
	// Depth is how deep JSON values may nest; default 64.
	Depth int
	// Rank is the number of dimensions of a tensor; default 16.
	Rank int
	// Elements is the number of elements of one tensor; default 2^26.
	Elements int
	// Tensors is the number of inputs, and of outputs, of one message; default 256.
	Tensors int
	// Params is the number of keys of one JSON object and of parameters in one
	// gRPC map; default 256. A message may hold four times as many in all.
	Params int
	// StringBytes is the length of one BYTES element; default 1 MiB.
	StringBytes int
	// Response is the number of bytes of an encoded response; 0 is no limit.
	Response int64
}

// WithDefaults returns l with its zero fields filled in; l may be nil.
func (l *Limits) WithDefaults() Limits {
	var out Limits
	if l != nil {
		out = *l
	}
	if out.Body <= 0 {
		out.Body = 16 << 20
	}
	if out.Response < 0 {
		out.Response = 0
	}
	for _, f := range []struct {
		v   *int
		def int
	}{
		{&out.Depth, 64}, {&out.Rank, 16}, {&out.Elements, 1 << 26},
		{&out.Tensors, 256}, {&out.Params, 256}, {&out.StringBytes, 1 << 20},
	} {
		if *f.v <= 0 {
			*f.v = f.def
		}
	}
	return out
}

// NaNPolicy says how a JSON response shows NaN and the infinities, for which
// JSON has no number. Binary outputs and gRPC carry them as they are.
type NaNPolicy uint8

const (
	// NaNError refuses the response: fault.Unprocessable, naming the output.
	NaNError NaNPolicy = iota
	// NaNNull writes null for all three.
	NaNNull
	// NaNString writes "NaN", "Infinity" and "-Infinity".
	NaNString
)

// EncodeOptions say how a response is written; nil means the zero value.
type EncodeOptions struct {
	NaN    NaNPolicy
	Limits *Limits // only Response matters
	// Binary makes every output binary whatever the request's parameters say.
	// It is how a raw request (DecodeRaw) is answered.
	Binary bool
}
