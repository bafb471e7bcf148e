package azure

import (
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"

	"godwit.dev/infra/render"
)

// hostile breaks out of whatever does not quote it.
const hostile = `'" ''' \ ${'x'} $(x) %x% [concat('x')] {{x}} {0} // #` + "`x` é \u202e"

func TestNothingBreaksOut(t *testing.T) {
	d := deployment(t, "model: fraud.onnx\ntargets: {azurefunctions: {env: {HOSTILE: x}}, azureml: {env: {HOSTILE: x}}}\n")
	for _, text := range []string{hostile, "[x]", "two\nlines\t\r", "", "'", "${", "$${", `\${`} {
		d.Spec.Targets.AzureFunctions.Env["HOSTILE"] = text
		d.Spec.Targets.AzureML.Env["HOSTILE"] = text
		d.Request.Path = "requests/a b'$(x)/1.json"
		d.Package = "a b'$(x).zip"
		var scripts string
		for path, data := range rendered(t, d, RenderFunctions, RenderML) {
			if strings.HasSuffix(path, ".bicep") && strings.Contains(data, "HOSTILE") {
				if got := literalOf(t, data, "HOSTILE: "); got != text {
					t.Errorf("%s: want %q, got %q", path, text, got)
				}
			}
			if path == "deployment.yml" {
				var v map[string]any
				if err := yaml.Unmarshal([]byte(data), &v); err != nil {
					t.Fatal(err)
				}
				if got := dig(v, []any{"environment_variables", "HOSTILE"}); got != text {
					t.Errorf("deployment.yml: want %q, got %q", text, got)
				}
			}
			if path == "deploy.sh" {
				scripts = data
			}
		}
		// A shell reads the name of the package as one word.
		cmd := exec.Command("sh")
		cmd.Stdin = strings.NewReader("AZURE_RESOURCE_GROUP=g AZURE_FUNCTION_NAME=f AZURE_STORAGE_NAME=s; az() { for w; do printf '%s\\n' \"$w\"; done; }\n" + scripts)
		out, err := cmd.CombinedOutput()
		if err != nil || !strings.Contains(string(out), "\n--src\n"+d.Package+"\n--resource-group\ng\n") {
			t.Errorf("deploy.sh: %v\n%s", err, out)
		}
	}
}

// A variable may be called what Bicep has words for.
func TestWordsOfBicepAreNames(t *testing.T) {
	d := deployment(t, "model: fraud.onnx\ntargets: {azurefunctions: {env: {\"null\": a, \"true\": b, resource: c, _: d}}}\n")
	main := rendered(t, d, RenderFunctions)["infra/main.bicep"]
	for _, want := range []string{"\n    'null': 'a'\n", "\n    'true': 'b'\n", "\n    resource: 'c'\n", "\n    _: 'd'\n"} {
		if !strings.Contains(main, want) {
			t.Errorf("want %q", want)
		}
	}
}

func rendered(t testing.TB, d *render.Deployment, with ...func(*render.Deployment) ([]render.File, error)) map[string]string {
	t.Helper()
	all := map[string]string{}
	for _, f := range with {
		files, err := f(d)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.IsSortedFunc(files, func(a, b render.File) int { return strings.Compare(a.Path, b.Path) }) {
			t.Error("files are not sorted")
		}
		for _, f := range files {
			all[f.Path] = string(f.Data)
		}
	}
	return all
}

// literalOf reads Bicep's string behind a key, which has to end the line.
func literalOf(t testing.TB, text, key string) string {
	t.Helper()
	_, rest, _ := strings.Cut(text, key)
	s, rest, err := unquoted(rest)
	if err != nil || !strings.HasPrefix(rest, "\n") {
		t.Fatalf("behind %s: %v, and then %.20q", key, err, rest)
	}
	return s
}

// unquoted is a reader of Bicep's strings in one line, by its grammar.
func unquoted(text string) (s, rest string, err error) {
	if !strings.HasPrefix(text, "'") {
		return "", "", fmt.Errorf("want a quote, got %.20q", text)
	}
	var b strings.Builder
	for i := 1; i < len(text); {
		switch c := text[i]; {
		case c == '\'':
			return b.String(), text[i+1:], nil
		case c == '\n' || c == '\r':
			return "", "", fmt.Errorf("the line ends within the string")
		case c == '$' && strings.HasPrefix(text[i:], "${"):
			return "", "", fmt.Errorf("an interpolation at %d", i)
		case c == '\\':
			plain, ok := map[byte]string{'\\': `\`, '\'': "'", 'n': "\n", 'r': "\r", 't': "\t", '$': "$"}[text[i+1]]
			i += 2
			if ok {
				b.WriteString(plain)
				break
			}
			var code rune
			end := strings.IndexByte(text[i:], '}')
			if text[i-1] != 'u' || end < 0 {
				return "", "", fmt.Errorf("an unknown escape at %d", i)
			}
			if _, err := fmt.Sscanf(text[i:i+end+1], "{%x}", &code); err != nil {
				return "", "", err
			}
			b.WriteRune(code)
			i += end + 1
		default:
			b.WriteByte(c)
			i++
		}
	}
	return "", "", fmt.Errorf("no end")
}

func FuzzLiteral(f *testing.F) {
	for _, s := range []string{hostile, "", "'", "${}", "\\${", "$$$${{", "a\x00b\u2028", "\xff"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		want := strings.ToValidUTF8(s, "\ufffd")
		got, rest, err := unquoted(literal(s))
		// Each byte that is no UTF-8 is one sign of its own.
		if err != nil || rest != "" || strings.ReplaceAll(got, "\ufffd", "") != strings.ReplaceAll(want, "\ufffd", "") {
			t.Errorf("want %q, got %q and %q, %v", want, got, rest, err)
		}
	})
}
