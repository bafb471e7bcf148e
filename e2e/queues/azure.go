package main

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"time"

	"godwit.dev/internal/emulate"
)

// The account that Azurite has, with the key that Microsoft has published.
const (
	azuriteAccount = "devstoreaccount1"
	azuriteKey     = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
	azureVersion   = "2021-12-02"
)

// sas is a shared access signature for everything in the account, as a query.
func sas() string {
	key, err := base64.StdEncoding.DecodeString(azuriteKey)
	if err != nil {
		panic(err)
	}
	until := time.Now().Add(time.Hour).UTC().Format(time.RFC3339)
	const permissions, services, resources, protocol = "rwdlacup", "bq", "sco", "https,http"
	mac := hmac.New(sha256.New, key)
	fmt.Fprintf(mac, "%s\n%s\n%s\n%s\n\n%s\n\n%s\n%s\n\n", azuriteAccount, permissions, services, resources, until, protocol, azureVersion)
	return url.Values{
		"sv": {azureVersion}, "ss": {services}, "srt": {resources}, "sp": {permissions}, "se": {until}, "spr": {protocol},
		"sig": {base64.StdEncoding.EncodeToString(mac.Sum(nil))},
	}.Encode()
}

// container is one of Azurite's.
type container struct{ root, sas string }

func (c *container) put(ctx context.Context, key string, data []byte) error {
	return call(ctx, http.MethodPut, c.root+"/"+escapeKey(key)+"?"+c.sas, data, nil, "X-Ms-Blob-Type: BlockBlob", "X-Ms-Version: "+azureVersion)
}

func (c *container) get(ctx context.Context, key string) (data []byte, err error) {
	return data, call(ctx, http.MethodGet, c.root+"/"+escapeKey(key)+"?"+c.sas, nil, &data, "X-Ms-Version: "+azureVersion)
}

func (c *container) remove(ctx context.Context, key string) error {
	return call(ctx, http.MethodDelete, c.root+"/"+escapeKey(key)+"?"+c.sas, nil, nil, "X-Ms-Version: "+azureVersion)
}

func (c *container) list(ctx context.Context, prefix string) (keys []string, err error) {
	var doc struct {
		Names []string `xml:"Blobs>Blob>Name"`
		Next  string   `xml:"NextMarker"`
	}
	err = call(ctx, http.MethodGet, c.root+"?restype=container&comp=list&prefix="+url.QueryEscape(prefix)+"&"+c.sas, nil, &doc, "X-Ms-Version: "+azureVersion)
	if err == nil && doc.Next != "" {
		err = fmt.Errorf("want fewer blobs below %s than one page has", prefix)
	}
	return doc.Names, err
}

// storageQueue is one of Azurite's. Messages are base64, as host.json says.
type storageQueue struct{ root, sas string }

type queueMessage struct {
	MessageId, PopReceipt, MessageText string
	DequeueCount                       int
}

func (q *storageQueue) create(ctx context.Context) error {
	return call(ctx, http.MethodPut, q.root+"?"+q.sas, nil, nil, "X-Ms-Version: "+azureVersion)
}

func (q *storageQueue) send(ctx context.Context, text string) error {
	body, err := xml.Marshal(struct {
		XMLName     xml.Name `xml:"QueueMessage"`
		MessageText string
	}{MessageText: text})
	if err != nil {
		return err
	}
	return call(ctx, http.MethodPost, q.root+"/messages?"+q.sas, body, nil, "X-Ms-Version: "+azureVersion)
}

func (q *storageQueue) receive(ctx context.Context, hidden int) ([]queueMessage, error) {
	var doc struct {
		Messages []queueMessage `xml:"QueueMessage"`
	}
	err := call(ctx, http.MethodGet, q.root+"/messages?numofmessages=16&visibilitytimeout="+strconv.Itoa(hidden)+"&"+q.sas, nil, &doc, "X-Ms-Version: "+azureVersion)
	return doc.Messages, err
}

func (q *storageQueue) remove(ctx context.Context, m *queueMessage) error {
	return call(ctx, http.MethodDelete, q.root+"/messages/"+m.MessageId+"?popreceipt="+url.QueryEscape(m.PopReceipt)+"&"+q.sas, nil, nil, "X-Ms-Version: "+azureVersion)
}

