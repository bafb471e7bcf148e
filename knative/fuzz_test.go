package knative_test

import (
	"strings"
	"testing"
	"unicode/utf8"

	"godwit.dev/infra/render/rendertest"
)

// Whatever text a variable has, it is the same in the files and in kn's line,
// and nothing else changes.
func FuzzText(f *testing.F) {
	for _, seed := range []string{"", "a", `"`, "'", "\\", "\n", ": #", "$(A)", "$$", "\u2028\ufeff", "{{", "yes", "---\n", "\x00\x7f"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if !utf8.ValidString(text) {
			return // godwit.yaml is UTF-8
		}
		d := on(t, "env: {A: b}")
		d.Spec.Targets.Knative.Env["A"] = text
		service := applied(t, d)
		want := text
		if strings.Contains(text, "$(") || strings.Contains(text, "$$") {
			want = strings.ReplaceAll(text, "$", "$$")
		}
		for _, s := range []map[string]any{service, knService(t, d)} {
			env := rendertest.Within(s, "spec", "template", "spec", "containers", "0", "env").([]any)
			if got := rendertest.Within(env[1], "value"); len(env) != 2 || got != want {
				t.Fatalf("%q: got %d variables, %q", text, len(env), got)
			}
		}
	})
}
