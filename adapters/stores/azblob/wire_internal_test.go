package azblob

import (
	"context"
	"encoding/base64"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"godwit.dev/adapters/stores/storefake"
	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/store"
)

// over is the container rows of the account acme on a wire, by a SAS.
func over(t *testing.T, w *storefake.Wire, env map[string]string) *bucket {
	t.Helper()
	all := map[string]string{"AZURE_STORAGE_SAS_TOKEN": "?sv=1&sig=s"}
	for name, value := range env {
		all[name] = value
	}
	o, err := Opener(&Options{Getenv: func(name string) string { return all[name] }, PartSize: 10})(t.Context(), "acme/rows")
	if err != nil {
		t.Fatal(err)
	}
	b := o.(*bucket)
	b.client.HTTP.Transport = w
	return b
}

// shown are requests without what each has: who asks, and the version.
func shown(t *testing.T, w *storefake.Wire) (all []storefake.Asked) {
	t.Helper()
	for _, a := range w.All() {
		a.Header = a.Header.Clone()
		at, ok := strings.CutSuffix(a.URL, "sv=1&sig=s")
		if !ok || at[len(at)-1] != '?' && at[len(at)-1] != '&' || a.Header.Get("X-Ms-Version") != "2021-12-02" || a.Header.Get("User-Agent") != "godwit" || a.Header.Get("Authorization") != "" {
			t.Errorf("%s %s by %v", a.Method, a.URL, a.Header)
		}
		a.URL = at[:len(at)-1]
		a.Header.Del("X-Ms-Version")
		a.Header.Del("User-Agent")
		if a.Header.Get(mark) != "" {
			a.Header.Set(mark, "mine")
		}
		all = append(all, a)
	}
	return all
}

const root = "https://acme.blob.core.windows.net/rows"

var says = storefake.Says

func want(t *testing.T, w *storefake.Wire, asked ...storefake.Asked) {
	t.Helper()
	if diff := cmp.Diff(asked, shown(t, w)); diff != "" {
		t.Errorf("asked (-want +got):\n%s", diff)
	}
}

// header are names and values.
func header(pairs ...string) http.Header {
	h := http.Header{}
	for i := 0; i < len(pairs); i += 2 {
		h.Set(pairs[i], pairs[i+1])
	}
	return h
}

