package pack

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"godwit.dev/runtime/fault"
)

// onFiles is a base with these files.
func onFiles(t testing.TB, files map[string]string) *Base {
	t.Helper()
	root, out := t.TempDir(), filepath.Join(t.TempDir(), "base")
	for name, text := range files {
		file := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := Rootfs(t.Context(), map[string]string{"amd64": root}, out, nil); err != nil {
		t.Fatal(err)
	}
	b, err := OpenBase(t.Context(), "oci:"+out, nil)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

const (
	debian = "PRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\nNAME=\"Debian GNU/Linux\"\nVERSION_ID=\"12\"\nID=debian\n"
	wolfi  = "ID=wolfi\nNAME='Wolfi'\n"
)

// An image's bill of materials has the packages of its base, by whichever of the
// databases the base has, and the whole image is still what its manifest says.
func TestSBOMOfABase(t *testing.T) {
	schema := cyclonedx(t)
	trees := map[string]*Tree{}
	serials := map[string]string{}
	for name, tt := range map[string]struct {
		files     map[string]string
		distro    string
		want      []string // package URLs
		aggregate string
	}{
		"Debian": {map[string]string{
			"usr/lib/os-release": debian,
			"var/lib/dpkg/status": "Package: libc6\nStatus: install ok installed\nArchitecture: amd64\nVersion: 2.36-9+deb12u13\nDescription: GNU C Library\n Package: not-this-one\n .\n" +
				"\nPackage: gone\nStatus: deinstall ok config-files\nVersion: 1\n" +
				"\nPackage: libstdc++6\nStatus: hold ok installed\nArchitecture: amd64\nVersion: 1:12.2.0-14~x\n",
		}, "debian-12", []string{"pkg:deb/debian/libc6@2.36-9%2Bdeb12u13?arch=amd64&distro=debian-12", "pkg:deb/debian/libstdc%2B%2B6@1%3A12.2.0-14%7Ex?arch=amd64&distro=debian-12"}, "incomplete"},
		"distroless": {map[string]string{
			"etc/os-release":                      debian,
			"var/lib/dpkg/status.d/libc6":         "Package: libc6\nVersion: 2.36-9\nArchitecture: amd64\n",
			"var/lib/dpkg/status.d/libc6.md5sums": "Package: never\nVersion: 1\n",
			"var/lib/dpkg/status.d/tzdata":        "Package: tzdata\nVersion: 2025b\nArchitecture: all",
			"var/lib/dpkg/status-old":             "Package: never\nVersion: 1\n",
		}, "debian-12", []string{"pkg:deb/debian/libc6@2.36-9?arch=amd64&distro=debian-12", "pkg:deb/debian/tzdata@2025b?arch=all&distro=debian-12"}, "incomplete"},
		"Wolfi": {map[string]string{
			"etc/os-release":       wolfi,
			"lib/apk/db/installed": "C:Q1x=\nP:glibc\nV:2.42-r1\nA:x86_64\nT:the GNU C library\nF:lib\nR:libc.so.6\n\nP:zlib\nV:1.3-r0\nA:x86_64\n\n",
		}, "wolfi", []string{"pkg:apk/wolfi/glibc@2.42-r1?arch=x86_64&distro=wolfi", "pkg:apk/wolfi/zlib@1.3-r0?arch=x86_64&distro=wolfi"}, "incomplete"},
		"no name":  {map[string]string{"var/lib/dpkg/status": "Package: a\nVersion: 1\n"}, "", []string{"pkg:deb/a@1"}, "incomplete"},
		"no list":  {map[string]string{"etc/os-release": debian}, "debian-12", nil, "unknown"},
		"no words": {map[string]string{"var/lib/dpkg/status": "Package: ../x\nVersion: 1\n\nPackage: a\nVersion: <b>\n\nPackage: a\n\nVersion: 1\n", "etc/os-release": "ID=a b\n"}, "", nil, "unknown"},
	} {
		base := onFiles(t, tt.files)
		target := "cloudrun"
		tree := trees[target]
		if tree == nil {
			var err error
			if tree, err = Contents(t.Context(), copied(t, "digits"), &Options{Target: target, Built: built(t)}); err != nil {
				t.Fatal(err)
			}
			trees[target] = tree
		}
		before, _, _ := bill(t, tree)
		var digests []string
		for range 2 {
			img, err := Image(t.Context(), base, map[string]*Tree{"amd64": tree}, nil)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			file := filepath.Join(t.TempDir(), "a.tar")
			a, err := img.WriteTar(t.Context(), file, nil)
			if err != nil {
				t.Fatal(err)
			}
			img.Close()
			digests = append(digests, a.Digest)
			if len(digests) == 1 {
				o, err := Open(file, "amd64", t.TempDir())
				if err != nil {
					t.Fatal(err)
				}
				defer o.Close()
				if err := o.Manifest.Check(os.DirFS(o.Dir), nil); err != nil {
					t.Errorf("%s: %v", name, err)
				}
				text, err := os.ReadFile(filepath.Join(o.Dir, SBOMName))
				if err != nil {
					t.Fatal(err)
				}
				if err := valid(t, schema, text); err != nil {
					t.Errorf("%s: %v", name, err)
				}
				_, b, _ := bill(t, &Tree{Files: []File{{Path: SBOMName, Data: text}}})
				if had := serials[b.Serial]; had != "" {
					t.Errorf("%s has the serial number of %s", name, had)
				}
				serials[b.Serial] = name
				i := slices.IndexFunc(b.Components, func(c bomComponent) bool { return c.Ref == baseRef })
				if i < 0 {
					t.Fatalf("%s: no base", name)
				}
				c := &b.Components[i]
				var got []string
				for _, p := range c.Components {
					got = append(got, p.PURL)
				}
				if diff := cmp.Diff(tt.want, got); diff != "" {
					t.Errorf("%s (-want +got):\n%s", name, diff)
				}
				if c.Type != "container" || c.Name != "base image" || c.Version != base.Digest || property(c, "godwit:distro") != tt.distro {
					t.Errorf("%s: got %+v", name, c)
				}
				if j := slices.IndexFunc(b.Compositions, func(c bomComposition) bool { return slices.Equal(c.Assemblies, []string{baseRef}) }); j < 0 || b.Compositions[j].Aggregate != tt.aggregate {
					t.Errorf("%s: want %s, got %+v", name, tt.aggregate, b.Compositions)
				}
				if j := slices.IndexFunc(b.Dependencies, func(d bomDependency) bool { return d.Ref == "function" }); !slices.Contains(b.Dependencies[j].DependsOn, baseRef) {
					t.Errorf("%s: nothing depends on the base", name)
				}
			}
		}
		if digests[0] != digests[1] {
			t.Errorf("%s: %s, and again %s", name, digests[0], digests[1])
		}
		if after, _, _ := bill(t, tree); string(after) != string(before) {
			t.Errorf("%s: the tree itself has changed", name)
		}
	}
}

// A base that says too much of itself is refused.
func TestBasesThatSayTooMuch(t *testing.T) {
	var many strings.Builder
	for i := range maxPackages + 1 {
		many.WriteString("P:a" + strings.Repeat("b", i%50) + "\nV:" + string(rune('0'+i%10)) + "\n\n")
	}
	for name, text := range map[string]string{"packages": many.String(), "bytes": strings.Repeat("\n", maxPackageFile+1)} {
		img, err := onFiles(t, map[string]string{"lib/apk/db/installed": text}).image(t.Context(), "amd64")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := inventoryOf(img); fault.CodeOf(err) != fault.BadConfig || !strings.Contains(err.Error(), name) {
			t.Errorf("too many %s: %v", name, err)
		}
	}
}

// Whatever a database says, what is read of it can stand in a package URL.
func FuzzPackages(f *testing.F) {
	f.Add("deb", []byte("Package: libc6\nStatus: install ok installed\nVersion: 1:2.36-9+deb12u13\nArchitecture: amd64\n\nPackage: b\n"), "ID=debian\nVERSION_ID=12\n")
	f.Add("apk", []byte("P:glibc\nV:2.42-r1\nA:x86_64\n\n:\n\nP:\n"), "ID=\"wolfi\"\n")
	f.Fuzz(func(t *testing.T, kind string, data []byte, release string) {
		if kind != "apk" {
			kind = "deb"
		}
		distro := distroOf([]byte(release))
		for _, p := range packagesOf(kind, data) {
			if u := p.url(distro); strings.ContainsAny(u, " \n\t\"<>\\") || strings.Count(u, "@") != 1 || p.name == "" || p.version == "" {
				t.Errorf("%+v is %q", p, u)
			}
		}
	})
}
