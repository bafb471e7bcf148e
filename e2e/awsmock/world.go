package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"godwit.dev/internal/emulate"
)

// world is the deployed stack and all that plays AWS around it.
type world struct {
	o        *options
	moto     *client // past the proxy, with nobody's role
	proxy    *proxy
	stack    *stack
	policies map[string]*policy
	mapping  *mapping
	function *function
	rows     bucket // as who puts rows in sees it
	scores   bucket // as who takes scores out sees it
	queue    queue
	dead     queue
	pump     *pump
	by       *emulate.Instance // the function, while a scenario is played
	log      string            // its log
	runs     int
	run      string // tells the objects of one run from all others
}

// roles are the logical ids of the roles' policies, by the names that they have here.
var roles = map[string]string{
	"online": "OnlineFunctionRolePolicy", "batch": "BatchFunctionRolePolicy", "map": "BatchMapRolePolicy",
	"hook": "RolloutHookRolePolicy", "rollout": "RolloutRolePolicy", "batchhook": "RolloutBatchHookRolePolicy", "batchrollout": "RolloutBatchRolePolicy",
}

func newWorld(ctx context.Context, o *options) (*world, error) {
	w := &world{o: o, moto: &client{"http://" + o.moto, "nobody"}}
	text, err := os.ReadFile(o.types)
	if err != nil {
		return nil, err
	}
	known := map[string]bool{}
	for _, t := range strings.Fields(string(text)) {
		known[t] = true
	}
	if o.bucket != "" {
		if err := w.makeBucket(ctx, o.bucket); err != nil {
			return nil, err
		}
	}
	if w.stack, err = deploy(ctx, w.moto, o.assembly, o.name, known); err != nil {
		return nil, err
	}
	w.policies = map[string]*policy{}
	for role, id := range roles {
		if w.policies[role], err = w.stack.policyOf(ctx, id); err != nil {
			return nil, err
		}
	}
	if w.mapping, err = w.stack.mapping(ctx, "BatchMapping"); err != nil {
		return nil, err
	}
	if w.function, err = w.stack.function(ctx, "BatchFunction"); err != nil {
		return nil, err
	}
	if !strings.HasPrefix(w.mapping.FunctionArn, w.function.FunctionArn) {
		return nil, fmt.Errorf("want the queue's messages to go to %s, got %s", w.function.FunctionArn, w.mapping.FunctionArn)
	}
	out := w.stack.outputs
	w.rows, w.scores = bucket{w.moto, out["InputBucket"]}, bucket{w.moto, out["OutputBucket"]}
	w.queue, w.dead = queue{out["QueueUrl"]}, queue{out["DeadLetterQueueUrl"]}
	if got := queueARN(w.queue.url); got != w.mapping.EventSourceArn {
		return nil, fmt.Errorf("want the mapping to poll %s, got %s", got, w.mapping.EventSourceArn)
	}
	if w.proxy, err = newProxy(o.moto); err != nil {
		return nil, err
	}
	return w, w.localQueue()
}

// makeBucket makes a bucket that somebody had before, as the stack's output
// InputBucketCommand says.
func (w *world) makeBucket(ctx context.Context, name string) error {
	if err := w.moto.do(ctx, http.MethodPut, "s3", "/"+name, []byte(location), nil); err != nil {
		return err
	}
	const told = "<NotificationConfiguration><EventBridgeConfiguration></EventBridgeConfiguration></NotificationConfiguration>"
	return w.moto.do(ctx, http.MethodPut, "s3", "/"+name+"?notification", []byte(told), nil)
}

// wanted says whether a scenario is to be played.
func (w *world) wanted(s *scenario) bool {
	return w.o.only == "" && !s.named || slices.Contains(strings.Split(w.o.only, ","), s.name)
}

