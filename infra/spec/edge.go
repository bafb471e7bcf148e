package spec

// Edge is a device that runs the same binary offline.
type Edge struct {
	Common
	Runtime      string // "systemd", "greengrass" (AWS IoT Greengrass v2) or "iotedge" (Azure IoT Edge)
	Architecture string // "arm64" or "amd64"
	CPU          CPU    // the share of the device; 0 is all of it
	Memory       Bytes  // the limit; 0 is none
	Listen       string // HOST:PORT
	// HealthyAfter is how long a new model must answer before it is kept; one
	// that does not gives way to the last healthy one.
	HealthyAfter Duration
	Forward      *Forward // nil forwards nothing
}

// Forward keeps answers on disk until they can be sent on.
type Forward struct {
	URL    string // takes each answer by POST
	Queue  Bytes  // disk for what waits; the oldest go first
	MaxAge Duration
}

func (t *Edge) keys() []key {
	return append([]key{
		{name: "runtime", to: oneOf(&t.Runtime, "systemd", "greengrass", "iotedge"), doc: "What starts it: systemd, AWS IoT Greengrass v2, Azure IoT Edge.", why: "every Linux has it"},
		{name: "architecture", to: oneOf(&t.Architecture, "arm64", "amd64"), doc: "The processor.", why: "what most devices have"},
		{name: "cpu", to: cpus(&t.CPU, 10, 256_000), doc: "The CPUs that it may take.", shown: "all"},
		{name: "memory", to: size(&t.Memory, 32*MiB, 1*TiB, 0), doc: "The memory that it may take.", shown: "no limit"},
		{name: "listen", to: text(&t.Listen, rule{what: "a HOST:PORT such as 127.0.0.1:8080", typ: "HOST:PORT", pattern: `^([A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\]):[0-9]{1,5}$`}), doc: "Where it listens.", why: "reachable from the device only"},
		{name: "healthyAfter", to: duration(&t.HealthyAfter, 0, 24*hour, 0), doc: "How long a new model must answer before it is kept; else the last healthy one comes back.", why: "long enough for a few requests"},
		{name: "forward", to: object[Forward](&t.Forward), doc: "Answers that are kept on disk until they can be sent on."},
	}, t.common(cpuProvider, cuda, tensorrt, "openvino", "coreml")...)
}

func (f *Forward) keys() []key {
	return []key{
		{name: "url", to: text(&f.URL, httpsURL), doc: "Takes each answer by POST.", required: true},
		{name: "queue", to: size(&f.Queue, 1*MiB, 1*TiB, 0), doc: "The disk that waiting answers may take; the oldest go first.", why: "a day of a small answer each second"},
		{name: "maxAge", to: duration(&f.MaxAge, 1*minute, 365*day, 0), doc: "How long an answer waits before it is dropped.", why: "older answers rarely help"},
	}
}

func (t *Edge) setDefaults(d *defaults) {
	set(d, "runtime", &t.Runtime, "systemd")
	set(d, "architecture", &t.Architecture, "arm64")
	set(d, "listen", &t.Listen, "127.0.0.1:8080")
	set(d, "healthyAfter", &t.HealthyAfter, 60*second)
	if f := t.Forward; f != nil {
		d := d.at("forward")
		set(d, "queue", &f.Queue, 256*MiB)
		set(d, "maxAge", &f.MaxAge, 7*day)
	}
	t.setProvider(d, false)
}

func (t *Edge) check(d *decoder, path string, _ *Spec) {
	// Which GPU a device has is the device's affair: the provider alone asks for it.
	gpu := t.Provider == cuda || t.Provider == tensorrt
	t.checkCommon(d, path, gpu, "a device with one", "AWS_GG_*", "IOTEDGE_*")
}
