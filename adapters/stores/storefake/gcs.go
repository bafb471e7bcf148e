package storefake

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"
)

// GCS plays Google Cloud Storage's JSON API.
func GCS(t testing.TB, buckets ...string) *Server {
	s := &Server{}
	return start(t, s, func(w http.ResponseWriter, r *http.Request) { s.gcs(w, r) }, buckets)
}

// GCSEnv are the variables for a driver.
func (s *Server) GCSEnv() map[string]string { return map[string]string{"STORAGE_EMULATOR_HOST": s.URL} }

func refuseGCS(w http.ResponseWriter, status int, reason, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	fmt.Fprintf(w, `{"error": {"code": %d, "message": %q, "errors": [{"reason": %q}]}}`, status, message, reason)
}

func (s *Server) gcs(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	q := r.URL.Query()
	if id := q.Get("upload_id"); id != "" {
		s.sessionGCS(w, r, id, body)
		return
	}
	// /storage/v1/b/BUCKET/o/KEY, where the key is one segment as it is sent.
	path, uploads := strings.CutPrefix(r.URL.EscapedPath(), "/upload")
	parts := strings.Split(strings.TrimPrefix(path, "/storage/v1/b/"), "/")
	if len(parts) < 2 || len(parts) > 3 || parts[1] != "o" {
		refuseGCS(w, http.StatusNotFound, "notFound", "no such route")
		return
	}
	bucket, key := parts[0], ""
	if len(parts) == 3 {
		key, _ = url.PathUnescape(parts[2])
	}
	objects, ok := s.buckets[bucket]
	if !ok {
		refuseGCS(w, http.StatusNotFound, "notFound", "The specified bucket does not exist.")
		return
	}
	o := objects[key]
	switch {
	case uploads && r.Method == http.MethodPost:
		s.uploadGCS(w, r, bucket, body)
	case key == "" && r.Method == http.MethodGet:
		s.listGCS(w, bucket, q)
	case o == nil:
		refuseGCS(w, http.StatusNotFound, "notFound", "No such object: "+bucket+"/"+key)
	case r.Method == http.MethodDelete:
		delete(objects, key)
		w.WriteHeader(http.StatusNoContent)
	case r.Method == http.MethodGet && q.Get("alt") == "media":
		if want := q.Get("ifGenerationMatch"); want != "" && want != strconv.FormatInt(o.generation, 10) {
			refuseGCS(w, http.StatusPreconditionFailed, "conditionNotMet", "At least one of the pre-conditions you specified did not hold.")
			return
		}
		w.Header().Set("X-Goog-Generation", strconv.FormatInt(o.generation, 10))
		if !send(w, r, o, r.Header.Get("Range")) {
			w.WriteHeader(http.StatusRequestedRangeNotSatisfiable)
		}
	case r.Method == http.MethodGet:
		json.NewEncoder(w).Encode(described(key, o))
	default:
		w.WriteHeader(http.StatusMethodNotAllowed)
	}
}

func described(key string, o *object) map[string]any {
	return map[string]any{
		"kind": "storage#object", "name": key, "generation": strconv.FormatInt(o.generation, 10), "size": strconv.Itoa(len(o.data)),
		"updated": o.modified.Format(time.RFC3339Nano), "metadata": o.meta,
	}
}

// wanted reports whether an upload's condition holds. s.mu is held.
func (s *Server) wanted(w http.ResponseWriter, bucket, key string, absent bool) bool {
	if absent && s.buckets[bucket][key] != nil {
		refuseGCS(w, http.StatusPreconditionFailed, "conditionNotMet", "At least one of the pre-conditions you specified did not hold.")
		return false
	}
	return true
}

