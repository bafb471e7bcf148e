package cli

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"godwit.dev/infra/spec"
	"godwit.dev/internal/app"
	"godwit.dev/internal/doctor"
	"godwit.dev/internal/handlerbuild"
	"godwit.dev/internal/pack"
	"godwit.dev/runtime/driver"
	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/lazy"
)

type packageOptions struct {
	target, out, base string
	key               string
	arch              []string
	push, update      bool
	unexamined        bool
	unbaked           bool
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
                   trigger, or NAME.zip of it; with plan: containerapps an image
  edge             a folder with a systemd unit, or NAME.tar.gz of it; with
                   runtime: iotedge an image
  all others       an image: NAME.tar, or a folder in the OCI layout. It is the
                   same image, to the byte, for all of them.

An image is put on a base, which is pinned by its digest in godwit.lock from the
first time on: ` + pack.DefaultBase + `,
another one with --base, or an OCI layout on disk with --base oci:DIR. --push
sends it to the repository that image: in godwit.yaml names, and prints the
reference to deploy.

godwit.lock, beside godwit.yaml, gets the digests of the base, ONNX Runtime, the
models and the package. It belongs into version control.

Models are baked: their graph is optimised now and not at every start, and stored
in the form that loads fastest. What was baked answers the recorded requests as
recorded, or the model is packaged as it is, and why is said.

Before it is given out, or pushed, it is examined as godwit doctor does: an error
fails it, warnings are printed.

A target whose provider is cuda gets an image with ONNX Runtime for CUDA 13, which
scripts/onnxruntime-gpu.sh fetches, on NVIDIA's base.

The programs are taken from linux-ARCH/ beside godwit, as its archive has them;
without that, on Linux, this machine's own are taken. A function with a handler
of its own gets programs that are compiled for it, which needs Go.

Exit codes: 0 made, 2 wrong usage, 5 over budget, 11 what would fail on the
target.`,
		Example: `  godwit package fraud/ --target awslambda -o fraud.zip
  godwit package fraud/ --target azurefunctions -o app/
  godwit package fraud/ --target cloudrun --push`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return p.pack(cmd.Context(), args[0], &o) },
	}
	f := cmd.Flags()
	f.StringVar(&o.target, "target", "", "the platform: "+strings.Join(spec.TargetNames(), ", "))
	f.StringVarP(&o.out, "output", "o", "", "where to put it (default NAME.zip, NAME.tar or NAME.tar.gz)")
	f.StringSliceVar(&o.arch, "arch", nil, "amd64 or arm64 (default: what godwit.yaml says, else this machine's)")
	f.StringVar(&o.base, "base", "", "the base of an image: a reference, or oci:DIR (default "+pack.DefaultBase+")")
	f.BoolVar(&o.update, "update-base", false, "take what the base's tag means now, and pin that")
	f.BoolVar(&o.unbaked, "no-bake", false, "package the models as they are")
	f.BoolVar(&o.unexamined, "no-doctor", false, "give it out unexamined")
	f.StringVar(&o.key, "sign", "", "sign the package with this private key, as godwit sign does, into OUT.sig")
	f.BoolVar(&o.push, "push", false, "send the image to the repository in godwit.yaml")
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
	dir, s, err := app.ReadSpec(path)
	if err != nil {
		return err
	}
	form, err := formOf(o, s)
	if err != nil {
		return err
	}
	lock, err := pack.ReadLock(dir)
	if err != nil {
		return err
	}
	w := &work{p: p, options: o, spec: s, lock: lock, trees: map[string]*pack.Tree{}}
	returned, err := w.fetch(ctx)
	defer returned()
	if err != nil {
		return err
	}
	var unpacked int64
	for _, a := range architectures(o, s) {
		built, clean, err := p.built(ctx, a, dir, o.target, s)
		if err != nil {
			return err
		}
		defer clean()
		if err := w.onGPU(ctx, built); err != nil {
			return err
		}
		tmp, err := os.MkdirTemp(p.Getenv("TMPDIR"), "godwit-baked-*")
		if err != nil {
			return fault.New(fault.Internal, "", path, "%w", err)
		}
		defer os.RemoveAll(tmp)
		forms, err := w.bake(ctx, dir, tmp, built)
		if err != nil {
			return err
		}
		t, err := pack.Contents(ctx, path, &pack.Options{Target: o.target, Built: built, Forms: forms, Fetched: w.fetched})
		if err != nil {
			return err
		}
		n, err := t.Size()
		if err != nil {
			return err
		}
		w.arch, w.trees[a], unpacked = append(w.arch, a), t, unpacked+n
		if err := lock.Note(t); err != nil {
			return err
		}
	}
	bar := p.progress("packaging "+s.Name+" for "+o.target, unpacked)
	w.progress = bar.at
	a, err := form.make(ctx, w)
	bar.end()
	if err != nil {
		return err
	}
	if !o.push && !o.unexamined {
		if err := w.examine(ctx, o.out); err != nil {
			return err
		}
	}
	lock.Made(o.target, a, w.arch, w.pushed)
	if path == dir { // a lone model has no folder of its own
		if err := lock.Write(dir); err != nil {
			return err
		}
	}
	if o.key != "" && withinBudget(s, a, w.added) == nil {
		sig := &signOptions{key: o.key, signature: signatureOf(a.Path)}
		if _, err := signWith(ctx, a.Path, sig); err != nil {
			return err
		}
		w.notes = append(w.notes, "Signed: "+sig.signature)
	}
	took := time.Since(begun).Seconds()
	switch {
	case p.json:
		writeJSON(p.Stdout, packed{Artifact: *a, Target: o.target, Arch: w.arch, Unpacked: unpacked, Seconds: took})
	case w.pushed != "":
		fmt.Fprintln(p.Stdout, a.Path)
	default:
		fmt.Fprintln(p.Stdout, a.Digest)
	}
	if !p.json && !p.quiet {
		fmt.Fprintf(p.Stderr, "%s: %s, %s unpacked, in %.1fs\n", a.Path, sizeText(a.Size), sizeText(unpacked), took)
		for _, one := range w.arch {
			sizes(p.Stderr, w.trees[one])
		}
		for _, note := range w.notes {
			fmt.Fprintln(p.Stderr, note)
		}
	}
	return withinBudget(s, a, w.added)
}

// work is one package being made.
type work struct {
	p        *program
	options  *packageOptions
	spec     *spec.Spec
	lock     *pack.Lock
	arch     []string
	trees    map[string]*pack.Tree // by architecture
	fetched  map[string]string     // files of models behind URLs, by "NAME/VERSION"
	progress func(int64)

	cuda   *pack.CUDA // for a GPU; else nil
	added  int64      // compressed bytes of an image above its base
	pushed string     // the repository; "" for none
	notes  []string   // what its user should know
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
// has them, else what this machine has. With a handler they are compiled, and
// clean removes them.
func (p *program) built(ctx context.Context, arch, dir, target string, s *spec.Spec) (_ *pack.Built, clean func(), err error) {
	clean = func() {}
	if arch != "amd64" && arch != "arm64" {
		return nil, clean, fault.New(fault.Usage, "", "--arch", "want amd64 or arm64, got %q", arch)
	}
	home := filepath.Dir(p.Executable)
	built, err := pack.FindBuilt(home, arch)
	if err != nil && runtime.GOOS == "linux" && runtime.GOARCH == arch && p.Executable != "" {
		// Without a library there is nothing to package either; what is really
		// wanted is the whole folder.
		if library, missing := p.library(); missing == nil {
			built, err = pack.HostBuilt(home, arch, library)
		}
	}
	if err != nil || s.Handler == "" {
		return built, clean, err
	}
	out, err := os.MkdirTemp(p.Getenv("TMPDIR"), "godwit-functions-*")
	if err != nil {
		return nil, clean, fault.New(fault.Internal, "", s.Handler, "%w", err)
	}
	clean = func() { os.RemoveAll(out) }
	kind := kindOf(target)
	stop := p.working("compiling " + s.Handler + " for linux/" + arch)
	err = handlerbuild.Functions(ctx, filepath.Join(dir, filepath.FromSlash(s.Handler)), arch, out,
		handlerbuild.Options{Source: p.source(), Cache: p.CacheDir, Stderr: p.Stderr, Programs: []string{kind}, Version: app.Version()})
	stop()
	built.Lambda, built.Server = filepath.Join(out, "fn-lambda"), filepath.Join(out, "fn-server")
	return built, clean, err
}

// withinBudget compares with what the spec allows.
func withinBudget(s *spec.Spec, a *pack.Artifact, added int64) error {
	if s.Budget == nil {
		return nil
	}
	key, limit, size := "budget.zip", s.Budget.Zip, a.Size
	if a.MediaType != pack.MediaTypeZip {
		key, limit, size = "budget.image", s.Budget.Image, added
	}
	if limit == 0 || size <= int64(limit) {
		return nil
	}
	return fault.New(fault.TooLarge, "", a.Path, "want at most %s as %s says, got %s", limit, key, spec.Bytes(size)).
		WithHint("The largest files are listed above; or raise %s in godwit.yaml.", key)
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
	suffix string // of the output's name; "" for a folder
	make   func(ctx context.Context, w *work) (*pack.Artifact, error)
}

// single makes one archive or folder of the one tree.
func single(write func(context.Context, *pack.Tree, string, func(int64)) (*pack.Artifact, error)) func(context.Context, *work) (*pack.Artifact, error) {
	return func(ctx context.Context, w *work) (*pack.Artifact, error) {
		return write(ctx, w.trees[w.arch[0]], w.options.out, w.progress)
	}
}

var (
	asZip    = form{".zip", single(pack.Zip)}
	asTar    = form{".tar.gz", single(pack.Tar)}
	asFolder = form{"", single(pack.Folder)}
	asImage  = form{".tar", image}
	asLayout = form{"", image}
)

// image makes an image of all trees, and writes or pushes it.
func image(ctx context.Context, w *work) (*pack.Artifact, error) {
	ref := w.options.base
	if ref == "" && w.cuda != nil {
		ref = w.cuda.Base
	}
	base, err := pack.OpenBase(ctx, ref, &pack.BaseOptions{Lock: w.lock, Update: w.options.update})
	if err != nil {
		return nil, err
	}
	if base.Moved != "" {
		w.notes = append(w.notes, fmt.Sprintf("%s means %s by now; godwit.lock has %s. Take the newer one with --update-base.", base.Ref, base.Moved, base.Digest))
	}
	o := &pack.ImageOptions{Labels: map[string]string{"org.opencontainers.image.title": w.spec.Name}, Progress: w.progress}
	if w.options.target == "awslambda" {
		o.Program = "fn-lambda"
	}
	if w.cuda != nil {
		for _, t := range w.trees {
			if err := w.cuda.Check(t); err != nil {
				return nil, err
			}
		}
		o = w.cuda.Image(o)
	}
	img, err := pack.Image(ctx, base, w.trees, o)
	if err != nil {
		return nil, err
	}
	defer img.Close()
	w.added = img.Added
	w.notes = append(w.notes, fmt.Sprintf("%s above the base %s", sizeText(img.Added), base.Ref))
	switch {
	case w.options.push:
		if err := w.examineFirst(ctx, img); err != nil {
			return nil, err
		}
		a, err := img.Push(ctx, w.spec.Image, nil)
		if err == nil {
			w.pushed = w.spec.Image
		}
		return a, err
	case strings.HasSuffix(w.options.out, ".tar"):
		return img.WriteTar(ctx, w.options.out, nil)
	}
	return img.WriteLayout(ctx, w.options.out, nil)
}

// onGPU puts the build of ONNX Runtime that the target's provider wants into
// built: from linux-ARCH/cuda13/ beside godwit, else from the user's cache.
func (w *work) onGPU(ctx context.Context, built *pack.Built) error {
	switch provider := w.provider(); {
	case provider == "":
		return nil
	case provider != "cuda":
		return fault.New(fault.Unsupported, "", "provider", "want cpu or cuda, of which there are packages, got %q", provider).
			WithHint("Make an image of your own around fn-server, with a build of ONNX Runtime that has the provider.")
	case w.options.target == "edge" && !inImage(w.spec, "edge"):
		return fault.New(fault.Unsupported, "", "provider", "want the device's own ONNX Runtime for %q, of which there is no package", provider).
			WithHint("Package with provider: cpu, and name the device's library in GODWIT_ONNXRUNTIME.")
	}
	w.cuda = pack.CUDA13()
	dir := filepath.Join(filepath.Dir(w.p.Executable), "linux-"+built.Arch, w.cuda.Name)
	if _, err := os.Stat(dir); err != nil {
		dir = filepath.Join(w.p.CacheDir, "onnxruntime", w.cuda.Version, "linux-"+built.Arch+"-"+w.cuda.Name)
	}
	return w.cuda.Take(ctx, built, dir)
}

// examineFirst examines an image that is to be pushed: what a registry has, others
// may have taken already.
func (w *work) examineFirst(ctx context.Context, img *pack.OCI) error {
	if w.options.unexamined {
		return nil
	}
	dir, err := os.MkdirTemp(w.p.Getenv("TMPDIR"), "godwit-image-*")
	if err != nil {
		return fault.New(fault.Internal, "", w.options.target, "%w", err)
	}
	defer os.RemoveAll(dir)
	file := filepath.Join(dir, w.spec.Name+".tar")
	if _, err := img.WriteTar(ctx, file, nil); err != nil {
		return err
	}
	return w.examine(ctx, file)
}

// examine says what would fail on the target, and fails for it.
func (w *work) examine(ctx context.Context, path string) error {
	for _, arch := range w.arch {
		r, err := examination(ctx, path, w.options.target, arch)
		if err != nil {
			return err
		}
		if !w.p.json && !w.p.quiet {
			printFindings(w.p.Stderr, r, doctor.Error, doctor.Warning)
		}
		if n := r.Count(doctor.Error); n > 0 {
			return fault.New(fault.BadModel, "", path, "%s would fail on %s", plural(n, "thing"), w.options.target).
				WithHint("godwit doctor %s --target %s says what to do; --no-doctor gives it out all the same.", path, w.options.target)
		}
	}
	return nil
}

// formOf is what the target takes and the output's name asks for; it sets the
// output where that was left open.
func formOf(o *packageOptions, s *spec.Spec) (form, error) {
	var forms []form
	switch {
	case inImage(s, o.target):
		forms = []form{asImage, asLayout}
	case o.target == "edge":
		forms = []form{asTar, asFolder}
	default:
		forms = []form{asZip, asFolder}
	}
	isImage := forms[0].suffix == asImage.suffix
	switch {
	case o.push && !isImage:
		return form{}, fault.New(fault.Usage, "", "--push", "want a target that takes an image, got %q", o.target)
	case o.push && o.key != "":
		return form{}, fault.New(fault.Usage, "", "--sign", "want a package in a file or folder to sign, got --push").
			WithHint("Sign the image in its registry, by its digest.")
	case o.push && s.Image == "":
		return form{}, fault.New(fault.Usage, "", "--push", "want the repository in godwit.yaml, got none").WithHint("Add image: REGISTRY/NAME to godwit.yaml.")
	case o.push && o.out != "":
		return form{}, fault.New(fault.Usage, "", "--push", "want --push or -o, got both")
	case (o.base != "" || o.update) && !isImage:
		return form{}, fault.New(fault.Usage, "", "--base", "want a target that takes an image, got %q", o.target)
	case len(o.arch) > 1 && !isImage:
		return form{}, fault.New(fault.Usage, "", "--arch", "want one architecture for %s, got %s", o.target, strings.Join(o.arch, ", ")).
			WithHint("Only an image can be for several.")
	case o.push:
		return asImage, nil
	case o.out == "":
		o.out = s.Name + forms[0].suffix
	}
	var names []string
	for _, f := range forms {
		if f.suffix != "" && strings.HasSuffix(o.out, f.suffix) || f.suffix == "" && !archive().MatchString(o.out) {
			return f, nil
		}
		names = append(names, "NAME"+f.suffix)
	}
	return form{}, fault.New(fault.Usage, "", "-o", "want %s for a folder, for %s, got %q", strings.Join(names, ", or "), o.target, o.out)
}

// inImage reports whether the target takes an image, as the spec has it.
func inImage(s *spec.Spec, target string) bool {
	switch t := &s.Targets; target {
	case "awslambda":
		return t.AWSLambda != nil && t.AWSLambda.Package == "image"
	case "azurefunctions":
		return t.AzureFunctions != nil && t.AzureFunctions.Plan == "containerapps"
	case "edge":
		return t.Edge != nil && t.Edge.Runtime == "iotedge"
	}
	return true
}

// archive matches names that are no folder's.
var archive = lazy.Regexp(`\.(zip|tar|gz|tgz)$`)

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
