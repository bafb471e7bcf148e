package recorded

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/infer"
)

// maxProblems is how many bad files one error names.
const maxProblems = 10

// Load reads all recorded requests of the function in dir, sorted by model and
// then by name as people count: "2" before "10". There are none where dir has
// no folder "requests". models, where given, are the models that the function
// has; a folder for any other is an error then.
//
// Every bad file is reported, up to ten. Errors: NotFound when dir is not
// there, Invalid for what is no request, no answer or in the wrong place,
// TooLarge beyond the bounds above.
func Load(dir string, models ...string) ([]Request, error) {
	const op = "recorded.Load"
	function, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fileError(op, dir, err)
	}
	defer function.Close()
	l := loader{dir: filepath.Join(dir, folderName), models: models}
	if l.root, err = function.OpenRoot(folderName); errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	} else if err != nil {
		return nil, fileError(op, l.dir, err)
	}
	defer l.root.Close()
	l.folder()
	if n := len(l.problems); n > maxProblems {
		l.problems = append(l.problems[:maxProblems], fmt.Errorf("and %d more", n-maxProblems))
	}
	if err := errors.Join(l.problems...); err != nil {
		return nil, err
	}
	slices.SortFunc(l.requests, func(a, b Request) int {
		return cmp.Or(infer.CompareVersions(a.Model, b.Model), infer.CompareVersions(a.Name, b.Name))
	})
	return l.requests, nil
}

// fileError is what went wrong with a file or folder.
func fileError(op, subject string, err error) *fault.Error {
	code := fault.Invalid
	if errors.Is(err, fs.ErrNotExist) {
		code = fault.NotFound
	}
	// The cause repeats the operation and a part of the path.
	if p := (*fs.PathError)(nil); errors.As(err, &p) {
		err = p.Err
	}
	return fault.New(code, op, subject, "%w", err)
}

// loader collects what one folder holds.
type loader struct {
	root     *os.Root
	dir      string
	models   []string
	requests []Request
	problems []error
	total    int64 // bytes of all files
	full     bool  // a bound of the folder is exceeded
}

func (l *loader) fail(code fault.Code, file, format string, args ...any) *fault.Error {
	e := fault.New(code, "recorded.Load", l.path(file), format, args...)
	l.problems = append(l.problems, e)
	return e
}

func (l *loader) failFile(file string, err error) {
	l.problems = append(l.problems, fileError("recorded.Load", l.path(file), err))
}

func (l *loader) path(file string) string { return filepath.Join(l.dir, filepath.FromSlash(file)) }

// entries lists a folder without hidden files; ok is false after a problem.
func (l *loader) entries(folder string) (all []fs.DirEntry, ok bool) {
	f, err := l.root.Open(folder)
	if err != nil {
		l.failFile(folder, err)
		return nil, false
	}
	defer f.Close()
	// Twice the requests for their answers, and as many files again of others.
	all, err = f.ReadDir(4*MaxRequests + 1)
	if err != nil && !errors.Is(err, io.EOF) {
		l.failFile(folder, err)
		return nil, false
	}
	if len(all) > 4*MaxRequests {
		l.fail(fault.TooLarge, folder, "want at most %d files, got more", 4*MaxRequests)
		return nil, false
	}
	all = slices.DeleteFunc(all, func(e fs.DirEntry) bool { return strings.HasPrefix(e.Name(), ".") })
	slices.SortFunc(all, func(a, b fs.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
	return all, true
}

func (l *loader) folder() {
	all, _ := l.entries(".")
	for _, e := range all {
		if l.full {
			return
		}
		name := e.Name()
		info, err := l.root.Stat(name)
		switch {
		case err != nil:
			l.failFile(name, err)
		case !info.IsDir():
			if strings.HasSuffix(name, suffix) {
				l.fail(fault.Invalid, name, "want requests in a folder named after their model, got a file beside these folders")
			}
		case !infer.ValidName(name):
			l.fail(fault.Invalid, name, "want a folder named after a model, got %q", name)
		case l.models != nil && !slices.Contains(l.models, name):
			l.fail(fault.Invalid, name, "want a folder named after a model, one of %s, got %q", quoteAll(l.models), name).
				WithHint("Rename the folder, or remove it if the model is gone.")
		default:
			l.model(name)
		}
	}
}

// model loads the requests in the folder of one model.
func (l *loader) model(model string) {
	all, _ := l.entries(model)
	wants := map[string]bool{} // those that have not met their request yet
	for _, e := range all {
		if name, ok := strings.CutSuffix(e.Name(), wantSuffix); ok {
			wants[name] = true
		}
	}
	for _, e := range all {
		file := path.Join(model, e.Name())
		name, isJSON := strings.CutSuffix(e.Name(), suffix)
		switch {
		case e.IsDir():
			l.fail(fault.Invalid, file, "want requests here, got a folder")
		case !isJSON || strings.HasSuffix(name, ".want"):
		case !ValidName(name):
			l.fail(fault.Invalid, file, "want a file name of letters, digits, '_', '.' and '-', got %q", e.Name())
		default:
			has := wants[name]
			delete(wants, name)
			l.request(model, name, has)
		}
		if len(l.requests) > MaxRequests {
			l.fail(fault.TooLarge, ".", "want at most %d requests, got more", MaxRequests)
			l.full = true
		} else if l.total > maxTotal {
			l.fail(fault.TooLarge, ".", "want at most %d bytes in all requests and answers, got more", maxTotal)
			l.full = true
		}
		if l.full {
			return
		}
	}
	for _, name := range slices.Sorted(maps.Keys(wants)) {
		l.fail(fault.Invalid, path.Join(model, name+wantSuffix), "want the request %s beside this answer, got none", name+suffix)
	}
}

func (l *loader) request(model, name string, hasWant bool) {
	file := path.Join(model, name+suffix)
	r := Request{Model: model, Name: name, Path: l.path(file)}
	var ok bool
	if r.Body, ok = l.read(file, MaxBody); !ok {
		return
	}
	if _, err := r.Decode(); err != nil {
		l.fail(fault.Invalid, file, "%w", fault.Of(err).Err)
		return
	}
	if hasWant {
		file := path.Join(model, name+wantSuffix)
		body, ok := l.read(file, MaxWant)
		if !ok {
			return
		}
		want, err := parseWant(body)
		if err != nil {
			l.fail(fault.Invalid, file, "%w", err)
			return
		}
		want.name = model + "/" + name
		r.Want = want
	}
	l.requests = append(l.requests, r)
}

// read returns a file of at most most bytes.
func (l *loader) read(file string, most int64) (body []byte, ok bool) {
	// Opening a named pipe would wait for its writer.
	info, err := l.root.Stat(file)
	if err != nil {
		l.failFile(file, err)
		return nil, false
	}
	if !info.Mode().IsRegular() {
		l.fail(fault.Invalid, file, "want a file, got something else (%v)", info.Mode())
		return nil, false
	}
	f, err := l.root.Open(file)
	if err == nil {
		defer f.Close()
		body, err = io.ReadAll(io.LimitReader(f, most+1))
	}
	switch {
	case err != nil:
		l.failFile(file, err)
	case int64(len(body)) > most:
		l.fail(fault.TooLarge, file, "want at most %d bytes, got more", most)
	default:
		l.total += int64(len(body))
		return body, true
	}
	return nil, false
}

func quoteAll(names []string) string {
	quoted := make([]string, len(names))
	for i, n := range names {
		quoted[i] = fmt.Sprintf("%q", n)
	}
	return strings.Join(quoted, ", ")
}
