package pack

import (
	"godwit.dev/infra/edge"
)

// edge adds the unit by which systemd runs the folder from /opt/godwit/NAME: the
// one that is rendered. As a module of Azure IoT Edge it is an image, of which
// Docker takes care.
func (c *contents) edge() error {
	if t := c.spec.Targets.Edge; t != nil && t.Runtime == "iotedge" {
		return nil
	}
	return c.tree.Add(File{Path: "godwit-" + c.spec.Name + ".service", Part: Spec, Data: edge.Unit(c.spec)})
}
