package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"godwit.dev/infra/render"
	"godwit.dev/runtime/fault"
)

type deployOptions struct {
	renderOptions
	dry, unpushed bool
	base          string // of images; "" is the one that package takes
}

func (p *program) newDeploy() *cobra.Command {
	var o deployOptions
	can := slices.Sorted(maps.Keys(p.renderers()))
	cmd := &cobra.Command{
		Use:     "deploy DIR|MODEL --target TARGET",
		GroupID: "ship",
		Short:   "Package, render, and run the platform's own tool",
		Long: `deploy does what package and render do, and then runs what the rendered README
says: the platform's own command, as it is installed and logged in here. Each
command is printed before it is run, as a line that a shell takes; what it prints
passes through.

  awslambda, sagemaker   npm install, npx cdk deploy
  cloudrun, vertexai     deploy.sh, which calls gcloud
  azurefunctions         azd up
  azureml                az ml
  knative                kubectl apply
  edge                   by its runtime, on the device as root: tar and systemctl, or
                         greengrass-cli; from anywhere: aws, az

An image is packaged and pushed first, unless --no-push takes the one that
godwit.lock says was pushed last; the same function is the same image, of which a
registry takes nothing twice. The folder, NAME-TARGET unless -o names one, stays:
what is deployed can be read there, and deployed again without Godwit.

--dry-run prints all commands, from godwit package on, and runs none. It renders
for that, into a folder that is removed again, and for a zip or tar.gz packages.

It asks before it begins, or wants --yes where nobody can answer. With --yes CDK
does not ask about permissions either.

Exit codes: 0 deployed, 1 a command failed, 2 wrong usage, 4 a tool is missing or
nothing was pushed, 12 godwit.yaml asks for what the target cannot do, 130
interrupted.`,
		Example: `  godwit deploy fraud/ --target knative
  godwit deploy fraud/ --target awslambda --dry-run
  godwit deploy fraud/ --target awslambda -o aws/ --yes`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return p.deploy(cmd.Context(), args[0], &o) },
	}
	f := cmd.Flags()
	f.StringVar(&o.target, "target", "", "the platform: "+strings.Join(can, ", "))
	f.StringVarP(&o.out, "output", "o", "", "the folder to render to (default NAME-TARGET)")
	f.StringVar(&o.packed, "package", "", "the package to deploy (default: one is made now)")
	f.StringVar(&o.base, "base", "", "the base of an image, as for godwit package")
	f.BoolVar(&o.dry, "dry-run", false, "print the commands and run none")
	f.BoolVar(&o.unpushed, "no-push", false, "deploy the image that was pushed last")
	f.BoolVar(&o.yes, "yes", false, "do not ask, and render into a folder that has other files")
	return cmd
}

// deployed is what deploy prints as JSON; documented in docs/cli.md.
type deployed struct {
	Target   string       `json:"target"`
	Path     string       `json:"path"`    // the folder that the commands are run in
	Package  string       `json:"package"` // the digest of what is deployed
	DryRun   bool         `json:"dry_run"`
	Commands []deployStep `json:"commands"`
}

type deployStep struct {
	Args []string `json:"args"`
	Line string   `json:"line"` // for a POSIX shell
	Why  string   `json:"why,omitempty"`
}

