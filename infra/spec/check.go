package spec

import "fmt"

func index(list string, i int) string { return fmt.Sprintf("%s[%d]", list, i) }

// check notes what no single key can tell. The defaults are applied, and every
// key by itself is right.
func (s *Spec) check(d *decoder) {
	s.checkModels(d)
	if s.Batch != nil {
		s.Batch.check(d)
	}
	if len(s.Triggers) > 0 && s.Batch == nil {
		d.add(d.where("triggers"), "triggers", "Add batch: {input: rows/, output: scores/}.", "triggers start batch scoring, and there is no batch")
	}
	for _, t := range s.Targets.list() {
		t.check(d, join("targets", t.name), s)
	}
}

func (s *Spec) checkModels(d *decoder) {
	at, short := d.at["model"]
	_, long := d.at["models"]
	switch {
	case short && long:
		d.add(at, "model", "Move it into models.", "want model or models, got both")
		return
	case !short && !long:
		d.add(place{1, 1}, "", "Add model: and the name of your ONNX file.", "want the key model or models, got neither")
		return
	}
	seen := map[[2]string]int{}
	for i, m := range s.Models {
		p := index("models", i)
		id := [2]string{m.Name, m.Version}
		if first, dup := seen[id]; dup {
			d.add(d.where(p), p, "Give each its own name or version.", "model %q version %q is models[%d] already", m.Name, m.Version, first)
		}
		seen[id] = i
		if !remote(m.Path) || m.SHA256 != "" {
			continue
		}
		hint := "Add sha256, as sha256sum prints it."
		if short {
			hint = "Write models: [{path: " + m.Path + ", sha256: …}] with what sha256sum prints."
		}
		d.add(d.where(p+".path"), p+".path", hint, "a model from a URL needs sha256")
	}
}