func TestStatOnTheWire(t *testing.T) {
	modified := time.Date(2026, 11, 23, 1, 2, 3, 0, time.UTC)
	w := storefake.Script(says(200, "12345", "ETag", `"0x1"`, "Last-Modified", modified.Format(http.TimeFormat)))
	o, err := over(t, w, nil).Stat(t.Context(), "a b/c")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(&store.Object{Key: "a b/c", Version: "0x1", Size: 5, Modified: modified}, o); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	want(t, w, storefake.Asked{Method: "HEAD", URL: root + "/a%20b/c", Header: header()})
	noLength := func() (*http.Response, error) {
		resp, _ := says(200, "", "ETag", "a")()
		resp.ContentLength = -1
		return resp, nil
	}
	for name, tt := range map[string]struct {
		answer func() (*http.Response, error)
		code   fault.Code
	}{
		"no tag": {says(200, "1"), fault.Unavailable}, "no length": {noLength, fault.Unavailable}, "empty": {says(200, "", "ETag", "a"), fault.OK},
		"a folder": {says(200, "", "ETag", "a", "X-Ms-Meta-Hdi_isfolder", "true"), fault.NotFound}, "no folder": {says(200, "", "ETag", "a", "X-Ms-Meta-Hdi_isfolder", "false"), fault.OK}, "not there": {says(404, ""), fault.NotFound},
	} {
		if _, err := over(t, storefake.Script(tt.answer), nil).Stat(t.Context(), "k"); fault.CodeOf(err) != tt.code {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestOpenOnTheWire(t *testing.T) {
	for of, h := range map[string]http.Header{
		"":    header("Range", "bytes=2-3", "Accept-Encoding", "identity"),
		"0x1": header("Range", "bytes=2-3", "Accept-Encoding", "identity", "If-Match", `"0x1"`),
	} {
		w := storefake.Script(says(206, "cd", "ETag", `"0x1"`, "Content-Range", "bytes 2-3/9"))
		r, err := over(t, w, nil).Open(t.Context(), "a/k", of, 2, 2)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(r); string(got) != "cd" || err != nil {
			t.Errorf("%q, %v", got, err)
		}
		_ = r.Close()
		want(t, w, storefake.Asked{Method: "GET", URL: root + "/a/k", Header: h})
	}
	if _, err := over(t, storefake.Script(says(200, "ab", "ETag", `"0x2"`)), nil).Open(t.Context(), "k", "0x1", 0, -1); fault.CodeOf(err) != fault.Mismatch {
		t.Errorf("of another version: %v", err)
	}
	if r, err := over(t, storefake.Script(says(200, "", "ETag", `"0x1"`)), nil).Open(t.Context(), "k", "0x1", 0, 0); err != nil || r == nil {
		t.Errorf("nothing: %v, %v", r, err)
	}
}

func TestDeleteOnTheWire(t *testing.T) {
	for name, tt := range map[string]struct {
		status int
		name   string
		code   fault.Code
	}{"there": {202, "", fault.OK}, "not there": {404, "BlobNotFound", fault.OK}, "no container": {404, "ContainerNotFound", fault.NotFound}, "denied": {403, "", fault.Denied}} {
		w := storefake.Script(says(tt.status, "", "X-Ms-Error-Code", tt.name))
		if err := over(t, w, nil).Delete(t.Context(), "k"); fault.CodeOf(err) != tt.code {
			t.Errorf("%s: %v", name, err)
		}
		want(t, w, storefake.Asked{Method: "DELETE", URL: root + "/k", Header: header()})
	}
}

func TestListOnTheWire(t *testing.T) {
	first := `<EnumerationResults><Blobs>
<Blob><Name>p/a b</Name><Properties><Last-Modified>Mon, 23 Nov 2026 01:02:03 GMT</Last-Modified><Etag>0x1</Etag><Content-Length>5</Content-Length></Properties></Blob>
<Blob><Name Encoded="true">p/%EF%BF%BE</Name><Properties><Etag>"0x2"</Etag><Content-Length>0</Content-Length></Properties></Blob>
<Blob><Name>p/100%25</Name><Properties><Etag>0x3</Etag><Content-Length>0</Content-Length></Properties></Blob>
<Blob><Name>p/dir</Name><Properties><Etag>0x4</Etag><ResourceType>directory</ResourceType></Properties></Blob>
<Blob><Name>p/folder/</Name><Properties><Etag>0x5</Etag></Properties></Blob></Blobs><NextMarker>m/+</NextMarker></EnumerationResults>`
	w := storefake.Script(says(200, first), says(200, `<EnumerationResults><Blobs><Blob><Name>p/z</Name><Properties><Etag>0x6</Etag></Properties></Blob></Blobs><NextMarker/></EnumerationResults>`))
	var got []*store.Object
	for o, err := range over(t, w, nil).List(t.Context(), "p/") {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, o)
	}
	if diff := cmp.Diff([]*store.Object{{Key: "p/a b", Version: "0x1", Size: 5, Modified: time.Date(2026, 11, 23, 1, 2, 3, 0, time.UTC)}, {Key: "p/\ufffe", Version: "0x2"}, {Key: "p/100%25", Version: "0x3"}, {Key: "p/z", Version: "0x6"}}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	want(t, w, storefake.Asked{Method: "GET", URL: root + "?comp=list&maxresults=1000&prefix=p%2F&restype=container", Header: header()},
		storefake.Asked{Method: "GET", URL: root + "?comp=list&marker=m%2F%2B&maxresults=1000&prefix=p%2F&restype=container", Header: header()})
	for body, code := range map[string]fault.Code{"no XML": fault.Unavailable, `<E><Blobs><Blob><Name Encoded="true">%zz</Name></Blob></Blobs></E>`: fault.Unavailable, "<E/>": fault.OK} {
		n := 0
		var last error
		for o, err := range over(t, storefake.Script(says(200, body)), nil).List(t.Context(), "") {
			if last = err; o != nil || n > 0 {
				t.Errorf("%s: %v, %v", body, o, err)
			}
			n++
		}
		if fault.CodeOf(last) != code {
			t.Errorf("%s: %v", body, last)
		}
	}
	n := 0
	for _, err := range over(t, storefake.Script(says(403, "")), nil).List(t.Context(), "") {
		if n++; fault.CodeOf(err) != fault.Denied || n > 1 {
			t.Errorf("denied: %v", err)
		}
	}
	w = storefake.Script(says(200, first))
	for range over(t, w, nil).List(t.Context(), "") {
		break // which ends it
	}
	if len(w.All()) != 1 {
		t.Errorf("%d requests for the first of a list", len(w.All()))
	}
}

// write writes a blob of n bytes in blocks of ten.
func write(t *testing.T, b *bucket, n int) error {
	t.Helper()
	w, err := b.Create(t.Context(), "a/k")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write([]byte(strings.Repeat("x", n))); err != nil {
		w.Abort()
		return err
	}
	return w.Commit(t.Context())
}

// What a small and a large blob is made of, on the wire.
func TestWritesOnTheWire(t *testing.T) {
	for _, n := range []int{0, 7} {
		w := storefake.Script(says(201, ""))
		if err := write(t, over(t, w, nil), n); err != nil {
			t.Fatal(err)
		}
		want(t, w, storefake.Asked{Method: "PUT", URL: root + "/a/k", Header: header("If-None-Match", "*", "Content-Type", "application/octet-stream", "X-Ms-Blob-Type", "BlockBlob", mark, "mine"), Body: strings.Repeat("x", n)})
	}
	w := storefake.Script(says(201, ""))
	if err := write(t, over(t, w, nil), 15); err != nil {
		t.Fatal(err)
	}
	last := w.All()[2]
	mine := last.Header.Get(mark)
	if len(mine) < 20 {
		t.Errorf("a mark that others may have: %q", mine)
	}
	id := func(n string) string { return base64.StdEncoding.EncodeToString([]byte(mine + "-0000" + n)) }
	block := func(n string) string { return root + "/a/k?blockid=" + url.QueryEscape(id(n)) + "&comp=block" }
	want(t, w, storefake.Asked{Method: "PUT", URL: block("0"), Header: header(), Body: "xxxxxxxxxx"}, storefake.Asked{Method: "PUT", URL: block("1"), Header: header(), Body: "xxxxx"},
		storefake.Asked{Method: "PUT", URL: root + "/a/k?comp=blocklist", Header: header("If-None-Match", "*", "Content-Type", "application/octet-stream", mark, "mine"),
			Body: `<?xml version="1.0" encoding="utf-8"?><BlockList><Latest>` + id("0") + "</Latest><Latest>" + id("1") + "</Latest></BlockList>"})
}

// Whether a blob was made is found out where an answer leaves it open; one that
// cannot be put because of another's blocks is made of one of its own.
func TestWhoMadeTheBlob(t *testing.T) {
	lost := storefake.Fails(errors.New("reset"))
	bad := func(name string) func() (*http.Response, error) {
		return says(400, "<Error><Code>"+name+"</Code><Message>m\nsecret</Message></Error>")
	}
	type reply = func() (*http.Response, error)
	for name, tt := range map[string]struct {
		n      int
		put    []reply // of the blob
		list   []reply // of its blocks
		there  string
		code   fault.Code
		exists bool
		hint   bool
		looks  int
		blocks int
	}{
		"made":                      {5, []reply{says(201, "")}, nil, "nothing", fault.OK, false, false, 0, 0},
		"one is there":              {5, []reply{says(412, "")}, nil, "another's", fault.Unprocessable, true, false, 1, 0},
		"one is there, it says":     {5, []reply{says(409, "")}, nil, "another's", fault.Unprocessable, true, false, 1, 0},
		"lost, then one is there":   {5, []reply{lost, says(409, "")}, nil, "mine", fault.OK, false, false, 1, 0},
		"always lost, and made":     {5, []reply{lost}, nil, "mine", fault.OK, false, false, 1, 0},
		"always lost, not made":     {5, []reply{lost}, nil, "nothing", fault.Unavailable, false, false, 1, 0},
		"one was there":             {5, []reply{says(409, "")}, []reply{says(201, "")}, "nothing", fault.OK, false, false, 1, 1},
		"one was there, of nothing": {0, []reply{says(409, "")}, []reply{says(201, "")}, "nothing", fault.OK, false, false, 1, 0},
		"one was there, again":      {5, []reply{says(409, "")}, []reply{says(409, "")}, "nothing", fault.Unavailable, false, true, 2, 1},
		"its blocks are gone":       {15, nil, []reply{bad("InvalidBlockList")}, "nothing", fault.Unavailable, false, true, 1, 2},
		"its blocks are odd":        {15, nil, []reply{bad("InvalidBlobOrBlock")}, "another's", fault.Unprocessable, true, false, 1, 2},
		"its blocks made another":   {15, nil, []reply{bad("InvalidBlockList")}, "mine", fault.OK, false, false, 1, 2},
		"a bad request":             {5, []reply{bad("InvalidHeaderValue")}, nil, "mine", fault.Invalid, false, false, 0, 0},
		"nobody may look":           {5, []reply{says(409, "")}, nil, "denied", fault.Denied, false, true, 1, 0},
		"there is no container":     {5, []reply{says(409, "")}, nil, "no container", fault.NotFound, false, true, 1, 0},
		"denied":                    {5, []reply{says(403, "")}, nil, "mine", fault.Denied, false, true, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				puts, lists, looks, blocks, my := 0, 0, 0, 0, ""
				w := &storefake.Wire{Answer: func(r *http.Request, body string, _ int) (*http.Response, error) {
					if m := r.Header.Get(mark); m != "" {
						my = m
					}
					switch comp := r.URL.Query().Get("comp"); {
					case r.Method == http.MethodHead:
						looks++
					case comp == "block":
						blocks++
						return says(201, "")()
					case comp == "blocklist":
						lists++
						return tt.list[min(lists, len(tt.list))-1]()
					default:
						puts++
						return tt.put[min(puts, len(tt.put))-1]()
					}
					switch tt.there {
					case "mine":
						return says(200, "", mark, my, "ETag", "e")()
					case "another's":
						return says(200, "", mark, "x"+my, "ETag", "e")()
					case "denied":
						return says(403, "")()
					case "no container":
						return says(404, "", "X-Ms-Error-Code", "ContainerNotFound")()
					}
					return says(404, "")()
				}}
				err := write(t, over(t, w, nil), tt.n)
				if fault.CodeOf(err) != tt.code || errors.Is(err, store.ErrExists) != tt.exists || (fault.HintOf(err) != "") != tt.hint || looks != tt.looks || blocks != tt.blocks {
					t.Errorf("%v (%s) after %d looks and %d blocks; want %v after %d and %d", err, fault.HintOf(err), looks, blocks, tt.code, tt.looks, tt.blocks)
				}
				if err != nil && strings.Contains(err.Error(), "secret") {
					t.Errorf("it tells %v", err)
				}
			})
		})
	}
	w := &storefake.Wire{Answer: func(r *http.Request, _ string, _ int) (*http.Response, error) { return says(403, "")() }}
	if err := write(t, over(t, w, nil), 15); fault.CodeOf(err) != fault.Denied || len(w.All()) != 1 {
		t.Errorf("a block is refused: %v after %d requests", err, len(w.All()))
	}
}

