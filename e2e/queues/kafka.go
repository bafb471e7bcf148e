package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"godwit.dev/functions/batch"
	"godwit.dev/internal/emulate"
)

// kafka has two platforms consume a topic each: Lambda's event source mapping,
// and Knative's KafkaSource. A second consumer takes partitions over in the
// middle, the broker is killed and started again, consumers too.
func kafka(ctx context.Context, a *addresses) error {
	root := "http://" + a.moto
	for _, c := range []struct {
		mode, target, binary, batch, spec string
	}{
		{"esm", "awslambda", a.fnLambda, ", deadLetter: true", "targets: {awslambda: {}}\n"},
		{"source", "knative", a.fnServer, "", "auth: none\ntargets: {knative: {}}\n"},
	} {
		b := &s3{root + "/kafka-" + c.mode}
		if err := b.create(ctx); err != nil {
			return err
		}
		dir, err := function(a, "kafka-"+c.mode, fmt.Sprintf("triggers: [queue]\nbatch: {input: s3://kafka-%[1]s/rows/, output: s3://kafka-%[1]s/scores/%[2]s}\n%[3]s", c.mode, c.batch, c.spec))
		if err != nil {
			return err
		}
		fn := &running{begin: func() (*emulate.Instance, error) {
			return start(ctx, a, c.target, c.binary, dir, nil, "AWS_ENDPOINT_URL_S3="+root, "AWS_REGION=eu-west-1", "AWS_ACCESS_KEY_ID=key", "AWS_SECRET_ACCESS_KEY=secretsecret")
		}}
		if err := consumed(ctx, a, fn, b, c.mode); err != nil {
			return fmt.Errorf("%s: %w", c.mode, err)
		}
	}
	return nil
}

func consumed(ctx context.Context, a *addresses, fn *running, b bucket, mode string) error {
	if err := fn.restart(); err != nil {
		return err
	}
	url, stop, err := front(ctx, fn)
	if err != nil {
		return err
	}
	defer stop()
	topic, aside := "rows-"+mode, "aside-"+mode
	const partitions, records = 3, 90
	if _, err := a.tool(ctx, nil, "topic", topic, strconv.Itoa(partitions)); err != nil {
		return err
	}
	if _, err := a.tool(ctx, nil, "topic", aside, "1"); err != nil {
		return err
	}
	var in bytes.Buffer
	var payloads [][]digit
	out := json.NewEncoder(&in)
	type record map[string]any
	for n := range records {
		rows := digits(uint64(n), 1+n%4)
		payloads = append(payloads, rows)
		if err := out.Encode(record{"partition": n % partitions, "key": fmt.Sprint(n), "value": string(request(rows))}); err != nil {
			return err
		}
		switch n {
		case 30: // two bad ones among the good of one partition
			err = out.Encode(record{"partition": n % partitions, "key": "bad", "value": "no request", "headers": map[string]string{"from": "somebody"}})
		case 31:
			err = out.Encode(record{"partition": n % partitions, "key": "gone", "value": nil}) // a tombstone
		}
		if err != nil {
			return err
		}
	}
	// The first consumer begins with a third of it, a second one joins, the first
	// is killed; the broker is killed and comes back; the rest follows.
	text := in.Bytes()
	third := bytes.IndexByte(text[len(text)/3:], '\n') + len(text)/3 + 1
	if _, err := a.tool(ctx, text[:third], "produce", topic); err != nil {
		return err
	}
	first, err := a.consumer(ctx, mode, topic, url, aside)
	if err != nil {
		return err
	}
	defer first.end()
	if err := until(ctx, func() (bool, error) { keys, err := b.list(ctx, "scores/"); return len(keys) > 0, err }); err != nil {
		return err
	}
	second, err := a.consumer(ctx, mode, topic, url, aside)
	if err != nil {
		return err
	}
	defer second.end()
	if _, err := a.tool(ctx, text[third:], "produce", topic); err != nil {
		return err
	}
	first.end()
	if err := restartBroker(ctx, a); err != nil {
		return err
	}
	if err := fn.restart(); err != nil {
		return err
	}
	third2, err := a.consumer(ctx, mode, topic, url, aside)
	if err != nil {
		return err
	}
	defer third2.end()
	if err := until(ctx, func() (bool, error) {
		left, err := a.tool(ctx, nil, "lag", "group-"+mode, topic)
		return strings.TrimSpace(string(left)) == "0", err
	}); err != nil {
		return err
	}
	if err := checkPayloads(ctx, b, fn.get(), payloads); err != nil {
		return err
	}
	dead, err := a.tool(ctx, nil, "read", aside)
	if err != nil {
		return err
	}
	keys := map[string]int{}
	for line := range bytes.Lines(dead) {
		var r struct {
			Key     string
			Value   *string
			Headers map[string]string
		}
		if err := json.Unmarshal(line, &r); err != nil {
			return err
		}
		if r.Headers["reason"] == "" || r.Key == "bad" && (r.Headers["from"] == "" || r.Value == nil || *r.Value != "no request") {
			return fmt.Errorf("this was put aside: %s", line)
		}
		keys[r.Key]++
	}
	fmt.Printf("kafka, %s: %d records and two bad ones in %d partitions; consumer killed, another taken in, broker killed and started again, function killed; aside: %v\n", mode, records, partitions, keys)
	for key := range keys {
		if key != "bad" && key != "gone" {
			return fmt.Errorf("want only what is bad aside, got %v", keys)
		}
	}
	if err := keptAside(ctx, b, mode, keys["bad"]); err != nil {
		return err
	}
	return compacted(ctx, a, fn, b, mode, url, payloads)
}

