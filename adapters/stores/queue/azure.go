package queue

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/xml"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"godwit.dev/adapters/stores/azauth"
	"godwit.dev/adapters/stores/wire"
	"godwit.dev/runtime/fault"
)

const azureVersion = "2024-11-04"

// azure puts messages into a queue of Azure Storage, in base64 as Functions'
// triggers want it unless they are told otherwise.
func (q *Queue) azure(o *Options, account string) error {
	key, err := azureKey(o.Getenv, account)
	if err != nil {
		return err
	}
	tokens := azauth.New(&azauth.Options{Getenv: o.Getenv, Resource: "https://storage.azure.com/"})
	q.most, q.bytes = 1, 48<<10 // of 64 KiB in base64
	q.client.Sign = func(ctx context.Context, req *http.Request, body []byte) error {
		req.Header.Set("X-Ms-Version", azureVersion)
		if key != nil {
			sharedKey(req, account, key, len(body), time.Now())
			return nil
		}
		token, err := tokens.Token(ctx)
		if err == nil && token != "" {
			req.Header.Set("Authorization", "Bearer "+token)
		}
		return err
	}
	q.client.Read = func(resp *http.Response, body []byte) (name, text string) {
		var e struct{ Code, Message string }
		_ = xml.Unmarshal(body, &e)
		if e.Code == "" {
			e.Code = resp.Header.Get("X-Ms-Error-Code")
		}
		return e.Code, e.Message
	}
	q.client.Hint = func(code fault.Code, _ string) string {
		if code == fault.Denied || code == fault.Unauthenticated {
			return "The identity needs the role Storage Queue Data Message Sender, and for what is taken out again Storage Queue Data Message Processor."
		}
		return ""
	}
	q.text = func(ctx context.Context, text string) error {
		var escaped bytes.Buffer
		if err := xml.EscapeText(&escaped, []byte(text)); err != nil {
			return fault.New(fault.Internal, "azqueue.Send", q.at.Path, "%w", err)
		}
		_, _, err := q.client.Text(ctx, &wire.Call{
			Op: "azqueue.Send", Key: q.at.Path, Method: http.MethodPost, Header: http.Header{"Content-Type": {"application/xml"}},
			Body: []byte("<QueueMessage><MessageText>" + escaped.String() + "</MessageText></QueueMessage>"),
			URL: func() *url.URL {
				return &url.URL{Scheme: q.at.Scheme, Host: q.at.Host, Path: strings.TrimSuffix(q.at.Path, "/") + "/messages"}
			},
		})
		return err
	}
	q.send = func(ctx context.Context, messages [][]byte) error {
		for _, m := range messages {
			if err := q.text(ctx, base64.StdEncoding.EncodeToString(m)); err != nil {
				return err
			}
		}
		return nil
	}
	return nil
}

// azureKey is the account's key, if the environment has it.
func azureKey(getenv func(string) string, account string) ([]byte, error) {
	text := ""
	for pair := range strings.SplitSeq(getenv("AZURE_STORAGE_CONNECTION_STRING"), ";") {
		name, value, _ := strings.Cut(strings.TrimSpace(pair), "=")
		switch strings.ToLower(name) {
		case "accountname":
			if value != account {
				return nil, nil
			}
		case "accountkey":
			text = value
		}
	}
	if of := getenv("AZURE_STORAGE_ACCOUNT"); text == "" && (of == "" || of == account) {
		text = getenv("AZURE_STORAGE_KEY")
	}
	if text == "" {
		return nil, nil
	}
	key, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return nil, fault.New(fault.BadConfig, "queue.Open", account, "want the account's key in base64, got something else")
	}
	return key, nil
}

// sharedKey signs a request with an account's key.
func sharedKey(req *http.Request, account string, key []byte, length int, now time.Time) {
	req.Header.Set("X-Ms-Date", now.UTC().Format(http.TimeFormat))
	size := ""
	if length > 0 {
		size = strconv.Itoa(length)
	}
	lines := []string{req.Method, "", "", size, "", req.Header.Get("Content-Type"), "", "", "", "", "", "",
		"x-ms-date:" + req.Header.Get("X-Ms-Date"), "x-ms-version:" + req.Header.Get("X-Ms-Version"), "/" + account + req.URL.EscapedPath()}
	query := req.URL.Query()
	for _, name := range slices.Sorted(maps.Keys(query)) { // all in lower case, with one value each
		lines = append(lines, name+":"+query.Get(name))
	}
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(strings.Join(lines, "\n")))
	req.Header.Set("Authorization", "SharedKey "+account+":"+base64.StdEncoding.EncodeToString(mac.Sum(nil)))
}
