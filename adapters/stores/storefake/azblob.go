package storefake

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/xml"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// What Azure's storage wants of those who ask: the account and its key.
const (
	AzureAccount = "acme1"
	AzureKey     = "c3RvcmVmYWtlJ3Mga2V5IGZvciBhY21lMQ=="
)

// Azure plays Azure Blob Storage for one account. Requests are signed with its
// key, or refused.
func Azure(t testing.TB, containers ...string) *Server {
	s := &Server{}
	return start(t, s, func(w http.ResponseWriter, r *http.Request) { s.azure(w, r) }, containers)
}

// AzureEnv are the variables for a driver.
func (s *Server) AzureEnv() map[string]string {
	return map[string]string{"AZURE_STORAGE_CONNECTION_STRING": "DefaultEndpointsProtocol=http;AccountName=" + AzureAccount + ";AccountKey=" + AzureKey + ";BlobEndpoint=" + s.URL + "/" + AzureAccount + ";"}
}

func refuseAzure(w http.ResponseWriter, status int, code string) {
	w.Header().Set("X-Ms-Error-Code", code)
	w.Header().Set("Content-Type", "application/xml")
	w.WriteHeader(status)
	fmt.Fprintf(w, "\ufeff<?xml version=\"1.0\" encoding=\"utf-8\"?><Error><Code>%s</Code><Message>The message of %s.\nRequestId:0</Message></Error>", code, code)
}

