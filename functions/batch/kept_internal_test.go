package batch

import (
	"encoding/json"
	"testing"

	"godwit.dev/runtime/fault"
)

// What lies below the place for scores may be anybody's.
func FuzzKept(f *testing.F) {
	for _, seed := range []string{`[]`, `null`, `{}`, `[{"Index":0,"Line":1,"From":0,"To":5},{"Index":1,"Line":3,"From":5,"To":9}]`,
		`{"part":0,"rows":1,"file":{"name":"part-00000.csv","bytes":3}}`, `[{"Index":0,"Line":1,"From":0,"To":-5}]`, `{"file":null}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		parts, err := parseParts("k", text)
		if err == nil {
			for i := range parts {
				if parts[i].Index != i || parts[i].To < parts[i].From || parts[i].From < 0 {
					t.Errorf("%s: %+v", text, parts)
				}
			}
			if again, err := json.Marshal(parts); err != nil {
				t.Error(err)
			} else if _, err := parseParts("k", again); err != nil {
				t.Errorf("%s: %v", again, err)
			}
		} else if fault.CodeOf(err) != fault.Unprocessable {
			t.Error(err)
		}
		if m, err := parseMark("k", text); (err == nil) == (m == nil || m.File == nil) {
			t.Errorf("%s: %+v, %v", text, m, err)
		}
	})
}
