package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"godwit.dev/infra/render"
	"godwit.dev/infra/spec"
	"godwit.dev/internal/app"
	"godwit.dev/runtime/fault"
)

type renderOptions struct {
	target, out, packed string
	yes, diff           bool
}

// A rendering is one folder being rendered.
type rendering struct {
	path    string // as it was given: a function's folder, or a lone model
	dir     string // where godwit.yaml would be
	spec    *spec.Spec
	options *renderOptions
	into    string // a new folder for the files
	// deployment is what a pure renderer was told; nil before, and for others.
	deployment *render.Deployment
}

// A renderer writes the files of a target into r.into, which is empty. The same
// function gives the same bytes, whoever renders it, where and when.
type renderer struct {
	write func(ctx context.Context, r *rendering) (*rendered, error)
	// ours tells whether a folder that is there holds an earlier rendering.
	ours func(dir string) bool
	// refuses is why the target cannot be rendered for a spec, whatever its package
	// is; nil where it can, or where that is known only when it is done.
	refuses func(s *spec.Spec) error
	// some is a deployment with another package, whose commands have the same
	// programs; nil where commands asks for none.
	some func(s *spec.Spec) *render.Deployment
	// commands are what deploys the folder; write has been called.
	commands func(r *rendering) ([]render.Command, error)
	needs    []string // programs that the commands call themselves
	optional []string // see pure
	// images are the targets whose images are deployed, and have to be pushed first.
	images func(s *spec.Spec) []string
	next   string // what one runs then, in the folder, unless write says it
}

// renderers are the targets that can be rendered.
func (p *program) renderers() map[string]renderer {
	aws := renderer{write: p.renderCDK, ours: cdkRendered, commands: p.cdkCommands, images: imagesOnAWS, next: "npm install && npx cdk deploy --all"}
	all := map[string]renderer{"awslambda": aws, "sagemaker": aws}
	for target, how := range pureRenderers() {
		all[target] = p.pure(target, how)
	}
	return all
}

// rendered is what render prints as JSON; documented in docs/cli.md.
type rendered struct {
	Target  string   `json:"target"`
	Path    string   `json:"path"`
	Package string   `json:"package"` // the digest of what is deployed
	Files   []string `json:"files"`   // relative to Path, sorted
	Next    string   `json:"next"`
	Command string   `json:"command,omitempty"` // what does the same without the files
	Then    string   `json:"then,omitempty"`    // what follows it when what it makes is ready
}

func (p *program) newRender() *cobra.Command {
	var o renderOptions
	can := slices.Sorted(maps.Keys(p.renderers()))
	cmd := &cobra.Command{
		Use:     "render DIR|MODEL --target TARGET -o OUT | --diff [--target TARGET [-o OUT]]",
		GroupID: "ship",
		Short:   "Write the files that deploy a function",
		Long: `render writes a folder of files as a person would have written them, with which
the platform's own command deploys the function. Nothing of Godwit is needed
from then on. The same function gives the same bytes.

  awslambda       a CDK app, synthesised: cdk.out with the templates and the package,
                  cdk.json, package.json, which pins AWS's CDK command, and a README.
                  Who deploys it needs Node.js and no Go.
  sagemaker       the same: a function with both targets has a stack for each
  cloudrun        a service's YAML, with a job, topics and a gateway where godwit.yaml
                  has them; a script of gcloud and a Terraform module that do the
                  same; the line of gcloud for the service alone is printed
  vertexai        a model and an endpoint as Vertex AI's API takes them, the script
                  and the module
  azurefunctions  Bicep, azd's azure.yaml, and the package unless it is an image
  azureml         the files of az ml, and Bicep
  knative         a kustomize base with an overlay for the nodes; the lines of kn that
                  do the same are printed
  edge            for a device, by its runtime: a systemd unit with the package, a
                  component of AWS IoT Greengrass v2, or deployments of Azure IoT Edge

Each folder has a README with the commands from there to a called endpoint, and back.

A zip or tar.gz is packaged first, as godwit package does, unless --package names
one. An image is the one that godwit.lock says was pushed last.

--diff writes nothing. It says of each target of godwit.yaml, or of the one that
--target names, what waiting costs in a month, by dated list prices; what the
platform cannot do that godwit.yaml allows; and which values are defaults. With
-o, a folder rendered earlier, it says too what would change in it, file by file.

AWS's templates are made by godwit-cdk, which lies beside godwit in its archive and
which make cdk builds in a checkout; it needs Node.js.

A folder that an earlier render wrote is brought up to date: what it wrote then and
does no longer goes, and what is not render's, such as node_modules, stays. In a
folder with other files --yes writes ours among them.

Exit codes: 0 written, 2 wrong usage, 4 no godwit-cdk or no package, 12 godwit.yaml
asks for what the target cannot do.`,
		Example: `  godwit render fraud/ --target awslambda -o aws/
  godwit render fraud/ --target awslambda -o aws/ --package fraud.zip
  godwit render fraud/ --target knative -o k8s/
  godwit render fraud/ --diff
  godwit render fraud/ --diff --target knative -o k8s/`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return p.render(cmd.Context(), args[0], &o) },
	}
	f := cmd.Flags()
	f.StringVar(&o.target, "target", "", "the platform: "+strings.Join(can, ", ")+"; with --diff all of godwit.yaml")
	f.StringVarP(&o.out, "output", "o", "", "the folder to write")
	f.StringVar(&o.packed, "package", "", "the package to deploy (default: one is made now)")
	f.BoolVar(&o.diff, "diff", false, "write nothing; say what would change, what it costs idle and what a target cannot do")
	f.BoolVar(&o.yes, "yes", false, "write into a folder that has other files, over those of the same names")
	return cmd
}

