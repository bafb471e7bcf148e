package tune

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"

	"godwit.dev/infra/spec"
	"godwit.dev/runtime/fault"
)

// written is a spec in one of the many ways in which people write the same.
type written struct {
	*rand.Rand
	b       strings.Builder
	newline string
	comment bool
}

func (w *written) line(indent int, format string, args ...any) {
	for w.comment && w.IntN(4) == 0 {
		pad := strings.Repeat(" ", w.IntN(2)*indent)
		w.b.WriteString(pad + pickOne(w.Rand, "# ü: {it's", "#", "# godwit", "#- [\"", "# threads: latency") + w.newline)
	}
	if w.IntN(9) == 0 {
		w.b.WriteString(w.newline)
	}
	w.b.WriteString(strings.Repeat(" ", indent) + fmt.Sprintf(format, args...))
	if w.comment && w.IntN(3) == 0 {
		w.b.WriteString(strings.Repeat(" ", 1+w.IntN(3)) + pickOne(w.Rand, "# why", "# 'a", "#"))
	}
	w.b.WriteString(w.newline)
}

func pickOne[T any](r *rand.Rand, of ...T) T { return of[r.IntN(len(of))] }

func (w *written) quoted(s string) string {
	return pickOne(w.Rand, s, s, `"`+s+`"`, "'"+s+"'")
}

// pairs is a mapping behind a key, in flow or as a block.
func (w *written) pairs(indent int, key string, flow bool, pairs ...string) {
	if len(pairs) == 0 {
		w.line(indent, "%s: %s", key, pickOne(w.Rand, "{}", "{ }"))
		return
	}
	if flow {
		w.line(indent, "%s: %s", key, w.inline(pairs...))
		return
	}
	w.line(indent, "%s:", key)
	step := 1 + w.IntN(4)
	for _, p := range pairs {
		w.line(indent+step, "%s", p)
	}
}

func (w *written) inline(pairs ...string) string {
	pad := pickOne(w.Rand, "", " ")
	return "{" + pad + strings.Join(pairs, pickOne(w.Rand, ", ", ",  ", " , ")) + pad + "}"
}

func (w *written) subset(all ...string) (some []string) {
	for _, s := range all {
		if w.IntN(2) == 0 {
			some = append(some, s)
		}
	}
	w.Shuffle(len(some), func(i, j int) { some[i], some[j] = some[j], some[i] })
	return some
}

// model is one of the list, with its own keys in some order.
func (w *written) model(i, indent int) {
	pairs := w.subset("version: '2'", "nanPolicy: "+w.quoted("null"), "threads: "+pickOne(w.Rand, "auto", "'latency'", "{intraOp: 2}", "{ runs: 3, intraOp: 1 }"),
		"batching: "+pickOne(w.Rand, "auto", `"off"`, "{maxRows: 16}"))
	pairs = append(pairs, "name: "+w.quoted(fmt.Sprintf("m%d", i)), "path: "+w.quoted(fmt.Sprintf("models/ä%d.onnx", i)))
	w.Shuffle(len(pairs), func(i, j int) { pairs[i], pairs[j] = pairs[j], pairs[i] })
	if w.IntN(3) == 0 {
		w.line(indent, "- %s", w.inline(pairs...))
		return
	}
	gap := 1 + w.IntN(3)
	dash := "-" + strings.Repeat(" ", gap)
	for _, p := range pairs {
		in := indent + 1 + gap
		if dash != "" {
			in = indent
		}
		key, value, _ := strings.Cut(p, ": ")
		if inner, isMap := strings.CutPrefix(value, "{"); isMap && w.IntN(2) == 0 {
			w.line(in, "%s%s:", dash, key)
			for part := range strings.SplitSeq(strings.TrimSuffix(strings.TrimSpace(inner), "}"), ",") {
				w.line(indent+1+gap+2, "%s", strings.TrimSpace(part))
			}
		} else {
			w.line(in, "%s%s", dash, p)
		}
		dash = ""
	}
}

