// Package spec is godwit.yaml: the one file that says what runs, where and how
// big. Parse reads it strictly and reports every problem with its line, column
// and a hint; Marshal writes it as a person would. The JSON Schema for editors
// and the reference page are made from the same keys.
//
// The package knows no model, no platform's API and no environment: renderers
// and packagers read a Spec, and internal/app turns it into Options.
package spec

// APIVersion is the only one there is.
const APIVersion = "godwit.dev/v1"

// Spec is a whole godwit.yaml. Parse applies the defaults, so that a reader
// never meets a zero that means something else; where a zero is left it is
// said at the field. A Spec is plain data: concurrent readers are safe.
type Spec struct {
	APIVersion string
	// Name names the function on every platform: a DNS label of at most 49
	// characters. Default: the first model's name, as such a label.
	Name string
	// Models are the models and their versions, at least one, no pair of name
	// and version twice. The key model is short for one of them.
	Models []Model
	// Handler is the folder of the user's Go around the model, relative to
	// the spec; "" is none.
	Handler string
	Auth    Auth
	Limits  Limits
	// Isolate is "auto", "on" or "off": whether the engine runs in a worker
	// process of its own.
	Isolate string
	// Batch is how files and messages are scored; nil is not at all.
	Batch *Batch
	// Triggers start batch scoring: "objects", "queue", "topic", "events",
	// "stream". Each target maps them to its own stores and queues.
	Triggers []string
	// Image is the repository that package --push pushes to and rendered
	// files point at, without a digest; "" until one is needed.
	Image string
	// Budget is nil when nothing is limited.
	Budget     *Budget
	Compliance string // "none", "aws-solutions" or "hipaa"
	Targets    Targets

	given    map[string]place // what Parse found in the file, by path
	defaults []Default
}

// Default is a value that the spec did not give.
type Default struct {
	Path  string // "targets.awslambda.memory"
	Value string // as godwit.yaml would say it: "1769MiB"
	Why   string // why this value: one sentence without a full stop
}

// Defaults lists what Parse filled in, in the order of the reference page; nil
// for a Spec that was not parsed.
func (s *Spec) Defaults() []Default { return append([]Default(nil), s.defaults...) }

// Given reports whether the file that s was parsed from has the key at path,
// as in "targets.awslambda.memory" or "models[0].path".
func (s *Spec) Given(path string) bool {
	_, ok := s.given[path]
	return ok
}

// New is the spec of one model with every default: what godwit.yaml means
// when it says only "model: path". Errors: BadConfig.
func New(path string) (*Spec, error) {
	return Parse(FileName, []byte("model: "+yamlText(path)+"\n"))
}

func (s *Spec) keys() []key {
	return []key{
		{name: "apiVersion", to: oneOf(&s.APIVersion, APIVersion), doc: "The version of this format.",
			why: "there is no other"},
		{name: "name", to: text(&s.Name, functionName), doc: "The function's name on every platform.",
			why: "one name is enough", shown: "the first model's name, as a DNS label"},
		{name: "model", to: sugar{&s.Models}, doc: "Short for one entry of models with this path, named after the file."},
		{name: "models", to: list[Model, *Model]{&s.Models}, doc: "The models, several or versions of one."},
		{name: "handler", to: text(&s.Handler, folderName), doc: "The folder with your Go around the model (package handler)."},
		{name: "auth", to: authValue{&s.Auth}, doc: "Who may call, the same on every target (docs/auth.md).",
			why: "the platform's own check of callers, which needs no secret of ours"},
		{name: "limits", to: inline{&s.Limits}, doc: "What a request may cost."},
		{name: "isolate", to: oneOf(&s.Isolate, "auto", "on", "off"), doc: "Whether the engine runs in a worker process of its own, so that a crash of native code costs one request.",
			why: "the target decides: not where one process answers one request at a time"},
		{name: "batch", to: object[Batch](&s.Batch), doc: "Scoring of files and messages."},
		{name: "triggers", to: choices{&s.Triggers, []string{"objects", "queue", "topic", "events", "stream"}},
			doc: "What starts batch scoring; each target maps these to its own stores and queues."},
		{name: "image", to: text(&s.Image, imageName), doc: "The image repository that `package --push` pushes to and rendered files point at."},
		{name: "budget", to: object[Budget](&s.Budget), doc: "What fails the build when exceeded."},
		{name: "compliance", to: oneOf(&s.Compliance, "none", "aws-solutions", "hipaa"), doc: "The rule pack that rendered infrastructure must pass.",
			why: "a rule pack is a promise that somebody has to make"},
		{name: "targets", to: inline{&s.Targets}, doc: "Where it runs. A target that is listed with `{}` has all its defaults."},
	}
}