// What to do is said where somebody knows, and errors are read in Azure's form.
func TestHints(t *testing.T) {
	b := over(t, nil, nil)
	for _, tt := range []struct {
		code fault.Code
		name string
		want string
	}{
		{fault.NotFound, "ContainerNotFound", `There is no container "rows" in the account "acme": make it, or mend its name.`}, {fault.NotFound, "BlobNotFound", ""}, {fault.Unavailable, "", ""},
		{fault.Denied, "", "The identity needs the role Storage Blob Data Contributor on the container."}, {fault.Unauthenticated, "", "Log in with az login, or set AZURE_STORAGE_CONNECTION_STRING. Without credentials only public blobs can be read."},
	} {
		if got := b.hint(tt.code, tt.name); got != tt.want {
			t.Errorf("%v %s: %q", tt.code, tt.name, got)
		}
	}
	for _, tt := range []struct{ header, body, name, text string }{
		{"H", "<Error><Code>C</Code><Message>m\nmore</Message></Error>", "H", "m"}, {"", "<Error><Code>C</Code><Message>m</Message></Error>", "C", "m"}, {"", "no XML", "", ""}, {"H", "", "H", ""},
	} {
		if name, text := read(&http.Response{Header: header("X-Ms-Error-Code", tt.header)}, []byte(tt.body)); name != tt.name || text != tt.text {
			t.Errorf("%+v: read %q, %q", tt, name, text)
		}
	}
}

