package doctor

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
)

// azure looks at what the Functions host reads before it starts the program.
func (e *exam) azure(context.Context) error {
	if e.t.name != "azurefunctions" || !e.packaged() || e.a.Kind == Image {
		return nil
	}
	bad := func(where, what, do string) {
		e.add(Finding{Code: "azure-host", Level: Error, Where: where, What: what, Why: "The Functions host does not start the function, or sends it nothing.", Do: do})
	}
	const again = "Package with `godwit package --target azurefunctions`."
	b, err := os.ReadFile(filepath.Join(e.a.Dir, "host.json"))
	if err != nil {
		bad("host.json", "There is no host.json at the package's root.", again)
		return nil
	}
	var host struct {
		Version       string `json:"version"`
		CustomHandler *struct {
			Description struct {
				Path string `json:"defaultExecutablePath"`
			} `json:"description"`
			Proxy   bool `json:"enableProxyingHttpRequest"`
			Forward bool `json:"enableForwardingHttpRequest"`
		} `json:"customHandler"`
	}
	if err := json.Unmarshal(b, &host); err != nil {
		bad("host.json", fmt.Sprintf("host.json is no JSON: %v.", err), again)
		return nil
	}
	switch {
	case host.Version != "2.0":
		bad("host.json", fmt.Sprintf("host.json has version %q, not \"2.0\".", host.Version), again)
	case host.CustomHandler == nil || host.CustomHandler.Description.Path == "":
		bad("host.json", "host.json names no customHandler.description.defaultExecutablePath.", again)
	default:
		p := path.Clean(filepath.ToSlash(host.CustomHandler.Description.Path))
		if e.byPath[p] == nil {
			bad(p, fmt.Sprintf("host.json starts %q, which is not in the package.", host.CustomHandler.Description.Path), "Correct defaultExecutablePath; case matters.")
		}
	}
	functions := 0
	for i := range e.files {
		p := e.files[i].path
		if path.Base(p) != "function.json" || path.Dir(path.Dir(p)) != "." {
			continue
		}
		functions++
		var f struct {
			Bindings []struct {
				Type, Direction, Name string
			} `json:"bindings"`
		}
		b, err := os.ReadFile(filepath.Join(e.a.Dir, filepath.FromSlash(p)))
		if err == nil {
			err = json.Unmarshal(b, &f)
		}
		if err != nil || !slices.ContainsFunc(f.Bindings, func(b struct{ Type, Direction, Name string }) bool {
			return len(b.Type) > 7 && b.Type[len(b.Type)-7:] == "Trigger"
		}) {
			bad(p, fmt.Sprintf("%s has no trigger.", p), again)
		}
	}
	if functions == 0 {
		bad("function.json", "There is no folder with a function.json.", again)
	}
	return nil
}
