package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path"
	"slices"
	"strings"
	"sync"

	"godwit.dev/internal/emulate"
)

// largeLines are rows of which each is a few thousand bytes, most of them in a
// column that nobody reads: n of them make several parts.
func largeLines(seed uint64, n int) []byte {
	var b bytes.Buffer
	note := strings.Repeat("what nobody reads, ", 200)
	for _, row := range digits(seed, n) {
		text, err := json.Marshal(struct {
			digit
			Note string `json:"note"`
		}{row, note})
		if err != nil {
			panic(err)
		}
		b.Write(append(text, '\n'))
	}
	return b.Bytes()
}

// split puts large objects into S3, which tells a queue of them. Whoever is told
// sends a message for each part to the same queue; two functions score the parts,
// one of them is killed, and what they write is what one command writes that
// scores each object alone.
func split(ctx context.Context, a *addresses) error {
	root := "http://" + a.moto
	b := &s3{root + "/split-data"}
	if err := b.create(ctx); err != nil {
		return err
	}
	dead, err := newQueue(ctx, root, "parts-dead", nil)
	if err != nil {
		return err
	}
	q, err := newQueue(ctx, root, "parts", map[string]string{
		"VisibilityTimeout": "15", "RedrivePolicy": fmt.Sprintf(`{"deadLetterTargetArn":%q,"maxReceiveCount":%d}`, dead.arn, 20),
	})
	if err != nil {
		return err
	}
	notify := `<NotificationConfiguration><QueueConfiguration><Id>rows</Id><Queue>` + q.arn + `</Queue><Event>s3:ObjectCreated:*</Event>` +
		`<Filter><S3Key><FilterRule><Name>prefix</Name><Value>rows/</Value></FilterRule></S3Key></Filter></QueueConfiguration></NotificationConfiguration>`
	if err := call(ctx, http.MethodPut, b.root+"?notification", []byte(notify), nil, signed("s3")); err != nil {
		return err
	}
	dir, err := function(a, "split", "triggers: [objects, queue]\nbatch: {input: s3://split-data/rows/, output: s3://split-data/scores/, passThrough: [id], split: {queue: \""+q.url+"\", parts: 1}}\ntargets: {awslambda: {}}\n")
	if err != nil {
		return err
	}
	env := []string{"AWS_ENDPOINT_URL_S3=" + root, "AWS_ACCESS_KEY_ID=key", "AWS_SECRET_ACCESS_KEY=secretsecret", "AWS_REGION=eu-west-1"}
	var functions []*running
	for range 2 {
		fn := &running{begin: func() (*emulate.Instance, error) { return start(ctx, a, "awslambda", a.fnLambda, dir, nil, env...) }}
		functions = append(functions, fn)
		defer fn.stop()
		if err := fn.restart(); err != nil {
			return err
		}
	}
	var zipped bytes.Buffer
	z := gzip.NewWriter(&zipped)
	if _, err := z.Write(largeLines(2, 36_000)); err != nil {
		return err
	}
	if err := z.Close(); err != nil {
		return err
	}
	keys := []string{"large.jsonl", "stream.jsonl.gz", "small.jsonl"}
	for i, data := range [][]byte{largeLines(1, 20_000), zipped.Bytes(), lines(digits(3, 100), nil)} {
		if err := b.put(ctx, "rows/"+keys[i], data); err != nil {
			return err
		}
	}

	p := &poller{queue: q, attempts: map[string]int{}, done: map[string]bool{}}
	polled := make(chan error, 1)
	polling, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() { polled <- p.run(polling, functions) }()
	// Killed when the first part is there, in the middle of the others.
	err = until(ctx, func() (bool, error) {
		there, err := b.list(ctx, "scores/large.jsonl.")
		return slices.ContainsFunc(there, func(key string) bool { return strings.Contains(key, "/part-") }), err
	})
	if err = errors.Join(err, functions[0].restart()); err != nil {
		cancel()
		<-polled
		return err
	}
	if err := <-polled; err != nil {
		return err
	}
	if n, err := dead.left(ctx); err != nil || n > 0 {
		return fmt.Errorf("want no dead letters, got %d, %w", n, err)
	}

	// Each object alone, by one command.
	var alone sync.WaitGroup
	errs := make([]error, len(keys))
	for i, key := range keys {
		alone.Go(func() {
			cmd := exec.CommandContext(ctx, a.godwit, "score", dir, "s3://split-data/rows/"+key, "s3://split-data/alone/")
			cmd.Env = append(os.Environ(), env...)
			if out, err := cmd.CombinedOutput(); err != nil {
				errs[i] = fmt.Errorf("%s alone: %w: %s", key, err, out)
			}
		})
	}
	alone.Wait()
	if err := errors.Join(errs...); err != nil {
		return err
	}
	want, err := writtenBelow(ctx, b, "alone/")
	if err != nil {
		return err
	}
	got, err := writtenBelow(ctx, b, "scores/")
	if err != nil {
		return err
	}
	if err := equalFiles(want, got); err != nil {
		return err
	}
	parts, manifests := 0, 0
	for name := range got {
		if strings.HasSuffix(name, ".jsonl") {
			parts++
		}
		if path.Base(name) == "manifest.json" {
			manifests++
		}
	}
	// The event of each object, S3's own test event, and at least a message for
	// each part of the two large ones.
	if manifests != len(keys) || parts < 6 || len(p.done) < len(keys)+1+parts-1 {
		return fmt.Errorf("want %d manifests and messages for 5 parts and more, got %d, %d parts and %d messages done", len(keys), manifests, parts, len(p.done))
	}
	again := 0
	for _, n := range p.attempts {
		again += n - 1
	}
	fmt.Printf("split: %d objects of %d parts by %d messages, %d deliveries that were repeated, a function killed in the middle: the same bytes as by one command\n", len(keys), parts, len(p.done), again)
	return nil
}

// writtenBelow are the objects below a prefix, by the rest of their keys: scores,
// bad rows and marks as they are, manifests without what says when.
func writtenBelow(ctx context.Context, b bucket, prefix string) (map[string]string, error) {
	keys, err := b.list(ctx, prefix)
	if err != nil {
		return nil, err
	}
	all := map[string]string{}
	for _, key := range keys {
		if name := path.Base(key); name == "sent.json" || strings.HasPrefix(key, prefix+"dead/") {
			continue
		}
		text, err := b.get(ctx, key)
		if err != nil {
			return nil, err
		}
		if path.Base(key) == "manifest.json" {
			var m map[string]any
			if err := json.Unmarshal(text, &m); err != nil {
				return nil, fmt.Errorf("%s: %w", key, err)
			}
			delete(m, "timings")
			if text, err = json.Marshal(m); err != nil {
				return nil, err
			}
		}
		all[strings.TrimPrefix(key, prefix)] = string(text)
	}
	return all, nil
}

// equalFiles wants two places to have the same objects of the same bytes.
func equalFiles(want, got map[string]string) error {
	for name, text := range want {
		if other, ok := got[name]; !ok || other != text {
			return fmt.Errorf("%s: want %d bytes, got %d (there: %v), which differ", name, len(text), len(other), ok)
		}
	}
	for name := range got {
		if _, ok := want[name]; !ok {
			return fmt.Errorf("%s: there is none where it was scored at once", name)
		}
	}
	if len(want) == 0 {
		return errors.New("want some scores, got none")
	}
	return nil
}
