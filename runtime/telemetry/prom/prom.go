// Package prom is a telemetry.Sink that Prometheus scrapes.
package prom

import (
	"net/http"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/telemetry"
)

// Options of a Sink; nil means defaults.
type Options struct {
	// Models is how many pairs of model and version get series of their own;
	// further ones are counted as telemetry.Other. Default 100.
	Models int
	// Dropped, if set, is exposed as godwit_telemetry_dropped_total; it is
	// called at each scrape. See telemetry.Buffer.
	Dropped func() uint64
}

// Sink keeps Godwit's metrics in memory. All methods may be called concurrently.
type Sink struct {
	registry *prometheus.Registry
	limit    int

	requests *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
	queue    *prometheus.HistogramVec
	compute  *prometheus.HistogramVec
	rows     *prometheus.HistogramVec
	cache    *prometheus.GaugeVec
	lookups  *prometheus.CounterVec
	start    *prometheus.GaugeVec
	info     *prometheus.GaugeVec
	restarts prometheus.Counter

	mu     sync.RWMutex
	pairs  map[pair]struct{} // those with series of their own
	ends   map[end]prometheus.Counter
	times  map[timed]prometheus.Observer
	models map[pair]observers
	caches map[pair]cached
}

var _ telemetry.Sink = (*Sink)(nil)

// The keys of series that have been resolved already: looking labels up in a
// vector hashes and allocates, once for each request and metric.
type (
	pair struct{ model, version string }
	end  struct {
		pair
		protocol string
		code     fault.Code
	}
	timed struct {
		pair
		protocol string
	}
	observers struct{ queue, compute, rows prometheus.Observer }
	cached    struct {
		bytes        prometheus.Gauge
		hits, misses prometheus.Counter
	}
)

// seconds that a microsecond model and a minute of batch both fit; the middle
// is finer because that is where objectives lie.
var secondsBuckets = []float64{
	0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60,
}

// New returns a sink with its own registry, so that two servers in one
// process do not meet.
func New(opts *Options) *Sink {
	var o Options
	if opts != nil {
		o = *opts
	}
	if o.Models <= 0 {
		o.Models = 100
	}
	histogram := func(name, help string, buckets []float64, labels ...string) *prometheus.HistogramVec {
		return prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: name, Help: help, Buckets: buckets}, labels)
	}
	gauge := func(name, help string, labels ...string) *prometheus.GaugeVec {
		return prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: name, Help: help}, labels)
	}
	s := &Sink{
		registry: prometheus.NewRegistry(),
		limit:    o.Models,
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "godwit_requests_total", Help: "Inference requests answered, by the code of the answer."},
			[]string{"model", "version", "protocol", "code"}),
		seconds: histogram("godwit_request_seconds", "Time from a request's arrival to its answer.", secondsBuckets, "model", "version", "protocol"),
		queue:   histogram("godwit_queue_seconds", "Time that an inference waited for a free run.", secondsBuckets, "model", "version"),
		compute: histogram("godwit_compute_seconds", "Time that an inference spent in the engine.", secondsBuckets, "model", "version"),
		rows:    histogram("godwit_batch_rows", "Rows of one inference.", prometheus.ExponentialBuckets(1, 2, 11), "model", "version"),
		cache:   gauge("godwit_cache_bytes", "Bytes held by the response cache.", "model", "version"),
		lookups: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "godwit_cache_lookups_total", Help: "Answers looked for in the response cache, by whether they were there."},
			[]string{"model", "version", "result"}),
		start: gauge("godwit_start_seconds", "Time that a phase of the start took.", "phase"),
		info:  gauge("godwit_runtime_info", "What is running; always 1.", "version", "engine", "engine_version", "provider", "target"),
		restarts: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "godwit_worker_restarts_total", Help: "Times that the process of an isolated engine ended by itself and was started again.",
		}),
		pairs:  map[pair]struct{}{},
		ends:   map[end]prometheus.Counter{},
		times:  map[timed]prometheus.Observer{},
		models: map[pair]observers{},
		caches: map[pair]cached{},
	}
	s.registry.MustRegister(s.requests, s.seconds, s.queue, s.compute, s.rows, s.cache, s.lookups, s.start, s.info, s.restarts)
	if o.Dropped != nil {
		s.registry.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name: "godwit_telemetry_dropped_total", Help: "Events lost because a telemetry buffer was full.",
		}, func() float64 { return float64(o.Dropped()) }))
	}
	return s
}

