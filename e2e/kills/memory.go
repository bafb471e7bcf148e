package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"godwit.dev/internal/emulate"
)

// outOfMemory fills the control group of a function in the middle of one
// delivery of objects, where it stands still until the kernel kills it; the next
// one gets the same delivery, three times.
func (f *flags) outOfMemory(ctx context.Context, r *rand.Rand) error {
	var keys []string
	for n := range 24 {
		key := fmt.Sprintf("lambda/rows/%d.jsonl", n)
		if err := f.put(ctx, key, rows(r, 1500, 101)); err != nil {
			return err
		}
		keys = append(keys, key)
	}
	event, err := s3Event(keys)
	if err != nil {
		return err
	}
	deliver := func(i *emulate.Instance) error {
		reply, err := i.Deliver(ctx, &emulate.Delivery{Body: event})
		if err == nil && reply.Retry {
			err = fmt.Errorf("want a delivery that is done, got %s", reply.Body)
		}
		return err
	}
	undisturbed, err := f.function(ctx, "undisturbed")
	if err != nil {
		return err
	}
	defer undisturbed.Kill()
	if err := deliver(undisturbed); err != nil {
		return err
	}
	want, err := f.tree("lambda/undisturbed")
	if err != nil {
		return err
	}

	i, err := f.function(ctx, "out")
	if err != nil {
		return err
	}
	defer func() { i.Kill() }()
	// The kernel is to take the function, and not what fills the group.
	for name, text := range map[string]string{filepath.Join(f.group, "cgroup.procs"): strconv.Itoa(i.PID()), fmt.Sprintf("/proc/%d/oom_score_adj", i.PID()): "1000"} {
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			return err
		}
	}
	died := make(chan error, 1)
	go func() { died <- deliver(i) }()
	for { // until the first object is scored
		if all, err := filepath.Glob(filepath.Join(f.data, bucket, "lambda/out/*/manifest.json")); err != nil || len(all) > 0 {
			break
		}
		select {
		case err := <-died:
			return fmt.Errorf("the delivery ended before anything was there: %w", err)
		case <-time.After(time.Millisecond):
		}
	}
	// How fast it is has no say in whether the group is full before it is done.
	if err := syscall.Kill(i.PID(), syscall.SIGSTOP); err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	filler := exec.CommandContext(ctx, self, "-hog", f.group)
	filler.Stderr = os.Stderr
	if err := filler.Start(); err != nil {
		return err
	}
	err = <-died
	_ = filler.Process.Kill()
	_ = filler.Wait()
	if err == nil {
		return errors.New("want a delivery that died, got one that is done")
	}
	if n, err := oomKills(f.group); err != nil || n == 0 {
		return fmt.Errorf("want a process that the kernel has killed, got %d, %v", n, err)
	}
	left, err := f.tree("lambda/out")
	if err != nil {
		return err
	}
	if i, err = f.function(ctx, "out"); err != nil {
		return err
	}
	for range 3 {
		if err := deliver(i); err != nil {
			return err
		}
	}
	got, err := f.tree("lambda/out")
	if err != nil {
		return err
	}
	if err := same(want, got); err != nil {
		return err
	}
	fmt.Printf("memory: the kernel killed fn-lambda with %d of %d objects written; delivered three times again: byte by byte as undisturbed\n", len(left), len(want))
	if len(left) == len(want) {
		return errors.New("want it to be killed in the middle, got all objects before that")
	}
	return nil
}

// function starts fn-lambda whose scores go below lambda/NAME/.
func (f *flags) function(ctx context.Context, name string) (*emulate.Instance, error) {
	dir := filepath.Join(f.work, name, "digits")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	model, err := os.ReadFile(filepath.Join(f.folder, "digits.onnx"))
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "digits.onnx"), model, 0o644)
	}
	yaml := fmt.Sprintf("name: digits\nmodel: digits.onnx\ntriggers: [objects]\nbatch: {input: s3://%[1]s/lambda/rows/, output: s3://%[1]s/lambda/%[2]s/, passThrough: [id]}\ntargets: {awslambda: {}}\n", bucket, name)
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "godwit.yaml"), []byte(yaml), 0o644)
	}
	if err != nil {
		return nil, err
	}
	log, err := os.OpenFile(filepath.Join(f.work, name+".log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return nil, err
	}
	defer log.Close() // the process has its own
	return emulate.Start(ctx, "awslambda", emulate.Command(f.fnLambda, nil, append(f.env(), "GODWIT_FUNCTION="+dir), log, log), &emulate.Options{Timeout: time.Minute})
}

// s3Event is one delivery of S3 itself, for several objects.
func s3Event(keys []string) ([]byte, error) {
	type object = map[string]any
	var records []object
	for n, key := range keys {
		records = append(records, object{
			"eventVersion": "2.1", "eventSource": "aws:s3", "awsRegion": "us-east-1", "eventTime": "2026-11-23T00:00:00.000Z", "eventName": "ObjectCreated:Put",
			"s3": object{"s3SchemaVersion": "1.0", "configurationId": "rows", "bucket": object{"name": bucket, "arn": "arn:aws:s3:::" + bucket},
				"object": object{"key": key, "size": 1, "sequencer": fmt.Sprintf("%016X", n)}},
		})
	}
	return json.Marshal(object{"Records": records})
}

// hog takes all memory of a control group, in which the kernel then kills
// somebody else.
func hog(group string) error {
	if err := os.WriteFile(filepath.Join(group, "cgroup.procs"), []byte(strconv.Itoa(os.Getpid())), 0o644); err != nil {
		return err
	}
	const block = 4 << 20
	var all [][]byte
	for range 1 << 30 / block { // more than the group has, and an end if nobody is killed
		b := make([]byte, block)
		for i := 0; i < len(b); i += 4096 {
			b[i] = 1
		}
		all = append(all, b)
	}
	return fmt.Errorf("want to be out of memory, got %d blocks", len(all))
}

// oomKills is how many processes of a control group the kernel has killed.
func oomKills(group string) (int, error) {
	for _, name := range []string{"memory.events", "memory.oom_control"} { // of version 2 and 1
		text, err := os.ReadFile(filepath.Join(group, name))
		if err != nil {
			continue
		}
		for line := range strings.Lines(string(text)) {
			if n, ok := strings.CutPrefix(line, "oom_kill "); ok {
				return strconv.Atoi(strings.TrimSpace(n))
			}
		}
	}
	return 0, errors.New("want the kernel's count of its kills, got none")
}