// text makes a spec of two models and a target, or of the short form.
func (w *written) text() []byte {
	short := w.IntN(3) == 0
	parts := []func(){
		func() { w.line(0, "auth: %s", w.quoted("none")) },
		func() {
			pairs := w.subset("memory: "+w.quoted("1GiB"), "cpu: 2", "maxInstances: 3", "env: {A: 'x: {', B: \"#\"}")
			if w.IntN(2) == 0 {
				w.line(0, "targets: %s", w.inline("edge: {}", "cloudrun: "+w.inline(pairs...)))
				return
			}
			w.line(0, "targets:")
			if w.IntN(2) == 0 {
				w.line(2, "edge:")
			}
			w.pairs(2, "cloudrun", w.IntN(2) == 0, pairs...)
		},
		func() {
			if short {
				w.line(0, "model: %s", w.quoted("models/ä.onnx"))
				return
			}
			w.line(0, "models:")
			indent := w.IntN(3)
			w.model(0, indent)
			w.model(1, indent)
		},
	}
	w.Shuffle(len(parts), func(i, j int) { parts[i], parts[j] = parts[j], parts[i] })
	for _, p := range parts {
		p()
	}
	text := w.b.String()
	if w.IntN(5) == 0 {
		text = strings.TrimSuffix(text, w.newline)
	}
	if w.IntN(10) == 0 {
		text = "\ufeff" + text
	}
	return []byte(text)
}

func (w *written) changes(models int) []Change {
	m := fmt.Sprintf("models[%d].", w.IntN(models))
	all := []Change{
		{m + "threads", pickOne(w.Rand, Value{Word: "latency"}, Value{Word: "auto"}, Value{Keys: []Entry{{"intraOp", 4}, {"runs", 2}}})},
		{m + "batching", pickOne(w.Rand, Value{Word: "off"}, Value{Keys: []Entry{{"maxRows", 32}}})},
		{"targets.cloudrun.memory", Value{Word: "2GiB"}},
	}
	w.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	return all[:1+w.IntN(len(all))]
}

// meant is what text says, read without any of Edit's own code but for the short form.
func meant(t *testing.T, text []byte) map[string]any {
	t.Helper()
	var m map[string]any
	if err := yaml.Unmarshal(bytes.TrimPrefix(text, []byte("\ufeff")), &m); err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	if path, ok := m["model"]; ok {
		m["models"] = []any{map[string]any{"path": path}}
		delete(m, "model")
	}
	return m
}

// set gives the key another value, as Edit should have.
func set(m map[string]any, c Change) {
	var v any = c.Value.Word
	if len(c.Value.Keys) > 0 {
		inner := map[string]any{}
		for _, k := range c.Value.Keys {
			inner[k.Name] = uint64(k.Value)
		}
		v = inner
	}
	var i int
	if n, _ := fmt.Sscanf(c.Path, "models[%d].", &i); n == 1 {
		_, name, _ := strings.Cut(c.Path, ".")
		m["models"].([]any)[i].(map[string]any)[name] = v
		return
	}
	m["targets"].(map[string]any)["cloudrun"].(map[string]any)["memory"] = v
}

// Whatever a spec looks like, an edit changes what it says as wished, every comment
// and every line that is not the key's stays byte for byte and in its order, and
// the ends of lines stay what they are.
func TestEditAnySpec(t *testing.T) {
	edited := 0
	for seed := range uint64(200) {
		w := &written{Rand: rand.New(rand.NewPCG(seed, 3)), newline: "\n", comment: true}
		if w.IntN(4) == 0 {
			w.newline = "\r\n"
		}
		text := w.text()
		if _, err := spec.Parse(spec.FileName, text); err != nil {
			t.Fatalf("seed %d: the test's own spec: %v\n%s", seed, err, text)
		}
		want := meant(t, text)
		changes := w.changes(len(want["models"].([]any)))
		note := pickOne(w.Rand, "", "2026-11-23: better")
		got, err := Edit(text, changes, note)
		if err != nil {
			t.Fatalf("seed %d: %v: %v\n%s", seed, changes, err, text)
		}
		for _, c := range changes {
			set(want, c)
		}
		if now := meant(t, got); !reflect.DeepEqual(want, now) {
			t.Fatalf("seed %d: %v: want %v, got %v from\n%s\nof\n%s", seed, changes, want, now, got, text)
		}
		for _, end := range []string{"\r\n", "\n"} {
			if was, is := bytes.Contains(text, []byte(end)), bytes.Contains(got, []byte(end)); was && !is || end == "\r\n" && is && !was {
				t.Fatalf("seed %d: the ends of lines have changed in\n%q\nof\n%q", seed, got, text)
			}
		}
		for k, name := range []string{"comment", "other line"} {
			if was, is := kept(text, k == 0), kept(got, k == 0); strings.Join(was, "\n") != strings.Join(is, "\n") {
				t.Fatalf("seed %d: %v: a %s is not as it was in\n%s\nof\n%s", seed, changes, name, got, text)
			}
		}
		// The same again changes the same, in the place of the first.
		again, err := Edit(got, changes, note)
		if err != nil || !bytes.Equal(again, got) {
			t.Fatalf("seed %d: the second time: %v\n%s\nof\n%s", seed, err, again, got)
		}
		if !bytes.Equal(got, text) {
			edited++
		}
	}
	if edited < 170 {
		t.Errorf("%d edits changed something, want nearly all", edited)
	}
}

