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
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"godwit.dev/internal/emulate"
)

// scenarios are what the stack is for, cheapest first where one action is used by
// several. Objects have names of their own in each run.
var scenarios = []scenario{
	{name: "object", play: object},
	{name: "again", play: again},
	{name: "poison", play: poison},
	{name: "gone", play: gone},
	{name: "replaced", play: replaced},
	{name: "payload", play: payload},
	{name: "released", play: released},
	{name: "lost", play: lost},
	{name: "split", play: split},
	{name: "prefix", play: prefix},
	{name: "event", play: event},
	{name: "notification", play: notification},
	{name: "kept", play: kept, named: true},
	{name: "rollout", play: func(ctx context.Context, w *world) error {
		return rollout(ctx, w, "Online", "RolloutHook", "RolloutApplication", "rollout", "hook")
	}},
	{name: "batchrollout", play: func(ctx context.Context, w *world) error {
		return rollout(ctx, w, "Batch", "RolloutBatchHook", "RolloutBatchApplication", "batchrollout", "batchhook")
	}},
}

// object: an object that is put is scored.
func object(ctx context.Context, w *world) error {
	rows := rowsOf(1, 20)
	if err := w.rows.put(ctx, "rows/"+w.run+" é+1.jsonl", lines(rows)); err != nil {
		return err
	}
	if err := w.pump.drain(ctx, w.by, 3, 0); err != nil {
		return err
	}
	return w.scored(ctx, w.run+" é+1.jsonl", rows)
}

