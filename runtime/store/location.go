package store

import (
	"path/filepath"
	"strings"
	"unicode/utf8"

	"godwit.dev/runtime/fault"
)

// A Location is a URL taken apart. What stands in a URL is the key as it is:
// nothing in it is escaped, as the clouds' own command lines have it.
type Location struct {
	Scheme string // "s3", "gs", "azblob" or "file"
	// Bucket is a bucket's name, with azblob ACCOUNT/CONTAINER, and with file
	// the root of the file system: "/", or a volume such as "C:/".
	Bucket string
	// Key is an object's, or a prefix of some: "" or one that ends with a slash.
	Key string
}

// String is the URL. Parse gives the Location again.
func (l Location) String() string {
	if l.Scheme == "file" {
		return "file://" + l.Bucket + l.Key
	}
	return l.Scheme + "://" + l.Bucket + "/" + l.Key
}

// Prefix reports whether l names all objects below it rather than one.
func (l Location) Prefix() bool { return l.Key == "" || strings.HasSuffix(l.Key, "/") }

// Parse takes s3://BUCKET/KEY, gs://BUCKET/KEY, azblob://ACCOUNT/CONTAINER/KEY,
// file:///PATH, or a path, which begins at the working folder if it is relative.
// Errors: BadConfig.
func Parse(url string) (Location, error) {
	bad := func(format string, args ...any) (Location, error) {
		return Location{}, fault.New(fault.BadConfig, "store.Parse", shown(url), format, args...).
			WithHint("Write s3://BUCKET/KEY, gs://BUCKET/KEY, azblob://ACCOUNT/CONTAINER/KEY or a path.")
	}
	scheme, rest, is := strings.Cut(url, "://")
	var l Location
	switch {
	case url == "":
		return bad("want a URL or a path, got none")
	case !is:
		return parsePath(url)
	case scheme == "file":
		if !filepath.IsAbs(filepath.FromSlash(rest)) {
			return bad("want file:// and an absolute path, got %q", rest)
		}
		return parsePath(filepath.FromSlash(rest))
	case scheme == "s3", scheme == "gs":
		l.Scheme = scheme
		l.Bucket, l.Key, _ = strings.Cut(rest, "/")
		if !plain(l.Bucket, "._-", 3, 222) {
			return bad("want a bucket's name of 3 to 222 lower-case letters, digits and any of \"._-\", got %q", l.Bucket)
		}
	case scheme == "azblob":
		account, rest, _ := strings.Cut(rest, "/")
		container, key, _ := strings.Cut(rest, "/")
		if !plain(account, "", 3, 24) {
			return bad("want a storage account's name of 3 to 24 lower-case letters and digits, got %q", account)
		}
		if !plain(container, "-$", 3, 63) {
			return bad("want azblob://ACCOUNT/CONTAINER/KEY with a container of 3 to 63 lower-case letters, digits and hyphens, got %q", container)
		}
		l = Location{Scheme: scheme, Bucket: account + "/" + container, Key: key}
	default:
		return bad("want s3://, gs://, azblob:// or file://, got %q", scheme+"://")
	}
	if l.Key != "" {
		if err := checkKey(strings.TrimSuffix(l.Key, "/")); err != "" {
			return bad("want a key that %s, got %q", err, l.Key)
		}
	}
	return l, nil
}

// parsePath takes a path of this system.
func parsePath(path string) (Location, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return Location{}, fault.New(fault.BadConfig, "store.Parse", shown(path), "want a path below a working folder that is there: %w", err)
	}
	volume := filepath.VolumeName(abs)
	l := Location{
		Scheme: "file",
		Bucket: filepath.ToSlash(volume) + "/",
		Key:    strings.TrimPrefix(filepath.ToSlash(abs[len(volume):]), "/"),
	}
	if last := path[len(path)-1]; l.Key != "" && (last == '/' || last == filepath.Separator) {
		l.Key += "/"
	}
	if l.Key != "" {
		if err := checkKey(strings.TrimSuffix(l.Key, "/")); err != "" {
			return Location{}, fault.New(fault.BadConfig, "store.Parse", shown(path), "want a path that %s", err)
		}
	}
	return l, nil
}

// plain reports whether name has least to most lower-case letters, digits and
// bytes of more, and can stand in a host name or a path without a second meaning.
func plain(name, more string, least, most int) bool {
	if len(name) < least || len(name) > most || strings.Contains(name, "..") || strings.ContainsAny(name[:1]+name[len(name)-1:], ".-") {
		return false
	}
	for i := range len(name) {
		c := name[i]
		if !(c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || strings.IndexByte(more, c) >= 0) {
			return false
		}
	}
	return true
}

// MaxKey is the length of the longest key, in bytes: what the clouds allow.
const MaxKey = 1024

// CheckKey wants a key that every store can have: UTF-8 of 1 to MaxKey bytes
// without control characters, and without empty, "." and ".." segments. Drivers
// call it before they use a key. The error is Invalid.
func CheckKey(op, key string) error {
	if why := checkKey(key); why != "" {
		return fault.New(fault.Invalid, op, shown(key), "want a key that %s, got %q", why, key)
	}
	return nil
}

// checkKey says what a key lacks: "has no …", "is …".
func checkKey(key string) string {
	switch {
	case key == "":
		return "is not empty"
	case len(key) > MaxKey:
		return "is at most 1024 bytes long"
	case !utf8.ValidString(key):
		return "is UTF-8"
	}
	for i := range len(key) {
		if key[i] < 0x20 || key[i] == 0x7f {
			return "has no control characters"
		}
	}
	for part := range strings.SplitSeq(key, "/") {
		switch part {
		case "", ".", "..":
			return `has no empty, "." and ".." segments`
		}
	}
	return ""
}

// shown is text as an error's subject, on one line.
func shown(text string) string {
	if len(text) > 200 {
		text = text[:200]
	}
	return strings.Map(func(r rune) rune {
		if r < 0x20 || r == 0x7f || r == utf8.RuneError {
			return '?'
		}
		return r
	}, text)
}
