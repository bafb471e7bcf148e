package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/md5"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"godwit.dev/internal/emulate"
)

// scenarios are what the stack is for, cheapest first where one action is used by
// several. Objects have names of their own in each run.
var scenarios = []scenario{
	{"object", object},
	{"again", again},
	{"poison", poison},
	{"gone", gone},
	{"replaced", replaced},
	{"payload", payload},
	{"released", released},
	{"lost", lost},
	{"split", split},
	{"prefix", prefix},
}

// object: an object that is put is scored.
func object(ctx context.Context, w *world) error {
	rows := rowsOf(1, 20)
	if err := w.rows.put(ctx, "rows/"+w.run+" é+1.jsonl", lines(rows)); err != nil {
		return err
	}
	if failed, err := w.pump.drain(ctx, w.by, 3); err != nil || failed > 0 {
		return fmt.Errorf("want it scored at once, got %d failures: %w", failed, orNone(err))
	}
	return w.scored(ctx, w.run+" é+1.jsonl", rows)
}

var errNone = errors.New("without an error")

func orNone(err error) error {
	if err == nil {
		return errNone
	}
	return err
}

// again: the same bytes put again are no work, and what is there is found.
func again(ctx context.Context, w *world) error {
	rows := rowsOf(2, 10)
	for range 2 {
		if err := w.rows.put(ctx, "rows/"+w.run+".jsonl", lines(rows)); err != nil {
			return err
		}
		if failed, err := w.pump.drain(ctx, w.by, 3); err != nil || failed > 0 {
			return fmt.Errorf("want it scored at once, got %d failures: %w", failed, orNone(err))
		}
	}
	return w.scored(ctx, w.run+".jsonl", rows)
}

// poison: what is bad is tried as often as the queue says, and lies with the dead
// letters then; what came with it is scored.
func poison(ctx context.Context, w *world) error {
	rows := rowsOf(3, 10)
	if err := errors.Join(w.rows.put(ctx, "rows/"+w.run+".parquet", []byte("PAR1 and no more")), w.rows.put(ctx, "rows/"+w.run+".jsonl", lines(rows))); err != nil {
		return err
	}
	if _, err := w.pump.drain(ctx, w.by, 12); err != nil {
		return err
	}
	if err := w.scored(ctx, w.run+".jsonl", rows); err != nil {
		return err
	}
	all, err := w.queue.attributes(ctx, w.moto)
	if err != nil {
		return err
	}
	var redrive struct{ MaxReceiveCount int }
	if err := json.Unmarshal([]byte(all["RedrivePolicy"]), &redrive); err != nil {
		return err
	}
	letters, err := w.pump.take(ctx, &w.dead)
	if err != nil {
		return err
	}
	if len(letters) != 1 || !strings.Contains(letters[0].Body, ".parquet") || w.pump.attempts[letters[0].MessageId] != redrive.MaxReceiveCount {
		return fmt.Errorf("want the bad object with the dead letters after %d deliveries, got %v after %v", redrive.MaxReceiveCount, letters, w.pump.attempts)
	}
	return nil
}

// gone: of an object that is removed before it is read it is said that it is not
// there, and not that it may not be read.
func gone(ctx context.Context, w *world) error {
	key := "rows/" + w.run + ".jsonl"
	if err := errors.Join(w.rows.put(ctx, key, lines(rowsOf(4, 1))), w.rows.remove(ctx, key)); err != nil {
		return err
	}
	if _, _, err := w.pump.poll(ctx, w.by); err != nil {
		return err
	}
	if found, err := w.said("not_found"); err != nil || !found {
		return fmt.Errorf("want the log to say not_found: %w", orNone(err))
	}
	return nil
}

// replaced: when an object is replaced while it is read, nothing of what was
// written in parts stays behind.
func replaced(ctx context.Context, w *world) error {
	key := "rows/" + w.run + ".jsonl"
	data := lines(rowsOf(5, 80000)) // scores of more than the 8 MiB that are one part
	before, err := w.scores.uploads(ctx)
	if err != nil {
		return err
	}
	if err := w.rows.put(ctx, key, data); err != nil {
		return err
	}
	var begun, over atomic.Bool
	w.proxy.meddling(func(_ string, a *ask, rw http.ResponseWriter, r *http.Request) bool {
		if a.action == "s3:PutObject" && r.URL.Query().Has("partNumber") {
			begun.Store(true)
		}
		var from, to int
		if n, _ := fmt.Sscanf(r.Header.Get("Range"), "bytes=%d-%d", &from, &to); n < 2 {
			from, to = 0, len(data)-1
		}
		end := len(data) * 95 / 100
		if a.action != "s3:GetObject" || r.Method != http.MethodGet || !strings.HasSuffix(a.resource, key) || to < end || over.Load() {
			return false
		}
		// The end of the object comes when a part of the scores is written, and is
		// that of another.
		rw.Header().Set("Content-Length", fmt.Sprint(to-from+1))
		rw.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", from, to, len(data)))
		rw.Header().Set("ETag", `"`+etag(data)+`"`)
		rw.WriteHeader(http.StatusPartialContent)
		_, _ = rw.Write(data[min(from, end):end])
		_ = http.NewResponseController(rw).Flush()
		for !begun.Load() {
			if r.Context().Err() != nil { // it was the beginning that was wanted
				panic(http.ErrAbortHandler)
			}
			time.Sleep(10 * time.Millisecond)
		}
		if over.CompareAndSwap(false, true) {
			_ = w.rows.put(ctx, key, []byte("{}\n"))
		}
		panic(http.ErrAbortHandler)
	})
	if _, failed, err := w.pump.poll(ctx, w.by); err != nil || len(failed) == 0 {
		return fmt.Errorf("want it to come again, got %v: %w", failed, orNone(err))
	}
	after, err := w.scores.uploads(ctx)
	if err == nil && (!begun.Load() || after != before) {
		err = fmt.Errorf("want an upload that is begun (%v) and given up, got %d that are neither", begun.Load(), after-before)
	}
	return err
}

