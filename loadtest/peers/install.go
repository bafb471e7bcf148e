//go:build linux

package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
)

// installer puts a peer's packages, at pinned versions, into its home.
type installer struct {
	pins []string // the files, in the peer's folder, that say which versions
	// commands are run in the home, where src is a copy of the peer's folder.
	commands func(home string) [][]string
	version  func(pins, name string) string
}

// pip installs a file of requirements into a virtual environment.
func pip(requirements string) installer { return pipInto("python3", requirements) }

// pipInto is pip with the Python that the environment is made from.
func pipInto(python, requirements string) installer {
	return installer{pins: []string{requirements}, version: matched(`(?m)^%s==(\S+)`),
		commands: func(home string) [][]string {
			return [][]string{
				{python, "-m", "venv", "--clear", "venv"},
				{filepath.Join(home, "venv/bin/pip"), "install", "--disable-pip-version-check", "--no-input", "--progress-bar=off", "-r", "src/" + requirements},
			}
		}}
}

func npm() installer {
	return installer{pins: []string{"package.json", "package-lock.json"}, version: matched(`(?m)^\s*"%s": "([^"]+)"`),
		commands: func(string) [][]string {
			// Without scripts the library for processors stays, and none for GPUs is fetched.
			return [][]string{{"npm", "ci", "--prefix", "src", "--ignore-scripts", "--no-audit", "--no-fund", "--no-update-notifier"}}
		}}
}

func cargo() installer {
	return installer{pins: []string{"Cargo.toml", "Cargo.lock"}, version: matched(`name = "%s"\nversion = "([^"]+)"`),
		commands: func(home string) [][]string {
			return [][]string{{"sh", "src/lock.sh", "src"}, {"cargo", "build", "--release", "--locked", "--manifest-path", "src/Cargo.toml", "--target-dir", "target"}}
		}}
}

func maven() installer {
	return installer{pins: []string{"pom.xml"}, version: matched(`<artifactId>%s</artifactId>\s*<version>([^<]+)`),
		commands: func(string) [][]string {
			return [][]string{{"mvn", "-B", "-q", "-f", "src/pom.xml", "package", "dependency:copy-dependencies"}}
		}}
}

// matched finds a package's version in pins; "%s" of the pattern is its name.
func matched(pattern string) func(pins, name string) string {
	return func(pins, name string) string {
		m := regexp.MustCompile(fmt.Sprintf(pattern, regexp.QuoteMeta(name))).FindStringSubmatch(pins)
		if m == nil {
			return "?"
		}
		return m[1]
	}
}

// installed makes sure that p is installed, with progress on stderr.
func (b *bench) installed(ctx context.Context, p *peer) (home string, versions map[string]string, err error) {
	home = filepath.Join(b.cache, p.name)
	from := filepath.Join(b.sources, p.folder)
	var pins bytes.Buffer
	for _, name := range p.install.pins {
		text, err := os.ReadFile(filepath.Join(from, name))
		if err != nil {
			return home, nil, err
		}
		pins.Write(text)
	}
	versions = map[string]string{}
	for _, name := range p.packages {
		versions[name] = p.install.version(pins.String(), name)
	}
	sources, err := stage(from, filepath.Join(home, "src"))
	if err != nil {
		return home, versions, err
	}
	sum := sha256.Sum256(pins.Bytes())
	want := hex.EncodeToString(sum[:])
	if p.folder != "python" { // others are compiled, or lie beside their packages
		want += " " + sources
	}
	mark := filepath.Join(home, "installed")
	if got, err := os.ReadFile(mark); err == nil && string(got) == want {
		return home, versions, nil
	}
	for _, argv := range p.install.commands(home) {
		b.say("%s: %s", p.name, strings.Join(argv, " "))
		cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
		cmd.Dir, cmd.Env = home, os.Environ()
		out, err := cmd.CombinedOutput()
		if err != nil {
			return home, versions, fmt.Errorf("%s: %w: %s", argv[0], err, tail(out))
		}
	}
	return home, versions, os.WriteFile(mark, []byte(want), 0o644)
}

// stage copies the files of a folder that differ, and says what they all are.
func stage(from, to string) (digest string, err error) {
	sum := sha256.New()
	err = filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		target := filepath.Join(to, rel)
		if d.IsDir() {
			return os.MkdirAll(target, 0o755)
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		fmt.Fprintf(sum, "%s %d\n%s", rel, len(text), text)
		if old, err := os.ReadFile(target); err == nil && bytes.Equal(old, text) {
			return nil // its time stays, so that nothing is built again
		}
		return os.WriteFile(target, text, 0o644)
	})
	return hex.EncodeToString(sum.Sum(nil)), err
}

// tail is the end of what a program said, on one line.
func tail(out []byte) string {
	const most = 600
	s := strings.Join(strings.Fields(string(out)), " ")
	if len(s) > most {
		s = "… " + strings.ToValidUTF8(s[len(s)-most:], "")
	}
	return s
}
