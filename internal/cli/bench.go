package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"godwit.dev/internal/app"
	"godwit.dev/internal/client"
	"godwit.dev/internal/recorded"
	"godwit.dev/loadtest"
	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/infer"
)

type benchOptions struct {
	load     loadtest.Options
	protocol string
	headers  []string
	requests []string
	auth     string
	pattern  patternOptions
	output   outputOptions
	cold     coldOptions
}

func (p *program) newBench() *cobra.Command {
	var o benchOptions
	cmd := &cobra.Command{
		Use:     "bench URL|DIR|PACKAGE|RESULT",
		GroupID: "measure",
		Short:   "Put load on a server and measure what its callers see",
		Long: `bench sends requests to any server of the Open Inference Protocol v2 at URL, or
to the function in DIR, which it serves for that in a process of its own. Of a
RESULT, a file that --out or --json wrote, it makes the table, the page and the
comparison again, without any load.

With --rate requests arrive at that rate whatever is answered, and a latency
counts from when its request was due: an open loop, as real callers are. Without,
each connection sends its next request when it has the last answer: a closed
loop, which finds the throughput and hides queueing. --arrivals says how they
come: poisson, constant, burst (--on with the rate, --off without), or
burst-from-zero, where each burst begins when nothing serves any more, so that
the start is in the latencies: the server of a DIR is stopped, a URL is left alone
for --idle, or until the command of --until succeeds. --trace plays when
requests came from a file.

The requests are those recorded in DIR or given with --request, else made up
from the model's metadata; from few of them more are made, so that the server
sees many different ones. Before the load one answer is checked: over binary and
gRPC it must be the one over JSON. On one machine client and server share the
processors; then the server's CPU time and memory are measured too.

--out writes a line for each second while the load goes, --html a page that
opens without a network. --slo looks for the highest rate that holds an
objective. --compare holds the result against an earlier one and says whether
anything has changed for certain. docs/bench.md tells all of it.

--auth says how the requests show who sends them, as for godwit predict. A
signature for AWS is made before the load and holds for five minutes, which
bounds --warmup and --duration together.

` + coldHelp + `

Exit codes: 0 all answered, 1 some were not, 5 the run is worse than that of
--compare, or no rate holds --slo, or a start is over the budget, 8 the server
does not let the caller in, 9 nobody answers there, 13 the client cannot keep up
with --rate, 14 a protocol's answers differ from JSON's, or from the recorded
ones, 130 interrupted: what was measured up to then is reported.`,
		Example: `  godwit bench fraud/
  godwit bench http://localhost:8080 --rate 500 --duration 30s --html report.html
  godwit bench http://localhost:8080 --protocol grpc --connections 4 --json
  godwit bench https://abc.lambda-url.eu-west-1.on.aws --model fraud --rate 20
  godwit bench fraud/ --slo p99=20ms
  godwit bench fraud/ --arrivals burst-from-zero --rate 50 --on 5s --duration 15s
  godwit bench fraud/ --rate 200 --out new.jsonl --compare old.jsonl
  godwit bench new.jsonl --html report.html
  godwit bench --cold fraud.zip`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := o.cold.check(cmd); err != nil {
				return err
			}
			if o.cold.on {
				return p.benchCold(cmd.Context(), args[0], &o.cold)
			}
			if isResult(args[0]) {
				return p.benchResult(cmd, args[0], &o)
			}
			return p.bench(cmd, args[0], &o)
		},
	}
	f := cmd.Flags()
	f.Float64Var(&o.load.Rate, "rate", 0, "requests that arrive in a second (default: closed loop); with --slo: where the search begins")
	o.pattern.flags(cmd)
	f.StringVar(&o.protocol, "protocol", "json", "json, binary (REST with binary tensors) or grpc")
	f.IntVar(&o.load.Connections, "connections", 0, "requests under way at most (default 16, in an open loop 256)")
	f.DurationVar(&o.load.Duration, "duration", 10*time.Second, "how long it counts; with --trace: at most (default: all of it)")
	f.DurationVar(&o.load.Warmup, "warmup", 2*time.Second, "load before it counts; none with burst-from-zero and --trace")
	f.DurationVar(&o.load.Timeout, "timeout", 10*time.Second, "of one request, from when it was due; burst-from-zero: 1m0s")
	f.StringVar(&o.load.Model, "model", "", "the model's name (default: the only one)")
	f.StringVar(&o.load.Version, "model-version", "", "the model's version (default: the newest)")
	authFlag(cmd, &o.auth)
	f.StringArrayVar(&o.headers, "header", nil, "header to send with every request, 'NAME: VALUE'; may be repeated")
	f.StringArrayVar(&o.requests, "request", nil, "file with a request's body as JSON, to send instead of made-up ones; may be repeated")
	f.IntVar(&o.load.Payloads, "payloads", 64, "how many different requests to send")
	f.Uint64Var(&o.load.Seed, "seed", 1, "of arrivals and made-up values")
	o.output.flags(cmd)
	o.cold.flags(cmd)
	return cmd
}