// payload: a message that is a request is answered below the output.
func payload(ctx context.Context, w *world) error {
	if err := w.send(ctx, request(rowsOf(uint64(w.runs), 3))); err != nil {
		return err
	}
	before, err := w.scores.list(ctx, "scores/")
	if err != nil {
		return err
	}
	if failed, err := w.pump.drain(ctx, w.by, 3); err != nil || failed > 0 {
		return fmt.Errorf("want it answered at once, got %d failures: %w", failed, orNone(err))
	}
	return w.more(ctx, len(before), 1)
}

// more wants so many objects more than there were.
func (w *world) more(ctx context.Context, were, n int) error {
	after, err := w.scores.list(ctx, "scores/")
	if err == nil && len(after) != were+n {
		err = fmt.Errorf("want %d objects more, got %d", n, len(after)-were)
	}
	return err
}

func (w *world) send(ctx context.Context, body []byte) error {
	return w.queue.call(ctx, w.moto, "SendMessage", map[string]any{"MessageBody": string(body)}, nil)
}

// released: an answer that could not be written is given at the next delivery.
// Nobody waits until the claim of the first has run out.
func released(ctx context.Context, w *world) error {
	if err := w.send(ctx, request(rowsOf(uint64(w.runs), 3))); err != nil {
		return err
	}
	before, err := w.scores.list(ctx, "scores/")
	if err != nil {
		return err
	}
	var once atomic.Bool
	w.proxy.meddling(func(_ string, a *ask, rw http.ResponseWriter, _ *http.Request) bool {
		if a.action != "s3:PutObject" || !once.CompareAndSwap(false, true) {
			return false
		}
		rw.WriteHeader(http.StatusBadRequest)
		_, _ = rw.Write([]byte("<Error><Code>InvalidRequest</Code><Message>not now</Message></Error>"))
		return true
	})
	if failed, err := w.pump.drain(ctx, w.by, 2); err != nil || failed != 1 {
		return fmt.Errorf("want it answered at the second delivery, got %d failures: %w", failed, orNone(err))
	}
	return w.more(ctx, len(before), 1)
}

// lost: when a claim is removed while the work goes on, it is found lost, and the
// message comes again.
func lost(ctx context.Context, w *world) error {
	if err := w.send(ctx, request(rowsOf(uint64(w.runs), 3))); err != nil {
		return err
	}
	var once atomic.Bool
	w.proxy.meddling(func(_ string, a *ask, _ http.ResponseWriter, _ *http.Request) bool {
		if a.action == "s3:PutObject" && once.CompareAndSwap(false, true) {
			_ = w.clearClaims(ctx)
		}
		return false
	})
	if failed, err := w.pump.drain(ctx, w.by, 2); err != nil || failed != 1 {
		return fmt.Errorf("want it done at the second delivery, got %d failures: %w", failed, orNone(err))
	}
	if denied, err := w.said("denied"); err != nil || denied {
		return fmt.Errorf("want a claim that is lost, got one that may not be read: %w", orNone(err))
	}
	return nil
}

// etag is S3's of what is put at once.
func etag(data []byte) string {
	sum := md5.Sum(data)
	return hex.EncodeToString(sum[:])
}

func (w *world) clearClaims(ctx context.Context) error {
	const table = "godwit-claims"
	var got struct {
		Items []struct{ ID struct{ S string } }
	}
	if err := w.moto.json(ctx, "dynamodb", "DynamoDB_20120810.Scan", map[string]any{"TableName": table}, &got); err != nil {
		return err
	}
	for _, i := range got.Items {
		key := map[string]any{"id": map[string]string{"S": i.ID.S}}
		if err := w.moto.json(ctx, "dynamodb", "DynamoDB_20120810.DeleteItem", map[string]any{"TableName": table, "Key": key}, nil); err != nil {
			return err
		}
	}
	return nil
}

