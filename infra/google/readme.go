package google

import (
	"bytes"
	"fmt"
	"strings"

	"godwit.dev/infra/render"
)

func runReadme(d *render.Deployment, _ *plan) []byte {
	s := d.Spec
	var b bytes.Buffer
	fmt.Fprintf(&b, "# %s on Cloud Run\n\nRendered by godwit from godwit.yaml and the package %s. Change godwit.yaml and render again rather than these files.\n\n", s.Name, d.Digest)
	fmt.Fprintf(&b, "\nThe same with gcloud:\n\n    %s\n", strings.ReplaceAll(CloudRunLine(d), "\n", "\n    "))
	return b.Bytes()
}
