package edge

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"

	"godwit.dev/infra/spec"
)

func unitName(s *spec.Spec) string { return "godwit-" + s.Name + ".service" }

// Unit is the systemd unit godwit-NAME.service, which runs the package from
// /opt/godwit/NAME as a user that systemd makes for it, on a file system that it
// cannot write to but for its own state. docs/edge.md says what each line is for,
// and a test has it the same. A spec without the target gets its defaults.
func Unit(s *spec.Spec) []byte {
	t := s.Targets.EdgeOrDefault()
	var b bytes.Buffer
	fmt.Fprintf(&b, `[Unit]
Description=Godwit: %[1]s
# A device has nobody to start a unit again that systemd has given up.
StartLimitIntervalSec=0

[Service]
Type=notify
ExecStart=/opt/godwit/%[1]s/fn-server
Environment=GODWIT_TARGET=edge
Environment=GODWIT_OUTPUT=%%S/godwit/%[1]s
`, s.Name)
	for _, name := range slices.Sorted(maps.Keys(t.Env)) {
		fmt.Fprintf(&b, "Environment=%s\n", quoted(name+"="+t.Env[name]))
	}
	for _, file := range secretFiles(t) {
		fmt.Fprintf(&b, "EnvironmentFile=/etc/godwit/%s\n", file)
	}
	fmt.Fprintf(&b, `StateDirectory=godwit/%s
Restart=always
RestartSec=2
WatchdogSec=30
TimeoutStartSec=5min
TimeoutStopSec=30
KillMode=mixed
`, s.Name)
	if t.Memory > 0 {
		fmt.Fprintf(&b, "MemoryMax=%d\n", t.Memory)
	}
	if t.CPU > 0 { // thousandths
		fmt.Fprintf(&b, "CPUQuota=%d%%\n", (int64(t.CPU)+9)/10)
	}
	b.WriteString(`
DynamicUser=yes
ProtectSystem=strict
ProtectHome=yes
PrivateTmp=yes
`)
	if t.Provider == "cpu" { // a GPU is a device
		b.WriteString("PrivateDevices=yes\nProtectClock=yes\n")
	}
	b.WriteString(`ProtectProc=invisible
ProtectHostname=yes
ProtectKernelTunables=yes
ProtectKernelModules=yes
ProtectKernelLogs=yes
ProtectControlGroups=yes
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6
RestrictNamespaces=yes
RestrictRealtime=yes
LockPersonality=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallErrorNumber=EPERM
NoNewPrivileges=yes
CapabilityBoundingSet=
UMask=0077

[Install]
WantedBy=multi-user.target
`)
	return b.Bytes()
}

// secretFiles are the files below /etc/godwit that hold secrets, each once, sorted.
func secretFiles(t *spec.Edge) []string {
	return slices.Compact(slices.Sorted(maps.Values(t.Secrets)))
}

// quoted is an assignment as systemd reads it back (systemd.syntax(7)): % begins a
// specifier there, and $ means nothing in Environment=.
func quoted(assignment string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "%", "%%", "\n", `\n`, "\t", `\t`).Replace(assignment) + `"`
}

// secretNames are the variables that one of the files has, sorted.
func secretNames(t *spec.Edge, file string) (all []string) {
	for _, name := range slices.Sorted(maps.Keys(t.Secrets)) {
		if t.Secrets[name] == file {
			all = append(all, name)
		}
	}
	return all
}
