package edge

import (
	"bytes"
	"fmt"
	"net"
	"strings"

	"godwit.dev/infra/render"
)

var runtimes = map[string]string{"systemd": "systemd", "greengrass": "AWS IoT Greengrass", "iotedge": "Azure IoT Edge"}

func readme(d *render.Deployment) []byte {
	s, t := d.Spec, d.Spec.Targets.Edge
	var b bytes.Buffer
	fmt.Fprintf(&b, "# %s on a device with %s\n\n%s, from the package %s. Change godwit.yaml and render again rather than these files.\n\n", s.Name, runtimes[t.Runtime], Mark, d.Digest)
	line := func(command, why string) {
		if why == "" {
			fmt.Fprintf(&b, "    %s\n", command)
			return
		}
		fmt.Fprintf(&b, "    %-40s # %s\n", command, why)
	}
	commands, err := Commands(d)
	for _, c := range commands {
		line(render.Line(c), c.Why)
	}
	switch {
	case err != nil: // only where to is missing
		line("az iot edge set-modules --hub-name HUB --device-id DEVICE --content deployment.json", "replaces all modules of the device; or")
		line("az iot edge deployment create --hub-name HUB --deployment-id "+s.Name+"-1 --layered --target-condition \"tags.site='plant'\" --priority 10 --content layer.json", "beside what the devices have")
	case t.Runtime == "systemd":
		line("systemctl status "+unitName(s), "")
	case t.Runtime == "greengrass" && t.Greengrass == nil:
		line("greengrass-cli component list", "RUNNING, as soon as it has started")
	}
	fmt.Fprintf(&b, "\nOn the device:\n\n")
	host, port, err := net.SplitHostPort(t.Listen)
	if err != nil || host == "0.0.0.0" || host == "" || host == "::" {
		host = "127.0.0.1"
	}
	url := "http://" + net.JoinHostPort(host, port)
	line("curl "+url+"/v2/health/ready", "")
	if r := d.Request; r != nil {
		as := map[string]string{"key": ` -H "x-api-key: $KEY"`, "jwt": ` -H "authorization: Bearer $TOKEN"`}[s.Auth.Mode]
		line(fmt.Sprintf("curl %s/v2/models/%s/infer%s -d @%s", url, r.Model, as, render.Shell(r.Path)), "in the function's folder")
	}
	b.WriteString("\n" + strings.Join(notes(d), "\n\n") + "\n")
	return b.Bytes()
}

// notes are the paragraphs below the commands: what has to be there first, and
// how it ends.
func notes(d *render.Deployment) (all []string) {
	s, t := d.Spec, d.Spec.Targets.Edge
	switch t.Runtime {
	case "systemd":
		all = append(all, "The commands are run on the device, as root, in this folder: `scp -r` brings it there.")
		for _, file := range secretFiles(t) {
			var names []string
			for _, name := range secretNames(t, file) {
				names = append(names, "`"+name+"=…`")
			}
			all = append(all, fmt.Sprintf("`/etc/godwit/%s` has to be there, with the lines %s; `chmod 600` keeps it to root.", file, strings.Join(names, " and ")))
		}
		all = append(all,
			"Back to the package before: `ln -sfnT` to its folder below /opt/godwit, and `systemctl restart "+unitName(s)+"`. A version that does not work gives way by itself.",
			"Teardown: `systemctl disable --now "+unitName(s)+"`, then remove its file in /etc/systemd/system, /opt/godwit/"+s.Name+"* and /var/lib/private/godwit/"+s.Name+".")
	case "greengrass":
		if t.Greengrass == nil {
			all = append(all, "The command is run on the core device, as root, in this folder. It needs Greengrass's component aws.greengrass.Cli. To have AWS bring it to many devices, add `greengrass: {bucket: …, target: …}` to targets.edge and render again.",
				"Teardown: `greengrass-cli deployment create --remove "+component(s)+"`.")
		} else {
			all = append(all, "A thing or thing group has one deployment. This one replaces it, with all its components: where there are others, add them to deployment.json (`aws greengrassv2 list-deployments --target-arn "+t.Greengrass.Target+"`).",
				"The devices' token exchange role has to allow s3:GetObject on arn:aws:s3:::"+t.Greengrass.Bucket+"/"+component(s)+"/*.",
				"Teardown: deploy to the target without the component, then `aws greengrassv2 delete-component` with the version's ARN, and remove the object from the bucket.")
		}
		all = append(all, "Greengrass ends what still runs 5 s after it was asked to stop, whatever limits.drain says.")
		if limits(t) != nil {
			all = append(all, "The limits are Greengrass's own, by control groups; they need the nucleus 2.4 or later.")
		}
	case "iotedge":
		all = append(all, "deployment.json replaces all modules of one device. layer.json adds the module to whatever a target condition meets, on top of a deployment that is there; it has no routes.",
			fmt.Sprintf("On each device, once: `install -d -o %d -g %d %s`. What waits and copies of healthy versions outlive the container there.", render.User, render.User, state(s)),
			"There are no routes because the function speaks HTTP: other modules call http://"+s.Name+fmt.Sprintf(":%d, and answers go to forward.url.", render.Port),
			"A registry that asks for a password: add registryCredentials to runtime.settings of deployment.json, or to the device's base deployment.")
		if t.Provider == "cuda" || t.Provider == "tensorrt" {
			all = append(all, "The device needs NVIDIA's container toolkit.")
		}
		all = append(all, "Teardown: `az iot edge deployment delete`, or set-modules with a deployment without the module.")
	}
	return all
}
