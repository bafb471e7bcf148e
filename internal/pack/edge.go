package pack

import "fmt"

// edge adds the unit by which systemd runs the folder from /opt/godwit/NAME, as a
// user that it makes for it, on a file system that it cannot write to but for
// its own state. docs/edge.md says what each line is for, and has the same ones.
func (c *contents) edge() error {
	device := ""
	if c.provider("edge") == "" {
		device = "PrivateDevices=yes\n" // a GPU is a device
	}
	unit := fmt.Sprintf(`[Unit]
Description=Godwit: %[1]s
# A device has nobody to start a unit again that systemd has given up.
StartLimitIntervalSec=0

[Service]
Type=notify
ExecStart=/opt/godwit/%[1]s/fn-server
Environment=GODWIT_TARGET=edge
Environment=GODWIT_OUTPUT=%%S/godwit/%[1]s
StateDirectory=godwit/%[1]s
Restart=always
RestartSec=2
WatchdogSec=30
TimeoutStartSec=5min
TimeoutStopSec=30
KillMode=mixed
%[2]s
DynamicUser=yes
ProtectSystem=strict
ProtectHome=yes
PrivateTmp=yes
%[3]sProtectKernelTunables=yes
ProtectControlGroups=yes
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6
NoNewPrivileges=yes
CapabilityBoundingSet=

[Install]
WantedBy=multi-user.target
`, c.spec.Name, c.limits(), device)
	return c.tree.Add(File{Path: "godwit-" + c.spec.Name + ".service", Part: Spec, Data: []byte(unit)})
}

// limits are what targets.edge gives the process.
func (c *contents) limits() string {
	var lines string
	if e := c.spec.Targets.Edge; e != nil {
		if e.Memory > 0 {
			lines += fmt.Sprintf("MemoryMax=%d\n", e.Memory)
		}
		if e.CPU > 0 { // thousandths
			lines += fmt.Sprintf("CPUQuota=%d%%\n", (int64(e.CPU)+9)/10)
		}
	}
	return lines
}

// provider is a target's execution provider, "" for the CPU.
func (c *contents) provider(target string) string {
	if t := c.spec.Targets.Common(target); t != nil && t.Provider != "cpu" {
		return t.Provider
	}
	return ""
}