// kept is the comments of a text but for ours, or its lines that hold none of the
// keys that are changed, without their comments.
func kept(text []byte, comments bool) (all []string) {
	for line := range strings.SplitSeq(strings.NewReplacer("\r\n", "\n", "\ufeff", "").Replace(string(text)), "\n") {
		code, comment := splitQuoted(line)
		if comments {
			if comment != "" && !strings.HasPrefix(comment, commentMark) {
				all = append(all, comment)
			}
			continue
		}
		if code = strings.TrimSpace(code); code == "" || strings.Contains(code, "model") {
			continue // the short form becomes a list
		}
		touched := false
		for _, key := range []string{"threads", "intraOp", "runs", "batching", "maxRows", "cloudrun", "memory", "path"} {
			touched = touched || strings.Contains(code, key)
		}
		if !touched {
			all = append(all, code)
		}
	}
	return all
}

// splitQuoted parts a line of this test's specs into code and comment.
func splitQuoted(line string) (code, comment string) {
	quote := byte(0)
	for i := range len(line) {
		switch c := line[i]; {
		case quote != 0:
			if c == quote {
				quote = 0
			}
		case c == '"' || c == '\'':
			quote = c
		case c == '#' && (i == 0 || line[i-1] == ' '):
			return line[:i], line[i:]
		}
	}
	return line, ""
}

// FuzzEdit gives Edit any text: what it does not refuse is a spec again that says
// what was wished, and nothing makes it panic.
func FuzzEdit(f *testing.F) {
	for _, seed := range []string{
		"model: a.onnx\n", "{model: a.onnx}", "models:\n- path: a.onnx\n  threads:\n    intraOp: 2 # x\n", "models: [{path: a.onnx, threads: auto}]",
		"model: a.onnx\r\ntargets:\r\n  cloudrun:\r\n", "\ufeffmodel: 'a.onnx' # ü\n", "model: >-\n  a.onnx\n", "models:\n  - # x\n    path: a.onnx\n", "? model\n: a.onnx\n",
		"models:\n- {path: a.onnx,\n   threads: {intraOp: 1, # }\n   runs: 2}}\n", "\"model\": a.onnx\n", "model: a.onnx # godwit tune x\n# godwit tune y\n",
	} {
		f.Add([]byte(seed), "latency", false)
		f.Add([]byte(seed), "off", true)
	}
	f.Fuzz(func(t *testing.T, data []byte, word string, fixed bool) {
		c := Change{"models[0].threads", Value{Word: word}}
		if fixed {
			c.Value = Value{Keys: []Entry{{"intraOp", 3}, {"runs", 2}}}
		}
		got, err := Edit(data, []Change{c}, "note")
		if err != nil {
			if code := fault.CodeOf(err); code != fault.BadConfig && code != fault.Unsupported {
				t.Fatalf("%v: want bad_config or unsupported, got %v", err, code)
			}
			return
		}
		s, err := spec.Parse(spec.FileName, got)
		if err != nil {
			t.Fatalf("%v from\n%q\nof\n%q", err, got, data)
		}
		was, _ := spec.Parse(spec.FileName, data)
		if fixed && (s.Models[0].Threads != spec.Threads{Mode: "fixed", IntraOp: 3, Runs: 2}) || !fixed && s.Models[0].Threads.Mode != word {
			t.Fatalf("got %+v from\n%q\nof\n%q", s.Models[0].Threads, got, data)
		}
		s.Models[0].Threads = was.Models[0].Threads
		a, err1 := was.Marshal()
		b, err2 := s.Marshal()
		if err1 == nil && err2 == nil && was.Given("models") && was.Given("models[0].threads") && was.Models[0].Threads.Mode != "fixed" && !bytes.Equal(a, b) {
			t.Fatalf("something else has changed:\n%s\nwas\n%s", b, a)
		}
	})
}
