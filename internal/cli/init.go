package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"godwit.dev/infra/spec"
	"godwit.dev/internal/app"
	"godwit.dev/internal/recorded"
	"godwit.dev/internal/samples"
	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/infer"
	"godwit.dev/runtime/onnx"
)

type initOptions struct {
	sample string
	name   string
	max    int
	yes    bool
}

func (p *program) newInit() *cobra.Command {
	var o initOptions
	cmd := &cobra.Command{
		Use:     "init MODEL [DIR]",
		GroupID: "run",
		Short:   "Make a function folder from a model file",
		Long: `init copies the model into DIR (default: the model's name), writes godwit.yaml
from the model itself, and records requests with the model's answers, which
later tell whether a package or a platform answers the same.

With --sample the requests are the first rows of a .csv, .tsv, .npy, .npz or
.json file; without, a few are made up from the inputs' types and shapes.

Exit codes: 0 done, 3 the sample does not fit the model, 11 the model cannot be
served, 12 DIR has a godwit.yaml already.`,
		Example: `  godwit init fraud.onnx
  godwit init fraud.onnx fraud/ --sample rows.csv`,
		Args: cobra.RangeArgs(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			return p.init(cmd.Context(), args, &o)
		},
	}
	cmd.Flags().StringVar(&o.sample, "sample", "", "file with rows to record as requests")
	cmd.Flags().StringVar(&o.name, "name", "", "the model's name (default: the file's)")
	cmd.Flags().IntVar(&o.max, "max", 5, "how many requests to record")
	cmd.Flags().BoolVar(&o.yes, "yes", false, "replace the godwit.yaml that is there")
	return cmd
}

func (p *program) init(ctx context.Context, args []string, o *initOptions) error {
	model := args[0]
	dir := strings.TrimSuffix(filepath.Base(model), filepath.Ext(model))
	if len(args) > 1 {
		dir = args[1]
	}
	files, err := modelFiles(model)
	if err != nil {
		return err
	}
	text, err := specText(model, o.name)
	if err != nil {
		return err
	}
	target := filepath.Join(dir, spec.FileName)
	if _, err := os.Stat(target); err == nil && !o.yes {
		return fault.New(fault.BadConfig, "", target, "it is there already").WithHint("Choose another folder, or replace it with --yes.")
	}
	if err := copyFiles(files, filepath.Dir(model), dir); err != nil {
		return err
	}
	if err := os.WriteFile(target, text, 0o644); err != nil {
		return fault.New(fault.Internal, "", target, "%w", err)
	}
	log := p.logger(slog.LevelWarn)
	f, err := app.Open(dir, p.engine(log), &app.Options{Logger: log, Quota: p.Quota()})
	if err != nil {
		return err
	}
	stop := p.working("loading " + f.Spec.Models[0].Name)
	err = f.Load(ctx)
	stop()
	if err != nil {
		return err
	}
	defer f.Close(context.WithoutCancel(ctx))
	loaded, err := f.Models.Lookup(f.Spec.Models[0].Name, "")
	if err != nil {
		return err
	}
	names, err := p.record(ctx, dir, loaded, o)
	if err != nil {
		return err
	}
	p.introduce(dir, string(text), loaded, names)
	return nil
}

// modelFiles is the model and its external data, relative to its folder.
func modelFiles(path string) ([]string, error) {
	m, err := onnx.Read(path, nil)
	if err != nil {
		return nil, err
	}
	if err := m.CheckExternal(""); err != nil {
		return nil, err
	}
	files := []string{filepath.Base(path)}
	seen := map[string]bool{}
	for _, x := range m.External {
		if name := filepath.Clean(filepath.FromSlash(x.Location)); !seen[name] {
			seen[name] = true
			files = append(files, name)
		}
	}
	return files, nil
}

// specText is the godwit.yaml that a person would have written.
func specText(model, name string) ([]byte, error) {
	s, err := spec.New(filepath.Base(model))
	if err != nil {
		return nil, err
	}
	if name != "" {
		s.Models[0].Name = name
	}
	return s.Marshal()
}

