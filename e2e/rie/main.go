// Command rie compares AWS's Runtime Interface Emulator with ours. Started by
// either, it is the function: the adapter over the conformance suite's subject,
// which keeps each payload as it came.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aws/aws-lambda-go/lambda"

	"godwit.dev/adapters/adaptertest"
	"godwit.dev/adapters/awslambda"
	"godwit.dev/internal/emulate"
	"godwit.dev/internal/recorded"
)

// keepIn is the variable with the folder that payloads are kept in.
const keepIn = "RIE_KEEP"

func main() {
	var err error
	if os.Getenv("AWS_LAMBDA_RUNTIME_API") != "" {
		err = function()
	} else {
		err = compare()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// keeper keeps payloads and passes them on.
type keeper struct {
	*awslambda.Handler
	folder string
	n      atomic.Int64
}

// Invoke implements lambda.Handler.
func (k *keeper) Invoke(ctx context.Context, payload []byte) ([]byte, error) {
	if k.folder != "" {
		name := filepath.Join(k.folder, strconv.FormatInt(k.n.Add(1), 10))
		if err := os.WriteFile(name, payload, 0o644); err != nil {
			return nil, err
		}
	}
	return k.Handler.Invoke(ctx, payload)
}

func function() error {
	s, err := adaptertest.New(nil)
	if err != nil {
		return err
	}
	lambda.Start(&keeper{Handler: awslambda.New(s.API, s.Events, nil), folder: os.Getenv(keepIn)})
	return nil
}

// invoker is an emulator with a function in it.
type invoker interface {
	invoke(ctx context.Context, event []byte) ([]byte, error)
	stop()
}

type flags struct{ rie, fn, folder, work string }

func compare() error {
	var f flags
	only := flag.String("only", "", "one part: samples, requests or managed")
	flag.StringVar(&f.rie, "rie", "", "AWS's emulator")
	flag.StringVar(&f.fn, "fn", "", "fn-lambda")
	flag.StringVar(&f.folder, "folder", "", "a function folder")
	flag.StringVar(&f.work, "work", "", "a folder to work in")
	flag.Parse()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	for _, part := range []struct {
		name string
		run  func(context.Context) error
	}{{"samples", f.samples}, {"requests", f.requests}, {"managed", f.managed}} {
		if *only != "" && *only != part.name {
			continue
		}
		if err := part.run(ctx); err != nil {
			return fmt.Errorf("%s: %w", part.name, err)
		}
	}
	return nil
}

// both starts a program under both emulators.
func (f *flags) both(ctx context.Context, name, program string, concurrency int, env ...string) (theirs, ours invoker, err error) {
	env = append(env, "PATH="+os.Getenv("PATH"), "HOME="+os.Getenv("HOME"))
	if v := os.Getenv("GODWIT_ONNXRUNTIME"); v != "" {
		env = append(env, "GODWIT_ONNXRUNTIME="+v)
	}
	keep := func(who string) (string, error) {
		if concurrency > 1 { // AWS's emulator runs that as another user
			return keepIn + "=", nil
		}
		dir := f.kept(name, who)
		return keepIn + "=" + dir, os.MkdirAll(dir, 0o755)
	}
	keepTheirs, err := keep("theirs")
	if err != nil {
		return nil, nil, err
	}
	keepOurs, err := keep("ours")
	if err != nil {
		return nil, nil, err
	}
	log, err := os.Create(filepath.Join(f.work, name+".log"))
	if err != nil {
		return nil, nil, err
	}
	i, err := emulate.Start(ctx, "awslambda", emulate.Command(program, nil, append(env, keepOurs), log, log), &emulate.Options{Concurrency: concurrency})
	if err != nil {
		return nil, nil, err
	}
	if concurrency > 1 {
		env = append(env, "AWS_LAMBDA_MAX_CONCURRENCY="+strconv.Itoa(concurrency))
	}
	r, err := startRIE(ctx, f.rie, program, concurrency > 1, append(env, keepTheirs), log)
	if err != nil {
		i.Kill()
		return nil, nil, err
	}
	return r, own{i}, nil
}

func (f *flags) kept(name, who string) string { return filepath.Join(f.work, "kept", name, who) }

// samples sends every sample event, and requests in every form, to both.
func (f *flags) samples(ctx context.Context) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	theirs, ours, err := f.both(ctx, "samples", self, 0)
	if err != nil {
		return err
	}
	defer theirs.stop()
	defer ours.stop()
	var events [][]byte
	for _, s := range emulate.Samples("awslambda") {
		events = append(events, s.Delivery.Body)
	}
	for _, body := range []string{
		`{"model":"text","inputs":[{"name":"x","shape":[3],"datatype":"BYTES","data":["a","\u00e9","\ud83d\ude00 <&>\u2028"]}]}`,
		`{"model":"text","inputs":[]}`, `{"nothing":"known"}`, ` { "spaces" : 1.50 , "model":"none"} `,
		`{"httpMethod":"GET","path":"/v2","headers":{},"requestContext":{"elb":{}},"body":"","isBase64Encoded":false}`,
	} {
		events = append(events, []byte(body))
	}
	for n, event := range events {
		if err := f.same(ctx, theirs, ours, event); err != nil {
			return fmt.Errorf("event %d: %w", n+1, err)
		}
		name := strconv.Itoa(n + 1)
		a, errA := os.ReadFile(filepath.Join(f.kept("samples", "theirs"), name))
		b, errB := os.ReadFile(filepath.Join(f.kept("samples", "ours"), name))
		switch {
		case errA != nil || errB != nil:
			return fmt.Errorf("event %d did not reach the handler: %v, %v", n+1, errA, errB)
		case !bytes.Equal(a, event) || !bytes.Equal(b, event):
			return fmt.Errorf("event %d reaches the handler as other bytes:\nsent   %s\ntheirs %s\nours   %s", n+1, event, a, b)
		}
	}
	fmt.Printf("%d events: equal bytes at the handler, equal answers\n", len(events))
	return nil
}

// same invokes both with an event and compares the answers.
func (f *flags) same(ctx context.Context, theirs, ours invoker, event []byte) error {
	a, err := theirs.invoke(ctx, event)
	if err != nil {
		return fmt.Errorf("theirs: %w", err)
	}
	b, err := ours.invoke(ctx, event)
	if err != nil {
		return fmt.Errorf("ours: %w", err)
	}
	if a, b = plain(a), plain(b); !bytes.Equal(a, b) {
		return fmt.Errorf("answers differ:\ntheirs %s\nours   %s", a, b)
	}
	return nil
}

// plain is an answer without what belongs to one exchange or process alone: ids
// and traces.
func plain(answer []byte) []byte {
	var v any
	if json.Unmarshal(answer, &v) != nil {
		return answer
	}
	if m, ok := v.(map[string]any); ok {
		if p, ok := m["parameters"].(map[string]any); ok {
			delete(p, "prediction_id")
		}
		for _, name := range []string{"headers", "multiValueHeaders"} {
			if h, ok := m[name].(map[string]any); ok {
				delete(h, "Traceparent")
				delete(h, "X-Request-Id")
			}
		}
	}
	b, err := json.Marshal(v)
	if err != nil {
		return answer
	}
	return b
}

// requests has the real binary answer the recorded requests under both.
func (f *flags) requests(ctx context.Context) error {
	theirs, ours, err := f.both(ctx, "requests", f.fn, 0, "GODWIT_FUNCTION="+f.folder)
	if err != nil {
		return err
	}
	defer theirs.stop()
	defer ours.stop()
	requests, err := recorded.Load(f.folder, filepath.Base(f.folder))
	if err != nil {
		return err
	}
	for _, r := range requests {
		if err := f.same(ctx, theirs, ours, r.Body); err != nil {
			return fmt.Errorf("request %q: %w", r.Name, err)
		}
	}
	fmt.Printf("%d recorded requests: equal answers of fn-lambda\n", len(requests))
	return nil
}

// managed has four invocations in progress at once under both.
func (f *flags) managed(ctx context.Context) error {
	const many = 4
	self, err := os.Executable()
	if err != nil {
		return err
	}
	theirs, ours, err := f.both(ctx, "managed", self, many)
	if err != nil {
		return err
	}
	defer theirs.stop()
	defer ours.stop()
	for who, e := range map[string]invoker{"theirs": theirs, "ours": ours} {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return err
		}
		event := []byte(`{"model":"text","inputs":[{"name":"x","shape":[1],"datatype":"BYTES","data":["a"]}],"parameters":{"` + adaptertest.Gate + `":"` + ln.Addr().String() + `"}}`)
		errs := make(chan error, many)
		var all sync.WaitGroup
		for range many {
			all.Go(func() {
				errs <- insist(ctx, e, event)
			})
		}
		var begun []net.Conn // all of them, before any goes on
		for range many {
			if err := ln.(*net.TCPListener).SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
				return err
			}
			c, err := ln.Accept()
			if err != nil {
				return fmt.Errorf("%s: %d of %d invocations have begun: %w", who, len(begun), many, err)
			}
			begun = append(begun, c)
		}
		for _, c := range begun {
			_ = c.Close()
		}
		all.Wait()
		_ = ln.Close()
		for range many {
			if err := <-errs; err != nil {
				return fmt.Errorf("%s: %w", who, err)
			}
		}
	}
	fmt.Printf("%d invocations at a time, as a Managed Instance has\n", many)
	return nil
}

