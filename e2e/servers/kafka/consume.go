package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// attempts is how often something is delivered before it is put aside.
const attempts = 3

// A platform hands over records of one partition, and tells from the reply
// whether they come again; reason is what the function said.
type platform interface {
	deliver(ctx context.Context, records []*kgo.Record) (again bool, reason string)
	most() int // records of one delivery
}

// consume hands over what is in a topic until ctx ends: partitions side by side,
// the records of one in order, and committed once they are done or aside.
func consume(ctx context.Context, broker, group, topic, aside string, p platform) error {
	c, err := kgo.NewClient(kgo.SeedBrokers(broker), kgo.ConsumerGroup(group), kgo.ConsumeTopics(topic), kgo.DisableAutoCommit(),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.SessionTimeout(6*time.Second))
	if err != nil {
		return err
	}
	defer c.Close()
	for ctx.Err() == nil {
		fetches := c.PollRecords(ctx, 300)
		fetches.EachError(func(t string, p int32, err error) {
			if ctx.Err() == nil {
				fmt.Fprintln(os.Stderr, "fetch", t, p, err)
			}
		})
		var all sync.WaitGroup
		fetches.EachPartition(func(f kgo.FetchTopicPartition) {
			all.Go(func() {
				for rest := f.Records; len(rest) > 0 && ctx.Err() == nil; {
					n := min(p.most(), len(rest))
					if !settle(ctx, c, p, rest[:n], aside) {
						return
					}
					if err := c.CommitRecords(ctx, rest[:n]...); err != nil {
						// The partition may be another's by now, who will do these again.
						fmt.Fprintln(os.Stderr, "commit", err)
					}
					rest = rest[n:]
				}
			})
		})
		all.Wait()
	}
	return nil
}

// settle delivers records until they are done, in halves if they fail together,
// and puts aside which fails alone. It is false when ctx has ended before that.
func settle(ctx context.Context, c *kgo.Client, p platform, records []*kgo.Record, aside string) bool {
	var reason string
	for range attempts {
		again, why := p.deliver(ctx, records)
		if !again {
			fmt.Println(len(records))
			return true
		}
		if reason = why; ctx.Err() != nil {
			return false
		}
		fmt.Fprintf(os.Stderr, "again: %d records from %d@%d: %.200s\n", len(records), records[0].Partition, records[0].Offset, why)
		time.Sleep(100 * time.Millisecond)
	}
	if n := len(records); n > 1 {
		return settle(ctx, c, p, records[:n/2], aside) && settle(ctx, c, p, records[n/2:], aside)
	}
	r := records[0]
	dead := &kgo.Record{Topic: aside, Key: r.Key, Value: r.Value, Headers: append(r.Headers,
		kgo.RecordHeader{Key: "reason", Value: []byte(reason)}, kgo.RecordHeader{Key: "from", Value: fmt.Appendf(nil, "%s-%d@%d", r.Topic, r.Partition, r.Offset)})}
	for c.ProduceSync(ctx, dead).FirstErr() != nil {
		if ctx.Err() != nil {
			return false
		}
	}
	return true
}

// mapping is Lambda's event source mapping for a Kafka of one's own, as it is
// with BisectBatchOnFunctionError.
type mapping struct{ url string }

func (*mapping) most() int { return 100 }

func (m *mapping) deliver(ctx context.Context, records []*kgo.Record) (bool, string) {
	type out struct {
		Topic         string             `json:"topic"`
		Partition     int32              `json:"partition"`
		Offset        int64              `json:"offset"`
		Timestamp     int64              `json:"timestamp"`
		TimestampType string             `json:"timestampType"`
		Key           []byte             `json:"key,omitempty"`
		Value         []byte             `json:"value,omitempty"`
		Headers       []map[string][]int `json:"headers"`
	}
	var all []out
	for _, r := range records {
		o := out{r.Topic, r.Partition, r.Offset, r.Timestamp.UnixMilli(), "CREATE_TIME", r.Key, r.Value, []map[string][]int{}}
		for _, h := range r.Headers {
			var signed []int
			for _, b := range h.Value {
				signed = append(signed, int(int8(b)))
			}
			o.Headers = append(o.Headers, map[string][]int{h.Key: signed})
		}
		all = append(all, o)
	}
	body, err := json.Marshal(map[string]any{
		"eventSource": "SelfManagedKafka", "bootstrapServers": "127.0.0.1:9092",
		"records": map[string][]out{records[0].Topic + "-" + strconv.Itoa(int(records[0].Partition)): all},
	})
	if err != nil {
		return true, err.Error()
	}
	return post(ctx, m.url, http.Header{"Content-Type": {"application/json"}}, body, func(resp *http.Response) bool {
		return resp.StatusCode != http.StatusOK || resp.Header.Get("X-Amz-Function-Error") != ""
	})
}

// source is Knative's KafkaSource, in order: what fails is tried again, and goes
// to the dead-letter sink.
type source struct{ url string }

func (*source) most() int { return 1 }

func (s *source) deliver(ctx context.Context, records []*kgo.Record) (bool, string) {
	r := records[0]
	h := http.Header{
		"Content-Type": {"application/json"}, "Ce-Specversion": {"1.0"}, "Ce-Type": {"dev.knative.kafka.event"},
		"Ce-Source":  {"/apis/v1/namespaces/default/kafkasources/rows#" + r.Topic},
		"Ce-Id":      {fmt.Sprintf("partition:%d/offset:%d", r.Partition, r.Offset)},
		"Ce-Subject": {fmt.Sprintf("partition:%d#%d", r.Partition, r.Offset)},
		"Ce-Time":    {r.Timestamp.UTC().Format(time.RFC3339Nano)},
	}
	if r.Key != nil {
		h.Set("Ce-Key", base64.StdEncoding.EncodeToString(r.Key))
	}
	for _, header := range r.Headers {
		h.Set("Ce-Kafkaheader"+header.Key, string(header.Value))
	}
	return post(ctx, s.url, h, r.Value, func(resp *http.Response) bool { return resp.StatusCode/100 != 2 })
}

func post(ctx context.Context, url string, h http.Header, body []byte, again func(*http.Response) bool) (bool, string) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return true, err.Error()
	}
	req.Header = h
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return true, err.Error()
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return true, err.Error()
	}
	return again(resp), string(text)
}
