package spec

// defaults fills fields whose keys were not given, and notes which.
type defaults struct {
	given   map[string]place
	applied map[string]bool
	path    string
}

// at is the defaults of the block at path.
func (d *defaults) at(path string) *defaults {
	return &defaults{d.given, d.applied, join(d.path, path)}
}

// noneGiven are the defaults of a block of which no key was given.
func noneGiven() *defaults { return &defaults{applied: map[string]bool{}} }

// set gives the key's field the value v unless the key was given.
func set[T any](d *defaults, key string, field *T, v T) {
	p := join(d.path, key)
	if _, given := d.given[p]; !given {
		*field = v
		d.applied[p] = true
	}
}

// withDefaults is the only place where defaults are applied: every key with a
// why has its value here or in a target's setDefaults. It returns the paths of
// the keys that it filled in.
func (s *Spec) withDefaults(given map[string]place) (applied map[string]bool) {
	d := &defaults{given: given, applied: map[string]bool{}}
	set(d, "apiVersion", &s.APIVersion, APIVersion)
	for i := range s.Models {
		s.Models[i].setDefaults(d.at(index("models", i)))
	}
	if len(s.Models) > 0 {
		set(d, "name", &s.Name, labelOf(s.Models[0].Name))
	}
	set(d, "auth", &s.Auth, Auth{Mode: "platform"})
	if k := s.Auth.Key; k != nil && k.File == "" {
		set(d.at("auth.key"), "env", &k.Env, defaultKeyEnv)
	}
	set(d, "isolate", &s.Isolate, "auto")
	set(d, "compliance", &s.Compliance, "none")
	s.Limits.setDefaults(d.at("limits"))
	if b := s.Batch; b != nil {
		b.setDefaults(d.at("batch"))
	}
	for _, t := range s.Targets.list() {
		t.setDefaults(d.at("targets").at(t.name))
	}
	return d.applied
}

func (m *Model) setDefaults(d *defaults) {
	set(d, "name", &m.Name, ModelName(m.Path))
	set(d, "version", &m.Version, "1")
	set(d, "batching", &m.Batching, Batching{Mode: "auto"})
	set(d, "cache", &m.Cache, Cache{Mode: "off"})
	set(d, "threads", &m.Threads, Threads{Mode: "auto"})
	if m.Threads.Mode == "fixed" {
		set(d.at("threads"), "runs", &m.Threads.Runs, 1)
	}
	set(d, "nanPolicy", &m.NaNPolicy, "error")
}

func (l *Limits) setDefaults(d *defaults) {
	set(d, "body", &l.Body, 16*MiB)
	set(d, "response", &l.Response, 64*MiB)
	set(d, "elements", &l.Elements, 1<<26)
	set(d, "tensors", &l.Tensors, 256)
	set(d, "rank", &l.Rank, 16)
	set(d, "depth", &l.Depth, 64)
	set(d, "params", &l.Params, 256)
	set(d, "stringBytes", &l.StringBytes, 1*MiB)
	set(d, "compressionRatio", &l.CompressionRatio, 100)
	set(d, "headerBytes", &l.HeaderBytes, 64*KiB)
	set(d, "headerFields", &l.HeaderFields, 100)
	set(d, "chunks", &l.Chunks, 65536)
	set(d, "streams", &l.Streams, 100)
	set(d, "readHeader", &l.ReadHeader, 5*second)
	set(d, "request", &l.Request, 60*second)
	set(d, "idle", &l.Idle, 75*second)
	set(d, "queue", &l.Queue, 256)
	set(d, "queueShare", &l.QueueShare, 25)
	set(d, "drain", &l.Drain, 10*second)
}

func (b *Batch) setDefaults(d *defaults) {
	set(d, "format", &b.Format, "same")
	set(d, "maxBadRows", &b.MaxBadRows, 100)
	set(d, "size", &b.Size, 10)
	set(d, "window", &b.Window, 0)
	set(d, "attempts", &b.Attempts, 5)
	set(d, "order", &b.Order, "none")
	set(d, "timeout", &b.Timeout, 5*minute)
	set(d, "claims", &b.Claims, "none")
	set(d, "claimsAway", &b.ClaimsAway, "retry")
	if b.Split != nil {
		set(d.at("split"), "parts", &b.Split.Parts, 1)
	}
}

// setProvider picks the provider; every target calls it.
func (c *Common) setProvider(d *defaults, gpu bool) {
	set(d, "provider", &c.Provider, cpuProvider)
	if gpu {
		set(d, "provider", &c.Provider, cuda)
	}
}

// listDefaults is what withDefaults filled in, in the order of the keys.
func (s *Spec) listDefaults(applied map[string]bool) []Default {
	var all []Default
	e := &encoder{all: true}
	walk("", s, func(path string, k key) {
		if applied[path] {
			all = append(all, Default{Path: path, Value: k.to.encode(e, path).flow(), Why: k.why})
		}
	})
	return all
}