func (p *program) deploy(ctx context.Context, path string, o *deployOptions) error {
	how, r, err := p.toRender(path, &o.renderOptions)
	if err != nil {
		return err
	}
	o.out = cmp.Or(o.out, r.spec.Name+"-"+o.target)
	var push []string
	if how.images != nil && !o.unpushed {
		push = how.images(r.spec)
	}
	if o.dry {
		return p.dryRun(ctx, how, r, o, push)
	}
	if err := p.ready(how, r); err != nil {
		return err
	}
	if err := p.agreed(fmt.Sprintf("Deploy %s to %s?", r.spec.Name, o.target), o.yes); err != nil {
		return err
	}
	if err := mayRender(&o.renderOptions, how.ours); err != nil {
		return err
	}
	for _, target := range push {
		p.announce(o.push(path, target))
		quiet := *p
		quiet.Stdout, quiet.json = p.Stderr, false
		if err := quiet.pack(ctx, path, &packageOptions{target: target, base: o.base, push: true}); err != nil {
			return err
		}
	}
	made, err := p.renderTo(ctx, how, r)
	if err != nil {
		return err
	}
	commands, err := how.commands(r)
	if err != nil {
		return err
	}
	p.announce(render.Command{Args: []string{"cd", o.out}})
	for _, c := range commands {
		p.announce(c)
		if err := p.runTool(ctx, o.out, c); err != nil {
			return err
		}
	}
	if p.json {
		writeJSON(p.Stdout, deployed{o.target, o.out, made.Package, false, steps(commands)})
		return nil
	}
	p.say("%s is deployed to %s: package %s. Next: cat %s\n", r.spec.Name, o.target, made.Package, filepath.ToSlash(filepath.Join(o.out, "README.md")))
	return nil
}

// push is the command that makes and pushes a target's image.
func (o *deployOptions) push(path, target string) render.Command {
	c := render.Command{Args: []string{"godwit", "package", path, "--target", target, "--push"}}
	if o.base != "" {
		c.Args = append(c.Args, "--base", o.base)
	}
	return c
}

// dryRun prints what deploy would run, so that it can be pasted.
func (p *program) dryRun(ctx context.Context, how renderer, r *rendering, o *deployOptions, push []string) error {
	tmp, err := os.MkdirTemp(p.Getenv("TMPDIR"), "godwit-deploy-*")
	if err != nil {
		return fault.New(fault.Internal, "", o.out, "%w", err)
	}
	defer os.RemoveAll(tmp)
	made, err := p.renderInto(ctx, how, r, filepath.Join(tmp, "new"))
	if err != nil {
		return err
	}
	commands, err := how.commands(r)
	if err != nil {
		return err
	}
	var all []render.Command
	for _, target := range push {
		all = append(all, o.push(r.path, target))
	}
	again := []string{"godwit", "render", r.path, "--target", o.target, "-o", o.out}
	if o.packed != "" {
		again = append(again, "--package", o.packed)
	}
	all = append(all, render.Command{Args: again}, render.Command{Args: []string{"cd", o.out}})
	all = append(all, commands...)
	if p.json {
		writeJSON(p.Stdout, deployed{o.target, o.out, made.Package, true, steps(all)})
		return nil
	}
	for _, c := range all {
		fmt.Fprintln(p.Stdout, lineWithWhy(c))
	}
	return nil
}

func steps(commands []render.Command) []deployStep {
	all := []deployStep{}
	for _, c := range commands {
		all = append(all, deployStep{c.Args, render.Line(c), c.Why})
	}
	return all
}

// announce prints the command that comes next, as a shell would take it.
func (p *program) announce(c render.Command) {
	if !p.quiet && !p.json {
		fmt.Fprintln(p.Stderr, lineWithWhy(c))
	}
}

func lineWithWhy(c render.Command) string {
	if c.Why == "" {
		return render.Line(c)
	}
	return render.Line(c) + "  # " + c.Why
}

// getTool says where the platforms' tools come from.
var getTool = map[string]string{
	"npm": "It comes with Node.js, from https://nodejs.org.", "npx": "It comes with Node.js, from https://nodejs.org.",
	"kubectl":        "https://kubernetes.io/docs/tasks/tools says how to install it.",
	"kn":             "https://knative.dev/docs/client/install-kn says how to install it.",
	"gcloud":         "https://cloud.google.com/sdk/docs/install says how to install it; then gcloud auth login.",
	"terraform":      "https://developer.hashicorp.com/terraform/install says how to install it.",
	"az":             "https://learn.microsoft.com/cli/azure/install-azure-cli says how to install it; then az login, and for devices az extension add --name azure-iot.",
	"azd":            "https://learn.microsoft.com/azure/developer/azure-developer-cli/install-azd says how to install it; then azd auth login.",
	"aws":            "https://docs.aws.amazon.com/cli says how to install it; then aws configure.",
	"greengrass-cli": "It is on a core device with the component aws.greengrass.Cli; deploy there, or add greengrass: {bucket: …, target: …} to targets.edge.",
	"systemctl":      "Copy the folder to the device and run the commands there; --dry-run prints them.",
}

