package awslambda

import (
	"encoding/base64"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// recorder is the http.ResponseWriter of one request. It keeps no more than the
// platform would take.
type recorder struct {
	header http.Header
	status int
	body   []byte
	limit  int
	total  int // bytes written
	over   bool
}

func (w *recorder) Header() http.Header { return w.header }

func (w *recorder) WriteHeader(status int) {
	if w.status == 0 && status >= 200 { // informational ones have no place in an event
		w.status = status
	}
}

func (w *recorder) Write(p []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	w.total += len(p)
	if w.over || w.total > w.limit {
		w.over, w.body = true, nil
		return len(p), nil
	}
	if w.body == nil {
		if n, err := strconv.Atoi(w.header.Get("Content-Length")); err == nil {
			w.body = make([]byte, 0, min(max(n, len(p)), w.limit))
		}
	}
	w.body = append(w.body, p...)
	return len(p), nil
}

// asText tells whether the body goes as it is: others go in base64.
func (w *recorder) asText() bool {
	if w.header["Content-Encoding"] != nil || w.header["Inference-Header-Content-Length"] != nil {
		return false
	}
	media, _, _ := strings.Cut(w.header.Get("Content-Type"), ";")
	media = strings.ToLower(strings.TrimSpace(media))
	if media != "application/json" && !strings.HasPrefix(media, "text/") && !strings.HasSuffix(media, "+json") {
		return len(w.body) == 0
	}
	return utf8.Valid(w.body)
}

// passed tells headers that go on from those of a connection, which is the
// platform's.
func passed(name string) bool {
	switch name {
	case "Connection", "Content-Length", "Date", "Keep-Alive", "Transfer-Encoding", "Upgrade":
		return false
	}
	return true
}

// reply is the response in an event's form.
func (w *recorder) reply(f form) []byte {
	w.WriteHeader(http.StatusOK)
	asText := w.asText()
	size := 512 + len(w.body)*4/3
	if asText {
		size += len(w.body) / 4
	}
	b := make([]byte, 0, size)
	b = append(b, '{')
	b = w.appendHead(b, f)
	b = append(b, `,"body":`...)
	if asText {
		b = appendQuoted(b, w.body)
		return append(b, `,"isBase64Encoded":false}`...)
	}
	b = append(b, '"')
	b = base64.StdEncoding.AppendEncode(b, w.body)
	return append(b, `","isBase64Encoded":true}`...)
}

// appendHead appends the members statusCode to headers or multiValueHeaders.
// REST APIs and load balancers that send all values get all values; elsewhere
// they are in one, but for cookies, of which a comma is no separator.
func (w *recorder) appendHead(b []byte, f form) []byte {
	b = append(b, `"statusCode":`...)
	b = strconv.AppendInt(b, int64(w.status), 10)
	if f == formALB || f == formALBMulti {
		b = append(b, `,"statusDescription":`...)
		b = appendQuoted(b, strings.TrimSpace(strconv.Itoa(w.status)+" "+http.StatusText(w.status)))
	}
	if f == formV1 || f == formALBMulti {
		return w.appendHeaders(append(b, `,"multiValueHeaders":{`...), func(b []byte, values []string) []byte {
			return appendList(b, values)
		}, false)
	}
	b = w.appendHeaders(append(b, `,"headers":{`...), func(b []byte, values []string) []byte {
		if len(values) == 1 {
			return appendQuoted(b, values[0])
		}
		return appendQuoted(b, strings.Join(values, ", "))
	}, f == formV2)
	if cookies := w.header["Set-Cookie"]; f == formV2 && len(cookies) > 0 {
		b = appendList(append(b, `,"cookies":`...), cookies)
	}
	return b
}

func (w *recorder) appendHeaders(b []byte, appendValues func([]byte, []string) []byte, cookiesApart bool) []byte {
	first := true
	for _, name := range slices.Sorted(maps.Keys(w.header)) {
		values := w.header[name]
		if len(values) == 0 || !passed(name) || cookiesApart && name == "Set-Cookie" {
			continue
		}
		if !first {
			b = append(b, ',')
		}
		first = false
		b = append(appendQuoted(b, name), ':')
		b = appendValues(b, values)
	}
	return append(b, '}')
}

func appendList(b []byte, list []string) []byte {
	b = append(b, '[')
	for i, s := range list {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendQuoted(b, s)
	}
	return append(b, ']')
}
