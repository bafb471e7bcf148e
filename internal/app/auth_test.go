package app_test

import (
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"godwit.dev/adapters/oip"
	"godwit.dev/internal/app"
	"godwit.dev/runtime/fault"
)

// What the spec says of callers is what a server does.
func TestCallersAreCheckedAsTheSpecSays(t *testing.T) {
	const key, other = "0123456789abcdef0123", "abcdef0123456789abcd"
	file := filepath.Join(t.TempDir(), "keys")
	write(t, file, []byte("alice:"+key+"\n"))
	env := map[string]string{"GODWIT_API_KEYS": key, "KEYS": other + ", metrics:metrics:" + key, "SHORT": "alice:0123"}
	tests := []struct {
		name, auth string
		code       fault.Code // of Authorizer
		want       string     // in its error, or the statuses without a key, with key, with key again
	}{
		{"platform", "platform", fault.OK, "200 200 200"},
		{"none", "none", fault.OK, "200 200 200"},
		{"keys in the usual variable", "key", fault.OK, "401 200 200"},
		{"keys in another variable", "{key: {env: KEYS}}", fault.OK, "401 403 403"},
		{"keys in a file", "{key: {file: " + file + "}}", fault.OK, "401 200 200"},
		{"a rate", "{key: {rate: 1/h}}", fault.OK, "401 200 429"},
		{"a rate and a burst", "{key: {rate: 1/h, burst: 2}}", fault.OK, "401 200 200"},
		{"tokens", "{jwt: {issuer: https://issuer.invalid, audience: [x], rate: 5/s}}", fault.OK, "401 401 401"},
		{"no keys", "{key: {env: NOTHING}}", fault.BadConfig, "environment variable NOTHING"},
		{"a short key", "{key: {env: SHORT}}", fault.BadConfig, "SHORT entry 1: want a key of at least 16 characters, got 4"},
		{"no file", "{key: {file: " + file + "x}}", fault.BadConfig, "no such file"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := function(t, "model: addsub.onnx\nauth: "+tt.auth+"\n")
			f, err := app.Open(dir, engine(dir), nil)
			if err != nil {
				t.Fatal(err)
			}
			callers, err := f.Authorizer(func(name string) string { return env[name] })
			if err != nil || tt.code != fault.OK {
				if fault.CodeOf(err) != tt.code || !strings.Contains(err.Error(), tt.want) || fault.HintOf(err) == "" {
					t.Errorf("%v (%s), want %v, %q and a hint", err, fault.HintOf(err), tt.code, tt.want)
				}
				return
			}
			var o oip.Options
			if callers != nil {
				defer callers.Close()
				o.Auth = callers
			}
			s := f.Server(o)
			var got []string
			for _, k := range []string{"", key, key} {
				r := httptest.NewRequest("GET", "/v2", http.NoBody)
				if k != "" {
					r.Header.Set("X-Api-Key", k)
				}
				w := httptest.NewRecorder()
				s.ServeHTTP(w, r)
				got = append(got, w.Result().Status[:3])
			}
			if got := strings.Join(got, " "); got != tt.want {
				t.Errorf("statuses %s, want %s", got, tt.want)
			}
		})
	}
}
