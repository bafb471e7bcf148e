package edge

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"

	"godwit.dev/infra/render"
	"godwit.dev/infra/spec"
)

// Commands are what deploys the folder that Render made: on the device itself, as
// root, for systemd, and for greengrass without targets.edge.greengrass; else from
// wherever AWS's or Azure's command is. d is one that Render takes.
//
// Errors: BadConfig where godwit.yaml does not say to which devices.
func Commands(d *render.Deployment) ([]render.Command, error) {
	switch t := d.Spec.Targets.Edge; {
	case t.Runtime == "greengrass" && t.Greengrass != nil:
		return throughAWS(d, t.Greengrass), nil
	case t.Runtime == "greengrass":
		return onGreengrass(d), nil
	case t.Runtime == "iotedge" && t.IoTEdge == nil:
		return nil, bad("targets.edge.iotedge", "want the hub and its devices, got none").
			WithHint("Add iotedge: {hub: NAME, device: ID}, or {hub: NAME, condition: \"tags.site='plant'\"} for many.")
	case t.Runtime == "iotedge":
		return throughAzure(d, t.IoTEdge), nil
	}
	return onSystemd(d), nil
}

func onSystemd(d *render.Deployment) []render.Command {
	home := "/opt/godwit/" + d.Spec.Name
	dir, unit := home+"-"+short(d), unitName(d.Spec)
	return []render.Command{
		{Args: []string{"install", "-d", dir}, Why: "a folder for each package, so that the last one is there to go back to"},
		{Args: []string{"tar", "-xzf", d.Package, "--no-same-owner", "-C", dir}},
		{Args: []string{"ln", "-sfnT", dir, home}, Why: "the one that runs"},
		{Args: []string{"install", "-m", "644", unit, "/etc/systemd/system/" + unit}},
		{Args: []string{"systemctl", "daemon-reload"}},
		{Args: []string{"systemctl", "enable", unit}},
		{Args: []string{"systemctl", "restart", unit}, Why: "returns when the models are loaded and answer as recorded"},
	}
}

// short tells packages apart in names.
func short(d *render.Deployment) string { return strings.TrimPrefix(d.Digest, "sha256:")[:12] }

func onGreengrass(d *render.Deployment) []render.Command {
	args := []string{"greengrass-cli", "deployment", "create", "--recipeDir", "recipes", "--artifactDir", "artifacts", "--merge", component(d.Spec) + "=" + version(d)}
	if limits(d.Spec.Targets.Edge) != nil {
		args = append(args, "--systemLimits", "limits.json")
	}
	return []render.Command{{Args: args, Why: "beside the components that are there"}}
}

func throughAWS(d *render.Deployment, g *spec.Greengrass) []render.Command {
	region := strings.Split(g.Target, ":")[3] // arn:aws:iot:REGION:…, as the spec has checked
	return []render.Command{
		{Args: []string{"aws", "s3", "cp", PackagePath(d), "s3://" + g.Bucket + "/" + objectKey(d, version(d))}},
		{Args: []string{"aws", "greengrassv2", "create-component-version", "--region", region, "--inline-recipe", "fileb://" + recipePath(d)}},
		{Args: []string{"aws", "greengrassv2", "create-deployment", "--region", region, "--cli-input-json", "file://deployment.json"}, Why: "replaces the target's deployment"},
	}
}

func throughAzure(d *render.Deployment, i *spec.IoTEdge) []render.Command {
	if i.Device != "" {
		return []render.Command{{
			Args: []string{"az", "iot", "edge", "set-modules", "--hub-name", i.Hub, "--device-id", i.Device, "--content", "deployment.json"},
			Why:  "replaces all modules of the device",
		}}
	}
	return []render.Command{{
		Args: []string{"az", "iot", "edge", "deployment", "create", "--hub-name", i.Hub, "--deployment-id", layerName(d), "--layered",
			"--target-condition", i.Condition, "--priority", fmt.Sprint(i.Priority), "--content", "layer.json"},
		Why: "beside what the devices have",
	}}
}

// layerName is another for each layer, since Azure never takes one under a name that it has.
func layerName(d *render.Deployment) string {
	sum := sha256.Sum256([]byte(fmt.Sprint(d.Image, createOptions(d), module(d)["env"], d.Spec.Targets.Edge.IoTEdge)))
	return "godwit-" + d.Spec.Name + "-" + hex.EncodeToString(sum[:6])
}