func (s *Server) uploadGCS(w http.ResponseWriter, r *http.Request, bucket string, body []byte) {
	q := r.URL.Query()
	key, absent := q.Get("name"), q.Get("ifGenerationMatch") == "0"
	var about struct {
		Name     string
		Metadata map[string]string
	}
	data := body
	if q.Get("uploadType") == "multipart" {
		_, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
		mr := multipart.NewReader(strings.NewReader(string(body)), params["boundary"])
		head, e1 := mr.NextPart()
		if err != nil || e1 != nil || json.NewDecoder(head).Decode(&about) != nil {
			refuseGCS(w, http.StatusBadRequest, "invalid", "want a description")
			return
		}
		rest, err := mr.NextPart()
		if err != nil {
			refuseGCS(w, http.StatusBadRequest, "invalid", "want an object")
			return
		}
		if data, err = io.ReadAll(rest); err != nil {
			refuseGCS(w, http.StatusBadRequest, "invalid", "want a whole object")
			return
		}
	} else if json.Unmarshal(body, &about) != nil {
		refuseGCS(w, http.StatusBadRequest, "invalid", "want a description")
		return
	}
	if !s.wanted(w, bucket, key, absent) {
		return
	}
	if q.Get("uploadType") == "multipart" {
		json.NewEncoder(w).Encode(described(key, s.put(bucket, key, data, about.Metadata)))
		return
	}
	id := strconv.FormatInt(time.Now().UnixNano(), 36)
	s.uploads[id] = &upload{bucket: bucket, key: key, meta: about.Metadata, absent: absent}
	w.Header().Set("Location", s.URL+"/upload/storage/v1/b/"+bucket+"/o?uploadType=resumable&upload_id="+id)
}

// sessionGCS takes bytes of a resumable upload.
func (s *Server) sessionGCS(w http.ResponseWriter, r *http.Request, id string, body []byte) {
	up := s.uploads[id]
	if up == nil {
		refuseGCS(w, http.StatusNotFound, "notFound", "no such upload")
		return
	}
	if r.Method == http.MethodDelete {
		delete(s.uploads, id)
		w.WriteHeader(499)
		return
	}
	span, total, _ := strings.Cut(strings.TrimPrefix(r.Header.Get("Content-Range"), "bytes "), "/")
	if span != "*" {
		first, last, _ := strings.Cut(span, "-")
		from, e1 := strconv.Atoi(first)
		to, e2 := strconv.Atoi(last)
		if e1 != nil || e2 != nil || to-from+1 != len(body) || from > len(up.data) {
			refuseGCS(w, http.StatusServiceUnavailable, "invalid", "bytes are missing before "+span)
			return
		}
		if total == "*" && len(body)%(256<<10) != 0 {
			refuseGCS(w, http.StatusBadRequest, "invalid", "want a multiple of 256 KiB")
			return
		}
		up.data = append(up.data[:from], body...)
	}
	if n, err := strconv.Atoi(total); err == nil && n == len(up.data) {
		if s.wanted(w, up.bucket, up.key, up.absent) {
			delete(s.uploads, id)
			json.NewEncoder(w).Encode(described(up.key, s.put(up.bucket, up.key, up.data, up.meta)))
		}
		return
	}
	if len(up.data) > 0 {
		w.Header().Set("Range", "bytes=0-"+strconv.Itoa(len(up.data)-1))
	}
	w.WriteHeader(http.StatusPermanentRedirect)
}

func (s *Server) listGCS(w http.ResponseWriter, bucket string, q url.Values) {
	after, _ := base64.StdEncoding.DecodeString(q.Get("pageToken"))
	keys, more := s.page(bucket, q.Get("prefix"), string(after), 1000)
	doc := map[string]any{"kind": "storage#objects"}
	var items []map[string]any
	for _, key := range keys {
		items = append(items, described(key, s.buckets[bucket][key]))
	}
	if len(items) > 0 {
		doc["items"] = items
	}
	if more {
		doc["nextPageToken"] = base64.StdEncoding.EncodeToString([]byte(keys[len(keys)-1]))
	}
	json.NewEncoder(w).Encode(doc)
}