// azure puts blobs into Azurite, of which Event Grid tells the function, and
// payloads into a queue that the Functions host reads. What still fails at the
// fifth try is in the queue's poison queue.
func azure(ctx context.Context, a *addresses) error {
	signature := sas()
	b := &container{"http://" + a.blobs + "/" + azuriteAccount + "/data", signature}
	if err := call(ctx, http.MethodPut, b.root+"?restype=container&"+signature, nil, nil, "X-Ms-Version: "+azureVersion); err != nil {
		return err
	}
	queues := "http://" + a.queues + "/" + azuriteAccount + "/"
	q, poison := &storageQueue{queues + "requests", signature}, &storageQueue{queues + "requests-poison", signature}
	for _, q := range []*storageQueue{q, poison} {
		if err := q.create(ctx); err != nil {
			return err
		}
	}
	dir, err := function(a, "azure", fmt.Sprintf("triggers: [objects, queue]\nbatch: {input: azblob://%[1]s/data/rows/, output: azblob://%[1]s/data/scores/, passThrough: [id]}\n"+
		"auth: platform\ntargets: {azurefunctions: {}}\n", azuriteAccount))
	if err != nil {
		return err
	}
	fn := &running{begin: func() (*emulate.Instance, error) {
		return start(ctx, a, "azurefunctions", a.fnServer, dir, nil, fmt.Sprintf("AZURE_STORAGE_CONNECTION_STRING=DefaultEndpointsProtocol=http;AccountName=%s;AccountKey=%s;BlobEndpoint=http://%s/%[1]s;", azuriteAccount, azuriteKey, a.blobs))
	}}
	defer fn.stop()
	if err := fn.restart(); err != nil {
		return err
	}

	all := objects(12)
	grid := 0
	for n, o := range all {
		if err := b.put(ctx, "rows/"+o.key, o.data); err != nil {
			return err
		}
		event := gridEvent(b.root+"/", "rows/"+o.key, n, len(o.data))
		restarted := make(chan error, 1)
		if len(o.rows) > 1000 { // killed in the middle: the host starts another, and Event Grid tries again
			go func() {
				err := until(ctx, func() (bool, error) {
					keys, err := b.list(ctx, "scores/"+o.key)
					return len(keys) > 0 || ctx.Err() != nil, err
				})
				restarted <- errors.Join(err, fn.restart())
			}()
		} else {
			restarted <- nil
		}
		tries, err := gridDelivers(ctx, fn, event, o.rows != nil)
		if err = errors.Join(err, <-restarted); err != nil {
			return fmt.Errorf("%s: %w", o.key, err)
		}
		grid += tries
	}
	if err := check(ctx, b, fn.get(), all); err != nil {
		return err
	}

	var payloads [][]digit
	for n := range 8 {
		rows := digits(uint64(n), 1+n)
		payloads = append(payloads, rows)
		if err := q.send(ctx, base64.StdEncoding.EncodeToString(request(rows))); err != nil {
			return err
		}
	}
	bad := []string{base64.StdEncoding.EncodeToString([]byte("no request")), "no base64!"}
	for _, text := range bad {
		if err := q.send(ctx, text); err != nil {
			return err
		}
	}
	deliveries, err := hostDrains(ctx, fn, q, poison, len(payloads)+len(bad))
	if err != nil {
		return err
	}
	if err := checkPayloads(ctx, b, fn.get(), payloads); err != nil {
		return err
	}
	slices.Sort(bad)
	if err := poisoned(ctx, poison, bad); err != nil {
		return err
	}

	// They go back to their queue as they are, and fail there as before.
	var out []byte
	if err := until(ctx, func() (bool, error) { // they were looked at, and are hidden for a second
		redrive := exec.CommandContext(ctx, a.godwit, "score", dir, poison.root, q.root, "--redrive")
		redrive.Env = append(os.Environ(), "AZURE_STORAGE_CONNECTION_STRING=AccountName="+azuriteAccount+";AccountKey="+azuriteKey)
		out, err = redrive.CombinedOutput()
		return !strings.Contains(string(out), ": 0 sent to "), err
	}); err != nil || !strings.Contains(string(out), ": 2 sent to "+q.root+" and removed, 0 stay") {
		return fmt.Errorf("want a redrive of 2 messages, got %v: %s", err, out)
	}
	more, err := hostDrains(ctx, fn, q, poison, len(bad))
	if err != nil {
		return err
	}
	if err := poisoned(ctx, poison, bad); err != nil {
		return err
	}
	fmt.Printf("azure: the two sent back to their queue, %d deliveries, and poison again\n", more)
	fmt.Printf("azure: %d blobs by %d deliveries of Event Grid, the function killed once; %d messages by %d deliveries, two of them poison\n", len(all), grid, len(payloads)+len(bad), deliveries)
	return nil
}