// sign has the load's requests show who asks. A header that was given stays.
func (p *program) sign(ctx context.Context, o *benchOptions) error {
	u, err := url.Parse(o.load.Target)
	if err != nil || u.Host == "" {
		return nil // loadtest says what is wrong with it
	}
	s, err := p.caller(o.auth).Signer(u)
	if err != nil {
		return err
	}
	if s.Auth == client.AWS {
		if o.load.Protocol == loadtest.GRPC {
			return fault.New(fault.Usage, "", "--protocol", "want json or binary where requests are signed for AWS, got grpc")
		}
		if all := o.load.Warmup + o.load.Duration; all > client.SignatureHolds-time.Minute {
			return fault.New(fault.Usage, "", "--duration", "want at most %v with the warm-up where requests are signed for AWS, got %v", client.SignatureHolds-time.Minute, all)
		}
		o.load.Sign = s.Sign
		return nil
	}
	// The same for every request, so asked for once.
	r := &http.Request{Header: http.Header{}}
	if err := s.Sign(ctx, r, nil); err != nil {
		return err
	}
	for name, values := range r.Header {
		if o.load.Header.Get(name) == "" {
			o.load.Header[name] = values
		}
	}
	return nil
}

func (o *benchOptions) parse() error {
	o.load.Protocol = loadtest.Protocol(o.protocol)
	o.load.Header = http.Header{}
	for _, h := range o.headers {
		name, value, ok := strings.Cut(h, ":")
		if name = strings.TrimSpace(name); !ok || name == "" {
			return fault.New(fault.Usage, "", "--header", "want 'NAME: VALUE', got %q", h)
		}
		o.load.Header.Add(name, strings.TrimSpace(value))
	}
	return nil
}

// benchDir serves the function in dir with this very binary in a process of
// its own, and gives the load its address and its recorded requests.
func (p *program) benchDir(ctx context.Context, dir string, o *benchOptions) (*starter, error) {
	folder, s, err := app.ReadSpec(dir)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, m := range s.Models {
		names = append(names, m.Name)
	}
	if o.load.Model == "" && len(s.Models) == 1 {
		o.load.Model = names[0]
	}
	if o.load.Model == "" {
		return nil, fault.New(fault.Usage, "", "", "want --model, one of %s, got none", strings.Join(names, ", "))
	}
	requests, err := recorded.Load(folder, names...)
	if err != nil {
		return nil, err
	}
	for i := range requests {
		if len(o.requests) > 0 {
			break // those that were given are sent
		}
		if requests[i].Model != o.load.Model {
			continue
		}
		r, err := requests[i].Decode()
		if err != nil {
			return nil, err
		}
		o.load.Requests = append(o.load.Requests, request(r))
	}
	show := p.working("starting godwit serve " + dir)
	defer show()
	st := &starter{p: p, ctx: ctx, dir: dir, address: "127.0.0.1:0"}
	if err := st.start(); err != nil {
		return nil, err
	}
	o.load.Target = st.child.url
	return st, nil
}

// request is r as callers send it: without an id, so that nothing tells two apart.
func request(r *infer.Request) *infer.Request {
	c := *r
	c.ID = ""
	return &c
}

// child is a `godwit serve` of ours.
type child struct {
	url    string
	pid    int
	cancel context.CancelFunc
	ended  chan struct{}
}

func (p *program) startServer(ctx context.Context, dir string) (*child, error) {
	return p.startServerAt(ctx, dir, "127.0.0.1:0")
}

func (p *program) startServerAt(ctx context.Context, dir, address string) (*child, error) {
	if p.Executable == "" {
		return nil, fault.New(fault.Runtime, "", dir, "want this program's own path, to serve the folder, got none").
			WithHint("Start `godwit serve` yourself, and give its URL.")
	}
	ctx, cancel := context.WithCancel(ctx)
	cmd := exec.CommandContext(ctx, p.Executable)
	cmd.Args = []string{"godwit", "serve", dir, "--listen", address, "--json"}
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 30 * time.Second // the server bounds its own drain
	log := &tail{}
	cmd.Stderr = log
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		cancel()
		return nil, fault.New(fault.Runtime, "", p.Executable, "%w", err)
	}
	var ready struct{ URL string }
	err = json.NewDecoder(out).Decode(&ready)
	c := &child{url: ready.URL, pid: cmd.Process.Pid, cancel: cancel, ended: make(chan struct{})}
	go func() { defer close(c.ended); cmd.Wait() }() // how it ends after the load is nobody's concern
	if err != nil || ready.URL == "" {
		interrupted := ctx.Err()
		c.stop()
		if interrupted != nil {
			return nil, interrupted
		}
		p.Stderr.Write(log.last())
		return nil, exited(max(1, cmd.ProcessState.ExitCode()))
	}
	return c, nil
}

func (c *child) stop() {
	c.cancel()
	<-c.ended
}

// tail keeps the end of what is written: why a server did not start.
type tail struct {
	mu sync.Mutex
	b  []byte
}

const tailBytes = 4 << 10

func (t *tail) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(b) >= tailBytes {
		t.b = append(t.b[:0], b[len(b)-tailBytes:]...)
		return len(b), nil
	}
	if over := len(t.b) + len(b) - tailBytes; over > 0 {
		t.b = append(t.b[:0], t.b[over:]...)
	}
	t.b = append(t.b, b...)
	return len(b), nil
}

// last is the last lines: whole ones, unless there is only one.
func (t *tail) last() []byte {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.b) < tailBytes {
		return t.b
	}
	if _, rest, ok := bytes.Cut(t.b, []byte("\n")); ok {
		return rest
	}
	return t.b
}
