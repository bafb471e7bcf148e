package spec

import (
	"net/url"
	"path"
	"strings"
)

// The rules of the texts in a spec. They are constants in all but Go's grammar.
var (
	modelName = rule{what: "a model name of letters, digits, '_', '.' and '-', first a letter or digit", typ: "name",
		pattern: `^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,127}$`, max: 128, fits: fitsName}
	versionName = rule{what: "a version of letters, digits, '_', '.' and '-', first a letter or digit", typ: "name",
		pattern: `^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,127}$`, max: 128, fits: fitsName}
	// functionName is what every platform takes as a name: Cloud Run has the
	// shortest limit, Kubernetes the fewest letters.
	functionName = rule{what: "a function name of lower-case letters, digits and '-', first a letter", typ: "name",
		pattern: `^[a-z]([a-z0-9-]{0,47}[a-z0-9])?$`, max: 49, fits: fitsLabel}
	modelPath  = rule{what: "a path or URL of a model", typ: "path or URL", check: checkModelPath}
	folderName = rule{what: "a folder beside the spec", typ: "path", check: checkLocal}
	digest     = rule{what: "a SHA-256 in 64 lower-case hexadecimal digits", typ: "SHA-256", pattern: `^[0-9a-f]{64}$`, fits: fitsDigest, check: checkDigest}
	imageName  = rule{what: "an image repository such as ghcr.io/acme/fraud", typ: "image", max: 255, check: checkImage,
		pattern: `^([a-zA-Z0-9.-]+(:[0-9]+)?/)?[a-z0-9]+([._-]+[a-z0-9]+)*(/[a-z0-9]+([._-]+[a-z0-9]+)*)*(:[A-Za-z0-9_][A-Za-z0-9_.-]{0,127})?$`}
	prefix = rule{what: "a prefix such as rows/ or s3://bucket/rows/", typ: "prefix", check: checkPrefix}
	// claimsPlace and queueURL are what internal/app can open.
	claimsPlace = rule{what: "none, file:FOLDER or dynamodb://TABLE", typ: "claims", check: checkClaims}
	queueURL    = rule{what: "the URL of a queue or topic", typ: "URL", check: checkQueue}
	httpsURL    = rule{what: "an https:// URL", typ: "URL", pattern: `^https://`, check: checkHTTPS}
	envName     = rule{what: "an environment variable's name of letters, digits and '_', first no digit", typ: "name", pattern: `^[A-Za-z_][A-Za-z0-9_]*$`, max: 256}
	// secretRef is a name, an ARN or a URL in the platform's own secret store.
	secretRef = rule{what: "the name of a secret in the platform's store", typ: "name", pattern: `^[A-Za-z0-9_./:@-]+$`}
	// resource is any cloud's way to name one of its things: names, ARNs, ids
	// with slashes, e-mail addresses of accounts, URLs of keys.
	resource = rule{what: "a resource's name without spaces or quotes", typ: "name", pattern: "^[^\\s\"'`$\\\\]+$"}
	arn      = rule{what: "an ARN", typ: "ARN", pattern: `^arn:[a-z-]+:[a-z0-9-]+:[^\s"]+$`}
	region   = rule{what: "a region such as europe-west4", typ: "region", pattern: `^[a-z0-9-]+$`, max: 64}
)

// freeText is any text on one line.
func freeText(what string) rule { return rule{what: what} }

// The schemes that a model may be fetched from.
func modelSchemes() []string { return []string{"s3", "gs", "azblob", "https", "oci"} }

// remote reports whether a model's path is a URL.
func remote(p string) bool { return strings.Contains(p, "://") }

func checkModelPath(s string) *trouble {
	if !remote(s) {
		return checkLocal(s)
	}
	u, err := url.Parse(s)
	if err != nil {
		return wrong("", "want a URL, got %s", quote(s))
	}
	known := false
	for _, scheme := range modelSchemes() {
		known = known || u.Scheme == scheme
	}
	switch {
	case !known:
		return wrong("Put the file beside godwit.yaml if it is none of these.", "want s3://, gs://, azblob://, https:// or oci://, got %s", quote(u.Scheme+"://"))
	case u.User != nil:
		return wrong("Credentials come from the platform's identity.", "want a URL without a user or password")
	case u.Host == "" || strings.Trim(u.Path, "/") == "":
		return wrong("", "want a URL with a host or bucket and a path, got %s", quote(s))
	case u.Fragment != "" || u.RawQuery != "" && u.Scheme != "https":
		return wrong("", "want a URL that ends with its path, got %s", quote(s))
	}
	return nil
}

func alphanumeric(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
}

// drive reports whether s begins with a drive of Windows.
func drive(s string) bool {
	return len(s) > 1 && s[1] == ':' && alphanumeric(s[0]) && s[0] > '9'
}

func fitsName(s string) bool {
	for i := range len(s) {
		if c := s[i]; !alphanumeric(c) && (i == 0 || c != '_' && c != '.' && c != '-') {
			return false
		}
	}
	return s != "" && len(s) <= 128
}

func fitsLabel(s string) bool {
	for i := range len(s) {
		c := s[i]
		switch {
		case c >= 'a' && c <= 'z':
		case c >= '0' && c <= '9' && i > 0:
		case c == '-' && i > 0 && i < len(s)-1:
		default:
			return false
		}
	}
	return s != "" && len(s) <= 49
}

