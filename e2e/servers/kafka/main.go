// Command kafka does for topics of a Kafka what platforms do: as Lambda's event
// source mapping it hands batches of records to a function, as Knative's
// KafkaSource each record as a CloudEvent. It also makes topics, writes to them
// and reads them.
//
//	kafka BROKER topic NAME PARTITIONS [CONFIG=VALUE…]
//	kafka BROKER produce TOPIC        records as lines of JSON from stdin
//	kafka BROKER read TOPIC           the same, of all that is there
//	kafka BROKER lag GROUP TOPIC      records that the group has not committed
//	kafka BROKER esm GROUP TOPIC URL ASIDE
//	kafka BROKER source GROUP TOPIC URL ASIDE
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil && ctx.Err() == nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	if len(args) < 3 {
		return errors.New("want BROKER, a verb and its arguments")
	}
	broker, verb, args := args[0], args[1], args[2:]
	switch {
	case verb == "topic" && len(args) >= 2:
		return topic(ctx, broker, args[0], args[1], args[2:])
	case verb == "produce" && len(args) == 1:
		return produce(ctx, broker, args[0])
	case verb == "read" && len(args) == 1:
		return readAll(ctx, broker, args[0])
	case verb == "lag" && len(args) == 2:
		return lag(ctx, broker, args[0], args[1])
	case verb == "esm" && len(args) == 4:
		return consume(ctx, broker, args[0], args[1], args[3], &mapping{url: args[2]})
	case verb == "source" && len(args) == 4:
		return consume(ctx, broker, args[0], args[1], args[3], &source{url: args[2]})
	}
	return fmt.Errorf("want one of topic, produce, read, lag, esm and source with its arguments, got %q %q", verb, args)
}

// record is a line of JSON.
type record struct {
	Partition int32             `json:"partition"`
	Offset    int64             `json:"offset"`
	Key       *string           `json:"key"`
	Value     *string           `json:"value"` // null is a tombstone
	Headers   map[string]string `json:"headers,omitempty"`
}

func topic(ctx context.Context, broker, name, partitions string, settings []string) error {
	n, err := strconv.Atoi(partitions)
	if err != nil {
		return err
	}
	config := map[string]*string{}
	for _, s := range settings {
		key, value, _ := strings.Cut(s, "=")
		config[key] = &value
	}
	c, err := kgo.NewClient(kgo.SeedBrokers(broker))
	if err != nil {
		return err
	}
	defer c.Close()
	for { // a broker that has just begun may not lead yet
		_, err = kadm.NewClient(c).CreateTopic(ctx, int32(n), 1, config, name)
		if err == nil || ctx.Err() != nil {
			return err
		}
		fmt.Fprintln(os.Stderr, err)
		time.Sleep(200 * time.Millisecond)
	}
}

func produce(ctx context.Context, broker, topic string) error {
	c, err := kgo.NewClient(kgo.SeedBrokers(broker), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		return err
	}
	defer c.Close()
	in := json.NewDecoder(os.Stdin)
	var all []*kgo.Record
	for {
		var r record
		if err := in.Decode(&r); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return err
		}
		out := &kgo.Record{Topic: topic, Partition: r.Partition}
		if r.Key != nil {
			out.Key = []byte(*r.Key)
		}
		if r.Value != nil {
			out.Value = []byte(*r.Value)
		}
		for k, v := range r.Headers {
			out.Headers = append(out.Headers, kgo.RecordHeader{Key: k, Value: []byte(v)})
		}
		all = append(all, out)
	}
	return c.ProduceSync(ctx, all...).FirstErr()
}

func readAll(ctx context.Context, broker, topic string) error {
	c, err := kgo.NewClient(kgo.SeedBrokers(broker), kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		return err
	}
	defer c.Close()
	ends, err := kadm.NewClient(c).ListEndOffsets(ctx, topic)
	if err != nil {
		return err
	}
	// A compacted topic has gaps, but its last record.
	left := map[int32]int64{}
	ends.Each(func(o kadm.ListedOffset) {
		if o.Offset > 0 {
			left[o.Partition] = o.Offset
		}
	})
	out := json.NewEncoder(os.Stdout)
	for len(left) > 0 && ctx.Err() == nil {
		fetches := c.PollFetches(ctx)
		for _, r := range fetches.Records() {
			if left[r.Partition] == r.Offset+1 {
				delete(left, r.Partition)
			}
			line := record{Partition: r.Partition, Offset: r.Offset, Headers: map[string]string{}}
			if r.Key != nil {
				line.Key = new(string(r.Key))
			}
			if r.Value != nil {
				line.Value = new(string(r.Value))
			}
			for _, h := range r.Headers {
				line.Headers[h.Key] = string(h.Value)
			}
			if err := out.Encode(&line); err != nil {
				return err
			}
		}
	}
	return ctx.Err()
}

func lag(ctx context.Context, broker, group, topic string) error {
	c, err := kgo.NewClient(kgo.SeedBrokers(broker))
	if err != nil {
		return err
	}
	defer c.Close()
	admin := kadm.NewClient(c)
	ends, err := admin.ListEndOffsets(ctx, topic)
	if err != nil {
		return err
	}
	left := int64(0)
	ends.Each(func(o kadm.ListedOffset) { left += o.Offset })
	commits, err := admin.FetchOffsets(ctx, group)
	for errors.Is(err, kerr.CoordinatorNotAvailable) || errors.Is(err, kerr.NotCoordinator) { // of a broker that has just begun
		time.Sleep(100 * time.Millisecond)
		commits, err = admin.FetchOffsets(ctx, group)
	}
	if err != nil {
		return err
	}
	commits.Each(func(o kadm.OffsetResponse) {
		if o.Topic == topic && o.Offset.At > 0 {
			left -= o.Offset.At
		}
	})
	fmt.Println(left)
	return nil
}