func (p *program) render(ctx context.Context, path string, o *renderOptions) (err error) {
	if o.diff {
		return p.diff(ctx, path, o)
	}
	how, r, err := p.toRender(path, o)
	if err != nil {
		return err
	}
	if o.out == "" {
		return fault.New(fault.Usage, "", "-o", "want a folder to write, got none").WithHint("godwit render %s --target %s -o OUT/", path, o.target)
	}
	made, err := p.renderTo(ctx, how, r)
	if err != nil {
		return err
	}
	if p.json {
		writeJSON(p.Stdout, made)
		return nil
	}
	fmt.Fprintln(p.Stdout, o.out)
	if made.Command != "" {
		p.say("The same without files:\n\n%s\n\n", made.Command)
	}
	if made.Then != "" {
		p.say("And when its revisions are ready:\n\n%s\n\n", made.Then)
	}
	p.say("%s of package %s. Next: cd %s && %s\n", plural(len(made.Files), "file"), made.Package, o.out, made.Next)
	return nil
}

// toRender is how a target of the function at path is rendered.
func (p *program) toRender(path string, o *renderOptions) (how renderer, r *rendering, err error) {
	how, ok := p.renderers()[o.target]
	if !ok {
		return how, nil, fault.New(fault.Usage, "", "--target", "want one of %s, got %q", strings.Join(slices.Sorted(maps.Keys(p.renderers())), ", "), o.target)
	}
	dir, s, err := app.ReadSpec(path)
	if err != nil {
		return how, nil, err
	}
	if s.Targets.Common(o.target) == nil {
		return how, nil, fault.New(fault.BadConfig, "", filepath.Join(dir, spec.FileName), "want a target %s, got none", o.target).
			WithHint("Add targets: {%s: {}}.", o.target)
	}
	return how, &rendering{path: path, dir: dir, spec: s, options: o}, nil
}