// again: the same bytes put again are no work, and what is there is found.
func again(ctx context.Context, w *world) error {
	rows := rowsOf(2, 10)
	for range 2 {
		if err := w.rows.put(ctx, "rows/"+w.run+".jsonl", lines(rows)); err != nil {
			return err
		}
		if err := w.pump.drain(ctx, w.by, 3, 0); err != nil {
			return err
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
	all, err := w.queue.attributes(ctx, w.moto)
	if err != nil {
		return err
	}
	var redrive struct{ MaxReceiveCount int }
	if err := json.Unmarshal([]byte(all["RedrivePolicy"]), &redrive); err != nil {
		return err
	}
	if err := w.pump.drain(ctx, w.by, 12, redrive.MaxReceiveCount); err != nil {
		return err
	}
	if err := w.scored(ctx, w.run+".jsonl", rows); err != nil {
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
	found, err := w.said("not_found")
	if err == nil && !found {
		err = errors.New("want the log to say not_found, got another reason")
	}
	return err
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
	if _, failed, err := w.pump.poll(ctx, w.by); err != nil {
		return err
	} else if len(failed) == 0 {
		return errors.New("want it to come again, got it done")
	}
	after, err := w.scores.uploads(ctx)
	if err == nil && (!begun.Load() || after != before) {
		err = fmt.Errorf("want an upload that is begun (%v) and given up, got %d that are neither", begun.Load(), after-before)
	}
	return err
}

// payload: a message that is a request is answered below the output.
func payload(ctx context.Context, w *world) error {
	return w.answered(ctx, func(request string) error { return w.send(ctx, []byte(request)) })
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
	if err := w.pump.drain(ctx, w.by, 2, 1); err != nil {
		return err
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
	return w.pump.drain(ctx, w.by, 2, 1)
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
	if err := w.rows.put(ctx, "rows/"+w.run+".jsonl.gz", long()); err != nil {
		return err
	}
	if _, failed, err := w.pump.poll(ctx, w.by); err != nil {
		return err
	} else if len(failed) > 0 {
		return errors.New("want it handed out, got it to come again")
	}
	messages, err := w.pump.take(ctx, &w.queue)
	messages = slices.DeleteFunc(messages, func(m message) bool { return !strings.HasPrefix(m.Body, `{"godwit":"parts"`) })
	if err == nil && len(messages) != 2 {
		err = fmt.Errorf("want messages for two parts, got %d", len(messages))
	}
	return err
}

// long is rows of more than the 64 MiB that are one part, most of it blanks.
func long() []byte {
	line := append(bytes.TrimSuffix(lines(rowsOf(6, 1)), []byte("\n")), bytes.Repeat([]byte(" "), 64<<10)...)
	line[len(line)-1] = '\n'
	var packed bytes.Buffer
	z, _ := gzip.NewWriterLevel(&packed, gzip.BestSpeed) // into memory, as is all below
	for n := 0; n < 70<<20; n += len(line) {
		_, _ = z.Write(line)
	}
	_ = z.Close()
	return packed.Bytes()
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
		if err != nil {
			return err
		}
		if reply.Retry {
			return fmt.Errorf("want results, got an error: %s", reply.Body)
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

// event: what is put on the stack's bus is answered below the output.
func event(ctx context.Context, w *world) error {
	return w.answered(ctx, func(request string) error {
		var got struct{ FailedEntryCount int }
		entry := map[string]any{"Source": "e2e", "DetailType": "rows", "Detail": request, "EventBusName": w.stack.outputs["EventBusName"]}
		err := w.moto.json(ctx, "events", "AWSEvents.PutEvents", map[string]any{"Entries": []any{entry}}, &got)
		if err == nil && got.FailedEntryCount > 0 {
			err = errors.New("want the event taken, got it refused")
		}
		return err
	})
}

// notification: so is what the stack's topic is told.
func notification(ctx context.Context, w *world) error {
	return w.answered(ctx, func(request string) error {
		return w.moto.query(ctx, "sns", "2010-03-31", "Publish", url.Values{"TopicArn": {w.stack.outputs["TopicArn"]}, "Message": {request}}, nil)
	})
}

// answered wants one answer to a request that is sent.
func (w *world) answered(ctx context.Context, send func(string) error) error {
	before, err := w.scores.list(ctx, "scores/")
	if err != nil {
		return err
	}
	if err := send(string(request(rowsOf(uint64(w.runs), 3)))); err != nil {
		return err
	}
	if err := w.pump.drain(ctx, w.by, 3, 0); err != nil {
		return err
	}
	return w.more(ctx, len(before), 1)
}

// kept: with batch.deadLetter a bad object is done at once, and lies below the
// output with the reason.
func kept(ctx context.Context, w *world) error {
	if err := w.rows.put(ctx, "rows/"+w.run+".parquet", []byte("PAR1 and no more")); err != nil {
		return err
	}
	if err := w.pump.drain(ctx, w.by, 3, 0); err != nil {
		return err
	}
	all, err := w.scores.list(ctx, "scores/dead/")
	if err != nil || len(all) != 1 {
		return errors.Join(err, fmt.Errorf("want what failed below dead/, got %v", all))
	}
	text, err := w.scores.get(ctx, all[0].Key)
	if err == nil && !bytes.Contains(text, []byte(w.run+".parquet")) {
		err = fmt.Errorf("want the object and the reason, got %s", text)
	}
	return err
}

// rollout: before traffic goes to a new version, CodeDeploy asks the hook, which
// asks the version what is recorded, and tells CodeDeploy that it may go on.
func rollout(ctx context.Context, w *world, of, hookID, application, as, role string) error {
	hook, err := w.stack.function(ctx, hookID)
	if err != nil {
		return err
	}
	asked, err := w.stack.function(ctx, of+"Function")
	if err != nil {
		return err
	}
	if got := hook.Environment.Variables["GODWIT_HOOK"]; got != asked.FunctionName+":1" {
		return fmt.Errorf("want a hook for %s:1, got %q", asked.FunctionName, got)
	}
	group, err := w.stack.named("AWS::CodeDeploy::DeploymentGroup", strings.TrimSuffix(application, "Application")+"DeploymentGroup")
	if err != nil {
		return err
	}
	var named struct {
		ApplicationName     struct{ Ref string }
		DeploymentGroupName string
	}
	if err := json.Unmarshal(group.Properties, &named); err != nil || !strings.HasPrefix(named.ApplicationName.Ref, application) {
		return fmt.Errorf("want a group of %s, got %s (%v)", application, group.Properties, err)
	}
	version, err := w.start(ctx, asked, "online")
	if err != nil {
		return err
	}
	defer version.Kill()
	by, err := w.start(ctx, hook, role)
	if err != nil {
		return err
	}
	defer by.Kill()
	var told atomic.Value
	w.proxy.meddling(func(_ string, a *ask, rw http.ResponseWriter, r *http.Request) bool {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		switch a.action {
		case "lambda:InvokeFunction":
			reply, err := version.Deliver(r.Context(), &emulate.Delivery{Body: body})
			if err != nil {
				panic(http.ErrAbortHandler)
			}
			if reply.Retry {
				rw.Header().Set("X-Amz-Function-Error", "Unhandled")
			}
			_, _ = rw.Write(reply.Body)
		case "codedeploy:PutLifecycleEventHookExecutionStatus":
			var got struct{ Status string }
			_ = json.Unmarshal(body, &got)
			told.Store(got.Status)
			_, _ = rw.Write([]byte("{}"))
		default:
			return false
		}
		return true
	})
	if !w.proxy.may(as, &ask{"lambda:InvokeFunction", hook.FunctionArn, nil}, false) {
		return errors.New("CodeDeploy: not authorized to perform lambda:InvokeFunction on the hook")
	}
	question := fmt.Sprintf(`{"DeploymentId": "%s/%s", "LifecycleEventHookExecutionId": "1"}`, named.ApplicationName.Ref, named.DeploymentGroupName)
	reply, err := by.Deliver(ctx, &emulate.Delivery{Body: []byte(question)})
	if err != nil {
		return err
	}
	if told.Load() != "Succeeded" || reply.Retry {
		return fmt.Errorf("want CodeDeploy told Succeeded, got %v and %s", told.Load(), reply.Body)
	}
	return nil
}
