package cli

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"godwit.dev/internal/client"
	"godwit.dev/runtime/codec"
	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/infer"
)

type predictOptions struct {
	model, version string
	auth           string
}

func (p *program) newPredict() *cobra.Command {
	var o predictOptions
	cmd := &cobra.Command{
		Use:     "predict DIR|URL REQUEST",
		GroupID: "run",
		Short:   "Ask a model once",
		Long: `predict sends one request, a file with a protocol body or - for stdin, to the
function in DIR, which it loads for that, or to the server at URL, and prints
the answer, a protocol body, on stdout.

--auth says how the request shows who sends it. auto is aws for function URLs,
API Gateway and SageMaker; else the key in GODWIT_API_KEY or the bearer token in
GODWIT_TOKEN, if it is set; else google for Cloud Run and Vertex AI; else none.
aws signs with AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or as the aws
command is logged in; google asks gcloud for the token. key goes to the header
that the target reads: x-functions-key on Azure Functions, Authorization on
Azure ML, x-api-key elsewhere. Secrets are sent over https only, or to this
machine.

Exit codes: 0 answered, 3 the request does not fit, 4 no such model, 8 the
server does not let the caller in, 9 the server is not ready, 10 too late, 11
the model does not load.`,
		Example: `  godwit predict fraud/ fraud/requests/fraud/1.json
  godwit predict http://localhost:8080 fraud/requests/fraud/1.json
  godwit predict https://abc.lambda-url.eu-west-1.on.aws fraud/requests/fraud/1.json`,
		Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			return p.predict(cmd.Context(), args[0], args[1], &o)
		},
	}
	cmd.Flags().StringVar(&o.model, "model", "", "the model's name (default: the request's folder, or the only model)")
	authFlag(cmd, &o.auth)
	cmd.Flags().StringVar(&o.version, "model-version", "", "the model's version (default: the newest)")
	return cmd
}

func authFlag(cmd *cobra.Command, to *string) {
	cmd.Flags().StringVar(to, "auth", "auto", "how to show who asks: auto, none, aws, google, key, token")
}

// caller is who asks a server.
func (p *program) caller(auth string) *client.Caller {
	return &client.Caller{Auth: client.Auth(auth), Getenv: p.Getenv}
}

func (p *program) predict(ctx context.Context, where, file string, o *predictOptions) error {
	body, err := p.readRequest(file)
	if err != nil {
		return err
	}
	if strings.HasPrefix(where, "http://") || strings.HasPrefix(where, "https://") {
		return p.predictURL(ctx, where, file, body, o)
	}
	dir, done, err := p.withHandler(ctx, where)
	if done || err != nil {
		return err
	}
	req, err := codec.DecodeRequest(body, -1, nil)
	if err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	f, err := p.open(ctx, dir)
	if err != nil {
		return err
	}
	defer f.Close(context.WithoutCancel(ctx))
	req.Version = o.version
	var known []string
	for _, m := range f.Spec.Models {
		known = append(known, m.Name)
	}
	req.Model = modelFor(file, o.model, known)
	resp, err := f.Handler.Infer(ctx, req)
	if err != nil {
		return err
	}
	defer resp.Release()
	answer, _, err := codec.EncodeResponse(nil, req, resp, nil)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(p.Stdout, "%s\n", answer)
	return err
}

func (p *program) predictURL(ctx context.Context, url, file string, body []byte, o *predictOptions) error {
	c, err := client.New(url, p.caller(o.auth))
	if err != nil {
		return err
	}
	model := o.model
	if model == "" && !c.NamesModel() {
		known, err := c.Models(ctx)
		if err != nil {
			return err
		}
		if model = modelFor(file, "", known); model == "" && len(known) == 1 {
			model = known[0]
		}
		if model == "" {
			return fault.New(fault.Usage, "", "", "want --model, one of %s, got none", strings.Join(known, ", "))
		}
	}
	answer, err := c.Infer(ctx, model, o.version, body)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(p.Stdout, "%s\n", strings.TrimRight(string(answer), "\n"))
	return err
}

// modelFor is the model that a request is for: the one named, else the folder
// requests/MODEL/ that the file lies in when there is a model of that name.
func modelFor(file, named string, known []string) string {
	if named != "" {
		return named
	}
	folder := filepath.Base(filepath.Dir(file))
	for _, k := range known {
		if k == folder && infer.ValidName(folder) {
			return folder
		}
	}
	return ""
}

func (p *program) readRequest(file string) ([]byte, error) {
	in := p.Stdin
	if file != "-" {
		f, err := os.Open(file)
		if err != nil {
			return nil, fault.New(fault.Usage, "", file, "%w", err).WithHint("Name a file with a protocol body, such as those in the function's requests/.")
		}
		defer f.Close()
		in = f
	}
	limit := (*codec.Limits)(nil).WithDefaults().Body
	body, err := io.ReadAll(io.LimitReader(in, limit+1))
	if err != nil {
		return nil, fault.New(fault.Usage, "", file, "%w", err)
	}
	if int64(len(body)) > limit {
		return nil, fault.New(fault.TooLarge, "", file, "want at most %d bytes, got more", limit)
	}
	return body, nil
}