// renderTo puts the files of r into the folder that its options name.
func (p *program) renderTo(ctx context.Context, how renderer, r *rendering) (made *rendered, err error) {
	o := r.options
	if err := mayRender(o, how.ours); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(filepath.Dir(filepath.Clean(o.out)), 0o755); err != nil {
		return nil, fault.New(fault.Internal, "", o.out, "%w", err)
	}
	// Beside the place it is for, so that renaming it is all that is left to do.
	tmp, err := os.MkdirTemp(filepath.Dir(filepath.Clean(o.out)), "."+filepath.Base(filepath.Clean(o.out))+".*")
	if err != nil {
		return nil, fault.New(fault.Internal, "", o.out, "%w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(tmp)) }()
	if made, err = p.renderInto(ctx, how, r, filepath.Join(tmp, "new")); err != nil {
		return nil, err
	}
	stale, err := how.stale(o.out, made.Files)
	if err != nil {
		return nil, fault.New(fault.Internal, "", o.out, "%w", err)
	}
	if err := settle(r.into, o.out, filepath.Join(tmp, "old"), stale); err != nil {
		return nil, fault.New(fault.Internal, "", o.out, "%w", err)
	}
	made.Path = o.out
	return made, nil
}

// renderInto writes the files of r into dir, which is not there yet.
func (p *program) renderInto(ctx context.Context, how renderer, r *rendering, dir string) (made *rendered, err error) {
	r.into = dir
	if err := os.Mkdir(r.into, 0o755); err != nil {
		return nil, fault.New(fault.Internal, "", dir, "%w", err)
	}
	stop := p.working("rendering " + r.spec.Name + " for " + r.options.target)
	made, err = how.write(ctx, r)
	stop()
	if err != nil {
		return nil, err
	}
	if made.Files, err = filesIn(r.into); err != nil {
		return nil, fault.New(fault.Internal, "", dir, "%w", err)
	}
	made.Target, made.Next = r.options.target, cmp.Or(made.Next, how.next)
	return made, nil
}

// mayRender refuses a place that holds anything but an earlier rendering.
func mayRender(o *renderOptions, ours func(dir string) bool) error {
	entries, err := os.ReadDir(o.out)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return fault.New(fault.BadConfig, "", o.out, "want a folder: %w", err).WithHint("Name another one with -o.")
	case len(entries) == 0 || o.yes || ours(o.out):
		return nil
	}
	return fault.New(fault.BadConfig, "", o.out, "want a new or empty folder, or one that render wrote, got one with %q", entries[0].Name()).
		WithHint("Name another folder, or write into this one with --yes.")
}

// filesIn are the files below dir, with slashes, sorted. Their modes do not
// depend on who renders; scripts can be run.
func filesIn(dir string) (names []string, err error) {
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir():
			return os.Chmod(path, 0o755)
		}
		rel, err := filepath.Rel(dir, path)
		names = append(names, filepath.ToSlash(rel))
		mode := fs.FileMode(0o644)
		if strings.HasSuffix(path, ".sh") {
			mode = 0o755
		}
		return errors.Join(err, os.Chmod(path, mode))
	})
	slices.Sort(names)
	return names, err
}

// stale are the names at the root of dir, an earlier rendering, that are none of
// files and that only this target's renderer writes.
func (how *renderer) stale(dir string, files []string) (names []string, err error) {
	if !how.ours(dir) {
		return nil, nil
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		written := slices.ContainsFunc(files, func(name string) bool {
			root, _, _ := strings.Cut(name, "/")
			return root == e.Name()
		})
		if !written && slices.ContainsFunc(how.optional, func(pattern string) bool {
			ok, err := path.Match(pattern, e.Name())
			return ok && err == nil
		}) {
			names = append(names, e.Name())
		}
	}
	return names, nil
}

// settle moves what lies in made to dir. A new folder appears as a whole. In one
// that is there each entry is replaced as a whole, and what it replaces goes to
// old, as do the stale ones; whatever stops that, rendering again completes it.
func settle(made, dir, old string, stale []string) error {
	if err := os.Rename(made, filepath.Clean(dir)); err == nil {
		return nil // there was none, or an empty one
	}
	entries, err := os.ReadDir(made)
	if err != nil {
		return err
	}
	if err := os.Mkdir(old, 0o755); err != nil {
		return err
	}
	for _, e := range entries {
		place := filepath.Join(dir, e.Name())
		if err := os.Rename(place, filepath.Join(old, e.Name())); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		if err := os.Rename(filepath.Join(made, e.Name()), place); err != nil {
			return errors.Join(err, os.Rename(filepath.Join(old, e.Name()), place))
		}
	}
	for _, name := range stale {
		if err := os.Rename(filepath.Join(dir, name), filepath.Join(old, name)); err != nil {
			return err
		}
	}
	return nil
}
