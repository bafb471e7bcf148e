// Package edge renders a function for a device: a unit for systemd, a component
// for AWS IoT Greengrass v2, or a deployment for Azure IoT Edge, as
// targets.edge.runtime says.
//
// It is pure: what it knows is in the Deployment. Nothing of Godwit is needed
// to deploy what it writes.
package edge

import (
	"godwit.dev/infra/render"
)

// Mark is what README.md holds, by which a folder is known as one that Render made.
const Mark = "Rendered by godwit from godwit.yaml for a device"

// Render is all the files of d but its package, sorted by path; docs/edge.md has
// them for each runtime.
//
// Errors: BadConfig for what cannot run as godwit.yaml says, Unsupported for what
// the runtime has no place for, both with what to do.
func Render(d *render.Deployment) ([]render.File, error) {
	if err := check(d); err != nil {
		return nil, err
	}
	var files []render.File
	switch d.Spec.Targets.Edge.Runtime {
	case "greengrass":
		files = greengrass(d)
	case "iotedge":
		files = iotedge(d)
	default:
		files = []render.File{{Path: unitName(d.Spec), Data: Unit(d.Spec)}}
	}
	files = append(files, render.File{Path: "README.md", Data: readme(d)})
	render.Sort(files)
	return files, nil
}

// PackagePath is where in the folder the package belongs, with slashes; "" where
// an image is deployed. d is one that Render takes.
func PackagePath(d *render.Deployment) string {
	switch d.Spec.Targets.Edge.Runtime {
	case "iotedge":
		return ""
	case "greengrass":
		return "artifacts/" + component(d.Spec) + "/" + version(d) + "/" + d.Package
	}
	return d.Package
}
