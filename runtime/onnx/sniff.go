package onnx

import (
	"bytes"
	"fmt"
	"io/fs"
	"strconv"
	"strings"
)

// A stranger is a file format that people take for an ONNX model.
type stranger struct {
	at    int // offset of magic
	magic string
	what  string
	hint  string
}

const hintExport = "Export the model to ONNX first (torch.onnx.export, skl2onnx, tf2onnx), then use the .onnx file."

var strangers = []stranger{
	{0, "PK\x03\x04", "a zip archive (a PyTorch or Keras model, or a packed .onnx)", "Unpack it and use the .onnx file inside; if there is none, export the model to ONNX first."},
	{0, "\x1f\x8b", "a gzip archive", "Unpack it (gunzip, tar xf) and use the .onnx file inside."},
	{0, "\xfd7zXZ", "an xz archive", "Unpack it and use the .onnx file inside."},
	{0, "\x28\xb5\x2f\xfd", "a zstd archive", "Unpack it and use the .onnx file inside."},
	{0, "BZh", "a bzip2 archive", "Unpack it and use the .onnx file inside."},
	{257, "ustar", "a tar archive", "Unpack it and use the .onnx file inside."},
	{0, "\x89HDF\r\n", "an HDF5 file (a Keras model)", hintExport},
	{4, "TFL3", "a TensorFlow Lite model", hintExport},
	{0, "GGUF", "a GGUF model", hintExport},
	{0, "\x80\x02}", "a Python pickle", hintExport},
	{0, "\x80\x03", "a Python pickle", hintExport},
	{0, "\x80\x04\x95", "a Python pickle", hintExport},
	{0, "\x80\x05\x95", "a Python pickle", hintExport},
	{0, "version https://git-lfs", "a Git LFS pointer instead of the file", "Run `git lfs pull` in the repository that it came from."},
	{0, "%PDF-", "a PDF document", hintPage},
	{0, "\x7fELF", "a program or a shared library", hintPage},
}

const hintPage = "Download the file itself: this is what a server sent instead, often an error or a login page."

// sniff recognises what is no protobuf at all and sets the format.
func (p *parser) sniff() error {
	head := bytes.Clone(p.peek(0, 512))
	switch {
	case p.err != nil:
		return p.err
	case p.size == 0:
		return p.fail("want an ONNX model, got an empty file").WithHint(hintTruncated)
	case p.size > maxFile:
		return p.fail("the file has %d bytes; protobuf ends at %d", p.size, maxFile).
			WithHint("Save the model with external data (onnx.save_model with save_as_external_data=True), so that its weights are in a file beside it.")
	case len(head) >= 8 && string(head[4:8]) == "ORTM":
		p.m.Format = FormatORT
		return nil
	}
	for _, s := range strangers {
		if len(head) >= s.at && bytes.HasPrefix(head[s.at:], []byte(s.magic)) {
			return p.fail("want an ONNX model, got %s", s.what).WithHint("%s", s.hint)
		}
	}
	text := strings.ToLower(strings.TrimLeft(strings.TrimPrefix(string(head), "\xef\xbb\xbf"), " \t\r\n"))
	for _, prefix := range []string{"<!doctype", "<html", "<?xml", "<head", "<body", "<error"} {
		if strings.HasPrefix(text, prefix) {
			return p.fail("want an ONNX model, got a web page or XML: %q", line(text)).WithHint(hintPage)
		}
	}
	if printable(head) {
		return p.fail("want an ONNX model, got a text file: %q", line(string(head))).WithHint(hintPage)
	}
	return nil
}

// printable reports whether head is plain text: a model has bytes below 9 in
// its first 512, since its first field's tag is one.
func printable(head []byte) bool {
	for _, b := range head {
		if b < ' ' && b != '\n' && b != '\r' && b != '\t' {
			return false
		}
	}
	return true
}

func line(text string) string {
	text, _, _ = strings.Cut(strings.TrimSpace(text), "\n")
	return shorten(strings.ToValidUTF8(text, "?"))
}

// shorten cuts what a file says for an error message; the file may be hostile.
func shorten(text string) string {
	if len(text) > 100 {
		return strings.ToValidUTF8(text[:100], "") + "…"
	}
	return text
}

// short is shorten, quoted.
func short(name string) string { return strconv.Quote(shorten(name)) }

func kindOf(mode fs.FileMode) string {
	switch {
	case mode.IsDir():
		return "folder"
	case mode&fs.ModeSymlink != 0:
		return "symbolic link"
	case mode&fs.ModeNamedPipe != 0:
		return "named pipe"
	case mode&fs.ModeSocket != 0:
		return "socket"
	case mode&fs.ModeDevice != 0:
		return "device"
	}
	return fmt.Sprintf("file of mode %v", mode)
}
