package conformance

import (
	"context"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.opentelemetry.io/otel/attribute"
	metricnoop "go.opentelemetry.io/otel/metric/noop"
	tracenoop "go.opentelemetry.io/otel/trace/noop"
	"go.uber.org/zap"
	core "k8s.io/api/core/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	listers "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/tools/cache"
	netcfg "knative.dev/networking/pkg/config"
	netheader "knative.dev/networking/pkg/http/header"
	netstats "knative.dev/networking/pkg/http/stats"
	"knative.dev/serving/pkg/apis/autoscaling/v1alpha1"
	"knative.dev/serving/pkg/apis/serving"
	"knative.dev/serving/pkg/autoscaler/metrics"
	"knative.dev/serving/pkg/autoscaler/scaling"
	"knative.dev/serving/pkg/queue"
	"knative.dev/serving/pkg/resources"
)

// revision is the one that the cluster has.
var revision = types.NamespacedName{Namespace: "default", Name: "m-1"}

// settings of a cluster.
type settings struct {
	concurrency, maxScale int
	target                float64 // concurrency aimed at in a pod
	burst                 float64
	window, grace         time.Duration
	schedule              func(*rand.Rand) time.Duration // before a pod's process starts
	seed                  uint64
	pod                   func() (address string, stop func(), err error) // starts a server and waits until it is ready
	body                  func() string                                   // of a request; equal ones in progress would share a run
}

// cluster is one revision on one machine. Of Knative are the windows, the
// scraping of pods over HTTP, the counting of requests, the proxy in front of
// each pod, the autoscaler and its two seconds. Stand-ins of ours are what
// would need a Kubernetes behind it: the controller that acts on decisions
// (its rules for the way to zero are in reconcile), the activator, and who
// starts pods.
type cluster struct {
	settings
	t         *testing.T
	began     time.Time
	collector *metrics.MetricCollector
	multi     *scaling.MultiScaler
	pods      cache.Indexer
	accessor  resources.PodAccessor
	stop      chan struct{}
	wg        sync.WaitGroup
	nudge     chan struct{}

	mu         sync.Mutex
	rng        *rand.Rand
	all        []*pod
	made       int
	waiting    []chan *pod
	proxied    bool
	proxySince time.Time
	state      string
	stateSince time.Time
	applied    int
	stats      *revisionStats
	took       []time.Duration // by requests in pods, behind the proxy
	waits      []time.Duration // of each pod before its process, in the order of their making
	starts     []time.Duration // from exec to ready
	curve      []change
	decisions  []decision
}

// decision is one of the autoscaler's; change is one of the number of pods.
type decision struct {
	At      float64 `json:"at"` // s
	Desired int     `json:"desired"`
	Ready   int     `json:"ready"`
}

type change struct {
	At             float64
	Applied, Ready int
}

type pod struct {
	name, ip string
	url      string
	ready    bool
	leaving  bool
	since    time.Time
	inside   int
	gone     chan struct{} // closed when it shall go
	idle     chan struct{} // closed when it is leaving and empty
}

// revisionStats is what the activator counts of a revision.
type revisionStats struct {
	stats *netstats.RequestStats
	first float64
	refs  int
}

