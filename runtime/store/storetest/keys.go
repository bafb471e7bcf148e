package storetest

import (
	"slices"
	"strings"
	"sync"

	"godwit.dev/runtime/fault"
)

// odd are keys that somebody has, and that an encoding or a shell may break.
var odd = []string{
	"with space", "  two  spaces  ", "plus+plus", "percent%20", "%2F%2e", "100%", "question?x=1&y=2", "hash#1", "semi;colon", "comma,",
	"quote'", `double"quote`, "a=b", "at@", "dollar$HOME", "tilde~", "(paren)", "[bracket]", "{brace}", "star*", "pipe|", "caret^", "back`tick",
	"exclaim!", "less<than>", "amp&amp;", "under_score", "-dash", ".hidden", "...", "a..b", "trailing.", "ümläut", "日本語", "emoji-🐦", "e\u0301 and \u00e9",
	"UPPER", "upper", "year=2026/month=11/part-00000.jsonl", "deep/" + strings.Repeat("x/", 40) + "end", "long-" + strings.Repeat("n", 200),
	"rows.csv-below-input.0123456789abcdef/part-00000.jsonl", "colon:colon", `back\slash`,
}

func oddKeys(x *bench) {
	want := []string{}
	for i, key := range odd {
		if slices.Contains(x.s.Refuses, key) {
			_, err := x.b.Create(x.ctx, x.prefix+key)
			x.code("Create("+key+")", err, fault.Invalid)
			continue
		}
		x.put(x.prefix+key, noise(i, i))
		want = append(want, key)
	}
	for i, key := range odd {
		if slices.Contains(x.s.Refuses, key) {
			continue
		}
		x.described(x.stat(x.prefix+key), x.prefix+key, noise(i, i))
		x.holds(x.prefix+key, noise(i, i))
		o := x.stat(x.prefix + key)
		if _, err := x.read(x.prefix+key, o.Version, 0, 5); err != nil {
			x.Errorf("a range of %q: %v", key, err)
		}
		if !slices.Contains(x.keys(key), key) {
			x.Errorf("List(%q) has not its key", key)
		}
	}
	slices.Sort(want)
	x.list("", want...)
	for _, key := range want {
		if err := x.b.Delete(x.ctx, x.prefix+key); err != nil {
			x.Errorf("Delete(%q): %v", key, err)
		}
	}
	x.list("")
}

func refused(x *bench) {
	for _, key := range []string{
		"", "/", "/lead", "trail/", "a//b", ".", "..", "a/..", "../a", "a/./b", "a/../b", "./a", "new\nline", "nul\x00", "del\x7f", "not\xffutf8",
		strings.Repeat("k", 1025),
	} {
		_, err := x.b.Stat(x.ctx, key)
		x.code("Stat", err, fault.Invalid)
		_, err = x.b.Open(x.ctx, key, "", 0, -1)
		x.code("Open", err, fault.Invalid)
		_, err = x.b.Create(x.ctx, key)
		x.code("Create", err, fault.Invalid)
		x.code("Delete", x.b.Delete(x.ctx, key), fault.Invalid)
	}
}

func lists(x *bench) {
	keys := []string{"a", "a-b", "a.b", "a0", "b/1", "b/10", "b/2", "b/sub/x", "b-1", "b0", "c/d/e/f", "ab/c"}
	if !slices.Contains(x.s.Refuses, "a/b") { // a key that is another's folder
		keys = append(keys, "a/b", "a/c")
	}
	for _, key := range keys {
		x.put(x.prefix+key, []byte(key))
	}
	slices.Sort(keys)
	for _, prefix := range []string{"", "a", "a/", "a-", "b", "b/", "b/1", "b/sub", "b/sub/", "b/sub/x", "c/d", "c/d/e/f", "z", "b/1/", "b//", "./", "../"} {
		want := []string{}
		for _, key := range keys {
			if strings.HasPrefix(key, prefix) {
				want = append(want, key)
			}
		}
		x.list(prefix, want...)
	}
	n := 0
	for range x.b.List(x.ctx, x.prefix) {
		if n++; n == 3 {
			break
		}
	}
	if n != 3 {
		x.Errorf("a list was left after %d objects, want 3", n)
	}
}

func longLists(x *bench) {
	want := make([]string, x.s.Many)
	var all sync.WaitGroup
	const workers = 8
	for w := range workers {
		all.Go(func() {
			for i := w; i < x.s.Many; i += workers {
				want[i] = "many/" + label(i)
				wr, err := x.b.Create(x.ctx, x.prefix+want[i])
				if err != nil {
					x.Errorf("Create: %v", err)
					return
				}
				if err := wr.Commit(x.ctx); err != nil {
					x.Errorf("Commit: %v", err)
				}
			}
		})
	}
	all.Wait()
	x.list("many/", want...)
	x.list("", want...)
	all.Go(func() { x.list("many/", want...) }) // two at once
	x.list("many/0000", want[:min(10, x.s.Many)]...)
	all.Wait()
}
