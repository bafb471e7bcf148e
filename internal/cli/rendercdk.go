package cli

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"godwit.dev/infra/render"
	"godwit.dev/infra/spec"
	"godwit.dev/internal/app"
	"godwit.dev/internal/doctor"
	"godwit.dev/internal/pack"
	"godwit.dev/runtime/fault"
)

const (
	cdkProgram = "godwit-cdk"
	// cdkVersion is AWS's command that rendered folders are deployed with. It
	// reads cloud assemblies of schema 54, which is what godwit-cdk writes.
	cdkVersion = "2.1148.1"
)

// renderCDK writes a CDK app that is synthesised already: all that godwit.yaml
// has for AWS.
func (p *program) renderCDK(ctx context.Context, r *rendering) (*rendered, error) {
	program, err := p.cdk()
	if err != nil {
		return nil, err
	}
	tmp, err := os.MkdirTemp(p.Getenv("TMPDIR"), "godwit-render-*")
	if err != nil {
		return nil, fault.New(fault.Internal, "", r.path, "%w", err)
	}
	defer os.RemoveAll(tmp)
	what, digest, err := p.deployable(ctx, r, tmp)
	if err != nil {
		return nil, err
	}
	if err := p.synth(ctx, program, r, what); err != nil {
		return nil, err
	}
	for name, text := range map[string][]byte{
		"cdk.json": asJSON(struct {
			App string `json:"app"`
		}{"cdk.out"}),
		"package.json": asJSON(newNodePackage(r, digest)),
		"README.md":    fmt.Appendf(nil, cdkReadme, r.spec.Name, digest, cdkVersion),
	} {
		if err := os.WriteFile(filepath.Join(r.into, name), text, 0o644); err != nil {
			return nil, fault.New(fault.Internal, "", name, "%w", err)
		}
	}
	return &rendered{Package: digest}, nil
}

const cdkReadme = `# %s on AWS

Rendered by godwit from godwit.yaml and the package %s. Change godwit.yaml and render again rather than these files.

    npm install                # AWS CDK's command %s; needs Node.js and nothing else
    npx cdk bootstrap          # once for each account and region
    npx cdk diff               # what would change
    npx cdk deploy --all       # prints the address
    npx cdk destroy --all      # what holds data is retained
`

// nodePackage is package.json. Its key godwit marks the folder as ours.
type nodePackage struct {
	Name        string            `json:"name"`
	Private     bool              `json:"private"`
	Description string            `json:"description"`
	Needs       map[string]string `json:"devDependencies"`
	Godwit      *cdkRendering     `json:"godwit"`
}

type cdkRendering struct {
	Target  string `json:"target"`
	Package string `json:"package"`
	Version string `json:"version"`
}

func newNodePackage(r *rendering, digest string) nodePackage {
	name := r.spec.Name
	return nodePackage{
		Name: name + "-aws", Private: true, Description: name + " on AWS, rendered by godwit",
		Needs: map[string]string{"aws-cdk": cdkVersion}, Godwit: &cdkRendering{r.options.target, digest, app.Version()},
	}
}

// cdkRendered tells whether dir is what renderCDK wrote.
func cdkRendered(dir string) bool {
	text, err := os.ReadFile(filepath.Join(dir, "package.json"))
	var was nodePackage
	return err == nil && json.Unmarshal(text, &was) == nil && was.Godwit != nil && (was.Godwit.Target == "awslambda" || was.Godwit.Target == "sagemaker")
}

// cdkCommands are those of README.md. What makes or changes who may do what is
// asked for by CDK, unless the answer is known.
func (p *program) cdkCommands(r *rendering) ([]render.Command, error) {
	deploy := []string{"npx", "cdk", "deploy", "--all"}
	if r.options.yes {
		deploy = append(deploy, "--require-approval", "never")
	}
	return []render.Command{
		{Args: []string{"npm", "install", "--no-audit", "--no-fund"}, Why: "AWS CDK's command, as package.json pins it"},
		{Args: deploy, Why: "prints the address"},
	}, nil
}

// imagesOnAWS are the targets of AWS that run images.
func imagesOnAWS(s *spec.Spec) (all []string) {
	if l := s.Targets.AWSLambda; l != nil && l.Package == "image" {
		all = append(all, "awslambda")
	}
	if s.Targets.SageMaker != nil {
		all = append(all, "sagemaker")
	}
	return all
}

func asJSON(v any) []byte {
	var b bytes.Buffer
	writeJSON(&b, v)
	return b.Bytes()
}

// cdk finds the program that makes templates: beside godwit, else in PATH.
func (p *program) cdk() (string, error) {
	beside := filepath.Join(filepath.Dir(p.Executable), cdkProgram)
	if info, err := os.Stat(beside); p.Executable != "" && err == nil && info.Mode().IsRegular() {
		return beside, nil
	}
	path, err := exec.LookPath(cdkProgram)
	if err != nil {
		return "", fault.New(fault.NotFound, "", cdkProgram, "want the program beside godwit or in PATH, got none").
			WithHint("Take it from Godwit's archive, or build it with make cdk in a checkout.")
	}
	return path, nil
}

