package storefake

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
)

// Asked is a request as it goes over the wire.
type Asked struct {
	Method, URL string
	Header      http.Header
	Body        string
}

// Wire is an http.RoundTripper without a network: it keeps what is asked, and
// has Answer answer. Its methods may be called concurrently, Answer is not.
type Wire struct {
	// Answer gives the answer to the n-th request, from 0 on.
	Answer func(r *http.Request, body string, n int) (*http.Response, error)

	mu  sync.Mutex
	all []Asked
}

// Script answers with one answer after the other, and with the last from then on.
func Script(answers ...func() (*http.Response, error)) *Wire {
	return &Wire{Answer: func(_ *http.Request, _ string, n int) (*http.Response, error) {
		return answers[min(n, len(answers)-1)]()
	}}
}

// Says is an answer of a status with a body: header are names and values.
func Says(status int, body string, header ...string) func() (*http.Response, error) {
	return func() (*http.Response, error) {
		h := http.Header{}
		for i := 0; i < len(header); i += 2 {
			h.Add(header[i], header[i+1])
		}
		return &http.Response{StatusCode: status, Header: h, Body: io.NopCloser(strings.NewReader(body)), ContentLength: int64(len(body))}, nil
	}
}

// Fails is an answer that does not come.
func Fails(err error) func() (*http.Response, error) {
	return func() (*http.Response, error) { return nil, err }
}

// HMAC is the HMAC-SHA256 of a text in base64, as Azure has it.
func HMAC(key, text string) string {
	mac := hmac.New(sha256.New, []byte(key))
	_, _ = mac.Write([]byte(text)) // it never fails
	return base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

// RoundTrip implements http.RoundTripper.
func (w *Wire) RoundTrip(r *http.Request) (*http.Response, error) {
	var body []byte
	if r.Body != nil {
		var err error
		if body, err = io.ReadAll(r.Body); err != nil {
			return nil, err
		}
		_ = r.Body.Close()
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.all = append(w.all, Asked{r.Method, r.URL.String(), r.Header.Clone(), string(bytes.Clone(body))})
	resp, err := w.Answer(r, string(body), len(w.all)-1)
	if resp != nil {
		resp.Request = r
	}
	return resp, err
}

// All is what was asked.
func (w *Wire) All() []Asked {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.all)
}
