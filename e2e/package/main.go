// Command package asks a packaged function for AWS Lambda, which AWS's own
// Runtime Interface Emulator runs, every recorded request of a function folder:
// as the protocol's body alone and as an HTTP API sends it.
package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"

	"godwit.dev/internal/recorded"
	"godwit.dev/runtime/codec"
)

func main() {
	folder := flag.String("function", "", "the function's folder, for its recorded requests")
	address := flag.String("rie", "", "HOST:PORT of AWS's emulator")
	flag.Parse()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	n, err := ask(ctx, *folder, "http://"+*address+"/2015-03-31/functions/function/invocations")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Printf("%d answers as recorded\n", n)
}

func ask(ctx context.Context, folder, url string) (n int, err error) {
	requests, err := recorded.Load(folder)
	if err == nil && len(requests) == 0 {
		err = errors.New("want recorded requests, got none")
	}
	if err != nil {
		return 0, err
	}
	for i := range requests {
		r := &requests[i]
		for name, event := range map[string]func(*recorded.Request) ([]byte, error){"direct": direct, "http-v2": http2} {
			body, err := event(r)
			if err == nil {
				body, err = invoke(ctx, url, body)
			}
			if err == nil && name == "http-v2" {
				body, err = unwrapped(body)
			}
			if err == nil {
				err = check(r, body)
			}
			if err != nil {
				return n, fmt.Errorf("%s/%s, %s: %w", r.Model, r.Name, name, err)
			}
			n++
		}
	}
	return n, nil
}

// direct is the event of who invokes the function itself.
func direct(r *recorded.Request) ([]byte, error) { return r.Body, nil }

// http2 is the event that an HTTP API makes of the request.
func http2(r *recorded.Request) ([]byte, error) {
	path := "/v2/models/" + r.Model + "/infer"
	return json.Marshal(map[string]any{
		"version": "2.0", "routeKey": "$default", "rawPath": path, "rawQueryString": "",
		"headers": map[string]string{"content-type": "application/json", "host": "example.com", "x-forwarded-for": "192.0.2.1"},
		"requestContext": map[string]any{
			"accountId": "123456789012", "apiId": "a1b2c3", "domainName": "example.com", "requestId": "JKJaXmPLvHcESHA=", "routeKey": "$default", "stage": "$default",
			"http": map[string]string{"method": http.MethodPost, "path": path, "protocol": "HTTP/1.1", "sourceIp": "192.0.2.1", "userAgent": "e2e"},
		},
		"body": base64.StdEncoding.EncodeToString(r.Body), "isBase64Encoded": true,
	})
}

// unwrapped is the body that an HTTP API gives the caller.
func unwrapped(event []byte) ([]byte, error) {
	var e struct {
		StatusCode      int    `json:"statusCode"`
		Body            string `json:"body"`
		IsBase64Encoded bool   `json:"isBase64Encoded"`
	}
	if err := json.Unmarshal(event, &e); err != nil {
		return nil, err
	}
	if e.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("want status 200, got %s", event)
	}
	if e.IsBase64Encoded {
		return base64.StdEncoding.DecodeString(e.Body)
	}
	return []byte(e.Body), nil
}

func check(r *recorded.Request, body []byte) error {
	resp, err := codec.DecodeResponse(body, -1, nil)
	if err != nil {
		return fmt.Errorf("%w: %s", err, body)
	}
	return r.Want.Check(resp)
}

// invoke waits for the emulator to listen, and has it invoke the function.
func invoke(ctx context.Context, url string, event []byte) ([]byte, error) {
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(event))
		if err != nil {
			return nil, err
		}
		resp, err := http.DefaultClient.Do(req)
		if err == nil {
			defer resp.Body.Close()
			answer, err := io.ReadAll(resp.Body)
			if err == nil && resp.StatusCode != http.StatusOK {
				err = fmt.Errorf("want status 200, got %d: %s", resp.StatusCode, answer)
			}
			return answer, err
		}
		select {
		case <-ctx.Done():
			return nil, err
		case <-time.After(20 * time.Millisecond):
		}
	}
}