// pushed is the image of a target by its digest, as godwit.lock has it.
func pushed(r *rendering, target string) (image, digest string, err error) {
	if zip := r.options.packed; zip != "" {
		return "", "", fault.New(fault.Usage, "", "--package", "want none where an image is deployed, got %q", zip).
			WithHint("godwit.lock says which image was pushed.")
	}
	lock, err := pack.ReadLock(r.dir)
	if err != nil {
		return "", "", err
	}
	made := lock.Packages[target]
	if made.Image == "" {
		return "", "", fault.New(fault.NotFound, "", filepath.Join(r.dir, pack.LockName), "want an image for %s that was pushed, got none", target).
			WithHint("godwit package %s --target %s --push", r.path, target)
	}
	return made.Image + "@" + made.Digest, made.Digest, nil
}

// deployable is what is to be deployed on Lambda, as an argument for godwit-cdk:
// the path of a zip, which is made in tmp unless there is one, or an image by its
// digest. SageMaker's image godwit-cdk finds in godwit.lock itself.
func (p *program) deployable(ctx context.Context, r *rendering, tmp string) (what map[string]string, digest string, err error) {
	switch t := r.spec.Targets.AWSLambda; {
	case t == nil:
		_, digest, err := pushed(r, "sagemaker")
		return map[string]string{}, digest, err
	case t.Package == "image":
		image, digest, err := pushed(r, "awslambda")
		return map[string]string{"image": image}, digest, err
	}
	zip, err := p.archive(ctx, r, "awslambda", filepath.Join(tmp, r.spec.Name+".zip"))
	if err != nil {
		return nil, "", err
	}
	if zip, err = filepath.Abs(zip); err == nil {
		digest, err = digestOf(zip)
	}
	if err != nil {
		return nil, "", fault.New(fault.Internal, "", zip, "%w", err)
	}
	return map[string]string{"package": zip}, digest, nil
}

// examined refuses a package that godwit package would not have given out.
func examined(ctx context.Context, path, target string) error {
	report, err := examination(ctx, path, target, "")
	if err != nil {
		return err
	}
	if n := report.Count(doctor.Error); n > 0 {
		return fault.New(fault.BadModel, "", path, "%s would fail on %s", plural(n, "thing"), target).
			WithHint("godwit doctor %s --target %s says what to do.", path, target)
	}
	return nil
}

func digestOf(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return "sha256:" + hex.EncodeToString(h.Sum(nil)), nil
}

// synth runs godwit-cdk as AWS's command runs an app: where to write and what to
// read are in the environment.
func (p *program) synth(ctx context.Context, program string, r *rendering, what map[string]string) error {
	dir, err := filepath.Abs(r.path)
	if err != nil {
		return fault.New(fault.Internal, "", r.path, "%w", err)
	}
	out, err := filepath.Abs(filepath.Join(r.into, "cdk.out"))
	if err != nil {
		return fault.New(fault.Internal, "", r.into, "%w", err)
	}
	what["function"] = dir
	said := &lastBytes{most: 64 << 10}
	cmd := exec.CommandContext(ctx, program)
	cmd.Env = append(cmd.Environ(), "CDK_OUTDIR="+out, "CDK_CONTEXT_JSON="+string(asJSON(what)))
	cmd.Stdout, cmd.Stderr = said, said
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil {
			return fault.New(fault.Canceled, "", cdkProgram, "%w", ctx.Err())
		}
		return synthFailed(err, said.String())
	}
	if _, err := os.Stat(filepath.Join(out, "manifest.json")); errors.Is(err, fs.ErrNotExist) {
		return fault.New(fault.Internal, "", program, "want a cloud assembly, got none")
	}
	return nil
}

// synthFailed is what godwit-cdk said, as an error of ours: its exit code is of
// the same table, and its words are those of Error and Try.
func synthFailed(err error, said string) error {
	code := fault.Internal
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		for _, c := range fault.Codes() {
			if c.Exit() == exit.ExitCode() {
				code = c
				break
			}
		}
	}
	if strings.Contains(said, `exec: "node"`) {
		return fault.New(fault.NotFound, "", cdkProgram, "want Node.js, with which it makes templates, got none").
			WithHint("Install Node.js 22 or newer.")
	}
	what, hint := "", ""
	for line := range strings.Lines(said) {
		line = strings.TrimSpace(line)
		if text, ok := strings.CutPrefix(line, "Error: "); ok && what == "" {
			what = text
		}
		if text, ok := strings.CutPrefix(line, "Try: "); ok && hint == "" {
			hint = text
		}
	}
	if what == "" {
		what = strings.TrimSpace(said)
	}
	return fault.New(code, "", cdkProgram, "%s", what).WithHint("%s", hint)
}

// lastBytes keeps the end of what a program says.
type lastBytes struct {
	most int
	kept []byte
}

func (b *lastBytes) Write(text []byte) (int, error) {
	b.kept = append(b.kept, text...)
	if more := len(b.kept) - b.most; more > 0 {
		b.kept = append(b.kept[:0], b.kept[more:]...)
	}
	return len(text), nil
}

func (b *lastBytes) String() string { return string(b.kept) }
