// Package storefake plays object stores in tests, behind HTTP on the loopback:
// the parts of their protocols that the drivers speak, conditions and all. It
// was written from the stores' documents, apart from the drivers; e2e runs the
// same suite against servers of others.
package storefake

import (
	"crypto/md5"
	"encoding/hex"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// A Server is a store.
type Server struct {
	URL string
	// Trouble, where a test sets it, handles a request in the place of next,
	// which is the store. It is set while no request is on its way.
	Trouble func(w http.ResponseWriter, r *http.Request, next http.Handler)

	mu         sync.Mutex
	buckets    map[string]map[string]*object
	uploads    map[string]*upload
	generation int64
	asked      map[string]int
}

// object is never changed, but replaced.
type object struct {
	data       []byte
	tag        string // without quotes
	generation int64
	modified   time.Time
	meta       map[string]string
}

// upload is an object that comes in parts.
type upload struct {
	bucket, key string
	meta        map[string]string
	parts       map[string][]byte
	data        []byte // where parts come in order
	absent      bool   // wanted, when it is done
}

// start serves handler.
func start(t testing.TB, s *Server, handler http.HandlerFunc, buckets []string) *Server {
	s.buckets, s.uploads, s.asked = map[string]map[string]*object{}, map[string]*upload{}, map[string]int{}
	for _, name := range buckets {
		s.buckets[name] = map[string]*object{}
	}
	h := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		s.asked[r.Method]++
		s.mu.Unlock()
		if s.Trouble != nil {
			s.Trouble(w, r, handler)
			return
		}
		handler(w, r)
	}))
	t.Cleanup(h.Close)
	s.URL = h.URL
	return s
}

// Asked is how many requests of a method have come.
func (s *Server) Asked(method string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asked[method]
}

// Uploads is how many uploads have been begun and neither finished nor dropped.
func (s *Server) Uploads() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.uploads)
}

// put keeps an object. s.mu is held.
func (s *Server) put(bucket, key string, data []byte, meta map[string]string) *object {
	s.generation++
	sum := md5.Sum(data)
	o := &object{data: data, tag: hex.EncodeToString(sum[:]), generation: s.generation + 1_700_000_000_000_000, modified: time.Now().UTC(), meta: meta}
	s.buckets[bucket][key] = o
	return o
}

// page gives the keys of a list after one of them, and whether there are more.
// s.mu is held.
func (s *Server) page(bucket, prefix, after string, most int) (keys []string, more bool) {
	for _, key := range slices.Sorted(maps.Keys(s.buckets[bucket])) {
		if strings.HasPrefix(key, prefix) && (after == "" || key > after) {
			if len(keys) == most {
				return keys, true
			}
			keys = append(keys, key)
		}
	}
	return keys, false
}

// span is what a Range header asks of n bytes. ok is false for one that cannot
// be had.
func span(header string, n int) (from, to int, partial, ok bool) {
	text, is := strings.CutPrefix(header, "bytes=")
	if !is {
		return 0, n, false, true
	}
	first, last, _ := strings.Cut(text, "-")
	from, err := strconv.Atoi(first)
	to = n - 1
	if last != "" {
		var e error
		if to, e = strconv.Atoi(last); e != nil {
			err = e
		}
	}
	if err != nil || from >= n {
		return 0, 0, true, false
	}
	return from, min(to+1, n), true, true
}

// send writes a range of an object.
func send(w http.ResponseWriter, r *http.Request, o *object, header string) bool {
	from, to, partial, ok := span(header, len(o.data))
	if !ok {
		return false
	}
	w.Header().Set("Content-Length", strconv.Itoa(to-from))
	w.Header().Set("Last-Modified", o.modified.Format(http.TimeFormat))
	w.Header().Set("Content-Type", "application/octet-stream")
	if partial {
		w.Header().Set("Content-Range", "bytes "+strconv.Itoa(from)+"-"+strconv.Itoa(to-1)+"/"+strconv.Itoa(len(o.data)))
		w.WriteHeader(http.StatusPartialContent)
	}
	if r.Method != http.MethodHead {
		w.Write(o.data[from:to])
	}
	return true
}
