package pack

import "fmt"

// edge adds the unit by which systemd runs the folder from /opt/NAME, as a
// user that it makes for it, on a file system that it cannot write to but for
// its own state. Restarts are not counted: a version that does not work is
// taken back by the program itself, which counts them.
func (c *contents) edge() error {
	unit := fmt.Sprintf(`[Unit]
Description=%[1]s, served by Godwit
After=network.target
StartLimitIntervalSec=0

[Service]
Type=notify
NotifyAccess=main
Environment=GODWIT_TARGET=edge
ExecStart=/opt/%[1]s/fn-server
ExecReload=/bin/kill -HUP $MAINPID
WatchdogSec=30
Restart=always
RestartSec=1
TimeoutStartSec=300
TimeoutStopSec=40
DynamicUser=yes
StateDirectory=%[1]s
ProtectSystem=strict
ProtectHome=yes
PrivateTmp=yes
NoNewPrivileges=yes
CapabilityBoundingSet=
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6
`, c.spec.Name)
	if e := c.spec.Targets.Edge; e != nil {
		if e.Memory > 0 {
			unit += fmt.Sprintf("MemoryMax=%d\n", e.Memory)
		}
		if e.CPU > 0 { // thousandths
			unit += fmt.Sprintf("CPUQuota=%d%%\n", (int64(e.CPU)+9)/10)
		}
	}
	unit += "\n[Install]\nWantedBy=multi-user.target\n"
	return c.tree.Add(File{Path: c.spec.Name + ".service", Part: Spec, Data: []byte(unit)})
}
