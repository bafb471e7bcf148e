package spec

import (
	"strconv"
	"strings"

	"godwit.dev/runtime/fault"
)

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
	// Greengrass and IoTEdge say where the cloud's own tool deploys to; nil leaves
	// that to whoever runs it.
	Greengrass *Greengrass
	IoTEdge    *IoTEdge
}

// Greengrass is the way of a component over AWS to its devices.
type Greengrass struct {
	Bucket string // of S3; devices fetch the package from it
	Target string // ARN of the thing or thing group
}

// IoTEdge is the IoT hub of the devices, and which ones: Device or Condition.
type IoTEdge struct {
	Hub       string
	Device    string // all modules of the one device are set
	Condition string // a layer on all devices that meet it
	Priority  int    // of the layer
}

// EdgeOrDefault is the target edge, or what it would be if the spec named it
// with nothing below. It is the caller's to change.
func (t *Targets) EdgeOrDefault() *Edge {
	if t.Edge == nil {
		e := &Edge{}
		e.setDefaults(noneGiven())
		return e
	}
	e := *t.Edge
	if e.Forward != nil {
		forward := *e.Forward
		e.Forward = &forward
	}
	if e.Greengrass != nil {
		greengrass := *e.Greengrass
		e.Greengrass = &greengrass
	}
	if e.IoTEdge != nil {
		iotedge := *e.IoTEdge
		e.IoTEdge = &iotedge
	}
	return &e
}

// NewForward is a block forward with its defaults, and no URL yet.
func NewForward() *Forward {
	f := &Forward{}
	f.setDefaults(noneGiven())
	return f
}

// Set gives a key another value, as godwit.yaml would write it: healthyAfter, or
// forward.queue. Where nothing is forwarded, a key below forward makes that
// block with its defaults, and url has to be set too. Errors: BadConfig for what
// the key does not take, Unsupported for keys that do not have one value.
func (t *Edge) Set(name, text string) error {
	keys, last := t.keys(), name
	if below, ok := strings.CutPrefix(name, "forward."); ok {
		if t.Forward == nil {
			t.Forward = NewForward()
		}
		keys, last = t.Forward.keys(), below
	}
	for _, k := range keys {
		if to, ok := k.to.(interface{ set(text string) *trouble }); ok && k.name == last {
			if bad := to.set(text); bad != nil {
				return fault.New(fault.BadConfig, "", "", "%s", bad.msg).WithHint("%s", bad.hint)
			}
			return nil
		}
	}
	return fault.New(fault.Unsupported, "spec.Set", name, "want a key of the target edge that has one value")
}

// Forward keeps answers on disk until they can be sent on.
type Forward struct {
	URL    string // takes each answer by POST
	Queue  Bytes  // disk for what waits, at most 100,000 answers; the oldest go first
	MaxAge Duration
}

func (t *Edge) keys() []key {
	return append([]key{
		{name: "runtime", to: oneOf(&t.Runtime, "systemd", "greengrass", "iotedge"), doc: "What starts it: systemd, AWS IoT Greengrass v2, Azure IoT Edge.", why: "every Linux has it"},
		{name: "architecture", to: oneOf(&t.Architecture, "arm64", "amd64"), doc: "The processor.", why: "what most devices have"},
		{name: "cpu", to: cpus(&t.CPU, 10, 256_000), doc: "The CPUs that it may take.", shown: "all"},
		{name: "memory", to: size(&t.Memory, 32*MiB, 1*TiB, 0), doc: "The memory that it may take.", shown: "no limit"},
		{name: "listen", to: text(&t.Listen, rule{what: "a HOST:PORT such as 127.0.0.1:8080", typ: "HOST:PORT", pattern: `^([A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\]):[0-9]{1,5}$`, check: checkPort}), doc: "Where it listens.", why: "reachable from the device only"},
		{name: "healthyAfter", to: duration(&t.HealthyAfter, 0, 24*hour, 0), doc: "How long a new model must answer before it is kept; else the last healthy one comes back.", why: "long enough for a few requests"},
		{name: "forward", to: object[Forward](&t.Forward), doc: "Answers that are kept on disk until they can be sent on."},
		{name: "greengrass", to: object[Greengrass](&t.Greengrass), doc: "How AWS brings the component to its devices; without, it is deployed on the device itself.", shown: "the device's own command"},
		{name: "iotedge", to: object[IoTEdge](&t.IoTEdge), doc: "The hub and the devices that the module is deployed to.", shown: "left to who deploys"},
	}, t.common(cpuProvider, cuda, tensorrt, "openvino", "coreml")...)
}

