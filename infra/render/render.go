// Package render is what the renderers of all platforms have in common: what
// they are given and what they make. A renderer is a pure function: it reads no
// file, no clock, no environment and no network, and the same deployment gives
// the same bytes.
package render

import (
	"cmp"
	"slices"

	"godwit.dev/infra/spec"
)

// Deployment is one function as it goes to one platform.
type Deployment struct {
	Spec *spec.Spec // has the target that is rendered
	// Image is repository@sha256:…, where the platform runs an image; else "".
	Image string
	// Digest is that of the package, "sha256:…".
	Digest string
	// Package is the name of the package's file within the rendered folder, where
	// the platform takes an archive; else "".
	Package string
	// ModelBytes is what the models are in files, which memory must be above.
	ModelBytes int64
	// Request is the first recorded request, for the line that calls the
	// function; nil for none.
	Request *Request
}

// Request is a recorded request by where it is.
type Request struct {
	Model string
	Path  string // below the function's folder, with slashes
}

// File is one file that was rendered.
type File struct {
	Path string // below the folder that is rendered, with slashes
	Data []byte
}

// Sort puts files into the order of their paths.
func Sort(files []File) {
	slices.SortFunc(files, func(a, b File) int { return cmp.Compare(a.Path, b.Path) })
}
