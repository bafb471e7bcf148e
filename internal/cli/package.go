package cli

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"godwit.dev/infra/spec"
	"godwit.dev/internal/app"
	"godwit.dev/internal/pack"
	"godwit.dev/runtime/driver"
	"godwit.dev/runtime/fault"
)

type packageOptions struct {
	target, out string
	arch        []string
}

func (p *program) newPackage() *cobra.Command {
	var o packageOptions
	cmd := &cobra.Command{
		Use:     "package DIR|MODEL --target TARGET",
		GroupID: "ship",
		Short:   "Make what a target takes: a zip, an image, a folder",
		Long: `package makes what a target takes, without a container daemon and with the same
bytes every time: the function's program and ONNX Runtime, the models, godwit.yaml
and the recorded requests, and godwit.manifest.json with the digest of each file.

What it is, the name after -o says:

  awslambda        NAME.zip for provided.al2023, or an image where godwit.yaml
                   says package: image
  azurefunctions   a folder with host.json and a function for HTTP and for each
                   trigger, or NAME.zip of it
  edge             a folder with a systemd unit, or NAME.tar.gz of it
  all others       an image: NAME.tar, or a folder in the OCI layout. It is the
                   same image, to the byte, for all of them.

The programs are taken from linux-ARCH/ beside godwit, as its archive has them;
without that, on Linux, this machine's own are taken.

Exit codes: 0 made, 2 wrong usage, 11 a model that cannot be packaged.`,
		Example: `  godwit package fraud/ --target awslambda -o fraud.zip
  godwit package fraud/ --target azurefunctions -o app/`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return p.pack(cmd.Context(), args[0], &o) },
	}
	f := cmd.Flags()
	f.StringVar(&o.target, "target", "", "the platform: "+strings.Join(spec.TargetNames(), ", "))
	f.StringVarP(&o.out, "output", "o", "", "where to put it (default NAME.zip, NAME.tar or NAME.tar.gz)")
	f.StringSliceVar(&o.arch, "arch", nil, "amd64 or arm64 (default: what godwit.yaml says, else this machine's)")
	return cmd
}

// packed is what package prints as JSON; documented in docs/cli.md.
type packed struct {
	pack.Artifact
	Target   string   `json:"target"`
	Arch     []string `json:"architectures"`
	Unpacked int64    `json:"unpacked_bytes"`
	Seconds  float64  `json:"seconds"`
}

func (p *program) pack(ctx context.Context, path string, o *packageOptions) error {
	begun := time.Now()
	if !slices.Contains(spec.TargetNames(), o.target) {
		return fault.New(fault.Usage, "", "--target", "want one of %s, got %q", strings.Join(spec.TargetNames(), ", "), o.target)
	}
	_, s, err := app.ReadSpec(path)
	if err != nil {
		return err
	}
	form, err := formOf(o, s)
	if err != nil {
		return err
	}
	arch := architectures(o, s)
	trees := map[string]*pack.Tree{}
	var unpacked int64
	for _, a := range arch {
		built, err := p.built(a, s)
		if err != nil {
			return err
		}
		t, err := pack.Contents(ctx, path, &pack.Options{Target: o.target, Built: built})
		if err != nil {
			return err
		}
		n, err := t.Size()
		if err != nil {
			return err
		}
		trees[a], unpacked = t, unpacked+n
	}
	bar := p.progress("packaging "+s.Name+" for "+o.target, unpacked)
	a, err := form.make(ctx, trees, o.out, bar.at)
	bar.end()
	if err != nil {
		return err
	}
	if p.json {
		writeJSON(p.Stdout, packed{Artifact: *a, Target: o.target, Arch: arch, Unpacked: unpacked, Seconds: time.Since(begun).Seconds()})
		return withinBudget(s, a)
	}
	fmt.Fprintln(p.Stdout, a.Digest)
	if !p.quiet {
		fmt.Fprintf(p.Stderr, "%s: %s, %s unpacked, in %.1fs\n", a.Path, sizeText(a.Size), sizeText(unpacked), time.Since(begun).Seconds())
		for _, a := range arch {
			sizes(p.Stderr, trees[a])
		}
	}
	return withinBudget(s, a)
}

// architectures are those asked for, else the target's, else this machine's.
func architectures(o *packageOptions, s *spec.Spec) []string {
	switch {
	case len(o.arch) > 0:
		slices.Sort(o.arch)
		return slices.Compact(o.arch)
	case o.target == "awslambda" && s.Targets.AWSLambda != nil:
		return []string{s.Targets.AWSLambda.Architecture}
	case o.target == "edge" && s.Targets.Edge != nil:
		return []string{s.Targets.Edge.Architecture}
	case o.target == "knative" || runtime.GOARCH != "arm64":
		return []string{"amd64"}
	}
	return []string{runtime.GOARCH}
}