func fitsDigest(s string) bool {
	for i := range len(s) {
		if c := s[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return len(s) == 64
}

// checkLocal takes a clean relative path with slashes that stays in the function's folder.
func checkLocal(s string) *trouble {
	const hint = "Write it relative to godwit.yaml, with forward slashes."
	switch {
	case strings.Contains(s, `\`):
		return wrong(hint, "want a path with forward slashes, got %s", quote(s))
	case path.IsAbs(s) || drive(s):
		return wrong(hint, "want a path in the function's folder, got the absolute %s", quote(s))
	case path.Clean(s) == ".." || strings.HasPrefix(path.Clean(s), "../"):
		return wrong("Copy or move it into the folder: only what is in it is packaged.", "want a path in the function's folder, got %s", quote(s))
	case path.Clean(s) == ".":
		return wrong(hint, "want a path in the function's folder, got the folder itself")
	}
	return nil
}

func checkDigest(s string) *trouble {
	if rest, ok := strings.CutPrefix(s, "sha256:"); ok {
		return wrong("Leave sha256: out: "+rest, "want 64 hexadecimal digits only, got %s", quote(s))
	}
	if lower := strings.ToLower(s); lower != s && fitsDigest(lower) {
		return wrong("Write "+lower+".", "want lower-case digits, got %s", quote(s))
	}
	return nil
}

func checkImage(s string) *trouble {
	switch {
	case strings.Contains(s, "@"):
		return wrong("Leave the digest out: godwit.lock pins it.", "want an image repository, got %s", quote(s))
	case strings.Contains(s, "://"):
		return wrong("Leave the scheme out.", "want an image repository, got %s", quote(s))
	case strings.Contains(s, "$"):
		return wrong("Godwit fills nothing in; write the name out.", "want an image repository, got %s", quote(s))
	}
	return nil
}

func checkClaims(s string) *trouble {
	const want = "want none, file:FOLDER or dynamodb://TABLE, got %s"
	scheme, rest, _ := strings.Cut(s, ":")
	switch scheme {
	case "none":
		if s == "none" {
			return nil
		}
	case "file":
		dir, absolute := strings.CutPrefix(rest, "//")
		if absolute && !path.IsAbs(dir) {
			return wrong("file:claims is below the function's output, file:///var/claims is anywhere.", want, quote(s))
		}
		if c := path.Clean(dir); dir != "" && (absolute || !path.IsAbs(c)) && c != "." && c != ".." && c != "/" && !strings.HasPrefix(c, "../") && !strings.ContainsAny(s, `\?#`) {
			return nil
		}
	case "dynamodb":
		table, ok := strings.CutPrefix(rest, "//")
		for i := range len(table) {
			ok = ok && (alphanumeric(table[i]) || strings.IndexByte("_.-", table[i]) >= 0)
		}
		if ok && len(table) >= 3 && len(table) <= 255 {
			return nil
		}
		return wrong("The region is the function's.", "want a table's name of 3 to 255 letters, digits, '_', '.' and '-' after dynamodb://, got %s", quote(s))
	}
	return wrong("", want, quote(s))
}

func checkQueue(s string) *trouble {
	const hint = "Such as https://sqs.eu-west-1.amazonaws.com/123456789012/rows, https://pubsub.googleapis.com/projects/acme/topics/rows or https://acme.queue.core.windows.net/rows."
	u, err := url.Parse(s)
	if err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" || strings.Trim(u.Path, "/") == "" {
		return wrong(hint, "want the URL of a queue or topic, got %s", quote(s))
	}
	local := u.Scheme == "http" && (u.Hostname() == "127.0.0.1" || u.Hostname() == "::1" || u.Hostname() == "localhost")
	if u.Scheme != "https" && !local {
		return wrong(hint, "want https://, got %s", quote(u.Scheme+"://"))
	}
	return nil
}

func checkPrefix(s string) *trouble {
	if !remote(s) {
		if c := path.Clean(s); path.IsAbs(s) || c == ".." || strings.HasPrefix(c, "../") || strings.Contains(s, `\`) {
			return wrong("", "want a prefix such as rows/ or s3://bucket/rows/, got %s", quote(s))
		}
		return nil
	}
	u, err := url.Parse(s)
	if err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return wrong("", "want a prefix such as rows/ or s3://bucket/rows/, got %s", quote(s))
	}
	if u.Scheme != "s3" && u.Scheme != "gs" && u.Scheme != "azblob" {
		return wrong("", "want s3://, gs:// or azblob://, got %s", quote(u.Scheme+"://"))
	}
	return nil
}

func checkHTTPS(s string) *trouble {
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil || u.Fragment != "" || strings.Contains(s, " ") {
		return wrong("", "want an https:// URL, got %s", quote(s))
	}
	return nil
}

// ModelName is the name that a model gets from its path or URL: the file's
// name without its last extension, with what a name must not have replaced by
// '_' or, in front, left out; "model" where nothing is left.
func ModelName(p string) string {
	if remote(p) {
		if u, err := url.Parse(p); err == nil {
			p = u.Path
			if u.Scheme == "oci" { // a repository with a tag
				p, _, _ = strings.Cut(p, ":")
			}
		}
	}
	base := path.Base(p)
	if ext := path.Ext(base); ext != base {
		base = strings.TrimSuffix(base, ext)
	}
	name := strings.Map(func(c rune) rune {
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_' || c == '.' || c == '-' {
			return c
		}
		return '_'
	}, base)
	name = strings.TrimLeft(name, "_.-")
	if len(name) > modelName.max {
		name = name[:modelName.max]
	}
	if name == "" {
		return "model"
	}
	return name
}

// labelOf makes a function name of a model name.
func labelOf(model string) string {
	label := strings.Map(func(c rune) rune {
		if c >= 'a' && c <= 'z' || c >= '0' && c <= '9' {
			return c
		}
		return '-'
	}, strings.ToLower(model))
	label = strings.TrimLeft(label, "0123456789-")
	if len(label) > functionName.max {
		label = label[:functionName.max]
	}
	if label = strings.TrimRight(label, "-"); label == "" {
		return "model"
	}
	return label
}
