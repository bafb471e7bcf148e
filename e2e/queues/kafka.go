package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"godwit.dev/internal/emulate"
)

// kafka has two platforms consume a topic each: Lambda's event source mapping,
// and Knative's KafkaSource. A second consumer takes partitions over in the
// middle, the broker is killed and started again, consumers too.
func kafka(ctx context.Context, a *addresses) error {
	root := "http://" + a.moto
	for _, c := range []struct {
		mode, target, binary, spec string
	}{
		{"esm", "awslambda", a.fnLambda, "targets: {awslambda: {}}\n"},
		{"source", "knative", a.fnServer, "auth: none\ntargets: {knative: {}}\n"},
	} {
		b := &s3{root + "/kafka-" + c.mode}
		if err := call(ctx, http.MethodPut, b.root, nil, nil, signed("s3")); err != nil {
			return err
		}
		dir, err := function(a, "kafka-"+c.mode, fmt.Sprintf("triggers: [queue]\nbatch: {input: s3://kafka-%[1]s/rows/, output: s3://kafka-%[1]s/scores/}\n%[2]s", c.mode, c.spec))
		if err != nil {
			return err
		}
		fn := &running{begin: func() (*emulate.Instance, error) {
			return start(ctx, a, c.target, c.binary, dir, nil, "AWS_ENDPOINT_URL_S3="+root, "AWS_REGION=us-east-1", "AWS_ACCESS_KEY_ID=key", "AWS_SECRET_ACCESS_KEY=secretsecret")
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
	if keys["bad"] == 0 {
		return fmt.Errorf("want the bad record aside, got %v", keys)
	}
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
