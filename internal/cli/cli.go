// Package cli is the command line. Main gets the process as a value and the
// engine as a constructor, so that tests run it in process and with any engine.
package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"

	"github.com/spf13/cobra"

	"godwit.dev/internal/app"
	"godwit.dev/runtime/driver"
	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/infer"
)

// Env is the process that Main runs in.
type Env = app.Process

// Parts are what a binary hands to the command line.
type Parts struct {
	Engine driver.NewEngine
	// Wrap is the user's handler, when the binary contains one.
	Wrap func(infer.Handler) infer.Handler
	// Hangup begins to take the signals that mean to read everything again,
	// until stop; before and after that they end the process. nil: none come.
	Hangup func() (signals <-chan os.Signal, stop func())
}

// program is one run of the command line.
type program struct {
	Env
	Parts
	json, quiet bool
}

// Main runs the command line and returns the exit code. When ctx ends,
// commands stop what they do and servers drain.
func Main(ctx context.Context, env Env, parts Parts) int {
	p := &program{Env: env, Parts: parts}
	if p.IsWorker() {
		err := p.Work(p.Engine)
		if err != nil { // only the exit code is left for it
			p.report(err)
		}
		return exitCode(err)
	}
	if len(env.Args) == 2 && env.Args[0] == functionCommand && kinds[env.Args[1]] != nil {
		kind := kinds[env.Args[1]]
		p.Args = nil
		return kind(ctx, p)
	}
	root := p.root()
	root.SetArgs(env.Args)
	root.SetIn(env.Stdin)
	root.SetOut(env.Stdout)
	root.SetErr(env.Stderr)
	err := root.ExecuteContext(ctx)
	var child exited
	if errors.As(err, &child) {
		return int(child)
	}
	if err != nil {
		p.report(err)
	}
	return exitCode(err)
}

func (p *program) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "godwit",
		Short: "One ONNX model, one handler, every serverless target",
		Long: `godwit serves an ONNX model over the Open Inference Protocol, here and on
every serverless target, from the same folder.`,
		Example: `  godwit init fraud.onnx fraud/
  godwit serve fraud/
  godwit predict fraud/ fraud/requests/fraud/1.json`,
		Version:       p.version(),
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          cobra.NoArgs,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetVersionTemplate("{{.Version}}\n")
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error { return usage(cmd, err) })
	root.PersistentFlags().BoolVar(&p.json, "json", false, "print one JSON document on stdout, errors as JSON on stderr")
	root.PersistentFlags().BoolVar(&p.quiet, "quiet", false, "print no progress and no advice")
	root.AddGroup(&cobra.Group{ID: "run", Title: "Run:"}, &cobra.Group{ID: "ship", Title: "Ship:"}, &cobra.Group{ID: "measure", Title: "Measure:"})
	for _, c := range []*cobra.Command{p.newInit(), p.newServe(), p.newPredict(), p.newScore(), p.newVerify(), p.newPackage(), p.newRender(), p.newDeploy(), p.newDoctor(), p.newSign(), p.newBench(), p.newCost(), p.newTune()} {
		args := c.Args
		c.Args = func(cmd *cobra.Command, a []string) error {
			if err := args(cmd, a); err != nil {
				return usage(cmd, err)
			}
			return nil
		}
		root.AddCommand(c)
	}
	return root
}

func (p *program) version() string {
	return fmt.Sprintf("godwit %s %s/%s %s", app.Version(), runtime.GOOS, runtime.GOARCH, runtime.Version())
}

// usage makes a command line that cannot be understood a Usage fault.
func usage(cmd *cobra.Command, err error) error {
	return fault.New(fault.Usage, "", "", "%s", strings.ToLower(err.Error()[:1])+err.Error()[1:]).
		WithHint("%s --help", cmd.CommandPath())
}

func exitCode(err error) int {
	if err == nil {
		return 0
	}
	if fault.Of(err) == nil && isUsage(err) {
		return fault.Usage.Exit()
	}
	return fault.CodeOf(err).Exit()
}

// isUsage recognises cobra's own errors, which have no type.
func isUsage(err error) bool {
	return strings.HasPrefix(err.Error(), "unknown command") || strings.HasPrefix(err.Error(), "required flag")
}

// problems splits err into what is wrong, each with its own advice.
func problems(err error) []app.Problem {
	if fault.Of(err) == nil && isUsage(err) {
		return []app.Problem{{Error: firstLine(err.Error()), Code: fault.Usage.String(), Hint: "godwit --help"}}
	}
	return app.Problems(err)
}

// report prints err on stderr for people, or as JSON: one document, with the
// further problems in it where there are several.
func (p *program) report(err error) {
	all := problems(err)
	if p.json {
		writeJSON(p.Stderr, struct {
			app.Problem
			More []app.Problem `json:"more,omitempty"`
		}{all[0], all[1:]})
		return
	}
	for _, one := range all {
		fmt.Fprintf(p.Stderr, "Error: %s\n", one.Error)
		if one.Hint != "" {
			fmt.Fprintf(p.Stderr, "Try: %s\n", one.Hint)
		}
	}
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(s, "\n")
	return line
}

func writeJSON(w io.Writer, v any) {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	enc.Encode(v) // to a terminal or a pipe: there is nobody left to tell
}

// say prints advice for people on stderr, unless it is not wanted.
func (p *program) say(format string, args ...any) {
	if !p.quiet && !p.json {
		fmt.Fprintf(p.Stderr, format, args...)
	}
}
