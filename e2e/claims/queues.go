package main

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"godwit.dev/adapters/stores/awsauth"
	"godwit.dev/adapters/stores/queue"
)

// place is a queue that is made and emptied by calls of our own, which share no
// code with what sends.
type place struct {
	name, url string
	create    func(ctx context.Context) error
	receive   func(ctx context.Context) ([]string, error)
}

// queues sends to the queues of moto, pstest and Azurite, and takes everything
// out again.
func queues(ctx context.Context) error {
	for _, k := range []place{
		sqs("SQS", "rows"), sqs("SQS, FIFO", "rows.fifo"), pubsub(), azure(),
	} {
		if err := k.create(ctx); err != nil {
			return fmt.Errorf("%s: %w", k.name, err)
		}
		q, err := queue.Open(k.url, &queue.Options{Getenv: os.Getenv})
		if err != nil {
			return err
		}
		var want []string
		var messages [][]byte
		for i := range 25 {
			text := fmt.Sprintf(`{"godwit":"parts","object":"s3://lake/ü b&<%02d>.csv"}`, i)
			want, messages = append(want, text), append(messages, []byte(text))
		}
		if err := q.Send(ctx, messages); err != nil {
			return fmt.Errorf("%s: %w", k.name, err)
		}
		var got []string
		for range 100 {
			some, err := k.receive(ctx)
			if err != nil {
				return fmt.Errorf("%s: %w", k.name, err)
			}
			if got = append(got, some...); len(got) >= len(want) {
				break
			}
		}
		if slices.Sort(got); !slices.Equal(got, want) {
			return fmt.Errorf("%s: want what was sent, got %q", k.name, got)
		}
		fmt.Printf("ok: %s: %d messages there and back\n", k.name, len(got))
	}
	return nil
}

// ask makes one request and reads the answer, which is none of 2xx an error.
func ask(ctx context.Context, method, at, body string, set func(*http.Request)) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, method, at, strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	set(req)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode/100 != 2 {
		err = fmt.Errorf("%s %s: %s %s", method, at, resp.Status, bytes.TrimSpace(text))
	}
	return text, err
}

func sqs(title, name string) place {
	root := os.Getenv("AWS_ENDPOINT_URL")
	k := place{name: title, url: root + "/123456789012/" + name}
	call := func(ctx context.Context, action, body string) ([]byte, error) {
		return ask(ctx, http.MethodPost, root+"/", body, func(r *http.Request) {
			r.Header.Set("Content-Type", "application/x-amz-json-1.0")
			r.Header.Set("X-Amz-Target", "AmazonSQS."+action)
			awsauth.Sign(r, &awsauth.Credentials{ID: "key", Secret: "secret"}, "sqs", "eu-west-1", awsauth.Sum([]byte(body)), time.Now())
		})
	}
	k.create = func(ctx context.Context) error {
		attributes := `{}`
		if strings.HasSuffix(name, ".fifo") {
			attributes = `{"FifoQueue": "true"}`
		}
		_, err := call(ctx, "CreateQueue", `{"QueueName": "`+name+`", "Attributes": `+attributes+`}`)
		return err
	}
	k.receive = func(ctx context.Context) ([]string, error) {
		text, err := call(ctx, "ReceiveMessage", `{"QueueUrl": "`+k.url+`", "MaxNumberOfMessages": 10}`)
		if err != nil {
			return nil, err
		}
		var out struct{ Messages []struct{ Body string } }
		if err := json.Unmarshal(text, &out); err != nil {
			return nil, err
		}
		var all []string
		for _, m := range out.Messages {
			all = append(all, m.Body)
		}
		return all, nil
	}
	return k
}

func pubsub() place {
	root := "http://" + os.Getenv("PUBSUB")
	k := place{name: "Pub/Sub", url: root + "/projects/p/topics/rows"}
	call := func(ctx context.Context, method, path, body string) ([]byte, error) {
		return ask(ctx, method, root+"/v1/projects/p/"+path, body, func(r *http.Request) { r.Header.Set("Content-Type", "application/json") })
	}
	k.create = func(ctx context.Context) error {
		if _, err := call(ctx, http.MethodPut, "topics/rows", "{}"); err != nil {
			return err
		}
		_, err := call(ctx, http.MethodPut, "subscriptions/rows", `{"topic": "projects/p/topics/rows", "ackDeadlineSeconds": 60}`)
		return err
	}
	k.receive = func(ctx context.Context) ([]string, error) {
		text, err := call(ctx, http.MethodPost, "subscriptions/rows:pull", `{"maxMessages": 100}`)
		if err != nil {
			return nil, err
		}
		var out struct {
			ReceivedMessages []struct{ Message struct{ Data []byte } }
		}
		if err := json.Unmarshal(text, &out); err != nil {
			return nil, err
		}
		var all []string
		for _, m := range out.ReceivedMessages {
			all = append(all, string(m.Message.Data))
		}
		return all, nil
	}
	return k
}

func azure() place {
	account, root := os.Getenv("AZURE_STORAGE_ACCOUNT"), "http://"+os.Getenv("AZURE_QUEUE")
	k := place{name: "Azure Storage queue", url: root + "/" + account + "/rows"}
	call := func(ctx context.Context, method, path, query string) ([]byte, error) {
		at := k.url + path
		if query != "" {
			at += "?" + query
		}
		return ask(ctx, method, at, "", func(r *http.Request) {
			r.Header.Set("X-Ms-Version", "2021-12-02")
			r.Header.Set("X-Ms-Date", time.Now().UTC().Format(http.TimeFormat))
			text := method + strings.Repeat("\n", 12) + "x-ms-date:" + r.Header.Get("X-Ms-Date") + "\nx-ms-version:2021-12-02\n/" + account + r.URL.Path
			if query != "" {
				text += "\n" + strings.Replace(query, "=", ":", 1)
			}
			key, _ := base64.StdEncoding.DecodeString(os.Getenv("AZURE_STORAGE_KEY"))
			mac := hmac.New(sha256.New, key)
			mac.Write([]byte(text))
			r.Header.Set("Authorization", "SharedKey "+account+":"+base64.StdEncoding.EncodeToString(mac.Sum(nil)))
		})
	}
	k.create = func(ctx context.Context) error {
		_, err := call(ctx, http.MethodPut, "", "")
		return err
	}
	k.receive = func(ctx context.Context) ([]string, error) {
		text, err := call(ctx, http.MethodGet, "/messages", "numofmessages="+strconv.Itoa(32))
		if err != nil {
			return nil, err
		}
		var out struct {
			QueueMessage []struct{ MessageText string }
		}
		if err := xml.Unmarshal(text, &out); err != nil {
			return nil, err
		}
		var all []string
		for _, m := range out.QueueMessage {
			plain, err := base64.StdEncoding.DecodeString(m.MessageText)
			if err != nil {
				return nil, err
			}
			all = append(all, string(plain))
		}
		return all, nil
	}
	return k
}