func startCluster(t *testing.T, s *settings) *cluster {
	c := &cluster{settings: *s, t: t, stop: make(chan struct{}), nudge: make(chan struct{}, 1), proxied: true, state: "inactive",
		rng: rand.New(rand.NewPCG(s.seed, 1)), pods: cache.NewIndexer(cache.MetaNamespaceKeyFunc, cache.Indexers{cache.NamespaceIndex: cache.MetaNamespaceIndexFunc})}
	c.accessor = resources.NewPodAccessor(listers.NewPodLister(c.pods), revision.Namespace, revision.Name)
	logger := zap.NewNop().Sugar()
	metric := &v1alpha1.Metric{ObjectMeta: meta.ObjectMeta{Namespace: revision.Namespace, Name: revision.Name},
		Spec: v1alpha1.MetricSpec{StableWindow: c.window, PanicWindow: c.window / 10, ScrapeTarget: "m-1-private"}}
	c.collector = metrics.NewMetricCollector(func(m *v1alpha1.Metric, l *zap.SugaredLogger) (metrics.StatsScraper, error) {
		return metrics.NewStatsScraper(m, revision.Name, c.accessor, false, netcfg.MeshCompatibilityModeDisabled, l, metricnoop.NewMeterProvider()), nil
	}, logger)
	c.began = time.Now()
	c.stateSince, c.proxySince = c.began, c.began.Add(-time.Hour) // the revision was there before
	if err := c.collector.CreateOrUpdate(metric); err != nil {
		t.Fatal(err)
	}
	c.multi = scaling.NewMultiScaler(c.stop, func(d *scaling.Decider) (scaling.UniScaler, error) {
		s := scaling.New(*attribute.EmptySet(), metricnoop.NewMeterProvider(), d.Namespace, d.Name, c.collector, c.accessor, &d.Spec)
		return &witness{s, c}, nil
	}, logger)
	c.multi.Watch(func(types.NamespacedName) { c.look() })
	// One after the other, so that it is no chance whether a decision sees the
	// report of its own moment.
	c.wg.Go(func() { c.after(phases.Report, c.report) })
	c.wg.Go(c.control)
	<-time.After(time.Until(c.began.Add(phases.Decide)))
	spec := scaling.DeciderSpec{
		MaxScaleUpRate: 1000, MaxScaleDownRate: 2, ScalingMetric: "concurrency", TargetValue: c.target, TotalValue: float64(c.concurrency),
		TargetBurstCapacity: c.burst, ActivatorCapacity: 100, PanicThreshold: 2, StableWindow: c.window, Reachable: true,
	}
	if _, err := c.multi.Create(t.Context(), &scaling.Decider{ObjectMeta: meta.ObjectMeta{Namespace: revision.Namespace, Name: revision.Name}, Spec: spec}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.end)
	return c
}

// after calls f at a time of the cluster's clock.
func (c *cluster) after(at time.Duration, f func()) {
	select {
	case <-time.After(time.Until(c.began.Add(at))):
		f()
	case <-c.stop:
	}
}

// end stops everything and waits for it.
func (c *cluster) end() {
	close(c.stop)
	c.mu.Lock()
	for _, p := range c.all {
		p.leave()
	}
	c.mu.Unlock()
	c.collector.Delete(revision.Namespace, revision.Name)
	c.wg.Wait()
}

// witness writes down what Knative's autoscaler decides.
type witness struct {
	scaling.UniScaler
	c *cluster
}

func (w *witness) Scale(l *zap.SugaredLogger, now time.Time) scaling.ScaleResult {
	ready, _ := w.c.accessor.ReadyCount()
	r := w.UniScaler.Scale(l, now)
	if r.ScaleValid {
		w.c.mu.Lock()
		w.c.decisions = append(w.c.decisions, decision{now.Sub(w.c.began).Seconds(), int(r.DesiredPodCount), ready})
		w.c.mu.Unlock()
	}
	return r
}

func (c *cluster) look() {
	select {
	case c.nudge <- struct{}{}:
	default:
	}
}

// control acts on decisions when they change, and looks each second.
func (c *cluster) control() {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-c.stop:
			return
		case <-tick.C:
		case <-c.nudge:
		}
		d, err := c.multi.Get(context.Background(), revision.Namespace, revision.Name)
		if err != nil {
			continue // not made yet
		}
		c.mu.Lock()
		c.reconcile(int(d.Status.DesiredScale), d.Status.ExcessBurstCapacity)
		c.mu.Unlock()
	}
}

// reconcile brings pods and path to what is desired, by the rules of Knative's
// controller.
func (c *cluster) reconcile(desired int, excess int32) {
	if desired < 0 {
		return // no metrics yet
	}
	now := time.Now()
	want, apply := min(desired, c.maxScale), true
	if want == 0 {
		switch since := now.Sub(c.stateSince); {
		case c.state == "activating":
			return
		case c.state == "active" && since < c.window:
			want = 1
		case c.state == "active":
			apply = false
		case since >= c.grace, c.proxied && now.Sub(c.proxySince) >= c.grace:
		default:
			apply = false
		}
	}
	proxied := want == 0 || excess < 0
	if proxied && !c.proxied {
		c.proxySince = now
	}
	c.proxied = proxied
	if apply {
		c.scaleTo(want)
	}
	state := "active"
	if want == 0 {
		state = "inactive"
	} else if c.readyPods() == 0 {
		state = "activating"
	}
	if state != c.state {
		c.state, c.stateSince = state, now
	}
}

func (c *cluster) readyPods() (n int) {
	for _, p := range c.all {
		if p.ready && !p.leaving {
			n++
		}
	}
	return n
}