// A key that is none is refused before anybody is asked, and so is a context
// that has ended.
func TestKeysThatAreNone(t *testing.T) {
	b := over(t, storefake.Script(says(200, "")), nil)
	for name, do := range map[string]func(key string) error{
		"Stat":   func(key string) error { _, err := b.Stat(t.Context(), key); return err },
		"Open":   func(key string) error { _, err := b.Open(t.Context(), key, "", 0, -1); return err },
		"Create": func(key string) error { _, err := b.Create(t.Context(), key); return err },
		"Delete": func(key string) error { return b.Delete(t.Context(), key) },
	} {
		for _, key := range []string{"", `a\b`} {
			if err := do(key); fault.CodeOf(err) != fault.Invalid || fault.Of(err).Op != "azblob."+name {
				t.Errorf("%s of %q: %v", name, key, err)
			}
		}
	}
	for key, code := range map[string]fault.Code{"a.": fault.Invalid, "a./b": fault.Invalid, "a.b": fault.OK, ".a": fault.OK, "a/.b": fault.OK} {
		if _, err := b.Create(t.Context(), key); fault.CodeOf(err) != code {
			t.Errorf("%q: %v", key, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := b.Create(ctx, "k"); fault.CodeOf(err) != fault.Canceled || fault.Of(err).Subject != "azblob://acme/rows/k" {
		t.Errorf("canceled: %v", err)
	}
}

// What the environment says of an account.
func TestAccounts(t *testing.T) {
	const key = "a2V5"
	for name, tt := range map[string]struct {
		env  map[string]string
		root string // "" where it is refused
		key  string
		sas  string
	}{
		"nothing":                 {nil, "https://acme.blob.core.windows.net", "", ""},
		"a key":                   {map[string]string{"AZURE_STORAGE_KEY": key}, "https://acme.blob.core.windows.net", "key", ""},
		"a key of the account":    {map[string]string{"AZURE_STORAGE_KEY": key, "AZURE_STORAGE_ACCOUNT": "acme"}, "https://acme.blob.core.windows.net", "key", ""},
		"a key of another":        {map[string]string{"AZURE_STORAGE_KEY": key, "AZURE_STORAGE_ACCOUNT": "other", "AZURE_STORAGE_SAS_TOKEN": "sig=s"}, "https://acme.blob.core.windows.net", "", ""},
		"a signature":             {map[string]string{"AZURE_STORAGE_SAS_TOKEN": "?sv=1&sig=s"}, "https://acme.blob.core.windows.net", "", "sv=1&sig=s"},
		"another domain":          {map[string]string{"AZURE_STORAGE_DOMAIN": "blob.core.chinacloudapi.cn"}, "https://acme.blob.core.chinacloudapi.cn", "", ""},
		"a connection":            {map[string]string{"AZURE_STORAGE_CONNECTION_STRING": "AccountName=acme;AccountKey=" + key}, "https://acme.blob.core.windows.net", "key", ""},
		"one with an endpoint":    {map[string]string{"AZURE_STORAGE_CONNECTION_STRING": " accountname=acme; ACCOUNTKEY=" + key + ";;BlobEndpoint=http://h:1/acme;EndpointSuffix=x"}, "http://h:1/acme", "key", ""},
		"one with a suffix":       {map[string]string{"AZURE_STORAGE_CONNECTION_STRING": "DefaultEndpointsProtocol=http;AccountName=acme;AccountKey=" + key + ";EndpointSuffix=core.example"}, "http://acme.blob.core.example", "key", ""},
		"with a suffix alone":     {map[string]string{"AZURE_STORAGE_CONNECTION_STRING": "AccountName=acme;AccountKey=" + key + ";EndpointSuffix=core.example", "AZURE_STORAGE_DOMAIN": "other"}, "https://acme.blob.core.example", "key", ""},
		"one with a signature":    {map[string]string{"AZURE_STORAGE_CONNECTION_STRING": "BlobEndpoint=https://h/;SharedAccessSignature=sv=1&sig=s=", "AZURE_STORAGE_KEY": key}, "https://h/", "", "sv=1&sig=s="},
		"one of another":          {map[string]string{"AZURE_STORAGE_CONNECTION_STRING": "AccountName=other;AccountKey=" + key + ";BlobEndpoint=http://h"}, "https://acme.blob.core.windows.net", "", ""},
		"one without a key":       {map[string]string{"AZURE_STORAGE_CONNECTION_STRING": "AccountName=acme", "AZURE_STORAGE_KEY": key}, "https://acme.blob.core.windows.net", "key", ""},
		"no connection":           {map[string]string{"AZURE_STORAGE_CONNECTION_STRING": "AccountName"}, "", "", ""},
		"a key that is none":      {map[string]string{"AZURE_STORAGE_KEY": "?"}, "", "", ""},
		"a signature that is one": {map[string]string{"AZURE_STORAGE_SAS_TOKEN": "sv=1"}, "", "", ""},
		"an odd signature":        {map[string]string{"AZURE_STORAGE_SAS_TOKEN": "sig=%zz"}, "", "", ""},
		"an odd endpoint":         {map[string]string{"AZURE_STORAGE_CONNECTION_STRING": "BlobEndpoint=ftp://h"}, "", "", ""},
		"an endpoint of nobody":   {map[string]string{"AZURE_STORAGE_CONNECTION_STRING": "BlobEndpoint=http://"}, "", "", ""},
		"an endpoint that asks":   {map[string]string{"AZURE_STORAGE_CONNECTION_STRING": "BlobEndpoint=http://h/?a=b"}, "", "", ""},
		"no endpoint":             {map[string]string{"AZURE_STORAGE_CONNECTION_STRING": "BlobEndpoint=http://[::1"}, "", "", ""},
	} {
		a, err := accountOf("acme", func(name string) string { return tt.env[name] })
		if tt.root == "" {
			if fault.CodeOf(err) != fault.BadConfig {
				t.Errorf("%s: %+v, %v", name, a, err)
			}
			continue
		}
		if err != nil || a.root.String() != tt.root || string(a.key) != tt.key || a.sas != tt.sas || a.name != "acme" {
			t.Errorf("%s: %+v, %v", name, a, err)
		}
	}
	dev, err := accountOf(devAccount, func(name string) string {
		return map[string]string{"AZURE_STORAGE_CONNECTION_STRING": "UseDevelopmentStorage=true"}[name]
	})
	if err != nil || dev.root.String() != "http://127.0.0.1:10000/devstoreaccount1" || base64.StdEncoding.EncodeToString(dev.key) != devKey {
		t.Errorf("the emulator's: %+v, %v", dev, err)
	}
	for _, name := range []string{"", "acme", "/rows", "acme/", "/"} {
		if _, err := Opener(nil)(t.Context(), name); fault.CodeOf(err) != fault.BadConfig {
			t.Errorf("%q: %v", name, err)
		}
	}
	if b, err := Opener(nil)(t.Context(), "acme/rows"); err != nil || b.(*bucket).parts.Most != 50_000 || b.Close() != nil {
		t.Errorf("no options: %v, %v", b, err)
	}
}

// Requests carry the account's key, or a token, or nothing.
func TestWhoAsksAzure(t *testing.T) {
	now := time.Date(2026, 11, 23, 1, 2, 3, 0, time.FixedZone("", 3600))
	a := &account{name: "acme", key: []byte("key")}
	u := &url.URL{Scheme: "https", Host: "acme.blob.core.windows.net", Path: "/rows/a b", RawPath: "/rows/a%20b", RawQuery: "Comp=block&blockid=a%2Fb"}
	req := &http.Request{Method: "PUT", URL: u, Header: header("Content-Type", "a/b", "Range", "bytes=0-1", "If-Match", "m", "If-None-Match", "n", "Content-Encoding", "e", "Content-Language", "l", "Content-Md5", "5",
		"If-Modified-Since", "s", "If-Unmodified-Since", "u", "X-Ms-Version", " v ", "X-Other", "not signed")}
	req.Header["X-Ms-Meta-B"] = []string{"1", "2"}
	a.shared(req, 7, now)
	text := "PUT\ne\nl\n7\n5\na/b\n\ns\nm\nn\nu\nbytes=0-1\nx-ms-date:Mon, 23 Nov 2026 00:02:03 GMT\nx-ms-meta-b:1,2\nx-ms-version:v\n/acme/rows/a%20b\ncomp:block\nblockid:a/b"
	if got, want := req.Header.Get("Authorization"), "SharedKey acme:"+storefake.HMAC("key", text); got != want || req.Header.Get("X-Ms-Date") != "Mon, 23 Nov 2026 00:02:03 GMT" {
		t.Errorf("got %s at %s, want %s", got, req.Header.Get("X-Ms-Date"), want)
	}
	req = &http.Request{Method: "GET", URL: &url.URL{Host: "h", Path: "/rows"}, Header: http.Header{}}
	a.shared(req, 0, now)
	if got, want := req.Header.Get("Authorization"), "SharedKey acme:"+storefake.HMAC("key", "GET\n\n\n\n\n\n\n\n\n\n\n\nx-ms-date:Mon, 23 Nov 2026 00:02:03 GMT\n/acme/rows"); got != want {
		t.Errorf("nothing: %s, want %s", got, want)
	}
	w := storefake.Script(says(201, ""))
	if err := write(t, over(t, w, map[string]string{"AZURE_STORAGE_SAS_TOKEN": "", "AZURE_STORAGE_KEY": "a2V5"}), 5); err != nil || !strings.HasPrefix(w.All()[0].Header.Get("Authorization"), "SharedKey acme:") || w.All()[0].Header.Get("X-Ms-Date") == "" {
		t.Errorf("by a key: %v, %v", err, w.All())
	}
	t.Setenv("PATH", t.TempDir()) // no az
	w = &storefake.Wire{Answer: func(r *http.Request, _ string, _ int) (*http.Response, error) { return says(201, "")() }}
	bad := over(t, w, map[string]string{"AZURE_STORAGE_SAS_TOKEN": "", "IDENTITY_ENDPOINT": "http://example.com/"})
	if err := write(t, bad, 5); fault.CodeOf(err) != fault.BadConfig || len(w.All()) != 0 {
		t.Errorf("by nobody: %v after %d requests", err, len(w.All()))
	}
}