// opened reports whether a request has its shared key's signature.
func opened(r *http.Request) bool {
	length := r.Header.Get("Content-Length")
	if length == "0" {
		length = ""
	}
	text := r.Method + "\n"
	for _, name := range []string{"Content-Encoding", "Content-Language", "", "Content-MD5", "Content-Type", "Date", "If-Modified-Since", "If-Match", "If-None-Match", "If-Unmodified-Since", "Range"} {
		if name == "" {
			text += length + "\n"
			continue
		}
		text += r.Header.Get(name) + "\n"
	}
	headers := map[string]string{}
	for name := range r.Header {
		if lower := strings.ToLower(name); strings.HasPrefix(lower, "x-ms-") {
			headers[lower] = r.Header.Get(name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(headers)) {
		text += name + ":" + headers[name] + "\n"
	}
	text += "/" + AzureAccount + r.URL.EscapedPath()
	q := r.URL.Query()
	for _, name := range slices.Sorted(maps.Keys(q)) {
		text += "\n" + strings.ToLower(name) + ":" + q.Get(name)
	}
	key, _ := base64.StdEncoding.DecodeString(AzureKey)
	mac := hmac.New(sha256.New, key)
	io.WriteString(mac, text)
	return r.Header.Get("Authorization") == "SharedKey "+AzureAccount+":"+base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

func (s *Server) azure(w http.ResponseWriter, r *http.Request) {
	if r.ContentLength > 0 {
		r.Header.Set("Content-Length", strconv.FormatInt(r.ContentLength, 10))
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	if !opened(r) {
		refuseAzure(w, http.StatusForbidden, "AuthenticationFailed")
		return
	}
	path := strings.TrimPrefix(r.URL.Path, "/"+AzureAccount+"/")
	container, key, _ := strings.Cut(path, "/")
	key = strings.ReplaceAll(key, `\`, "/") // as the real one does
	s.mu.Lock()
	defer s.mu.Unlock()
	blobs, ok := s.buckets[container]
	if !ok {
		refuseAzure(w, http.StatusNotFound, "ContainerNotFound")
		return
	}
	q := r.URL.Query()
	o := blobs[key]
	free := func() bool {
		if r.Header.Get("If-None-Match") == "*" && o != nil {
			refuseAzure(w, http.StatusConflict, "BlobAlreadyExists")
			return false
		}
		delete(s.uploads, path) // whose blocks end with any blob of this name
		return true
	}
	switch {
	case key == "" && q.Get("comp") == "list":
		s.listAzure(w, container, q)
	case r.Method == http.MethodPut && q.Get("comp") == "block":
		up := s.uploads[path]
		if up == nil {
			up = &upload{parts: map[string][]byte{}}
			s.uploads[path] = up
		}
		for id := range up.parts {
			if len(id) != len(q.Get("blockid")) {
				refuseAzure(w, http.StatusBadRequest, "InvalidBlobOrBlock")
				return
			}
		}
		up.parts[q.Get("blockid")] = body
		w.WriteHeader(http.StatusCreated)
	case r.Method == http.MethodPut && q.Get("comp") == "blocklist":
		var list struct{ Latest []string }
		up := s.uploads[path]
		if up == nil {
			up = &upload{}
		}
		if xml.Unmarshal(body, &list) != nil {
			refuseAzure(w, http.StatusBadRequest, "InvalidXmlDocument")
			return
		}
		var all bytes.Buffer
		for _, id := range list.Latest {
			block, ok := up.parts[id]
			if !ok {
				refuseAzure(w, http.StatusBadRequest, "InvalidBlockList")
				return
			}
			all.Write(block)
		}
		if free() {
			s.putAzure(w, r, container, key, all.Bytes())
		}
	case r.Method == http.MethodPut:
		if r.Header.Get("X-Ms-Blob-Type") != "BlockBlob" {
			refuseAzure(w, http.StatusBadRequest, "MissingRequiredHeader")
			return
		}
		if free() {
			s.putAzure(w, r, container, key, body)
		}
	case o == nil:
		refuseAzure(w, http.StatusNotFound, "BlobNotFound")
	case r.Method == http.MethodDelete:
		delete(blobs, key)
		w.WriteHeader(http.StatusAccepted)
	case r.Method == http.MethodGet || r.Method == http.MethodHead:
		if want := r.Header.Get("If-Match"); want != "" && want != tagAzure(o) {
			refuseAzure(w, http.StatusPreconditionFailed, "ConditionNotMet")
			return
		}
		w.Header().Set("ETag", tagAzure(o))
		for name, value := range o.meta {
			w.Header().Set(name, value)
		}
		if !send(w, r, o, r.Header.Get("Range")) {
			refuseAzure(w, http.StatusRequestedRangeNotSatisfiable, "InvalidRange")
		}
	default:
		w.WriteHeader(http.StatusMethodNotAllowed)
	}
}

func tagAzure(o *object) string { return fmt.Sprintf(`"0x%X"`, o.generation) }

func (s *Server) putAzure(w http.ResponseWriter, r *http.Request, container, key string, data []byte) {
	w.Header().Set("ETag", tagAzure(s.put(container, key, data, meta(r, "X-Ms-Meta-"))))
	w.WriteHeader(http.StatusCreated)
}

func (s *Server) listAzure(w http.ResponseWriter, container string, q url.Values) {
	after, _ := base64.StdEncoding.DecodeString(q.Get("marker"))
	keys, more := s.page(container, q.Get("prefix"), string(after), 1000)
	w.Header().Set("Content-Type", "application/xml")
	var b bytes.Buffer
	b.WriteString(`<?xml version="1.0" encoding="utf-8"?><EnumerationResults><Blobs>`)
	for _, key := range keys {
		o := s.buckets[container][key]
		b.WriteString("<Blob><Name>")
		xml.EscapeText(&b, []byte(key))
		fmt.Fprintf(&b, "</Name><Properties><Last-Modified>%s</Last-Modified><Etag>%s</Etag><Content-Length>%d</Content-Length></Properties></Blob>",
			o.modified.Format(http.TimeFormat), strings.Trim(tagAzure(o), `"`), len(o.data))
	}
	b.WriteString("</Blobs><NextMarker>")
	if more {
		b.WriteString(base64.StdEncoding.EncodeToString([]byte(keys[len(keys)-1])))
	}
	b.WriteString("</NextMarker></EnumerationResults>")
	b.WriteTo(w)
}