func (c *cluster) scaleTo(n int) {
	c.applied = n
	staying := 0
	for _, p := range c.all {
		if !p.leaving {
			staying++
		}
	}
	for ; staying < n; staying++ {
		c.made++
		p := &pod{name: fmt.Sprintf("m-1-%d", c.made), ip: fmt.Sprintf("127.%d.%d.%d", 1+os.Getpid()%250, 1+c.made/250, 1+c.made%250), gone: make(chan struct{}), idle: make(chan struct{})}
		c.all = append(c.all, p)
		wait := c.schedule(c.rng)
		c.waits = append(c.waits, wait)
		c.wg.Go(func() { c.live(p, wait) })
	}
	for ; staying > n; staying-- {
		var last *pod // first what is not ready, then what became ready last
		for _, p := range c.all {
			if !p.leaving && (last == nil || last.ready && (!p.ready || p.since.After(last.since)) || !last.ready && !p.ready) {
				last = p
			}
		}
		last.leave()
		c.store(last)
	}
	c.note()
}

func (c *cluster) note() {
	c.curve = append(c.curve, change{time.Since(c.began).Seconds(), c.applied, c.readyPods()})
}

// leave has a pod go with its last request. The cluster is locked.
func (p *pod) leave() {
	if p.leaving {
		return
	}
	p.leaving = true
	close(p.gone)
	if p.inside == 0 {
		close(p.idle)
	}
}

// store brings p's object up to date, where Knative's code looks.
func (c *cluster) store(p *pod) {
	o := &core.Pod{ObjectMeta: meta.ObjectMeta{Namespace: revision.Namespace, Name: p.name, Labels: map[string]string{serving.RevisionLabelKey: revision.Name}}}
	o.Status = core.PodStatus{Phase: core.PodRunning, PodIP: p.ip, StartTime: &meta.Time{Time: p.since}, Conditions: []core.PodCondition{{Type: core.PodReady, Status: core.ConditionTrue}}}
	if !p.ready {
		o.Status.Phase, o.Status.Conditions = core.PodPending, nil
	}
	if p.leaving {
		o.DeletionTimestamp = &meta.Time{Time: time.Now()}
	}
	_ = c.pods.Update(o)
}

// live is a pod from its scheduling to its end: a server process, and Knative's
// proxy and metrics in front of it.
func (c *cluster) live(p *pod, wait time.Duration) {
	defer func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		for k, o := range c.all {
			if o == p {
				c.all = append(c.all[:k], c.all[k+1:]...)
				break
			}
		}
		_ = c.pods.Delete(&core.Pod{ObjectMeta: meta.ObjectMeta{Namespace: revision.Namespace, Name: p.name}})
		c.note()
	}()
	select {
	case <-time.After(wait):
	case <-p.gone:
		return
	}
	began := time.Now()
	address, stop, err := c.pod()
	if err != nil {
		c.t.Error(err)
		return
	}
	defer stop()
	reporter := queue.NewProtobufStatsReporter(p.name, time.Second)
	stats := netstats.NewRequestStats(time.Now())
	target, _ := url.Parse("http://" + address)
	breaker := queue.NewBreaker(queue.BreakerParams{QueueDepth: 10 * c.concurrency, MaxConcurrency: c.concurrency, InitialCapacity: c.concurrency})
	server := httputil.NewSingleHostReverseProxy(target)
	proxy := queue.ProxyHandler(tracenoop.NewTracerProvider().Tracer(""), breaker, stats, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		began := time.Now()
		server.ServeHTTP(w, r)
		c.mu.Lock()
		c.took = append(c.took, time.Since(began))
		c.mu.Unlock()
	}))
	scraped, err := net.Listen("tcp", p.ip+":9090")
	if err != nil {
		c.t.Error(err)
		return
	}
	mux := http.NewServeMux()
	mux.Handle("/metrics", reporter)
	metricsServer := &http.Server{Handler: mux}
	c.wg.Go(func() { _ = metricsServer.Serve(scraped) })
	defer metricsServer.Close()
	front := httptest.NewServer(proxy)
	defer front.Close()
	c.mu.Lock()
	p.url, p.ready, p.since = front.URL, true, time.Now()
	c.starts = append(c.starts, p.since.Sub(began))
	c.store(p)
	c.note()
	c.hand()
	c.mu.Unlock()
	c.look()
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case now := <-tick.C:
			reporter.Report(stats.Report(now))
		case <-p.idle:
			return
		}
	}
}

// report is the activator's, each second.
func (c *cluster) report() {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-c.stop:
			return
		case now := <-tick.C:
			c.mu.Lock()
			s := c.stats
			c.mu.Unlock()
			if s == nil {
				continue
			}
			r := s.stats.Report(now)
			c.mu.Lock()
			first := s.first
			s.first = 0
			if r.AverageConcurrency == 0 && s.refs == 0 {
				c.stats = nil
			}
			c.mu.Unlock()
			c.send(metrics.Stat{PodName: "activator", AverageConcurrentRequests: math.Max(r.AverageConcurrency-first, 0), RequestCount: r.RequestCount - first})
		}
	}
}

