package auth

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"

	"godwit.dev/adapters/oip"
	"godwit.dev/runtime/fault"
)

// testKey is a canary: nothing may ever tell it.
const testKey = "canary-7f3a91c04be2d568"

// hashedKey is what docs/auth.md says to make of testKey, made with openssl.
const hashedKey = "sha256$pinchofsalt0$465da6445c7c304d8d75a1eb45d3126dc4c0f43c20fabca7927b09d2034f22ad"

func TestKeys(t *testing.T) {
	const other = "0123456789abcdef"
	a := newKeys(t, &KeyOptions{List: strings.Join([]string{
		"0000000000000001", "bob:" + other + other, " ", "scraper:metrics:metrics-metrics-metrics", "# nobody:" + other,
		"ops:admin+metadata:abcdefghijklmnop", "hashed:" + hashedKey}, ",")})
	tests := []struct{ key, caller, may string }{
		{"0000000000000001", "key-1", "infer metadata metrics"},
		{other + other, "bob", "infer metadata metrics"},
		{"metrics-metrics-metrics", "scraper", "metrics"},
		{"abcdefghijklmnop", "ops", "metadata admin"},
		{testKey, "hashed", "infer metadata metrics"},
	}
	for _, tt := range tests {
		may := ""
		for _, s := range []oip.Scope{oip.ScopeInfer, oip.ScopeMetadata, oip.ScopeMetrics, oip.ScopeAdmin} {
			caller, err := ask(a, s, "x-api-key", tt.key)
			if err == nil {
				may += " " + string(s)
			}
			if err == nil && caller != tt.caller || err != nil && fault.CodeOf(err) != fault.Denied {
				t.Errorf("%s for %s: %q, %v", tt.caller, s, caller, err)
			}
		}
		if may = strings.TrimSpace(may); may != tt.may {
			t.Errorf("%s may %q, want %q", tt.caller, may, tt.may)
		}
	}
	for _, key := range []string{"x", other, testKey[:len(testKey)-1], testKey + "x", strings.ToUpper(testKey), hashedKey, "bob:" + other + other, "bob",
		"0000000000000002", strings.Repeat("0", maxKey+1), strings.Repeat("0", 1<<20), testKey + "\x00", " " + testKey} {
		if caller, err := ask(a, oip.ScopeInfer, "x-api-key", key); fault.CodeOf(err) != fault.Unauthenticated || caller != "" {
			t.Errorf("%.40q: %q, %v", key, caller, err)
		}
	}
}

func TestKeysThatAreRefused(t *testing.T) {
	const c = testKey // must not be in any error
	tests := []struct{ name, list, want string }{
		{"none", "", "want at least one API key"},
		{"only comments", "#" + c + ",,", "want at least one API key"},
		{"short", c + ",bob:canary-7", "entry 2: want a key of at least 16 characters, got 8"},
		{"long", strings.Repeat(c, 30), "at most 512"},
		{"a space", c + " " + c, "another character"},
		{"a quote", `"` + c + `"`, "another character"},
		{"not ASCII", c + "é", "another character"},
		{"name twice", "a:" + c + ",a:" + c + "x", `entry 2: want a name for each key, got "a" as in entry 1`},
		{"name of an unnamed one", "key-2:" + c + "," + c + "x", `want a name for each key`},
		{"key twice", "a:" + c + ",b:" + c, "entry 2: want each key once, got the one of entry 1 again"},
		{"hashed key twice", "a:" + hashedKey + ",b:" + hashedKey, "want each key once"},
		{"no name", ":" + c, "want a name"},
		{"key in front", c + "/+:name-of-the-caller", "want a name"},
		{"no such scope", "a:infer+root:" + c, "want the scopes"},
		{"no scope", "a::" + c, "want the scopes"},
		{"four parts", "a:infer:b:" + c, "got 4 parts"},
		{"hash without salt", "sha256$$" + strings.Repeat("0", 64), "want sha256$SALT$HEX"},
		{"hash of little salt", "sha256$salt$" + strings.Repeat("0", 64), "want sha256$SALT$HEX"},
		{"hash too short", "sha256$pinchofsalt$" + strings.Repeat("0", 62), "want sha256$SALT$HEX"},
		{"hash no hexadecimal", "sha256$pinchofsalt$" + strings.Repeat("x", 64), "want sha256$SALT$HEX"},
		{"another hash", "md5$pinchofsalt$" + strings.Repeat("0", 32), "another character"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Keys(&KeyOptions{List: tt.list})
			if fault.CodeOf(err) != fault.BadConfig || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%v, want bad_config and %q", err, tt.want)
			}
			if text := err.Error() + fault.HintOf(err); strings.Contains(text, "canary") {
				t.Errorf("the error has the key: %v", err)
			}
		})
	}
	many := make([]string, maxKeys+1)
	for i := range many {
		many[i] = fmt.Sprintf("%020d", i)
	}
	if _, err := Keys(&KeyOptions{List: strings.Join(many, "\n")}); err == nil || !strings.Contains(err.Error(), "at most 10000 keys") {
		t.Errorf("too many keys: %v", err)
	}
}