// insist invokes until there is an answer: AWS's emulator refuses what finds no
// loop of the function waiting, as the platform does, and they need a moment.
func insist(ctx context.Context, e invoker, event []byte) error {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		answer, err := e.invoke(ctx, event)
		if err == nil && bytes.Contains(answer, []byte(`"outputs"`)) {
			return nil
		}
		if err == nil {
			err = fmt.Errorf("got %s", answer)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return err
		}
	}
}

// own is our emulator.
type own struct{ *emulate.Instance }

func (o own) invoke(ctx context.Context, event []byte) ([]byte, error) {
	reply, err := o.Deliver(ctx, &emulate.Delivery{Body: event})
	if err != nil {
		return nil, err
	}
	return reply.Body, nil
}

func (o own) stop() { o.Kill() }

// rie is AWS's emulator.
type rie struct {
	cmd     *exec.Cmd
	address string
	done    chan struct{} // closed when it has ended
}

func startRIE(ctx context.Context, path, program string, managed bool, env []string, log io.Writer) (*rie, error) {
	var free [2]string
	for i := range free { // nobody else will take them
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		free[i] = ln.Addr().String()
		if err := ln.Close(); err != nil {
			return nil, err
		}
	}
	args := []string{path, "--runtime-interface-emulator-address", free[0], "--runtime-api-address", free[1], program}
	if managed {
		// Managed Instances' emulation looks for the program in Lambda's own place
		// only: it gets a /var of its own, which takes root.
		args = append([]string{"unshare", "-m", "sh", "-ec", `mount -t tmpfs none /var && mkdir /var/task && cp "$1" /var/task/bootstrap && shift && exec "$@"`, "sh", program}, args[:5]...)
	}
	r := &rie{exec.Command(args[0], args[1:]...), free[0], make(chan struct{})}
	r.cmd.Env, r.cmd.Stdout, r.cmd.Stderr = env, log, log
	if err := r.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		defer close(r.done)
		_ = r.cmd.Wait()
	}()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		if c, err := net.Dial("tcp", r.address); err == nil {
			return r, c.Close()
		}
		select {
		case <-tick.C:
		case <-r.done:
			return nil, fmt.Errorf("AWS's emulator has ended: %v", r.cmd.ProcessState)
		case <-ctx.Done():
			r.stop()
			return nil, ctx.Err()
		}
	}
}

func (r *rie) invoke(ctx context.Context, event []byte) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+r.address+"/2015-03-31/functions/function/invocations", bytes.NewReader(event))
	if err != nil {
		return nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("status %d: %s", resp.StatusCode, strings.TrimSpace(string(answer)))
	}
	return answer, err
}

func (r *rie) stop() {
	_ = r.cmd.Process.Signal(os.Interrupt)
	select {
	case <-r.done:
	case <-time.After(5 * time.Second):
		_ = r.cmd.Process.Kill()
		<-r.done
	}
}