// keptAside wants the bad record in one place: with batch.deadLetter in the bucket,
// with its payload, headers and reason, so that the partition went on at once, and
// without where the platform puts it.
func keptAside(ctx context.Context, b bucket, mode string, platform int) error {
	kept, err := b.list(ctx, "scores/dead/")
	if err != nil {
		return err
	}
	if mode != "esm" {
		if platform == 0 || len(kept) > 0 {
			return fmt.Errorf("want the bad record with the platform, got it there %d times, and kept %q", platform, kept)
		}
		return nil
	}
	if platform > 0 || len(kept) != 1 {
		return fmt.Errorf("want the bad record kept, got it with the platform %d times, and kept %q", platform, kept)
	}
	text, err := b.get(ctx, kept[0])
	if err != nil {
		return err
	}
	var d batch.DeadItem
	if err := json.Unmarshal(text, &d); err != nil || string(d.Data) != "no request" || d.Attributes["from"] != "somebody" || d.Code != "invalid" || d.Error == "" {
		return fmt.Errorf("want the bad record with its headers and the reason, got %s, %w", text, err)
	}
	return nil
}

// compacted has a topic consumed of which the broker keeps only the last record
// of each key: offsets have gaps, and a key that is gone has a record without a
// value. before are the payloads that have answers already.
func compacted(ctx context.Context, a *addresses, fn *running, b bucket, mode, url string, before [][]digit) error {
	topic, aside := "latest-"+mode, "latest-aside-"+mode
	settings := []string{"cleanup.policy=compact", "min.cleanable.dirty.ratio=0.01", "segment.ms=200", "delete.retention.ms=600000"}
	if _, err := a.tool(ctx, nil, append([]string{"topic", topic, "1"}, settings...)...); err != nil {
		return err
	}
	if _, err := a.tool(ctx, nil, "topic", aside, "1"); err != nil {
		return err
	}
	const keys, versions = 8, 6
	asked := map[string][]digit{} // by the record's value
	sent := 0
	// write writes a version of each key, and takes the last one away.
	write := func(version int) error {
		var in bytes.Buffer
		out := json.NewEncoder(&in)
		for key := range keys {
			rows := digits(uint64(1000+100*version+key), 1+key%3)
			value := string(request(rows))
			asked[value] = rows
			if err := out.Encode(map[string]any{"key": fmt.Sprint(key), "value": value}); err != nil {
				return err
			}
		}
		if err := out.Encode(map[string]any{"key": fmt.Sprint(keys - 1), "value": nil}); err != nil {
			return err
		}
		sent += keys + 1
		_, err := a.tool(ctx, in.Bytes(), "produce", topic)
		return err
	}
	there := func() (all []string, err error) {
		text, err := a.tool(ctx, nil, "read", topic)
		for line := range bytes.Lines(text) {
			all = append(all, string(line))
		}
		return all, err
	}
	for version := range versions {
		if err := write(version); err != nil {
			return err
		}
		select {
		case <-time.After(300 * time.Millisecond): // so that the next is in a segment of its own
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	var kept []string
	if err := until(ctx, func() (bool, error) { // the last segment is never compacted, and before it no key is there twice
		var err error
		kept, err = there()
		return len(kept) == keys+keys+1, err
	}); err != nil {
		return fmt.Errorf("the topic is not compacted, there are %d of %d records: %w", len(kept), sent, err)
	}
	gaps, tombstones := 0, 0
	all, last := append([][]digit{}, before...), int64(-1)
	for _, line := range kept {
		var r struct {
			Offset int64
			Value  *string
		}
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			return err
		}
		if r.Offset != last+1 {
			gaps++
		}
		last = r.Offset
		if r.Value == nil {
			tombstones++
			continue
		}
		all = append(all, asked[*r.Value])
	}
	if gaps == 0 || tombstones == 0 {
		return fmt.Errorf("want a topic with gaps and with keys that are gone, got %d and %d: %s", gaps, tombstones, kept)
	}
	c, err := a.consumer(ctx, mode, topic, url, aside)
	if err != nil {
		return err
	}
	defer c.end()
	done := func() (bool, error) {
		left, err := a.tool(ctx, nil, "lag", "group-"+mode, topic)
		return strings.TrimSpace(string(left)) == "0", err
	}
	if err := until(ctx, done); err != nil {
		return err
	}
	if err := checkPayloads(ctx, b, fn.get(), all); err != nil {
		return fmt.Errorf("of a compacted topic: %w", err)
	}
	// What is written meanwhile is seen as it is written.
	if err := write(versions); err != nil {
		return err
	}
	if err := until(ctx, done); err != nil {
		return err
	}
	for key := range keys {
		all = append(all, digits(uint64(1000+100*versions+key), 1+key%3))
	}
	if err := checkPayloads(ctx, b, fn.get(), all); err != nil {
		return fmt.Errorf("of a compacted topic, later: %w", err)
	}
	dead, err := a.tool(ctx, nil, "read", aside)
	if err != nil {
		return err
	}
	if len(dead) > 0 { // tombstones are done
		return fmt.Errorf("want nothing put aside, got %s", dead)
	}
	fmt.Printf("kafka, %s: a compacted topic of %d keys, %d records of %d left with %d gaps and %d keys that are gone: each scored once, nothing aside\n",
		mode, keys, len(kept), sent-keys-1, gaps, tombstones)
	return nil
}

// tool runs e2e/servers/kafka to its end.
func (a *addresses) tool(ctx context.Context, stdin []byte, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, a.kafkaTool, append([]string{a.kafka}, args...)...)
	cmd.Stdin, cmd.Stderr = bytes.NewReader(stdin), os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("%s %q: %w", a.kafkaTool, args, err)
	}
	return out, nil
}

// consumer is a process that consumes until it is killed.
type consumer struct{ cmd *exec.Cmd }

func (a *addresses) consumer(ctx context.Context, mode, topic, url, aside string) (*consumer, error) {
	log, err := os.OpenFile(filepath.Join(a.work, "consumer-"+mode+".log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	c := &consumer{exec.CommandContext(ctx, a.kafkaTool, a.kafka, mode, "group-"+mode, topic, url, aside)}
	c.cmd.Stdout, c.cmd.Stderr = log, log
	return c, c.cmd.Start()
}

func (c *consumer) end() {
	if c.cmd.ProcessState == nil {
		_ = c.cmd.Process.Signal(syscall.SIGKILL)
		_ = c.cmd.Wait()
	}
}

// restartBroker asks the script that started the broker to kill it and to start
// it again, over the same data.
func restartBroker(ctx context.Context, a *addresses) error {
	ask := filepath.Join(a.work, "restart-broker")
	if err := os.WriteFile(ask, nil, 0o644); err != nil {
		return err
	}
	return until(ctx, func() (bool, error) {
		_, err := os.Stat(ask)
		return os.IsNotExist(err), nil
	})
}
