// Command podman asks images that podman runs: every recorded request under
// every container platform's contract, or, with -ask, at one address in all
// four forms of the protocol.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"os"
	"strings"
	"time"

	"godwit.dev/e2e/wire"
	"godwit.dev/internal/emulate"
	"godwit.dev/internal/recorded"
	"godwit.dev/internal/verify"
	"godwit.dev/runtime/infer"
)

func main() {
	folder := flag.String("function", "", "the function's folder, for its recorded requests")
	address := flag.String("ask", "", "HOST:PORT to ask instead of running images")
	server := flag.String("server", "", "the image of fn-server")
	lambda := flag.String("lambda", "", "the image of fn-lambda")
	flag.Parse()
	requests, err := recorded.Load(*folder)
	if err == nil && len(requests) == 0 {
		err = fmt.Errorf("want recorded requests in %s, got none", *folder)
	}
	if err == nil && *address != "" {
		err = ask(*address, requests)
	} else if err == nil {
		err = contracts(*folder, requests, *server, *lambda, flag.Args())
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// ask wants the recorded answer to every request, in every form, once the server is ready.
func ask(address string, requests []recorded.Request) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for {
		resp, err := http.Get("http://" + address + "/v2/health/ready")
		if err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				break
			}
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("want %s ready within a minute, got %v", address, err)
		case <-time.After(20 * time.Millisecond):
		}
	}
	c, err := wire.Dial(address)
	if err != nil {
		return err
	}
	defer c.Close()
	n := 0
	for i := range requests {
		r := &requests[i]
		req, err := r.Decode()
		if err != nil {
			return err
		}
		for _, form := range wire.Forms {
			if !form.Carries(req.Inputs) {
				continue
			}
			out, err := c.Infer(ctx, form, r.Model, req.Inputs)
			if err == nil {
				err = r.Want.Check(&infer.Response{Outputs: out})
			}
			if err != nil {
				return fmt.Errorf("%s/%s, %s: %w", r.Model, r.Name, form, err)
			}
			n++
		}
	}
	fmt.Printf("%d answers as recorded\n", n)
	return nil
}

// contracts runs the images under each platform's contract; run is podman's
// command line up to the image. Lambda's is another artifact than the others':
// its model may be baked for a start that is quick rather than for many runs, so
// it answers the same bytes in all of its own forms, and as recorded.
func contracts(folder string, requests []recorded.Request, server, lambda string, run []string) error {
	return errors.Join(
		image(folder, requests, server, run, "cloudrun", "knative", "sagemaker", "vertexai", "azureml"),
		image(folder, requests, lambda, run, "awslambda"))
}

// image wants one image to give the recorded answers, and the same bytes, on all targets.
func image(folder string, requests []recorded.Request, image string, run []string, names ...string) error {
	var targets []verify.Target
	for _, name := range names {
		var args []string
		if name == "sagemaker" {
			args = []string{"serve"} // as SageMaker starts containers
		}
		targets = append(targets, verify.Target{Name: name, Artifact: image, Digest: image, Env: []string{"GODWIT_TARGET=" + name},
			Launch: func(ctx context.Context, env []string) (emulate.Process, error) {
				return start(ctx, run, image, args, env)
			}})
	}
	report, err := verify.Run(context.Background(), folder, requests, targets, nil)
	if err != nil {
		return err
	}
	for _, t := range report.Targets {
		for _, f := range t.Forms {
			right := 0
			for _, r := range f.Results {
				if r.OK {
					right++
				} else {
					fmt.Fprintf(os.Stderr, "%s %s %s/%s %s: %s\n", t.Target, f.Form, r.Model, r.Request, r.Body, strings.Join(r.Problems, "; "))
				}
			}
			fmt.Printf("%-10s %-10s %3d of %3d answers  ready in %4.0f ms  %.19s  %s\n", t.Target, f.Form, right, len(f.Results), f.ReadyMS, t.Digest, f.Error)
		}
	}
	if !report.OK {
		return errors.New("want every request answered as recorded and the same bytes under every contract")
	}
	return nil
}