// One key may be known under two salts, which nobody can see; it has one owner.
func TestKeyUnderTwoSalts(t *testing.T) {
	a := newKeys(t, &KeyOptions{List: "a:" + testKey + ",b:" + hashedKey + ",c:0123456789abcdef"})
	if caller, err := ask(a, oip.ScopeInfer, "x-api-key", testKey); err != nil || caller != "b" {
		t.Errorf("%q, %v, want the last one listed", caller, err)
	}
}

// What is in memory is neither the key nor a hash that is the same elsewhere.
func TestKeysAreKeptSalted(t *testing.T) {
	ring := func() *keyring {
		r, err := parseKeys([]string{"a:" + testKey}, "line")
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	one, two := ring(), ring()
	if one.groups[0].hashes[0] == two.groups[0].hashes[0] {
		t.Error("two processes keep the same hash")
	}
	if text := fmt.Sprintf("%+v", one); strings.Contains(text, testKey) {
		t.Error("the key is kept")
	}
}

func TestKeyFileIsReadAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		path := filepath.Join(dir, "keys")
		// As Kubernetes rotates secrets: a link to a folder is replaced.
		version := 0
		put := func(text string) {
			t.Helper()
			version++
			at := filepath.Join(dir, fmt.Sprint("v", version))
			if err := os.WriteFile(at, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.Symlink(at, path+".new"); err != nil {
				t.Fatal(err)
			}
			if err := os.Rename(path+".new", path); err != nil {
				t.Fatal(err)
			}
		}
		var log buffer
		put("# ours\n\nalice:" + testKey + "\n")
		a := newKeys(t, &KeyOptions{File: path, Log: logTo(&log)})
		in := func(key string) bool {
			_, err := ask(a, oip.ScopeInfer, "x-api-key", key)
			return err == nil
		}
		later := func() { // when the file has been looked at again
			pass(lookEvery)
			synctest.Wait()
		}
		step := func(what string, old, next bool) {
			t.Helper()
			if in(testKey) != old || in(testKey+"2") != next {
				t.Errorf("%s: the first key in: %v, want %v; the second: %v, want %v", what, in(testKey), old, in(testKey+"2"), next)
			}
		}
		step("at first", true, false)
		put("alice:" + testKey + "\nbob:" + testKey + "2\r\n")
		step("before it is looked at", true, false)
		later()
		step("a key more", true, true)
		put("bob:canary\n")
		later()
		step("a bad file", true, true)
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		later()
		later()
		step("no file", true, true)
		put("")
		later()
		step("an empty file", true, true)
		put("bob:" + testKey + "2\n")
		later()
		step("the old key taken away", false, true)

		if strings.Contains(log.String(), testKey) {
			t.Errorf("the log has a key:\n%s", log.String())
		}
		if n := strings.Count(log.String(), `"level":"ERROR"`); n != 3 {
			t.Errorf("%d errors in the log, want one for each of three bad states:\n%s", n, log.String())
		}
		a.Close()
		a.Close()
	})
}

func TestKeyFileThatCannotBeRead(t *testing.T) {
	dir := t.TempDir()
	bad := filepath.Join(dir, "bad")
	if err := os.WriteFile(bad, []byte("a:"+testKey+"\nb:canary\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		filepath.Join(dir, "none"): "no such file", dir: "want a regular file", bad: "line 2: want a key of at least",
	} {
		_, err := Keys(&KeyOptions{File: path})
		if fault.CodeOf(err) != fault.BadConfig || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "canary") {
			t.Errorf("%s: %v, want bad_config and %q", path, err, want)
		}
	}
}
