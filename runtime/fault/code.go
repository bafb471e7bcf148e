package fault

import "fmt"

// Code classifies an Error. The zero value is OK and never stands in an Error.
type Code uint8

// The codes. Their HTTP and gRPC statuses and exit codes are in one table.
const (
	OK               Code = iota
	Invalid               // the request is malformed or contradicts the model's signature
	NotFound              // no such model, version or route
	TooLarge              // a body, tensor or message exceeds its limit
	UnsupportedMedia      // unknown content type or content encoding
	Unprocessable         // well-formed, but the answer cannot be represented as asked
	Unsupported           // a feature that this server does not offer
	Unauthenticated       // no credentials, or wrong ones
	Denied                // credentials without the needed scope
	RateLimited           // the caller is over its quota
	Unavailable           // not ready, draining or full: try again later
	DeadlineExceeded      // the caller's deadline passed
	Canceled              // the caller went away
	BadModel              // a model file that cannot be read, is not allowed or does not fit
	BadConfig             // godwit.yaml, an environment variable or a flag's value is wrong
	Runtime               // ONNX Runtime or an execution provider is missing or not the one asked for
	Mismatch              // answers differ from the recorded ones
	Usage                 // a command line that cannot be understood
	Internal              // ours to mend
	numCodes
)

// row is one line of the table that all protocols and the command line share.
type row struct {
	name string
	http int
	grpc uint32
	exit int
}

// gRPC status numbers are those of google.golang.org/grpc/codes; they are
// written out so that this package, which every binary links, needs no gRPC.
// Exit code 130 (interrupted) is the shell's convention for SIGINT.
var table = [numCodes]row{
	OK:               {"ok", 200, 0, 0},
	Invalid:          {"invalid", 400, 3, 3},
	NotFound:         {"not_found", 404, 5, 4},
	TooLarge:         {"too_large", 413, 8, 5},
	UnsupportedMedia: {"unsupported_media", 415, 3, 3},
	Unprocessable:    {"unprocessable", 422, 9, 6},
	Unsupported:      {"unsupported", 501, 12, 7},
	Unauthenticated:  {"unauthenticated", 401, 16, 8},
	Denied:           {"denied", 403, 7, 8},
	RateLimited:      {"rate_limited", 429, 8, 9},
	Unavailable:      {"unavailable", 503, 14, 9},
	DeadlineExceeded: {"deadline_exceeded", 504, 4, 10},
	Canceled:         {"canceled", 499, 1, 130},
	BadModel:         {"bad_model", 500, 9, 11},
	BadConfig:        {"bad_config", 500, 9, 12},
	Runtime:          {"runtime", 500, 9, 13},
	Mismatch:         {"mismatch", 500, 15, 14},
	Usage:            {"usage", 400, 3, 2},
	Internal:         {"internal", 500, 13, 1},
}

// Codes returns every code but OK, in order.
func Codes() []Code {
	codes := make([]Code, 0, numCodes-1)
	for c := OK + 1; c < numCodes; c++ {
		codes = append(codes, c)
	}
	return codes
}

// String is the stable lower-case name used in JSON, logs and metrics.
func (c Code) String() string {
	if c >= numCodes {
		return fmt.Sprintf("code(%d)", uint8(c))
	}
	return table[c].name
}

func (c Code) row() row {
	if c >= numCodes {
		c = Internal
	}
	return table[c]
}

// HTTP is the status of a response with this code.
func (c Code) HTTP() int { return c.row().http }

// GRPC is the number of the google.golang.org/grpc/codes value.
func (c Code) GRPC() uint32 { return c.row().grpc }

// Exit is the process exit code; only OK has 0.
func (c Code) Exit() int { return c.row().exit }

// OfHTTP returns the code that best fits a status received from a server:
// the first in the table with that status, else Invalid for the rest of 4xx
// and Internal for everything that is not a success.
func OfHTTP(status int) Code {
	if status >= 200 && status < 300 {
		return OK
	}
	for c := OK + 1; c < numCodes && status != Internal.HTTP(); c++ {
		if table[c].http == status {
			return c
		}
	}
	if status >= 400 && status < 500 {
		return Invalid
	}
	return Internal
}