// built finds the programs for an architecture: beside godwit as its archive
// has them, else what this machine has.
func (p *program) built(arch string, s *spec.Spec) (*pack.Built, error) {
	if arch != "amd64" && arch != "arm64" {
		return nil, fault.New(fault.Usage, "", "--arch", "want amd64 or arm64, got %q", arch)
	}
	if s.Handler != "" {
		return nil, fault.New(fault.Unsupported, "", "handler", "a function with Go of its own cannot be packaged yet, got %q", s.Handler)
	}
	dir := filepath.Dir(p.Executable)
	built, err := pack.FindBuilt(dir, arch)
	if err == nil || runtime.GOOS != "linux" || runtime.GOARCH != arch || p.Executable == "" {
		return built, err
	}
	library, missing := p.library()
	if missing != nil {
		return nil, err // what is really wanted
	}
	return pack.HostBuilt(dir, arch, library)
}

// withinBudget compares with what the spec allows.
func withinBudget(s *spec.Spec, a *pack.Artifact) error {
	if s.Budget == nil || s.Budget.Zip == 0 || a.MediaType != pack.MediaTypeZip || a.Size <= int64(s.Budget.Zip) {
		return nil
	}
	return fault.New(fault.TooLarge, "", a.Path, "want at most %s as budget.zip says, got %s", s.Budget.Zip, spec.Bytes(a.Size)).
		WithHint("See what is in it above, or raise budget.zip in godwit.yaml.")
}

// library is the ONNX Runtime that this process uses.
func (p *program) library() (string, error) {
	l, ok := p.Engine(p.Setup(nil)).(driver.Locator)
	if !ok {
		return "", fault.New(fault.Runtime, "", "", "this binary has no native ONNX Runtime")
	}
	return l.Locate()
}

// A form is what a package comes as.
type form struct {
	suffix string
	make   func(ctx context.Context, trees map[string]*pack.Tree, out string, progress func(int64)) (*pack.Artifact, error)
}

// single makes one archive of one tree.
func single(write func(context.Context, *pack.Tree, string, func(int64)) (*pack.Artifact, error)) func(context.Context, map[string]*pack.Tree, string, func(int64)) (*pack.Artifact, error) {
	return func(ctx context.Context, trees map[string]*pack.Tree, out string, progress func(int64)) (*pack.Artifact, error) {
		for _, t := range trees {
			return write(ctx, t, out, progress)
		}
		return nil, fault.New(fault.Internal, "", out, "want a tree, got none")
	}
}

var (
	asZip    = form{".zip", single(pack.Zip)}
	asTar    = form{".tar.gz", single(pack.Tar)}
	asFolder = form{"", single(pack.Folder)}
)

// formOf is what the target takes and the output's name asks for; it sets the
// output where that was left open.
func formOf(o *packageOptions, s *spec.Spec) (form, error) {
	var forms []form
	switch l := s.Targets.AWSLambda; {
	case o.target == "awslambda" && (l == nil || l.Package == "zip"):
		forms = []form{asZip, asFolder}
	case o.target == "azurefunctions":
		forms = []form{asZip, asFolder}
	case o.target == "edge":
		forms = []form{asTar, asFolder}
	default:
		return form{}, fault.New(fault.Unsupported, "", "--target", "images cannot be made yet, got %q", o.target)
	}
	if o.out == "" {
		o.out = s.Name + forms[0].suffix
	}
	var names []string
	for _, f := range forms {
		if f.suffix != "" && strings.HasSuffix(o.out, f.suffix) || f.suffix == "" && !archive.MatchString(o.out) {
			if len(o.arch) > 1 {
				return form{}, fault.New(fault.Usage, "", "--arch", "want one architecture for %s, got %s", o.out, strings.Join(o.arch, ", ")).
					WithHint("Only an image can be for several.")
			}
			return f, nil
		}
		names = append(names, cmp.Or("NAME"+f.suffix, "NAME for a folder"))
	}
	return form{}, fault.New(fault.Usage, "", "-o", "want %s for %s, got %q", strings.Join(names, " or "), o.target, o.out)
}

// archive matches names that are no folder's.
var archive = regexp.MustCompile(`\.(zip|tar|gz|tgz)$`)

// sizes prints the largest files of a package.
func sizes(w io.Writer, t *pack.Tree) {
	const most = 8
	type file struct {
		path string
		size int64
	}
	var all []file
	for i := range t.Files {
		if n, err := t.Files[i].Size(); err == nil {
			all = append(all, file{t.Files[i].Path, n})
		}
	}
	slices.SortStableFunc(all, func(a, b file) int { return cmp.Compare(b.size, a.size) })
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	for _, f := range all[:min(most, len(all))] {
		fmt.Fprintf(table, "%s\t  %s\n", sizeText(f.size), f.path)
	}
	table.Flush()
	if more := len(all) - most; more > 0 {
		fmt.Fprintf(w, "and %s\n", plural(more, "smaller file"))
	}
}