// ready refuses before anything is made or pushed what is known to fail then.
func (p *program) ready(how renderer, r *rendering) error {
	if how.some != nil {
		if err := how.refuses(r.spec); err != nil {
			return err
		}
		r.deployment = how.some(r.spec)
	}
	commands, err := how.commands(r)
	if err != nil {
		return err
	}
	for _, tool := range how.needs {
		commands = append(commands, render.Command{Args: []string{tool}})
	}
	return p.tools(commands)
}

// tools finds the programs of all commands.
func (p *program) tools(commands []render.Command) error {
	for _, c := range commands {
		if _, err := exec.LookPath(c.Args[0]); err != nil {
			return fault.New(fault.NotFound, "", c.Args[0], "want the platform's own tool in PATH, got none").
				WithHint("%s", cmp.Or(getTool[c.Args[0]], "Install it, or run the commands elsewhere; --dry-run prints them."))
		}
	}
	return nil
}

// toolStops is how long a tool may take to stop when it is asked to.
const toolStops = 30 * time.Second

// runTool runs one command in dir. It may ask its user. When ctx ends it is asked
// to stop, and waited for.
func (p *program) runTool(ctx context.Context, dir string, c render.Command) error {
	cmd := exec.CommandContext(ctx, c.Args[0], c.Args[1:]...)
	if isTerminal(p.Stdin) { // where it has heard of the interrupt itself, and a second one would be too much
		cmd.Cancel = func() error { return os.ErrProcessDone }
	} else {
		cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
		cmd.WaitDelay = toolStops
	}
	cmd.Dir, cmd.Stdin, cmd.Stdout, cmd.Stderr = dir, p.Stdin, p.Stdout, p.Stderr
	if p.json {
		cmd.Stdout = p.Stderr
	}
	err := cmd.Run()
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return fault.New(fault.Canceled, "", c.Args[0], "interrupted; the commands after it were not run").
			WithHint("Deploying again goes on.")
	}
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return fault.New(fault.Internal, "", c.Args[0], "%s; the commands after it were not run", exit).
			WithHint("What it printed says why. The folder stays: cd %s && %s", render.Shell(dir), render.Line(c))
	}
	return fault.New(fault.Internal, "", c.Args[0], "%w", err)
}

// agreed asks on a terminal; where nobody can answer, --yes has to be there.
func (p *program) agreed(question string, yes bool) error {
	switch {
	case yes:
		return nil
	case !p.onTerminal() || !isTerminal(p.Stdin) || p.json:
		return fault.New(fault.Usage, "", "--yes", "want it where nobody can be asked, got none").WithHint("--dry-run prints what would be run.")
	}
	fmt.Fprintf(p.Stderr, "%s [y/N] ", question)
	answer, err := readLine(p.Stdin)
	if err != nil || !strings.EqualFold(answer, "y") && !strings.EqualFold(answer, "yes") {
		return fault.New(fault.Canceled, "", "", "not deployed, as nobody said yes")
	}
	return nil
}

// readLine reads no more than a line, since what comes after it is for the tools.
func readLine(r io.Reader) (string, error) {
	var line []byte
	for one := make([]byte, 1); len(line) < 1000; {
		n, err := r.Read(one)
		if n == 1 && one[0] == '\n' {
			break
		}
		line = append(line, one[:n]...)
		if err != nil {
			return strings.TrimSpace(string(line)), err
		}
	}
	return strings.TrimSpace(string(line)), nil
}