// Model is one version of one model.
type Model struct {
	Name    string // names the model in URLs; default: the file's name without its extension
	Version string // opaque; default "1"
	// Path is a file beside godwit.yaml, with slashes, or an s3://, gs://,
	// azblob://, https:// or oci:// URL.
	Path string
	// SHA256 is the file's digest in 64 lower-case hexadecimal digits;
	// required for a URL, "" for a file that is not pinned.
	SHA256    string
	Batching  Batching
	Cache     Cache
	Threads   Threads
	NaNPolicy string // "error", "null" or "string": how JSON shows NaN and infinities
}

func (m *Model) keys() []key {
	return []key{
		{name: "name", to: text(&m.Name, modelName), doc: "The model's name in URLs.", why: "one name is enough", shown: "the file's name without its extension"},
		{name: "version", to: text(&m.Version, versionName), doc: "The model's version in URLs; give each version of one model its own.", why: "the first version"},
		{name: "path", to: text(&m.Path, modelPath), doc: "The ONNX file: beside this one, or an s3://, gs://, azblob://, https:// or oci:// URL with sha256.", required: true},
		{name: "sha256", to: text(&m.SHA256, digest), doc: "The SHA-256 of the model, checked before it is loaded; required for a URL. Of a model in one file it is the file's; of one with data files it is the digest over all of them, which `godwit doctor` prints."},
		{name: "batching", to: m.Batching.value(), doc: "Whether requests that wait are run together. Only models whose rows are independent are, whatever this says.",
			why: "what waits is run together, nothing waits for company"},
		{name: "cache", to: m.Cache.value(), doc: "Whether answers are kept for equal requests. Models with random operators never are.",
			why: "memory is spent only when asked for"},
		{name: "threads", to: m.Threads.value(), doc: "How the CPU quota is shared: all threads for one run (latency), one thread for each of many (throughput), or numbers.",
			why: "the target decides: one request at a time gets all threads, many get one each"},
		{name: "nanPolicy", to: oneOf(&m.NaNPolicy, "error", "null", "string"), doc: "How a JSON answer shows NaN and infinities: not at all (422), as null, or as text. Binary answers carry them as they are.",
			why: "a wrong number should not look like a missing one"},
	}
}

// Batching says whether requests that wait are run together.
type Batching struct {
	Mode    string // "auto" or "off"
	MaxRows int    // rows of one run; 0 leaves it to the batcher, which takes 128
}

func (b *Batching) value() value {
	return either{word: &b.Mode, words: []string{"auto", "off"}, body: b, inBody: "auto"}
}

func (b *Batching) keys() []key {
	return []key{{name: "maxRows", to: integer(&b.MaxRows, 1, 65536), doc: "The most rows of one run; how many a model gets up to there is learned.", why: "models that are bound by memory gain up to there", shown: "128"}}
}

// Cache says whether answers are kept.
type Cache struct {
	Mode     string // "off" or "on"
	MaxBytes Bytes  // memory for kept answers; 0 when off
}

func (c *Cache) value() value {
	return either{word: &c.Mode, words: []string{"off"}, body: c, inBody: "on"}
}

func (c *Cache) keys() []key {
	return []key{{name: "maxBytes", to: size(&c.MaxBytes, 64*KiB, 64*GiB, 0), doc: "The memory that kept answers may take.", required: true}}
}

// Threads says how one model uses the CPU quota.
type Threads struct {
	Mode          string // "auto", "latency", "throughput" or "fixed"
	IntraOp, Runs int    // threads of one run, and runs at once; 0 unless Mode is "fixed"
}

func (t *Threads) value() value {
	return either{word: &t.Mode, words: []string{"auto", "latency", "throughput"}, body: t, inBody: "fixed"}
}

func (t *Threads) keys() []key {
	return []key{
		{name: "intraOp", to: integer(&t.IntraOp, 1, 1024), doc: "The threads of one run.", required: true},
		{name: "runs", to: integer(&t.Runs, 1, 1024), doc: "The runs at the same time.", why: "one run has the threads to itself", shown: "1"},
	}
}

// Budget is what fails the build when it is exceeded; a zero limits nothing.
type Budget struct {
	ColdStart Duration // from exec to the first correct answer, p95
	Zip       Bytes    // the Lambda zip
	Image     Bytes    // the image's layers above its base, compressed
	Memory    Bytes    // peak resident memory of a started function
}

