package fetch

import (
	"net/netip"
	"net/url"
	"strconv"
	"strings"

	"godwit.dev/runtime/fault"
)

// location is a model's URL, taken apart and checked.
type location struct {
	*url.URL
	// shown is the URL without its query, which may be a signature that opens
	// the object to anybody.
	shown string
}

const maxURL = 8 << 10 // bytes; signed URLs have about 2 KiB

// parse takes the URL of a model. Errors: BadConfig.
func parse(text string) (*location, error) {
	shown, _, _ := strings.Cut(text, "?")
	bad := func(format string, args ...any) (*location, error) {
		return nil, fault.New(fault.BadConfig, "fetch.Get", quoted(shown), format, args...)
	}
	if len(text) > maxURL {
		return bad("want a URL of at most %d bytes, got %d", maxURL, len(text))
	}
	u, err := url.Parse(text)
	if err != nil {
		return bad("want a URL, got none that can be read")
	}
	switch u.Scheme {
	case "https", "s3", "gs", "azblob", "oci":
	default:
		return bad("want s3://, gs://, azblob://, https:// or oci://, got %q", u.Scheme)
	}
	if u.Opaque != "" || u.Host == "" || strings.Trim(u.Path, "/") == "" {
		return bad("want a URL with a host or bucket and a path")
	}
	if u.User != nil || u.Fragment != "" || u.RawQuery != "" && u.Scheme != "https" {
		return bad("want a URL without user, password and fragment, and with a query after https:// alone")
	}
	for i := range len(u.Path) {
		if u.Path[i] < 0x20 || u.Path[i] == 0x7f {
			return bad("want a path without control characters")
		}
	}
	if u.Scheme != "https" {
		for part := range strings.SplitSeq(u.Path, "/") {
			if part == "." || part == ".." { // which some servers take for another bucket
				return bad("want a path without . and ..")
			}
		}
	}
	switch u.Scheme {
	case "https", "oci":
		err = checkHost(u)
	case "s3", "gs":
		err = checkName(u.Host, "._-", 3, 222)
	case "azblob":
		if err = checkName(u.Host, "", 3, 24); err == nil {
			container, blob, _ := strings.Cut(strings.TrimPrefix(u.Path, "/"), "/")
			if err = checkName(container, "-$", 3, 63); err == nil && blob == "" {
				err = fault.New(fault.BadConfig, "", "", "want azblob://ACCOUNT/CONTAINER/BLOB, got no blob")
			}
		}
	}
	if err != nil {
		return bad("%w", err)
	}
	return &location{u, shown}, nil
}

// quoted is text as an error's subject: as it is, unless it would break a line.
func quoted(text string) string {
	if len(text) > 200 {
		text = text[:200]
	}
	return strings.Map(func(r rune) rune {
		if r < 0x20 || r == 0x7f || r == 0xfffd {
			return '?'
		}
		return r
	}, text)
}

// checkName wants a bucket's, account's or container's name, which becomes part
// of a host name or path.
func checkName(name, more string, least, most int) error {
	ok := len(name) >= least && len(name) <= most && !strings.Contains(name, "..") && !strings.HasPrefix(name, ".") && !strings.HasPrefix(name, "-") &&
		!strings.HasSuffix(name, ".") && !strings.HasSuffix(name, "-")
	for i := range len(name) {
		c := name[i]
		ok = ok && (c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || strings.IndexByte(more, c) >= 0)
	}
	if !ok {
		return fault.New(fault.BadConfig, "", "", "want a name of %d to %d lower-case letters, digits and any of %q, got %q", least, most, more, name)
	}
	return nil
}

// checkHost refuses hosts that are spelled so that some readers take them for
// an address and others do not: 2130706433, 0x7f.1, 127.1 are all 127.0.0.1 to
// a C library.
func checkHost(u *url.URL) error {
	host := u.Hostname()
	wrong := func() error {
		return fault.New(fault.BadConfig, "", "", "want a host name, or an address in its usual form, got %q", host)
	}
	if port := u.Port(); strings.HasSuffix(u.Host, ":") || port != "" {
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
			return fault.New(fault.BadConfig, "", "", "want a port from 1 to 65535, got %q", port)
		}
	}
	if strings.HasPrefix(u.Host, "[") {
		if a, err := netip.ParseAddr(host); err != nil || !a.Is6() || a.Zone() != "" {
			return wrong()
		}
		return nil
	}
	if a, err := netip.ParseAddr(host); err == nil && a.Is4() {
		return nil
	}
	name := strings.TrimSuffix(host, ".")
	if name == "" || len(name) > 253 {
		return wrong()
	}
	for label := range strings.SplitSeq(name, ".") {
		if label == "" || len(label) > 63 {
			return wrong()
		}
		for i := range len(label) {
			if c := label[i]; !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_') {
				return wrong()
			}
		}
	}
	last := name[strings.LastIndexByte(name, '.')+1:]
	if hex := strings.ToLower(last); last[0] >= '0' && last[0] <= '9' && (strings.Trim(last, "0123456789") == "" || strings.HasPrefix(hex, "0x")) {
		return wrong()
	}
	return nil
}
