package edge

import (
	"maps"
	"net"
	"slices"
	"strings"
	"unicode"

	"godwit.dev/infra/render"
	"godwit.dev/infra/spec"
	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/lazy"
)

var (
	pinned  = lazy.Regexp(`^[A-Za-z0-9][A-Za-z0-9._:/-]*@sha256:[0-9a-f]{64}$`)
	digest  = lazy.Regexp(`^sha256:[0-9a-f]{64}$`)
	archive = lazy.Regexp(`^[A-Za-z0-9][A-Za-z0-9._-]*\.tar\.gz$`)
	// secretFile is a file below /etc/godwit.
	secretFile = lazy.Regexp(`^[A-Za-z0-9][A-Za-z0-9._-]*$`)
	// recipeVariable is what Greengrass fills in, in scripts and variables alike.
	recipeVariable = lazy.Regexp(`\{[A-Za-z0-9_.-]+:`)
)

func check(d *render.Deployment) error {
	s, t := d.Spec, d.Spec.Targets.Edge
	if t == nil {
		return bad("targets", "want a target edge, got none").WithHint("Add targets: {edge: {}}.")
	}
	at := func(key string) string { return "targets.edge." + key }
	if !digest().MatchString(d.Digest) {
		return bad("package", "want the digest of a package, got %q", d.Digest).WithHint("godwit package DIR --target edge")
	}
	switch {
	case t.Runtime == "iotedge" && !pinned().MatchString(d.Image):
		return bad("image", "want an image by its digest, REPOSITORY@sha256:…, got %q", d.Image).
			WithHint("godwit package DIR --target edge --push")
	case t.Runtime != "iotedge" && !archive().MatchString(d.Package):
		return bad("package", "want NAME.tar.gz, got %q", d.Package).WithHint("godwit package DIR --target edge -o NAME.tar.gz")
	}
	if t.Memory > 0 && int64(t.Memory) <= d.ModelBytes {
		return bad(at("memory"), "want more than the %v of the models, got %v", spec.Bytes(d.ModelBytes), t.Memory).
			WithHint("Loading takes 1.6 to 2.6 times the weights; godwit doctor DIR --target edge says how much.")
	}
	if t.Provider == "coreml" {
		return unsupported(at("provider"), "want a provider that Linux has, got %q", t.Provider).WithHint("Leave it out for the CPU.")
	}
	if host, _, err := net.SplitHostPort(t.Listen); t.Runtime == "iotedge" && (err != nil || net.ParseIP(host) == nil) {
		return bad(at("listen"), "want an IP address of the device and a port, as Docker publishes it, got %q", t.Listen).WithHint("Say 127.0.0.1:8080.")
	}
	if err := checkCallers(s, t); err != nil {
		return err
	}
	return checkVariables(t, at)
}

// checkCallers refuses what would let everybody call without somebody's saying so.
func checkCallers(s *spec.Spec, t *spec.Edge) error {
	switch {
	case s.Auth.Mode != "platform":
	case t.Runtime == "iotedge":
		return bad("auth: platform", "want callers that are checked, got none who does: every module of the device reaches this one").
			WithHint("Say auth: key or auth: jwt, or auth: none if every module may call.")
	case !loopback(t.Listen):
		return bad("auth: platform", "want an address on the device alone, got %q, where nobody checks callers", t.Listen).
			WithHint("Say auth: key or auth: jwt, auth: none if everybody may call, or listen: 127.0.0.1:8080.")
	}
	k := s.Auth.Key
	if k == nil {
		return nil
	}
	if k.File == "" && t.Secrets[k.Env] == "" && t.Env[k.Env] == "" {
		hint := "Say auth: {key: {file: /etc/godwit/keys}}, a file on the device."
		if t.Runtime == "systemd" {
			hint = "Add secrets: {" + k.Env + ": FILE}, a file below /etc/godwit with the line " + k.Env + "=…"
		}
		return bad("targets.edge.secrets", "want %s, which auth reads its keys of, got none", k.Env).WithHint("%s", hint)
	}
	for _, hidden := range []string{"/home/", "/root/", "/run/user/", "/tmp/", "/var/tmp/"} {
		if t.Runtime == "systemd" && strings.HasPrefix(k.File, hidden) {
			return bad("auth.key.file", "want a file that the unit can see, got %q", k.File).WithHint("Put it below /etc/godwit.")
		}
	}
	if t.Runtime == "iotedge" && strings.ContainsAny(k.File, ":,") {
		return bad("auth.key.file", "want a path that Docker can mount, without ':' and ',', got %q", k.File)
	}
	return nil
}

func loopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

func checkVariables(t *spec.Edge, at func(string) string) error {
	for _, name := range slices.Sorted(maps.Keys(t.Env)) {
		value := t.Env[name]
		control := func(r rune) bool { return unicode.IsControl(r) && r != '\t' && r != '\n' }
		switch {
		case t.Runtime == "systemd" && strings.ContainsFunc(value, control):
			return unsupported(at("env."+name), "want no control characters, which systemd takes in no variable, got %q", value)
		case t.Runtime == "greengrass" && recipeVariable().MatchString(value):
			return unsupported(at("env."+name), "want no {NAME:…}, which Greengrass fills in, got %q", value)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(t.Secrets)) {
		switch file := t.Secrets[name]; {
		case t.Runtime != "systemd":
			return unsupported(at("secrets."+name), "want none: %s has no place for variables that others may not read", t.Runtime).
				WithHint("Have the function read a file on the device: auth: {key: {file: /etc/godwit/keys}} for keys.")
		case !secretFile().MatchString(file):
			return bad(at("secrets."+name), "want the name of a file below /etc/godwit, got %q", file).
				WithHint("Its lines are NAME=VALUE, and only root has to be able to read it.")
		}
	}
	return nil
}

func bad(subject, format string, args ...any) *fault.Error {
	return fault.New(fault.BadConfig, "edge.Render", subject, format, args...)
}

func unsupported(subject, format string, args ...any) *fault.Error {
	return fault.New(fault.Unsupported, "edge.Render", subject, format, args...)
}
