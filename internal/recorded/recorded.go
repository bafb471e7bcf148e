// Package recorded keeps requests and the answers that a model gave to them,
// as files that a person can read and curl can send:
//
//	requests/MODEL/NAME.json        a protocol body, at most 64 KiB
//	requests/MODEL/NAME.want.json   {"model_digest": "sha256:…", "tolerance": {…}, "outputs": […]}
//
// What init records, serve shows, verify compares with and doctor tries.
//
// MODEL and NAME follow infer.ValidName, NAME does not end in ".want". Hidden
// files and files that do not end in ".json" are left alone; anything else
// that is not one of the two is an error, so that no file is silently not
// compared. Nothing is read or written outside of the function's folder,
// whatever symbolic links it holds.
package recorded

import (
	"fmt"
	"strings"

	"godwit.dev/runtime/codec"
	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/infer"
)

// The bounds of a folder of recorded requests.
const (
	MaxBody     = 64 << 10 // bytes of a request
	MaxWant     = 1 << 20  // bytes of an answer
	MaxRequests = 1024     // in one folder
	maxTotal    = 64 << 20 // bytes of all files of one folder
)

const (
	folderName = "requests"
	suffix     = ".json"
	wantSuffix = ".want.json"
)

// Request is one recorded request.
type Request struct {
	Model string // which model answers it: the folder's name
	Name  string // the file's name without ".json"
	Path  string // the file, for messages
	Body  []byte // a protocol body that Decode has accepted
	Want  *Want  // what it must be answered; nil where no answer is recorded
}

// Decode returns the request for infer, with Model set. It borrows Body.
func (r *Request) Decode() (*infer.Request, error) {
	req, err := codec.DecodeRequest(r.Body, -1, nil)
	if err != nil {
		return nil, fault.New(fault.Invalid, "recorded.Decode", r.Path, "%w", err)
	}
	req.Model = r.Model
	return req, nil
}

// ValidName reports whether s can name a recorded request.
func ValidName(s string) bool {
	return infer.ValidName(s) && !strings.HasSuffix(s, ".want")
}

func checkNames(op, model, name string) error {
	if !infer.ValidName(model) {
		return fault.New(fault.Invalid, op, fmt.Sprintf("model %q", model), "want a name of letters, digits, '_', '.' and '-'")
	}
	if !ValidName(name) {
		return fault.New(fault.Invalid, op, fmt.Sprintf("request %q", name), "want a name of letters, digits, '_', '.' and '-' that does not end in \".want\"")
	}
	return nil
}
