package google

import (
	"fmt"
	"strings"

	"godwit.dev/infra/render"
)

// Commands are what is run in the folder that RenderCloudRun or RenderVertexAI
// made, whose target is the one of d that is rendered: the script, which calls
// gcloud with the project, and the region, of gcloud's own settings or of PROJECT
// and REGION. d is one that the renderer takes.
func Commands(d *render.Deployment) []render.Command {
	return []render.Command{{Args: []string{"bash", MarkFile}, Why: "makes what is missing on Google Cloud by gcloud, and brings the rest up to date"}}
}

// commandsBlock is commands as a reader copies them, with what they do beside them.
func commandsBlock(b *strings.Builder, all []pair) {
	for _, c := range all {
		if c.value == "" {
			fmt.Fprintf(b, "    %s\n", c.name)
		} else {
			fmt.Fprintf(b, "    %-62s # %s\n", c.name, c.value)
		}
	}
}

func exportProject(region string) string {
	if region != "" {
		return "export PROJECT=my-project REGION=" + region
	}
	return "export PROJECT=my-project REGION=europe-west1"
}