func (g *Greengrass) keys() []key {
	bucket := rule{what: "a bucket's name of lower-case letters, digits, '-' and '.'", typ: "name", pattern: `^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$`}
	thing := rule{what: "the ARN of a thing or thing group", typ: "ARN", pattern: `^arn:aws[a-z-]*:iot:[a-z0-9-]+:[0-9]{12}:(thing|thinggroup)/[A-Za-z0-9:_-]{1,128}$`}
	return []key{
		{name: "bucket", to: text(&g.Bucket, bucket), doc: "The S3 bucket that devices fetch the package from; their role has to be allowed s3:GetObject there.", required: true},
		{name: "target", to: text(&g.Target, thing), doc: "The thing or thing group. A target has one deployment, which is replaced.", required: true},
	}
}

func (i *IoTEdge) keys() []key {
	name := func(what string) rule {
		return rule{what: what, typ: "name", pattern: `^[A-Za-z0-9][A-Za-z0-9_.:%#*?!(),=@$'-]{0,127}$`}
	}
	return []key{
		{name: "hub", to: text(&i.Hub, rule{what: "an IoT hub's name of letters, digits and '-'", typ: "name", pattern: `^[A-Za-z0-9][A-Za-z0-9-]{1,48}[A-Za-z0-9]$`}), doc: "The IoT hub.", required: true},
		{name: "device", to: text(&i.Device, name("a device's id")), doc: "The one device, all of whose modules are replaced."},
		{name: "condition", to: text(&i.Condition, freeText("a target condition such as tags.site='plant'")), doc: "The devices that get a layer with this module beside their own: a target condition such as `tags.site='plant'`."},
		{name: "priority", to: integer(&i.Priority, 0, 2147483647), doc: "The layer's priority over others that set the same.", why: "Azure's own is 0, which every other layer would win over"},
	}
}

func (f *Forward) keys() []key {
	return []key{
		{name: "url", to: text(&f.URL, httpsURL), doc: "Takes each answer by POST.", required: true},
		{name: "queue", to: size(&f.Queue, 1*MiB, 1*TiB, 0), doc: "The disk that waiting answers may take, at most 100,000 of them; the oldest go first.", why: "18 hours of a small answer each second"},
		{name: "maxAge", to: duration(&f.MaxAge, 1*minute, 365*day, 0), doc: "How long an answer waits before it is dropped.", why: "older answers rarely help"},
	}
}

func (t *Edge) setDefaults(d *defaults) {
	set(d, "runtime", &t.Runtime, "systemd")
	set(d, "architecture", &t.Architecture, "arm64")
	set(d, "listen", &t.Listen, "127.0.0.1:8080")
	set(d, "healthyAfter", &t.HealthyAfter, 60*second)
	if t.Forward != nil {
		t.Forward.setDefaults(d.at("forward"))
	}
	if t.IoTEdge != nil {
		set(d.at("iotedge"), "priority", &t.IoTEdge.Priority, 10)
	}
	t.setProvider(d, false)
}

func (f *Forward) setDefaults(d *defaults) {
	set(d, "queue", &f.Queue, 256*MiB)
	set(d, "maxAge", &f.MaxAge, 7*day)
}

func (t *Edge) check(d *decoder, path string, _ *Spec) {
	// Which GPU a device has is the device's affair: the provider alone asks for it.
	gpu := t.Provider == cuda || t.Provider == tensorrt
	t.checkCommon(d, path, gpu, "a device with one", "AWS_GG_*", "IOTEDGE_*")
	if t.Runtime != "greengrass" {
		d.only(path, "runtime greengrass", "greengrass")
	}
	if t.Runtime != "iotedge" {
		d.only(path, "runtime iotedge", "iotedge")
	}
	if i := t.IoTEdge; i != nil && (i.Device == "") == (i.Condition == "") {
		p := join(path, "iotedge")
		d.add(d.where(p), p, "device replaces all modules of one device, condition adds a layer to many.", "want either a device or a condition")
	}
}

// checkPort finds ports that there are not; whether it is a number the pattern says.
func checkPort(s string) *trouble {
	port := s[strings.LastIndex(s, ":")+1:]
	if n, err := strconv.Atoi(port); err == nil && (n < 1 || n > 65535) {
		return wrong("", "want a port from 1 to 65535, got %s", port)
	}
	return nil
}