// copyFiles copies the files from one folder into another, each whole or not
// at all. A file that is there already, as itself, stays.
func copyFiles(files []string, from, to string) error {
	for _, name := range files {
		src, dst := filepath.Join(from, name), filepath.Join(to, name)
		if err := os.MkdirAll(filepath.Dir(dst), 0o755); err != nil {
			return fault.New(fault.Internal, "", dst, "%w", err)
		}
		a, errA := os.Stat(src)
		b, errB := os.Stat(dst)
		if errA == nil && errB == nil && os.SameFile(a, b) {
			continue
		}
		if err := copyFile(src, dst); err != nil {
			return fault.New(fault.Internal, "", dst, "%w", err)
		}
	}
	return nil
}

func copyFile(src, dst string) error {
	in, err := os.Open(src)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.CreateTemp(filepath.Dir(dst), ".copy-*")
	if err != nil {
		return err
	}
	defer os.Remove(out.Name())
	if _, err := io.Copy(out, in); err != nil {
		return errors.Join(err, out.Close())
	}
	if err := errors.Join(out.Chmod(fs.FileMode(0o644)), out.Sync(), out.Close()); err != nil {
		return err
	}
	return os.Rename(out.Name(), dst)
}

// tries is how many made-up requests are offered to the model, which may
// accept only some: an index beyond its table, sizes that do not go together.
const tries = 48

// record asks the model and writes requests with answers; it returns their names.
func (p *program) record(ctx context.Context, dir string, m *infer.Model, o *initOptions) ([]string, error) {
	requests := samples.Generate(m.Signature(), tries, 1)
	var mapping *samples.Mapping
	if o.sample != "" {
		var err error
		if requests, mapping, err = samples.FromFile(o.sample, m.Signature(), tries+o.max); err != nil {
			return nil, err
		}
	}
	var names []string
	var last error
	for _, req := range requests {
		if len(names) == o.max {
			break
		}
		name := strconv.Itoa(len(names) + 1)
		err := recordOne(ctx, dir, m, name, req)
		switch {
		case err == nil:
			names = append(names, filepath.Join(dir, "requests", m.Name(), name+".json"))
		case ctx.Err() != nil:
			return nil, err
		case o.sample != "" && fault.CodeOf(err) == fault.Invalid:
			return nil, err
		default:
			last = err
		}
	}
	if mapping != nil {
		// Rows were read in reserve, for those that JSON cannot hold.
		mapping.More, mapping.Requests = mapping.More || mapping.Requests > len(names), len(names)
		p.say("%s\n", mapping)
	}
	if len(names) == 0 && last != nil {
		if o.sample != "" {
			return nil, last
		}
		p.say("No made-up request suits the model (%v); record your own with --sample.\n", last)
	}
	return names, nil
}

func recordOne(ctx context.Context, dir string, m *infer.Model, name string, req *infer.Request) error {
	req.Model = m.Name()
	resp, err := m.Infer(ctx, req)
	if err != nil {
		return err
	}
	defer resp.Release()
	return recorded.Save(dir, m.Name(), name, req, resp, nil)
}

// introduce tells what was made and what to do next.
func (p *program) introduce(dir, text string, m *infer.Model, names []string) {
	if p.json {
		if names == nil {
			names = []string{}
		}
		writeJSON(p.Stdout, struct {
			Dir      string   `json:"dir"`
			Model    string   `json:"model"`
			Digest   string   `json:"digest"`
			Requests []string `json:"requests"`
		}{dir, m.Name(), m.Digest(), names})
		return
	}
	if p.quiet {
		return
	}
	w := p.Stdout
	fmt.Fprintf(w, "%s\n", filepath.Join(dir, spec.FileName))
	for line := range strings.Lines(text) {
		fmt.Fprintf(w, "  %s", line)
	}
	fmt.Fprintf(w, "model %s, version %s\n", m.Name(), m.Version())
	signature(w, "  ", m.Signature())
	fmt.Fprintf(w, "%s recorded with %s\n", plural(len(names), "request"), plural(len(names), "answer"))
	for _, n := range names {
		fmt.Fprintf(w, "  %s\n", n)
	}
	fmt.Fprintf(w, "\nTry:\n  godwit serve %s\n", dir)
	if len(names) > 0 {
		fmt.Fprintf(w, "  godwit predict %s %s\n", dir, names[0])
	}
}