func (c *cluster) send(s metrics.Stat) {
	c.collector.Record(revision, time.Now(), s)
	c.multi.Poke(revision, s)
}

// pick is the first pod with room. The cluster is locked.
func (c *cluster) pick() *pod {
	for _, p := range c.all {
		if p.ready && !p.leaving && p.inside < c.concurrency {
			return p
		}
	}
	return nil
}

// hand gives pods with room to who waits. The cluster is locked.
func (c *cluster) hand() {
	for len(c.waiting) > 0 {
		p := c.pick()
		if p == nil {
			return
		}
		p.inside++
		c.waiting[0] <- p
		c.waiting = c.waiting[1:]
	}
}

// request is one that comes from outside: through the activator, or past it.
// It returns the status, 0 where the connection failed.
func (c *cluster) request(client *http.Client) (status int, err error) {
	c.mu.Lock()
	if !c.proxied && c.readyPods() > 0 {
		n := c.rng.IntN(c.readyPods())
		for _, p := range c.all {
			if p.ready && !p.leaving {
				if n == 0 {
					p.inside++
					c.mu.Unlock()
					return c.forward(client, p, false)
				}
				n--
			}
		}
	}
	var poke bool
	s := c.stats
	if s == nil {
		poke = true
		s = &revisionStats{stats: netstats.NewRequestStats(time.Now()), first: 1}
		c.stats = s
	}
	s.refs++
	s.stats.HandleEvent(netstats.ReqEvent{Key: revision, Type: netstats.ReqIn, Time: time.Now()})
	p := c.pick()
	var got chan *pod
	if p != nil && len(c.waiting) == 0 {
		p.inside++
	} else {
		got = make(chan *pod, 1)
		c.waiting = append(c.waiting, got)
	}
	c.mu.Unlock()
	if poke {
		c.send(metrics.Stat{PodName: "activator", AverageConcurrentRequests: 1, RequestCount: 1})
	}
	if got != nil {
		p = <-got
	}
	status, err = c.forward(client, p, true)
	c.mu.Lock()
	s.stats.HandleEvent(netstats.ReqEvent{Key: revision, Type: netstats.ReqOut, Time: time.Now()})
	s.refs--
	c.mu.Unlock()
	return status, err
}

func (c *cluster) forward(client *http.Client, p *pod, proxied bool) (int, error) {
	defer func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		if p.inside--; p.inside == 0 && p.leaving {
			close(p.idle)
		}
		c.hand()
	}()
	req, err := http.NewRequest(http.MethodPost, p.url+"/v2/models/m/infer", strings.NewReader(c.body()))
	if err != nil {
		return 0, err
	}
	if proxied {
		req.Header.Set(netheader.ProxyKey, "activator")
	}
	resp, err := client.Do(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	_, err = io.Copy(io.Discard, resp.Body)
	return resp.StatusCode, err
}

// process starts the program as a server and waits until it says where it listens.
func process(program, folder string, env []string) (address string, stop func(), err error) {
	cmd := exec.Command(program, "serve", folder, "--listen", "127.0.0.1:0", "--json")
	cmd.Env = append(os.Environ(), env...)
	out, err := cmd.StdoutPipe()
	if err != nil {
		return "", nil, err
	}
	in, err := cmd.StdinPipe() // closed with this process, whatever ends it
	if err != nil {
		return "", nil, err
	}
	if err := cmd.Start(); err != nil {
		return "", nil, err
	}
	stop = func() {
		defer in.Close()
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait()
	}
	said := ""
	for buf := make([]byte, 4096); !strings.Contains(said, "}\n"); {
		n, err := out.Read(buf)
		said += string(buf[:n])
		if err != nil {
			stop()
			return "", nil, fmt.Errorf("want %s to serve, got %q: %w", program, said, err)
		}
	}
	_, rest, _ := strings.Cut(said, `"url": "http://`)
	address, _, _ = strings.Cut(rest, `"`)
	for { // it listens at once, and is ready when the model is loaded
		resp, err := http.Get("http://" + address + "/v2/health/ready")
		if err != nil {
			stop()
			return "", nil, err
		}
		resp.Body.Close()
		if resp.StatusCode == http.StatusOK {
			return address, stop, nil
		}
		<-time.After(5 * time.Millisecond)
	}
}