// Handler serves the metrics: text format 0.0.4, or OpenMetrics for those who
// ask for it, compressed for those who ask for that. At most four scrapes run
// at once; one more gets 503.
func (s *Sink) Handler() http.Handler {
	return promhttp.HandlerFor(s.registry, promhttp.HandlerOpts{EnableOpenMetrics: true, MaxRequestsInFlight: 4, ErrorHandling: promhttp.HTTPErrorOnError})
}

// Request implements telemetry.Sink.
func (s *Sink) Request(e telemetry.RequestEvent) {
	p := s.series(e.Model, e.Version)
	get(s, s.ends, end{p, e.Protocol, e.Code}, func() prometheus.Counter {
		return s.requests.WithLabelValues(p.model, p.version, e.Protocol, e.Code.String())
	}).Inc()
	get(s, s.times, timed{p, e.Protocol}, func() prometheus.Observer {
		return s.seconds.WithLabelValues(p.model, p.version, e.Protocol)
	}).Observe(e.Duration.Seconds())
}

// Inference implements telemetry.Sink.
func (s *Sink) Inference(e telemetry.InferenceEvent) {
	p := s.series(e.Model, e.Version)
	m := get(s, s.models, p, func() observers {
		return observers{s.queue.WithLabelValues(p.model, p.version), s.compute.WithLabelValues(p.model, p.version), s.rows.WithLabelValues(p.model, p.version)}
	})
	m.queue.Observe(e.Queue.Seconds())
	m.compute.Observe(e.Compute.Seconds())
	m.rows.Observe(float64(e.Rows))
}

// Start implements telemetry.Sink.
func (s *Sink) Start(phase string, took time.Duration) {
	s.start.WithLabelValues(phase).Set(took.Seconds())
}

// Cache implements telemetry.Sink. Models beyond Options.Models are left out,
// since sizes of several caches cannot share a gauge.
func (s *Sink) Cache(e telemetry.CacheEvent) {
	p := s.series(e.Model, e.Version)
	if p.model == telemetry.Other {
		return
	}
	c := get(s, s.caches, p, func() cached {
		return cached{s.cache.WithLabelValues(p.model, p.version),
			s.lookups.WithLabelValues(p.model, p.version, "hit"), s.lookups.WithLabelValues(p.model, p.version, "miss")}
	})
	c.bytes.Set(float64(e.Bytes))
	if e.Hits > 0 {
		c.hits.Add(float64(e.Hits))
	}
	if e.Misses > 0 {
		c.misses.Add(float64(e.Misses))
	}
}

// Runtime implements telemetry.Sink.
func (s *Sink) Runtime(i telemetry.RuntimeInfo) {
	s.info.Reset()
	s.info.WithLabelValues(i.Version, i.Engine, i.EngineVersion, i.Provider, i.Target).Set(1)
}

// Restarted implements telemetry.Sink.
func (s *Sink) Restarted() { s.restarts.Inc() }

// series is the pair under which a model's measurements are kept.
func (s *Sink) series(model, version string) pair {
	p := pair{model, version}
	other := pair{telemetry.Other, ""}
	if p == other || model == "" {
		return other
	}
	s.mu.RLock()
	_, known := s.pairs[p]
	full := len(s.pairs) >= s.limit
	s.mu.RUnlock()
	switch {
	case known:
		return p
	case full || !utf8.ValidString(model) || !utf8.ValidString(version): // Prometheus panics on such labels
		return other
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, known = s.pairs[p]; !known && len(s.pairs) >= s.limit {
		return other
	}
	s.pairs[p] = struct{}{}
	return p
}

func get[K comparable, V any](s *Sink, m map[K]V, key K, resolve func() V) V {
	s.mu.RLock()
	v, ok := m[key]
	s.mu.RUnlock()
	if ok {
		return v
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if v, ok = m[key]; !ok {
		v = resolve()
		m[key] = v
	}
	return v
}
