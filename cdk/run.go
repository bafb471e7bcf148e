package cdk

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/constructs-go/constructs/v10"
	"github.com/aws/jsii-runtime-go"

	"godwit.dev/infra/spec"
	"godwit.dev/runtime/fault"
)

const usage = `godwit-cdk is the app that AWS's program cdk runs: it makes the stacks of a function.

    cdk deploy -c function=../examples/digits

In cdk.json "app" names it. What it reads is context, by -c or in cdk.json:

    function   the folder of godwit.yaml (required)
    package    the zip that godwit package made of it; without it godwit is run
    image      REPOSITORY@sha256:…, where godwit.yaml says package: image
    godwit     the program that packages (default: beside this one, else in PATH)

The flags below say the same where no cdk runs it:

    godwit-cdk --function DIR --package FILE.zip -o cdk.out

Exit codes: 0 made, 2 wrong usage, 12 godwit.yaml or props are wrong, and godwit's.

Flags:
`

// Process is the process that Main runs in.
type Process struct {
	Args       []string // without the program's name
	Executable string   // this program's path; "" is not known
	Stderr     io.Writer
}

// options are what the app is told, by flags or by CDK's context.
type options struct{ function, zip, image, godwit, out string }

// Main is the program godwit-cdk: it makes the app's stacks, says on stderr what
// is wrong, and returns the exit code. When ctx ends, packaging does.
func Main(ctx context.Context, p Process) int {
	defer jsii.Close()
	o := &options{}
	flags := flag.NewFlagSet("godwit-cdk", flag.ContinueOnError)
	flags.SetOutput(p.Stderr)
	flags.Usage = func() { fmt.Fprint(p.Stderr, usage); flags.PrintDefaults() }
	flags.StringVar(&o.function, "function", "", "the `folder` of godwit.yaml")
	flags.StringVar(&o.zip, "package", "", "the zip, a `file`")
	flags.StringVar(&o.image, "image", "", "the image, by its `digest`")
	flags.StringVar(&o.godwit, "godwit", "", "the `program` that packages")
	flags.StringVar(&o.out, "o", "", "the `folder` for the cloud assembly (default: where cdk wants it)")
	if err := flags.Parse(p.Args); errors.Is(err, flag.ErrHelp) {
		return 0
	} else if err != nil {
		return fault.Usage.Exit()
	}
	err := p.run(ctx, o, flags.Args())
	for _, one := range problems(err) {
		fmt.Fprintf(p.Stderr, "Error: %s\n", one.Error())
		if one.Hint != "" {
			fmt.Fprintf(p.Stderr, "Try: %s\n", one.Hint)
		}
	}
	return fault.CodeOf(err).Exit()
}

func (p Process) run(ctx context.Context, o *options, rest []string) error {
	if len(rest) > 0 {
		return fault.New(fault.Usage, "", "", "want flags alone, got %q", rest[0]).WithHint("godwit-cdk --help")
	}
	tmp, err := os.MkdirTemp("", "godwit-cdk-*")
	if err != nil {
		return fault.New(fault.Internal, "", "", "%w", err)
	}
	defer os.RemoveAll(tmp)
	return synth(func() awscdk.App {
		app := NewApp(o.out)
		o.read(app)
		f, err := p.load(ctx, o, tmp)
		if err != nil {
			panic(err)
		}
		NewStacks(app, f)
		return app
	})
}

// read takes what no flag said from the app's context.
func (o *options) read(app constructs.Construct) {
	for key, to := range map[string]*string{"function": &o.function, "package": &o.zip, "image": &o.image, "godwit": &o.godwit} {
		if s, ok := app.Node().TryGetContext(jsii.String(key)).(string); ok && *to == "" {
			*to = s
		}
	}
}

// load is the function that o names, packaged into the folder tmp unless o says
// of what it was.
func (p Process) load(ctx context.Context, o *options, tmp string) (*Function, error) {
	if o.function == "" {
		return nil, fault.New(fault.Usage, "", "", "want a function's folder, got none").WithHint("cdk synth -c function=../examples/digits")
	}
	s, err := spec.Load(o.function)
	if err != nil {
		return nil, err
	}
	if t := s.Targets.AWSLambda; o.zip == "" && o.image == "" && t != nil && t.Package == "zip" {
		o.zip = filepath.Join(tmp, s.Name+".zip")
		if err := p.pack(ctx, o); err != nil {
			return nil, err
		}
	}
	return Load(o.function, &LoadOptions{Zip: o.zip, Image: o.image})
}

// pack runs godwit package, whose progress and errors pass through.
func (p Process) pack(ctx context.Context, o *options) error {
	program := o.godwit
	if program == "" {
		program = filepath.Join(filepath.Dir(p.Executable), "godwit")
		if info, err := os.Stat(program); p.Executable == "" || err != nil || !info.Mode().IsRegular() {
			if program, err = exec.LookPath("godwit"); err != nil {
				return fault.New(fault.NotFound, "", "godwit", "want the program that packages beside godwit-cdk or in PATH, got none").
					WithHint("Run godwit package %s --target awslambda -o function.zip, and cdk with -c package=function.zip.", o.function)
			}
		}
	}
	cmd := exec.CommandContext(ctx, program, "package", o.function, "--target", "awslambda", "-o", o.zip)
	cmd.Stdout, cmd.Stderr = p.Stderr, p.Stderr
	err := cmd.Run()
	exit := (*exec.ExitError)(nil)
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return fault.New(fault.Canceled, "", program, "%w", ctx.Err())
	case !errors.As(err, &exit):
		return fault.New(fault.NotFound, "", program, "want the program that packages: %w", err).WithHint("Give -c godwit=PATH, or -c package=FILE.zip.")
	}
	return fault.New(codeOf(exit.ExitCode()), "", program, "godwit package ended with exit code %d; why is above", exit.ExitCode())
}

// codeOf is the first code with an exit code, as godwit ended with.
func codeOf(exit int) fault.Code {
	for _, c := range fault.Codes() {
		if c.Exit() == exit {
			return c
		}
	}
	return fault.Internal
}

// problems are the faults of err, one for each thing that is wrong.
func problems(err error) (all []*fault.Error) {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		for _, one := range joined.Unwrap() {
			all = append(all, problems(one)...)
		}
		return all
	}
	if e := fault.Of(err); e != nil {
		return []*fault.Error{e}
	} else if err != nil {
		return []*fault.Error{fault.New(fault.Internal, "", "", "%w", err)}
	}
	return nil
}