// localQueue has the function send to moto what it would send to SQS: that URL
// is in godwit.yaml, and no variable changes it. It is the one thing in the
// package that is changed, and what the package's manifest says of that file.
func (w *world) localQueue() error {
	path, manifest := filepath.Join(w.o.unpacked, "godwit.yaml"), filepath.Join(w.o.unpacked, "godwit.manifest.json")
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	parcel, err := os.ReadFile(manifest)
	if err != nil {
		return err
	}
	if !bytes.Contains(text, []byte("https://sqs.")) {
		return nil
	}
	local := bytes.ReplaceAll(text, []byte("https://sqs.eu-west-1.amazonaws.com/"), []byte(w.proxy.address+"/"))
	// It is written like this: "path": "godwit.yaml", "size": N, "sha256": "…".
	line := func(text []byte) []byte {
		return fmt.Appendf(nil, "\"path\": \"godwit.yaml\",\n      \"size\": %d,\n      \"sha256\": \"%x\"", len(text), sha256.Sum256(text))
	}
	changed := bytes.Replace(parcel, line(text), line(local), 1)
	if bytes.Equal(changed, parcel) {
		return fmt.Errorf("want godwit.yaml in %s as it is, got another", manifest)
	}
	return errors.Join(os.WriteFile(path, local, 0o644), os.WriteFile(manifest, changed, 0o644))
}

// start starts the packaged function with what a deployed one is told, and with
// a role. Its log goes to a file of the run.
func (w *world) start(ctx context.Context, f *function, role string) (*emulate.Instance, error) {
	log, err := os.OpenFile(w.log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return nil, err
	}
	defer log.Close() // the process has its own
	env := []string{
		"LAMBDA_TASK_ROOT=" + w.o.unpacked, "AWS_LAMBDA_FUNCTION_NAME=" + f.FunctionName, "AWS_LAMBDA_FUNCTION_MEMORY_SIZE=" + fmt.Sprint(f.MemorySize),
		"AWS_ACCESS_KEY_ID=" + role, "AWS_SECRET_ACCESS_KEY=secret", "AWS_ENDPOINT_URL=" + w.proxy.address, "PATH=/usr/bin:/bin", "HOME=/tmp",
	}
	for name, value := range f.Environment.Variables {
		env = append(env, name+"="+value)
	}
	program := filepath.Join(w.o.unpacked, f.Handler)
	i, err := emulate.Start(ctx, "awslambda", emulate.Command(program, nil, env, log, log), &emulate.Options{Timeout: time.Duration(f.Timeout) * time.Second})
	if err != nil {
		text, _ := os.ReadFile(w.log)
		return nil, fmt.Errorf("%w: %s", err, text)
	}
	return i, nil
}

// scenario is something that the stack is for.
type scenario struct {
	name  string
	play  func(ctx context.Context, w *world) error
	named bool // it wants another godwit.yaml, and is played only where it is named
}

// errOnlyRefused is where all came out well, and yet something was refused.
var errOnlyRefused = errors.New("it came out well, but refused was")

// play plays a scenario with a function of its own, under the given policies. It
// fails when something was refused, whatever came of it.
func (w *world) play(ctx context.Context, s *scenario, policies map[string]*policy) (map[grant]bool, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	w.runs++
	w.run = fmt.Sprintf("%03d-%s", w.runs, s.name)
	w.log = filepath.Join(w.o.work, w.run+".log")
	w.proxy.set(policies)
	w.proxy.meddling(nil)
	w.pump = &pump{as: &client{w.proxy.address, "batch"}, moto: w.moto, queue: w.queue, mapping: w.mapping, attempts: map[string]int{}}
	err := w.pump.begin(ctx, w.function)
	if err == nil {
		if w.by, err = w.start(ctx, w.function, "batch"); err != nil {
			return nil, err
		}
		err = s.play(ctx, w)
		w.by.Kill()
	}
	used, refused := w.proxy.seen()
	if cleared := w.pump.clear(context.WithoutCancel(ctx), w.queue, w.dead); err == nil {
		err = cleared
	}
	switch {
	case err != nil:
		if len(refused) > 0 {
			err = fmt.Errorf("%w (refused: %s)", err, refused[0])
		}
		return nil, err
	case len(refused) > 0:
		return nil, fmt.Errorf("%w %s", errOnlyRefused, refused[0])
	}
	return used, nil
}

