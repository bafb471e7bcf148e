package azblob

import (
	"cmp"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"godwit.dev/runtime/fault"
)

// account is where an account's blobs are, and what opens them.
type account struct {
	name string
	root *url.URL
	key  []byte // shared; nil
	sas  string // a shared access signature, as a query; ""
}

// The account that Azurite and Azure's older emulator have, from Microsoft's
// documents.
const (
	devAccount = "devstoreaccount1"
	devKey     = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
)

// accountOf reads what the environment says about an account.
func accountOf(name string, getenv func(string) string) (*account, error) {
	const op = "azblob.Open"
	a := &account{name: name}
	key, endpoint := "", ""
	if text := getenv("AZURE_STORAGE_CONNECTION_STRING"); text != "" {
		c, err := connection(text)
		if err != nil {
			return nil, err
		}
		if c["accountname"] == "" || c["accountname"] == name {
			key, a.sas, endpoint = c["accountkey"], c["sharedaccesssignature"], c["blobendpoint"]
			if endpoint == "" && c["endpointsuffix"] != "" {
				endpoint = cmp.Or(c["defaultendpointsprotocol"], "https") + "://" + name + ".blob." + c["endpointsuffix"]
			}
		}
	}
	if key == "" && a.sas == "" {
		if of := getenv("AZURE_STORAGE_ACCOUNT"); of == "" || of == name {
			key, a.sas = getenv("AZURE_STORAGE_KEY"), getenv("AZURE_STORAGE_SAS_TOKEN")
		}
	}
	if endpoint == "" {
		endpoint = "https://" + name + "." + cmp.Or(getenv("AZURE_STORAGE_DOMAIN"), "blob.core.windows.net")
	}
	var err error
	if a.root, err = url.Parse(endpoint); err != nil || a.root.Scheme != "https" && a.root.Scheme != "http" || a.root.Host == "" || a.root.RawQuery != "" {
		return nil, fault.New(fault.BadConfig, op, name, "want the http:// or https:// URL of blobs, got %q", endpoint)
	}
	if key != "" {
		if a.key, err = base64.StdEncoding.DecodeString(key); err != nil {
			return nil, fault.New(fault.BadConfig, op, name, "want the account's key in base64, got something else")
		}
	}
	if a.sas = strings.TrimPrefix(a.sas, "?"); a.sas != "" {
		if q, err := url.ParseQuery(a.sas); err != nil || q.Get("sig") == "" {
			return nil, fault.New(fault.BadConfig, op, name, "want a shared access signature, got something else")
		}
	}
	return a, nil
}

// connection reads a connection string; names are in lower case.
func connection(text string) (map[string]string, error) {
	c := map[string]string{}
	for pair := range strings.SplitSeq(text, ";") {
		if pair = strings.TrimSpace(pair); pair == "" {
			continue
		}
		name, value, ok := strings.Cut(pair, "=")
		if !ok {
			return nil, fault.New(fault.BadConfig, "azblob.Open", "AZURE_STORAGE_CONNECTION_STRING", "want NAME=VALUE;NAME=VALUE, got something else")
		}
		c[strings.ToLower(name)] = value
	}
	if c["usedevelopmentstorage"] == "true" {
		c["accountname"], c["accountkey"], c["blobendpoint"] = devAccount, devKey, "http://127.0.0.1:10000/"+devAccount
	}
	return c, nil
}

// shared signs a request with the account's key.
func (a *account) shared(req *http.Request, length int, now time.Time) {
	req.Header.Set("X-Ms-Date", now.UTC().Format(http.TimeFormat))
	size := ""
	if length > 0 {
		size = strconv.Itoa(length)
	}
	h := req.Header
	lines := []string{req.Method, h.Get("Content-Encoding"), h.Get("Content-Language"), size, h.Get("Content-Md5"), h.Get("Content-Type"), "",
		h.Get("If-Modified-Since"), h.Get("If-Match"), h.Get("If-None-Match"), h.Get("If-Unmodified-Since"), h.Get("Range")}
	var own []string
	for name, values := range h {
		if name = strings.ToLower(name); strings.HasPrefix(name, "x-ms-") {
			own = append(own, name+":"+strings.TrimSpace(strings.Join(values, ",")))
		}
	}
	slices.Sort(own)
	lines = append(lines, own...)
	lines = append(lines, "/"+a.name+req.URL.EscapedPath())
	if req.URL.RawQuery != "" {
		for pair := range strings.SplitSeq(req.URL.RawQuery, "&") { // sorted already, each name once
			name, value, _ := strings.Cut(pair, "=")
			value, _ = url.QueryUnescape(value)
			lines = append(lines, strings.ToLower(name)+":"+value)
		}
	}
	mac := hmac.New(sha256.New, a.key)
	mac.Write([]byte(strings.Join(lines, "\n")))
	req.Header.Set("Authorization", "SharedKey "+a.name+":"+base64.StdEncoding.EncodeToString(mac.Sum(nil)))
}