// poisoned wants just these messages in the poison queue.
func poisoned(ctx context.Context, poison *storageQueue, bad []string) error {
	aside, err := poison.receive(ctx, 1)
	if err != nil {
		return err
	}
	var got []string
	for _, m := range aside {
		got = append(got, m.MessageText)
	}
	slices.Sort(got)
	if !slices.Equal(got, bad) {
		return fmt.Errorf("want the bad messages in the poison queue, as they came, got %q", got)
	}
	return nil
}

// gridEvent is what Event Grid tells of a blob, in its own schema: the name is
// in the subject as it is, and in the URL escaped.
func gridEvent(root, key string, n, length int) []byte {
	event, err := json.Marshal(map[string]any{
		"topic":   "/subscriptions/0/resourceGroups/e2e/providers/Microsoft.Storage/storageAccounts/" + azuriteAccount,
		"subject": "/blobServices/default/containers/data/blobs/" + key, "eventType": "Microsoft.Storage.BlobCreated",
		"id": fmt.Sprintf("831e1650-001e-001b-66ab-eeb76e%06d", n), "eventTime": time.Now().UTC().Format(time.RFC3339Nano), "dataVersion": "", "metadataVersion": "1",
		"data": map[string]any{"api": "PutBlob", "contentType": "application/octet-stream", "contentLength": length, "blobType": "BlockBlob", "url": root + escapeKey(key), "sequencer": strconv.Itoa(n)},
	})
	if err != nil {
		panic(err)
	}
	return event
}

// gridDelivers delivers an event until it is done, and says how often; one that
// never is done is tried three times here, and 30 times by Event Grid.
func gridDelivers(ctx context.Context, fn *running, event []byte, good bool) (int, error) {
	for tries := 1; ; tries++ {
		i := fn.get()
		d, err := emulate.AzureDelivery(i, "eventgrid", tries, emulate.AzureMessage{Body: event})
		if err != nil {
			return 0, err
		}
		reply, err := i.Deliver(ctx, d)
		if err == nil && !reply.Retry {
			if !good {
				return 0, fmt.Errorf("want a failure, got %d %s", reply.Status, reply.Body)
			}
			return tries, nil
		}
		if !good && tries == 3 {
			return tries, nil
		}
		if tries > 20 {
			return 0, fmt.Errorf("it is not done after %d tries: %v %+v", tries, err, reply)
		}
		if ctx.Err() != nil {
			return 0, ctx.Err()
		}
	}
}

// hostDrains is the host's queue listener: a message is deleted when the
// function succeeded, seen again after a second when it did not, and put into
// the poison queue at the fifth time. It returns when so many are gone, with the
// number of deliveries.
func hostDrains(ctx context.Context, fn *running, q, poison *storageQueue, messages int) (int, error) {
	deliveries := 0
	for messages > 0 {
		got, err := q.receive(ctx, 1)
		if err != nil {
			return 0, err
		}
		if len(got) == 0 {
			select {
			case <-time.After(100 * time.Millisecond):
			case <-ctx.Done():
				return 0, ctx.Err()
			}
		}
		for _, m := range got {
			i := fn.get()
			done := false
			d, err := emulate.AzureDelivery(i, "queue", m.DequeueCount, emulate.AzureMessage{ID: m.MessageId, Body: []byte(m.MessageText)})
			if err == nil {
				deliveries++
				reply, err := i.Deliver(ctx, d)
				done = err == nil && !reply.Retry
			}
			if !done && m.DequeueCount < 5 && err == nil {
				continue // it is seen again
			}
			if !done {
				if err := poison.send(ctx, m.MessageText); err != nil {
					return 0, err
				}
			}
			if err := q.remove(ctx, &m); err != nil {
				return 0, err
			}
			messages--
		}
	}
	return deliveries, nil
}
