package pack

import (
	"archive/tar"
	"bufio"
	"bytes"
	"errors"
	"io"
	"path"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"

	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/lazy"
)

// inventory is what a base says that it is made of.
type inventory struct {
	distro   string // "debian-12", "" where it does not say
	packages []osPackage
}

// osPackage is one package of the base's system.
type osPackage struct{ kind, name, version, arch string }

// The bounds of what a base may say of itself.
const (
	maxPackageFile = 32 << 20 // bytes of one database; Debian with everything has 20 MB
	maxPackages    = 50_000
	maxBaseEntries = 1_000_000
)

// inventoryOf reads the databases of dpkg and apk that are in img: the one of a
// whole system, and those of distroless images, which have a file for each
// package. Without one there are no packages. All layers are read.
func inventoryOf(img v1.Image) (*inventory, error) {
	r := mutate.Extract(img)
	defer r.Close()
	i := &inventory{}
	release := map[string]string{}
	for t, n := tar.NewReader(r), 0; ; n++ {
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		if n > maxBaseEntries {
			return nil, fault.New(fault.BadConfig, "pack.Image", "base", "want at most %d files in the base, got more", maxBaseEntries)
		}
		kind := databaseOf(path.Clean("/" + h.Name))
		if kind == "" || h.Typeflag != tar.TypeReg {
			continue
		}
		data, err := io.ReadAll(io.LimitReader(t, maxPackageFile+1))
		if err != nil {
			return nil, err
		}
		if len(data) > maxPackageFile {
			return nil, fault.New(fault.BadConfig, "pack.Image", h.Name, "want at most %d bytes in a database of the base's packages, got more", maxPackageFile)
		}
		if kind == "release" {
			release[path.Clean("/"+h.Name)] = distroOf(data)
			continue
		}
		i.packages = append(i.packages, packagesOf(kind, data)...)
		if len(i.packages) > maxPackages {
			return nil, fault.New(fault.BadConfig, "pack.Image", h.Name, "want at most %d packages in the base, got more", maxPackages)
		}
	}
	for _, file := range []string{"/etc/os-release", "/usr/lib/os-release"} {
		if i.distro == "" {
			i.distro = release[file]
		}
	}
	slices.SortFunc(i.packages, func(a, b osPackage) int { return strings.Compare(a.url(i.distro), b.url(i.distro)) })
	i.packages = slices.Compact(i.packages)
	return i, nil
}

// databaseOf is the kind of packages that the file at path lists, "release" for
// what names the distribution, "" for any other file.
func databaseOf(file string) string {
	switch file {
	case "/var/lib/dpkg/status":
		return "deb"
	case "/lib/apk/db/installed", "/usr/lib/apk/db/installed":
		return "apk"
	case "/etc/os-release", "/usr/lib/os-release":
		return "release"
	}
	if path.Dir(file) == "/var/lib/dpkg/status.d" && path.Ext(file) != ".md5sums" {
		return "deb"
	}
	return ""
}

var (
	distroID       = lazy.Regexp(`^[a-z0-9][a-z0-9._-]{0,63}$`)
	packageName    = lazy.Regexp(`^[A-Za-z0-9][A-Za-z0-9+._-]{0,127}$`)
	packageVersion = lazy.Regexp(`^[A-Za-z0-9][A-Za-z0-9+.:~_-]{0,127}$`)
)

// packagesOf reads a database: paragraphs of fields, "Package: x" in dpkg's and
// "P:x" in apk's. Paragraphs that name no package, and packages that are not
// installed any more, are left out.
func packagesOf(kind string, data []byte) []osPackage {
	names := map[string]string{"Package": "name", "Version": "version", "Architecture": "arch", "Status": "status"}
	if kind == "apk" {
		names = map[string]string{"P": "name", "V": "version", "A": "arch"}
	}
	var all []osPackage
	fields := map[string]string{}
	end := func() {
		status := fields["status"]
		p := osPackage{kind, fields["name"], fields["version"], fields["arch"]}
		if packageName().MatchString(p.name) && packageVersion().MatchString(p.version) && (p.arch == "" || packageName().MatchString(p.arch)) &&
			(status == "" || strings.HasSuffix(status, " installed")) {
			all = append(all, p)
		}
		clear(fields)
	}
	lines := bufio.NewScanner(bytes.NewReader(data))
	lines.Buffer(nil, maxPackageFile+1)
	for lines.Scan() {
		line := lines.Text()
		if strings.TrimSpace(line) == "" {
			end()
			continue
		}
		name, value, ok := strings.Cut(line, ":") // what goes on from the line before begins with a space
		if key := names[name]; ok && key != "" {
			if _, twice := fields[key]; !twice {
				fields[key] = strings.TrimSpace(value)
			}
		}
	}
	end()
	return all
}

// distroOf is ID and VERSION_ID of an os-release, as package URLs have them.
func distroOf(data []byte) string {
	values := map[string]string{}
	for line := range strings.SplitSeq(string(data), "\n") {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), "="); ok {
			values[name] = strings.Trim(value, `"'`)
		}
	}
	id, version := values["ID"], values["VERSION_ID"]
	if !distroID().MatchString(id) {
		return ""
	}
	if distroID().MatchString(version) {
		return id + "-" + version
	}
	return id
}

// url is the package URL: pkg:deb/debian/libc6@2.36-9?arch=amd64&distro=debian-12.
func (p osPackage) url(distro string) string {
	from, _, _ := strings.Cut(distro, "-")
	u := "pkg:" + p.kind + "/"
	if from != "" {
		u += from + "/"
	}
	u += strings.ReplaceAll(p.name, "+", "%2B") + "@" + strings.NewReplacer("+", "%2B", ":", "%3A", "~", "%7E").Replace(p.version)
	sep := "?"
	if p.arch != "" {
		u, sep = u+"?arch="+p.arch, "&"
	}
	if distro != "" {
		u += sep + "distro=" + distro
	}
	return u
}