// split: an object of two parts becomes two messages of its own queue.
func split(ctx context.Context, w *world) error {
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	block := lines(rowsOf(6, 4000))
	for n := 0; n < 70<<20; n += len(block) {
		_, _ = z.Write(block) // into memory
	}
	if err := errors.Join(z.Close(), w.rows.put(ctx, "rows/"+w.run+".jsonl.gz", packed.Bytes())); err != nil {
		return err
	}
	if _, failed, err := w.pump.poll(ctx, w.by); err != nil || len(failed) > 0 {
		return fmt.Errorf("want it handed out, got %v: %w", failed, orNone(err))
	}
	messages, err := w.pump.take(ctx, &w.queue)
	messages = slices.DeleteFunc(messages, func(m message) bool { return !strings.HasPrefix(m.Body, `{"godwit":"parts"`) })
	if err == nil && len(messages) != 2 {
		err = fmt.Errorf("want messages for two parts, got %d", len(messages))
	}
	return err
}

// prefix: the state machine has all objects below a prefix scored. What Step
// Functions does is done as the deployed definition says, with the machine's role.
func prefix(ctx context.Context, w *world) error {
	machine, err := w.stack.named("AWS::StepFunctions::StateMachine", "BatchMap")
	if err != nil {
		return err
	}
	var described struct{ Definition string }
	if err := w.moto.json(ctx, "states", "AWSStepFunctions.DescribeStateMachine", map[string]any{"stateMachineArn": machine.Physical}, &described); err != nil {
		return err
	}
	type place struct {
		Resource   string
		Parameters map[string]string
	}
	var definition struct {
		States map[string]struct {
			ItemReader, ResultWriter place
			ItemBatcher              struct {
				MaxItemsPerBatch int
				BatchInput       json.RawMessage
			}
			ItemProcessor struct{ States map[string]place }
		}
	}
	if err := json.Unmarshal([]byte(described.Definition), &definition); err != nil {
		return err
	}
	d := definition.States["Objects"]
	score := d.ItemProcessor.States["Score"]
	if d.ItemReader.Resource != "arn:aws:states:::s3:listObjectsV2" || d.ItemReader.Parameters["Prefix.$"] != "$.prefix" || score.Resource != "arn:aws:states:::lambda:invoke" ||
		score.Parameters["Payload.$"] != "$" || d.ResultWriter.Resource != "arn:aws:states:::s3:putObject" || d.ItemBatcher.MaxItemsPerBatch < 1 {
		return fmt.Errorf("want a map that lists, invokes and writes, got %s", described.Definition)
	}
	if !strings.HasPrefix(score.Parameters["FunctionName"], w.function.FunctionArn) && !strings.HasPrefix(w.mapping.FunctionArn, score.Parameters["FunctionName"]) {
		return fmt.Errorf("want the map to invoke what the queue's messages go to, got %s", score.Parameters["FunctionName"])
	}
	rows := rowsOf(7, 5)
	for _, name := range []string{"a.jsonl", "b c.jsonl"} {
		if err := w.rows.put(ctx, "rows/"+w.run+"/"+name, lines(rows)); err != nil {
			return err
		}
	}
	as := &client{w.proxy.address, "map"}
	from, to := bucket{as, d.ItemReader.Parameters["Bucket"]}, bucket{as, d.ResultWriter.Parameters["Bucket"]}
	found, err := from.list(ctx, "rows/"+w.run+"/")
	if err != nil {
		return err
	}
	for n := 0; len(found) > 0; n++ {
		var items []map[string]any
		for _, o := range found[:min(len(found), d.ItemBatcher.MaxItemsPerBatch)] {
			items = append(items, map[string]any{"Key": o.Key, "Etag": o.ETag, "Size": o.Size, "StorageClass": "STANDARD"})
		}
		found = found[len(items):]
		event, err := json.Marshal(map[string]any{"Items": items, "BatchInput": d.ItemBatcher.BatchInput})
		if err != nil {
			return err
		}
		if !w.proxy.may("map", &ask{"lambda:InvokeFunction", score.Parameters["FunctionName"], nil}, false) {
			return errors.New("Lambda.AccessDeniedException: not authorized to perform lambda:InvokeFunction")
		}
		reply, err := w.by.Deliver(ctx, &emulate.Delivery{Body: event})
		if err != nil || reply.Retry {
			return fmt.Errorf("want a reply, got %s: %w", reply.Body, orNone(err))
		}
		var results struct{ Results []struct{ State string } }
		if err := json.Unmarshal(reply.Body, &results); err != nil || len(results.Results) != len(items) {
			return fmt.Errorf("want %d results, got %s", len(items), reply.Body)
		}
		if err := to.put(ctx, fmt.Sprintf("%s/%s/SUCCEEDED_%d.json", d.ResultWriter.Parameters["Prefix"], w.run, n), reply.Body); err != nil {
			return err
		}
	}
	for _, name := range []string{"a.jsonl", "b c.jsonl"} {
		if err := w.scored(ctx, w.run+"/"+name, rows); err != nil {
			return err
		}
	}
	return nil
}
