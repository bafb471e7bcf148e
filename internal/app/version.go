package app

import "runtime/debug"

// version is set by the linker for a build from a checkout: -X godwit.dev/internal/app.version=….
var version string

// Version is the version of this build: what the linker was told, else the
// module's, else "dev".
func Version() string {
	if version != "" {
		return version
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" && info.Main.Version != "(devel)" {
		return info.Main.Version
	}
	return "dev"
}