func (b *Budget) keys() []key {
	return []key{
		{name: "coldStart", to: duration(&b.ColdStart, Duration(1e6), 15*minute, 0), doc: "From exec to the first correct answer, 95th percentile."},
		{name: "zip", to: size(&b.Zip, 1*MB, 10*GB, 0), doc: "The Lambda zip."},
		{name: "image", to: size(&b.Image, 1*MB, 100*GB, 0), doc: "The image's layers above its base, compressed."},
		{name: "memory", to: size(&b.Memory, 1*MB, 1*TiB, 0), doc: "Peak resident memory of the started function."},
	}
}

// Limits bound what a request may cost. A platform's own limit holds where it is lower.
type Limits struct {
	Body             Bytes // a request's body after decompression
	Response         Bytes // an encoded answer
	Elements         int   // elements of one tensor; its bytes are at most four times Body
	Tensors          int   // inputs, and outputs, of one request
	Rank             int   // dimensions of one tensor
	Depth            int   // nesting of JSON
	Params           int   // parameters of one JSON object
	StringBytes      Bytes // one element of type BYTES
	CompressionRatio int   // decompressed to compressed, past the first 1 MiB
	HeaderBytes      Bytes
	HeaderFields     int
	Chunks           int      // non-empty chunks of one body
	Streams          int      // HTTP/2 streams of one connection
	ReadHeader       Duration // until a request's header is there
	Request          Duration // until a request is read and answered
	Idle             Duration // a connection without a request
	Queue            int      // requests that wait for each run at once
	QueueShare       Percent  // of the caller's deadline that may pass in the queue
	Drain            Duration // for work in flight after a stop signal
}

func (l *Limits) keys() []key {
	const measured = "measured against hostile requests"
	return []key{
		{name: "body", to: size(&l.Body, 1*KiB, 2*GiB, 0), doc: "A request's body after decompression.", why: "a hundred thousand rows of forty numbers"},
		{name: "response", to: size(&l.Response, 1*KiB, 2*GiB, 0), doc: "An encoded answer.", why: "four times the body"},
		{name: "elements", to: integer(&l.Elements, 1, unbounded), doc: "Elements of one tensor, whose bytes are at most four times the body.", why: "2^26, 256MiB of FP32"},
		{name: "tensors", to: integer(&l.Tensors, 1, 65536), doc: "Inputs, and outputs, of one request.", why: "more than any model in use has"},
		{name: "rank", to: integer(&l.Rank, 1, 64), doc: "Dimensions of one tensor.", why: "more than any model in use has"},
		{name: "depth", to: integer(&l.Depth, 4, 10000), doc: "Nesting of JSON.", why: measured},
		{name: "params", to: integer(&l.Params, 1, 65536), doc: "Parameters of one JSON object.", why: measured},
		{name: "stringBytes", to: size(&l.StringBytes, 1*KiB, 1*GiB, 0), doc: "One element of type BYTES.", why: "a page of text has some kB"},
		{name: "compressionRatio", to: integer(&l.CompressionRatio, 1, 100000), doc: "Decompressed bytes for each compressed one, past the first 1MiB.", why: "gzip of zeros reaches 1028, numbers stay far below"},
		{name: "headerBytes", to: size(&l.HeaderBytes, 1*KiB, 16*MiB, 0), doc: "All header fields of a request.", why: "tokens have some kB"},
		{name: "headerFields", to: integer(&l.HeaderFields, 8, 10000), doc: "The number of header fields.", why: "proxies add some tens"},
		{name: "chunks", to: integer(&l.Chunks, 1, unbounded), doc: "Non-empty chunks of one body.", why: "each costs work, whatever its size"},
		{name: "streams", to: integer(&l.Streams, 1, 100000), doc: "HTTP/2 streams of one connection at a time.", why: "what Cloud Run allows as well"},
		{name: "readHeader", to: duration(&l.ReadHeader, Duration(1e8), 10*minute, 0), doc: "The time until a request's header is there.", why: "slow clients give their place up"},
		{name: "request", to: duration(&l.Request, Duration(1e8), 24*hour, 0), doc: "The time until a request is read and answered.", why: "most callers have left by then"},
		{name: "idle", to: duration(&l.Idle, 1*second, 24*hour, 0), doc: "The time that a connection may be without a request.", why: "longer than the balancers' own, so that they close first"},
		{name: "queue", to: integer(&l.Queue, 1, 1000000), doc: "Requests that may wait for each run at once; one more is answered 503.", why: "at the 5s that callers wait, 20ms for each"},
		{name: "queueShare", to: percent(&l.QueueShare, 1, 100), doc: "The share of the caller's deadline that may pass in the queue.", why: "the rest is for the run and the way back"},
		{name: "drain", to: duration(&l.Drain, 0, 1*hour, 0), doc: "The time for work in flight after a stop signal.", why: "Cloud Run's, the shortest of the container platforms"},
	}
}