// said reports whether the function's log has a text.
func (w *world) said(text string) (bool, error) {
	all, err := os.ReadFile(w.log)
	return bytes.Contains(all, []byte(text)), err
}

// row is one of the digits model, and what it answers.
type row struct {
	ID     int   `json:"id"`
	Pixels []int `json:"pixels"`
}

// rowsOf are n rows; the same seed gives the same ones.
func rowsOf(seed uint64, n int) []row {
	r := rand.New(rand.NewPCG(seed, 1))
	all := make([]row, n)
	for i := range all {
		all[i] = row{ID: i, Pixels: make([]int, 64)}
		for j := range all[i].Pixels {
			all[i].Pixels[j] = r.IntN(17)
		}
	}
	return all
}

// lines are rows as JSON Lines.
func lines(rows []row) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	for i := range rows {
		_ = e.Encode(&rows[i]) // numbers alone
	}
	return b.Bytes()
}

// request is rows as a request of the protocol.
func request(rows []row) []byte {
	var data []int
	for _, r := range rows {
		data = append(data, r.Pixels...)
	}
	text, err := json.Marshal(map[string]any{"inputs": []any{map[string]any{"name": "pixels", "shape": []int{len(rows), 64}, "datatype": "FP32", "data": data}}})
	if err != nil {
		panic(err)
	}
	return text
}

// online is the labels that the function answers when it is asked.
func (w *world) online(ctx context.Context, rows []row) ([]int, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://function/v2/models/digits/infer", bytes.NewReader(request(rows)))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	var a struct {
		Outputs []struct {
			Name string
			Data []float64
		}
	}
	if err := exchange(w.by, req, &a); err != nil {
		return nil, err
	}
	var labels []int
	for _, o := range a.Outputs {
		for i := 0; o.Name == "label" && i < len(o.Data); i++ {
			labels = append(labels, int(o.Data[i]))
		}
	}
	return labels, nil
}

// scored wants the scores of an object below the prefix where they go: one
// manifest, and the labels that the function answers online.
func (w *world) scored(ctx context.Context, name string, rows []row) error {
	all, err := w.scores.list(ctx, "scores/"+name+".")
	if err != nil {
		return err
	}
	var manifests, parts []string
	for _, o := range all {
		switch {
		case strings.HasSuffix(o.Key, "/manifest.json"):
			manifests = append(manifests, o.Key)
		case strings.HasSuffix(o.Key, ".jsonl") && !strings.HasSuffix(o.Key, ".bad.jsonl"):
			parts = append(parts, o.Key)
		}
	}
	if len(manifests) != 1 || len(parts) != 1 {
		return fmt.Errorf("want a manifest and a part of the scores of %s, got %v", name, all)
	}
	text, err := w.scores.get(ctx, manifests[0])
	if err != nil {
		return err
	}
	var m struct{ Rows int }
	if err := json.Unmarshal(text, &m); err != nil || m.Rows != len(rows) {
		return fmt.Errorf("want %d rows in the manifest of %s, got %d (%v)", len(rows), name, m.Rows, err)
	}
	if text, err = w.scores.get(ctx, parts[0]); err != nil {
		return err
	}
	want, err := w.online(ctx, rows)
	if err != nil {
		return err
	}
	var got []int
	for line := range bytes.Lines(text) {
		var s struct{ ID, Label int }
		if err := json.Unmarshal(line, &s); err != nil || s.ID != len(got) {
			return fmt.Errorf("want row %d of %s, got %s (%v)", len(got), name, line, err)
		}
		got = append(got, s.Label)
	}
	if fmt.Sprint(want) != fmt.Sprint(got) {
		return fmt.Errorf("want the labels that are answered online, %v, got %v for %s", want, got, name)
	}
	return nil
}
