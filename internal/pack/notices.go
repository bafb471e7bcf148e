package pack

import (
	"embed"
	"strings"
)

// onnxRuntimeVersion is the version whose texts are in notices: the one that
// packages are made with.
const onnxRuntimeVersion = "1.31.1"

// The licence of ONNX Runtime and the notices of what it was built of, as its
// own packages have them: whoever passes the library on has to pass these on.
//
//go:embed notices
var notices embed.FS

// noticePrefix begins the names of the notices in a package, beside the library.
const noticePrefix = "lib/onnxruntime-"

// noticeFiles are the notices that go with ONNX Runtime's library.
func noticeFiles() ([]File, error) {
	var files []File
	for as, name := range map[string]string{"LICENSE.txt": "LICENSE", "ThirdPartyNotices.txt": "ThirdPartyNotices.txt"} {
		text, err := notices.ReadFile("notices/onnxruntime-" + onnxRuntimeVersion + "/" + name)
		if err != nil {
			return nil, err
		}
		files = append(files, File{Path: noticePrefix + as, Part: Runtime, Data: text})
	}
	return files, nil
}

// isNotice reports whether a file of a package is one of noticeFiles.
func isNotice(f *File) bool { return f.From == "" && strings.HasPrefix(f.Path, noticePrefix) }
