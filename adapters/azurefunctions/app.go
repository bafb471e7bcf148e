package azurefunctions

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strconv"
	"strings"
	"time"

	"godwit.dev/runtime/fault"
)

// App is what an app's files say that the handler needs to know.
type App struct {
	RoutePrefix string        // extensions.http.routePrefix; "api" where host.json does not say
	Timeout     time.Duration // functionTimeout; 0 is none
	Functions   map[string]Function
}

// Function is one function.json.
type Function struct {
	Trigger string // the binding's type, "queueTrigger"
	Input   string // the binding's name, by which Data holds what triggered
	Output  string // the name of the http output; "" for none
	// Source is what the trigger listens to: a queue, TOPIC/SUBSCRIPTION, a path
	// of blobs, a hub.
	Source string
	Many   bool // cardinality "many"
	Binary bool // dataType "binary"
	// Results says that an output binding of this name takes the answers.
	Results bool
}

// results is the output binding that answers go to, and their name in a reply.
const results = "results"

// maxFile bounds host.json and function.json.
const maxFile = 1 << 20

// ReadApp reads host.json and every function.json of an app's folder, which
// the host names in FUNCTIONS_APP_ROOT_PATH. Errors: BadConfig, for files that
// are not there or cannot be read.
func ReadApp(fsys fs.FS) (*App, error) {
	var host struct {
		FunctionTimeout string
		Extensions      struct {
			HTTP struct {
				RoutePrefix *string
			}
		}
	}
	if err := readFile(fsys, "host.json", &host); err != nil {
		return nil, err
	}
	app := &App{RoutePrefix: "api", Functions: map[string]Function{}}
	if p := host.Extensions.HTTP.RoutePrefix; p != nil {
		app.RoutePrefix = *p
	}
	var err error
	if app.Timeout, err = timeSpan(host.FunctionTimeout); err != nil {
		return nil, fault.New(fault.BadConfig, "azurefunctions.ReadApp", "host.json", "functionTimeout: %w", err)
	}
	entries, err := fs.ReadDir(fsys, ".")
	if err != nil {
		return nil, fault.New(fault.BadConfig, "azurefunctions.ReadApp", "", "%w", err)
	}
	for _, e := range entries {
		file := path.Join(e.Name(), "function.json")
		if _, err := fs.Stat(fsys, file); !e.IsDir() || err != nil {
			continue
		}
		var f struct{ Bindings []binding }
		if err := readFile(fsys, file, &f); err != nil {
			return nil, err
		}
		fn, err := functionOf(f.Bindings)
		if err != nil {
			return nil, fault.New(fault.BadConfig, "azurefunctions.ReadApp", file, "%w", err)
		}
		app.Functions[e.Name()] = fn
	}
	return app, nil
}

type binding struct {
	Type, Direction, Name, Cardinality, DataType        string
	QueueName, TopicName, SubscriptionName, Path, Topic string
	EventHubName                                        string
}

func functionOf(bindings []binding) (Function, error) {
	var f Function
	for _, b := range bindings {
		switch {
		case strings.HasSuffix(strings.ToLower(b.Type), "trigger"):
			if f.Trigger != "" {
				return f, fmt.Errorf("want one trigger, got %q and %q", f.Trigger, b.Type)
			}
			f.Trigger, f.Input, f.Source = b.Type, b.Name, b.source()
			f.Many, f.Binary = strings.EqualFold(b.Cardinality, "many"), strings.EqualFold(b.DataType, "binary")
		case strings.EqualFold(b.Type, "http") && strings.EqualFold(b.Direction, "out"):
			f.Output = b.Name
		case strings.EqualFold(b.Direction, "out") && b.Name == results:
			f.Results = true
		}
	}
	if f.Trigger == "" {
		return f, errors.New("want a binding whose type ends with Trigger, got none")
	}
	return f, nil
}

func (b *binding) source() string {
	for _, s := range []string{b.QueueName, b.Path, b.EventHubName, b.Topic} {
		if s != "" {
			return s
		}
	}
	if b.TopicName != "" {
		return b.TopicName + "/" + b.SubscriptionName
	}
	return ""
}

func readFile(fsys fs.FS, name string, into any) error {
	bad := func(err error) error { return fault.New(fault.BadConfig, "azurefunctions.ReadApp", name, "%w", err) }
	f, err := fsys.Open(name)
	if err != nil {
		return bad(err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return bad(err)
	}
	if len(data) > maxFile {
		return bad(fmt.Errorf("want at most %d bytes, got more", maxFile))
	}
	if err := json.Unmarshal(data, into); err != nil {
		return bad(err)
	}
	return nil
}

// timeSpan reads a .NET time span, [DAYS.]HH:MM:SS[.FRACTION]; "" and "-1" are none.
func timeSpan(s string) (time.Duration, error) {
	if s == "" || s == "-1" {
		return 0, nil
	}
	bad := fmt.Errorf("want a time as in 00:10:00 or 1.00:00:00, or -1, got %q", s)
	hours, rest, ok := strings.Cut(s, ":")
	minutes, seconds, more := strings.Cut(rest, ":")
	if !ok || !more {
		return 0, bad
	}
	days := "0"
	if before, after, ok := strings.Cut(hours, "."); ok {
		days, hours = before, after
	}
	var total time.Duration
	for _, f := range []struct {
		text string
		most uint64
		unit time.Duration
	}{{days, 365, 24 * time.Hour}, {hours, 23, time.Hour}, {minutes, 59, time.Minute}} {
		n, err := strconv.ParseUint(f.text, 10, 16)
		if err != nil || n > f.most {
			return 0, bad
		}
		total += time.Duration(n) * f.unit
	}
	n, err := time.ParseDuration(seconds + "s")
	if err != nil || n < 0 || n >= time.Minute || strings.ContainsAny(seconds, "smhnuµ+-") {
		return 0, bad
	}
	return total + n, nil
}
