package cli

import (
	"testing"

	"godwit.dev/infra/spec"
	"godwit.dev/internal/pack"
	"godwit.dev/runtime/fault"
)

func TestBudget(t *testing.T) {
	for _, test := range []struct {
		name        string
		budget      *spec.Budget
		media       string
		size, added int64
		code        fault.Code
	}{
		{"none", nil, pack.MediaTypeZip, 1 << 40, 0, fault.OK},
		{"not for zips", &spec.Budget{Image: 1}, pack.MediaTypeZip, 1 << 40, 0, fault.OK},
		{"a zip as large as may be", &spec.Budget{Zip: 10}, pack.MediaTypeZip, 10, 0, fault.OK},
		{"a zip a byte larger", &spec.Budget{Zip: 10}, pack.MediaTypeZip, 11, 0, fault.TooLarge},
		{"an image's base is free", &spec.Budget{Image: 10}, "application/vnd.oci.image.manifest.v1+json", 100, 10, fault.OK},
		{"an image's layers are not", &spec.Budget{Image: 10}, "application/vnd.oci.image.manifest.v1+json", 100, 11, fault.TooLarge},
	} {
		err := withinBudget(&spec.Spec{Budget: test.budget}, &pack.Artifact{MediaType: test.media, Size: test.size}, test.added)
		if got := fault.CodeOf(err); got != test.code {
			t.Errorf("%s: want %v, got %v (%v)", test.name, test.code, got, err)
		}
	}
}
