package spec

import (
	"net/url"
	"strings"
)

// Batch says how files and messages are scored.
type Batch struct {
	// Input and Output are prefixes: folders below the function's stores, as
	// in "rows/", or URLs with s3, gs or azblob. Neither contains the other.
	Input, Output  string
	Format         string            // of the output: "same" as the input, "csv", "jsonl" or "parquet"
	Columns        map[string]string // column → the input tensor it fills; nil: columns are named as inputs
	PassThrough    []string          // columns that are copied to the output
	DeadLetter     bool              // keep what failed for good, with the reason
	MaxBadRows     Percent           // of an object's rows; more fail the object
	Size           int               // messages of one delivery
	Window         Duration          // how long a delivery waits for Size messages
	Attempts       int               // deliveries of one message before it counts as failed for good
	MaxConcurrency int               // deliveries at a time; 0 leaves it to the platform
	Order          string            // of ordered queues: "none", "stop" or "skip-group"
	Timeout        Duration          // of one delivery
	// Claims is where it is written down which messages are being scored and were:
	// "none", "file:" and a folder below the function's output, or with "file:///"
	// any folder, or "dynamodb://" and a table.
	Claims     string
	ClaimsAway string // what happens while Claims cannot be reached: "retry" or "score"
	Split      *Split // how large objects become messages; nil: not at all
}

// Split says how objects of many parts are scored by many deliveries.
type Split struct {
	Queue string // URL of the queue or topic that triggers the function too
	Parts int    // of one message
}

func (s *Split) keys() []key {
	return []key{
		{name: "queue", to: text(&s.Queue, queueURL), doc: "The queue or topic whose messages this function gets.", required: true},
		{name: "parts", to: integer(&s.Parts, 1, 1000), doc: "The parts of an object that one message is for.", why: "as many deliveries at a time as there are parts"},
	}
}

func (b *Batch) keys() []key {
	return []key{
		{name: "input", to: text(&b.Input, prefix), doc: "The prefix that is scored.", required: true},
		{name: "output", to: text(&b.Output, prefix), doc: "The prefix for scores; apart from input, so that scores are never scored.", required: true},
		{name: "format", to: oneOf(&b.Format, "same", "csv", "jsonl", "parquet"), doc: "The format of scores.", why: "what reads the rows reads the scores"},
		{name: "columns", to: textMap{p: &b.Columns, key: freeText("a column"), value: freeText("an input of the model")}, doc: "Which column fills which input of the model.", shown: "columns are named as inputs"},
		{name: "passThrough", to: texts{&b.PassThrough, freeText("a column")}, doc: "Columns that are copied to the scores, such as an id."},
		{name: "deadLetter", to: flag(&b.DeadLetter), doc: "Whether what failed for good is kept with its reason, on a queue or prefix of its own."},
		{name: "maxBadRows", to: percent(&b.MaxBadRows, 0, 100), doc: "The share of an object's rows that may be bad; more fail the whole object.", why: "a bad row fails alone"},
		{name: "size", to: integer(&b.Size, 1, 10000), doc: "The most messages of one delivery.", why: "SQS's own"},
		{name: "window", to: duration(&b.Window, 0, 300*second, second), doc: "How long a delivery waits to be full.", why: "what is there is scored"},
		// Below five, throttling alone can use a good message's attempts up.
		{name: "attempts", to: integer(&b.Attempts, 5, 100), doc: "How often a message is tried before it counts as failed for good.", why: "the least that Pub/Sub takes"},
		{name: "maxConcurrency", to: integer(&b.MaxConcurrency, 2, 1000), doc: "The most deliveries at a time.", shown: "the platform's"},
		{name: "order", to: oneOf(&b.Order, "none", "stop", "skip-group"), doc: "What a failure in an ordered queue does: nothing, stop the delivery there, or skip the rest of its group.", why: "most queues have no order"},
		{name: "timeout", to: duration(&b.Timeout, 10*second, 12*hour, second), doc: "The time for one delivery; queues hide a message six times as long.", why: "the least that every target offers"},
		{name: "claims", to: text(&b.Claims, claimsPlace), doc: "Where it is written down which messages were scored, so that what is delivered again is answered as before: none, file:FOLDER or dynamodb://TABLE.", why: "a score is kept once by its name"},
		{name: "claimsAway", to: oneOf(&b.ClaimsAway, "retry", "score"), doc: "What happens to a message while claims cannot be reached: it comes again, or is scored all the same, perhaps twice.", why: "nothing is lost, and nothing scored twice"},
		{name: "split", to: object[Split](&b.Split), doc: "How objects of more parts than one message is for become messages."},
	}
}

// location parts a prefix into where it is and the path there, ending in a slash.
func location(prefix string) (where, path string) {
	path = prefix
	if u, err := url.Parse(prefix); err == nil && u.Scheme != "" {
		where, path = u.Scheme+"://"+u.Host, u.Path
	}
	path = strings.Trim(strings.TrimPrefix(path, "./"), "/")
	if path == "." || path == "" {
		return where, ""
	}
	return where, path + "/"
}

// overlap reports whether something could lie under both prefixes.
func overlap(a, b string) bool {
	aWhere, aPath := location(a)
	bWhere, bPath := location(b)
	return aWhere == bWhere && (strings.HasPrefix(aPath, bPath) || strings.HasPrefix(bPath, aPath))
}

func (b *Batch) check(d *decoder) {
	if overlap(b.Input, b.Output) {
		d.add(d.where("batch.output"), "batch.output", "Use two prefixes side by side, such as rows/ and scores/.",
			"want a prefix apart from input %s, got %s: scores would be scored again", quote(b.Input), quote(b.Output))
	}
	if b.Order != "none" && b.Size > 10 {
		d.add(d.where("batch.size"), "batch.size", "", "want at most 10 with order %s, as ordered queues deliver, got %d", b.Order, b.Size)
	}
}
