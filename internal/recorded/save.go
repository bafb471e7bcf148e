package recorded

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"

	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/infer"
)

// Save writes req as requests/MODEL/NAME.json of the function in dir, and what
// resp answers as its NAME.want.json, and replaces what was there. The folders
// in dir are made if need be. A nil resp records the request alone. tol
// holds the tolerances of outputs that shall not have the default; both kinds
// are written out, so that a person can see and change them. Each file is
// written whole or not at all, and no request is ever left with the answer to
// another.
//
// Model and Version of req are not written: they stand in the path. Errors:
// Invalid for a bad name or tolerance, Unprocessable when a request has what
// JSON cannot hold (NaN, BYTES that are not UTF-8), TooLarge beyond MaxBody
// and MaxWant, Internal when the file system refuses.
func Save(dir, model, name string, req *infer.Request, resp *infer.Response, tol Tolerances) error {
	const op = "recorded.Save"
	if err := checkNames(op, model, name); err != nil {
		return err
	}
	subject := filepath.Join(dir, folderName, model, name+suffix)
	body, err := layoutRequest(req, MaxBody)
	if err != nil {
		return saveError(err, subject)
	}
	if len(body) > MaxBody {
		return fault.New(fault.TooLarge, op, subject, "want at most %d bytes, got %d", MaxBody, len(body)).
			WithHint("Record a request with fewer rows.")
	}
	var want []byte
	if resp != nil {
		all, err := allTolerances(resp, tol)
		if err != nil {
			return fault.New(fault.Invalid, op, subject, "%w", err)
		}
		if want, err = layoutWant(resp.Digest, all, resp.Outputs); err != nil {
			return saveError(err, subject)
		}
		if len(want) > MaxWant {
			return fault.New(fault.TooLarge, op, subject, "want an answer of at most %d bytes, got %d", MaxWant, len(want)).
				WithHint("Record a request with fewer rows, or one that asks for fewer outputs.")
		}
	}
	if err := write(dir, model, name, body, want); err != nil {
		return fault.New(fault.Internal, op, subject, "%w", err)
	}
	return nil
}

// saveError says what to do where the codec would suggest binary tensors,
// which these files cannot have.
func saveError(err error, subject string) error {
	e := fault.New(fault.CodeOf(err), "recorded.Save", subject, "%w", err)
	if e.Code == fault.Unprocessable {
		e.WithHint("Recorded requests are JSON, which has no NaN and no bytes that are not text; record a row without them.")
	}
	return e
}

// allTolerances adds the defaults to tol.
func allTolerances(resp *infer.Response, tol Tolerances) (Tolerances, error) {
	all := Tolerances{}
	for i := range resp.Outputs {
		t := &resp.Outputs[i]
		given, ok := tol[t.Name]
		if !ok {
			given = DefaultTolerance(t.Type)
		}
		if err := checkTolerance(t, given); err != nil {
			return nil, err
		}
		if isFloat(t.Type) {
			all[t.Name] = given
		}
	}
	for name := range tol {
		if find(resp.Outputs, name) == nil {
			return nil, fmt.Errorf("tolerance: want the name of an output, got %q", name)
		}
	}
	return all, nil
}

// write replaces both files. A crash at any point leaves the old request
// without its answer at worst, or the new one.
func write(dir, model, name string, body, want []byte) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	folder := path.Join(folderName, model)
	if err := root.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	request, answer := path.Join(folder, name+suffix), path.Join(folder, name+wantSuffix)
	tempRequest, err := writeTemp(root, folder, body)
	if err != nil {
		return err
	}
	defer root.Remove(tempRequest) // gone already when all went well
	var tempAnswer string
	if want != nil {
		if tempAnswer, err = writeTemp(root, folder, want); err != nil {
			return err
		}
		defer root.Remove(tempAnswer)
	}
	if err := root.Remove(answer); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := root.Rename(tempRequest, request); err != nil {
		return err
	}
	if want == nil {
		return nil
	}
	return root.Rename(tempAnswer, answer)
}

// writeTemp writes a hidden file, which Load leaves alone, in the folder.
func writeTemp(root *os.Root, folder string, data []byte) (file string, err error) {
	file = path.Join(folder, "."+rand.Text()+".tmp")
	f, err := root.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return "", err
	}
	_, err = f.Write(data)
	err = errors.Join(err, f.Sync(), f.Close())
	if err != nil {
		root.Remove(file)
		return "", err
	}
	return file, nil
}
