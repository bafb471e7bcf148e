package conformance

import (
	"encoding/json"
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"godwit.dev/internal/simulate"
)

var (
	clusterPod     = flag.String("cluster.pod", "", "program of a pod, which is started with `serve FOLDER`; without it pods are in this process, the trace is short and nothing is compared")
	clusterFolder  = flag.String("cluster.folder", "", "function folder that pods serve")
	clusterSeconds = flag.Float64("cluster.seconds", 150, "length of the trace")
	clusterBurst   = flag.Float64("cluster.burst", 211, "target-burst-capacity: 0 takes the activator out of the path")
	clusterOut     = flag.String("cluster.out", "", "file for the figures and curves")
)

// What a run takes in a pod, and what goes before its process.
const (
	runP50, runP99           = 120 * time.Millisecond, 360 * time.Millisecond
	scheduleP50, scheduleP99 = 1000 * time.Millisecond, 2000 * time.Millisecond
	podRuns                  = 2
	podConcurrency           = 2
	podsMost                 = 24
	clusterSeed              = 1
)

// phases are when reports, scrapes and decisions are in the cluster.
var phases = simulate.KnativePhases{Report: 300 * time.Millisecond, Scrape: 0, Decide: 700 * time.Millisecond}

func logNormal(r *rand.Rand, p50, p99 time.Duration) time.Duration {
	return time.Duration(float64(p50) * math.Exp(r.NormFloat64()*math.Log(float64(p99)/float64(p50))/2.3263))
}

// course is the trace: calm, a step up, a step down, nothing for long enough to
// go to zero, a burst from there, and its end.
func course(seconds float64, seed uint64) (at []time.Duration) {
	parts := []struct{ until, rate float64 }{{0.05, 0}, {0.2, 8}, {0.35, 60}, {0.5, 15}, {0.75, 0}, {0.85, 70}, {1, 25}}
	r := rand.New(rand.NewPCG(seed, 2))
	now := 0.0
	for _, p := range parts {
		for end := p.until * seconds; ; {
			if p.rate == 0 {
				now = end
				break
			}
			next := now + r.ExpFloat64()/p.rate
			if next >= end {
				now = end
				break
			}
			now = next
			at = append(at, time.Duration(now*1e9))
		}
	}
	return at
}

// figures is what is written of a comparison.
type figures struct {
	Seconds       float64    `json:"seconds"`
	Burst         float64    `json:"targetBurstCapacity"`
	Window        float64    `json:"stableWindowSeconds"`
	Requests      int        `json:"requests"`
	Refused       [2]float64 `json:"refusedShareRealSimulated"` // by the proxy of a pod whose queue is full
	Pods          int        `json:"podsStarted"`
	PodsSimulated float64    `json:"podsStartedSimulated"`
	Decisions     int        `json:"decisions"`
	LagSeconds    float64    `json:"lagSeconds"`
	MaxLagSeconds float64    `json:"maxLagSeconds"`
	Outside       int        `json:"decisionsOutsideOneTick"`
	KS            float64    `json:"ks"`
	KSBetween     float64    `json:"ksBetweenSeeds"`
	Latency       [2]summary `json:"latencySecondsRealSimulated"`
	PodSeconds    [2]float64 `json:"podSecondsRealSimulated"`
	ProcessStart  float64    `json:"processStartP50Seconds"`
	Overhead      float64    `json:"overheadP50Seconds"`
	Service       float64    `json:"serviceP50Seconds"`
	Seeds         int        `json:"seeds"`
	Curves        curves     `json:"curves"`
}

type summary struct {
	P50 float64 `json:"p50"`
	P90 float64 `json:"p90"`
	P99 float64 `json:"p99"`
	Max float64 `json:"max"`
}

// curves are sampled each half second.
type curves struct {
	Step    float64    `json:"step"`
	Arrived []int      `json:"arrived"`
	Real    []int      `json:"real"`
	Middle  []float64  `json:"simulated"`
	Low     []float64  `json:"simulatedLow"`
	High    []float64  `json:"simulatedHigh"`
	Pods    [2][]int   `json:"pods"` // ready: real, and simulated with the first seed
	CDF     [2][]point `json:"cdf"`
}

type point struct {
	X float64 `json:"x"`
	Y float64 `json:"y"`
}

// TestSimulatorIsCluster serves a trace by a small cluster of real processes,
// with Knative's own autoscaler deciding by the wall clock, and simulates the
// same trace. The desired pods may differ by a tick, and the latencies' two
// distributions by 0.1.
func TestSimulatorIsCluster(t *testing.T) {
	var requests atomic.Int64
	s := &settings{
		concurrency: podConcurrency, maxScale: podsMost, target: podConcurrency * 0.7, burst: *clusterBurst, window: 20 * time.Second, grace: 6 * time.Second, seed: clusterSeed,
		schedule: func(r *rand.Rand) time.Duration { return logNormal(r, scheduleP50, scheduleP99) },
		body: func() string {
			return fmt.Sprintf(`{"inputs":[{"name":"x","shape":[1,4],"datatype":"FP32","data":[1,2,3,%d]}]}`, requests.Add(1))
		},
	}
	if *clusterSeconds >= 600 {
		s.window, s.grace = time.Minute, 30*time.Second // Knative's
	}
	if *clusterPod == "" {
		s.schedule = func(*rand.Rand) time.Duration { return 10 * time.Millisecond }
		s.pod = inProcess
		small(t, s)
		return
	}
	s.pod = func() (string, func(), error) {
		return process(*clusterPod, *clusterFolder, []string{"POD_P50=" + runP50.String(), "POD_P99=" + runP99.String()})
	}
	overhead, starts := calibrate(t, s)
	arrivals := course(*clusterSeconds, clusterSeed)
	c := startCluster(t, s)
	c.mu.Lock()
	c.starts = append(c.starts, starts...)
	c.mu.Unlock()
	real := c.play(arrivals)
	c.mu.Lock()
	defer c.mu.Unlock()
	f := compare(t, c, arrivals, real, overhead)
	t.Logf("%d requests, %d pods started (simulated %.1f), lag %.1f s at best and %.1f s at most, %d of %d decisions further away, KS %.3f (%.3f between seeds)",
		f.Requests, f.Pods, f.PodsSimulated, f.LagSeconds, f.MaxLagSeconds, f.Outside, f.Decisions, f.KS, f.KSBetween)
	t.Logf("latency real %+v, simulated %+v; pod-seconds %v, refused %.4f", f.Latency[0], f.Latency[1], f.PodSeconds, f.Refused)
	if *clusterOut != "" {
		text, err := json.Marshal(f)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Clean(*clusterOut), text, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if math.Abs(f.LagSeconds) > 2 {
		t.Errorf("want curves of desired pods at most a tick apart, got %.1f s", f.LagSeconds)
	}
	if f.KS > 0.1 {
		t.Errorf("want latencies at most 0.1 apart, got %.3f", f.KS)
	}
	if math.Abs(f.Refused[0]-f.Refused[1]) > 0.05 {
		t.Errorf("want as many requests refused, got shares of %.3f and simulated %.3f", f.Refused[0], f.Refused[1])
	}
}

// inProcess is a server with two runs that take 20 ms.
func inProcess() (string, func(), error) {
	runs := make(chan struct{}, podRuns)
	s := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		runs <- struct{}{}
		defer func() { <-runs }()
		<-time.After(20 * time.Millisecond)
	}))
	return s.Listener.Addr().String(), s.Close, nil
}

// small sends a burst at a cluster at zero: everything is answered, pods come,
// and Knative's autoscaler has decided.
func small(t *testing.T, s *settings) {
	c := startCluster(t, s)
	var at []time.Duration
	for k := range 120 {
		at = append(at, time.Duration(k)*10*time.Millisecond)
	}
	real := c.play(at)
	if len(real) != len(at) {
		t.Errorf("want %d answers, got %d", len(at), len(real))
	}
	for k, l := range real {
		if l < 20*time.Millisecond {
			t.Errorf("request %d: want at least the 20 ms of its run, got %v", k, l)
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.decisions) == 0 || len(c.starts) == 0 || c.decisions[0].Desired < 1 {
		t.Errorf("want decisions for pods, and pods, got %v and %d", c.decisions, len(c.starts))
	}
}

// calibrate measures what a hop over loopback and a server add to a run, and a
// process's start.
func calibrate(t *testing.T, s *settings) (overhead time.Duration, starts []time.Duration) {
	began := time.Now()
	address, stop, err := process(*clusterPod, *clusterFolder, []string{"POD_P50=1ms", "POD_P99=1ms"})
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	starts = append(starts, time.Since(began))
	c := &cluster{settings: *s, t: t}
	p := &pod{url: "http://" + address, inside: 1 << 30}
	var all []time.Duration
	for range 200 {
		began := time.Now()
		if status, err := c.forward(http.DefaultClient, p, true); err != nil || status != http.StatusOK {
			t.Fatal(status, err)
		}
		all = append(all, time.Since(began)-time.Millisecond)
	}
	slices.Sort(all)
	return all[len(all)/2], starts
}

// play sends the requests at their times and gives the latencies of those that
// were answered, from when they should have been sent. Some may be refused by a
// pod whose proxy keeps no more.
func (c *cluster) play(arrivals []time.Duration) []time.Duration {
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64, MaxIdleConns: 1024}}
	defer client.CloseIdleConnections()
	latency := make([]time.Duration, len(arrivals))
	var wg sync.WaitGroup
	for k, at := range arrivals {
		due := c.began.Add(at)
		if d := time.Until(due); d > 0 {
			<-time.After(d)
		}
		wg.Go(func() {
			status, err := c.request(client)
			if err == nil && status == http.StatusServiceUnavailable {
				return
			}
			if err != nil || status != http.StatusOK {
				c.t.Errorf("request %d: status %d, %v", k, status, err)
			}
			latency[k] = time.Since(due)
		})
	}
	wg.Wait()
	return slices.DeleteFunc(latency, func(d time.Duration) bool { return d == 0 })
}

// compare simulates the trace with several seeds.
func compare(t *testing.T, c *cluster, arrivals, real []time.Duration, overhead time.Duration) *figures {
	const seeds, step = 20, 500 * time.Millisecond
	end := arrivals[len(arrivals)-1] + 5*time.Second
	f := &figures{
		Seconds: *clusterSeconds, Burst: c.burst, Window: c.window.Seconds(), Requests: len(arrivals), Pods: c.made,
		Decisions: len(c.decisions), Overhead: overhead.Seconds(), Seeds: seeds,
	}
	slices.Sort(c.starts)
	slices.Sort(c.took)
	f.Service = c.took[len(c.took)/2].Seconds()
	f.ProcessStart = c.starts[len(c.starts)/2].Seconds()
	n := int(end/step) + 1
	f.Curves.Step = step.Seconds()
	f.Curves.Real = sampled(n, step, c.decisions, func(d decision) (float64, int) { return d.At, d.Desired })
	f.Curves.Pods[0] = sampled(n, step, c.curve, func(p change) (float64, int) { return p.At, p.Ready })
	f.Curves.Arrived = make([]int, n)
	for _, a := range arrivals {
		f.Curves.Arrived[int(a/step)]++
	}
	var all, first []time.Duration
	var desired [][]int
	for seed := range uint64(seeds) {
		var latency []time.Duration
		var decisions []decision
		// What a request takes in a pod is an input too: as the proxies measured it,
		// noise of the machine included, one by chance for each.
		chance := rand.New(rand.NewPCG(seed, 3))
		var in []simulate.Arrival
		for _, a := range arrivals {
			in = append(in, simulate.Arrival{At: a, Service: c.took[chance.IntN(len(c.took))]})
		}
		r, err := simulate.Run(t.Context(), simulate.Slice(in), &simulate.Options{
			Seed: seed, Until: end, Step: step,
			Functions: []simulate.Function{{
				Name: "m", Runs: podRuns, Overhead: overhead,
				Start: simulate.Lifecycle{Schedule: simulate.Dist{Samples: c.waits, InOrder: true}, Start: simulate.Dist{Samples: c.starts}},
			}},
			Policy: simulate.Knative{
				Concurrency: podConcurrency, MaxScale: podsMost, StableWindow: c.window, Grace: c.grace, BurstCapacity: &c.burst, Phases: &phases,
			},
			Observe: func(o *simulate.Outcome) {
				if o.Status == simulate.Served {
					latency = append(latency, o.Done-o.Arrived)
				}
			},
			Decided: func(d *simulate.Decision) {
				decisions = append(decisions, decision{d.At.Seconds(), d.Desired, d.Ready})
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		if seed == 0 {
			first = latency
			for _, p := range r.Curve {
				f.Curves.Pods[1] = append(f.Curves.Pods[1], p.Ready)
			}
		} else if seed == 1 {
			f.KSBetween = ks(first, latency)
		}
		f.Refused[1] += float64(r.Rejected) / float64(len(arrivals)) / seeds
		f.PodsSimulated += float64(r.Starts) / seeds
		f.PodSeconds[1] += r.ReadySeconds / seeds
		all = append(all, latency...)
		desired = append(desired, sampled(n, step, decisions, func(d decision) (float64, int) { return d.At, d.Desired }))
	}
	for k := range n {
		var v []float64
		for _, d := range desired {
			v = append(v, float64(d[k]))
		}
		slices.Sort(v)
		f.Curves.Low = append(f.Curves.Low, v[len(v)/20])
		f.Curves.Middle = append(f.Curves.Middle, v[len(v)/2])
		f.Curves.High = append(f.Curves.High, v[len(v)-1-len(v)/20])
		f.PodSeconds[0] += float64(f.Curves.Pods[0][k]) * step.Seconds()
	}
	f.LagSeconds = lag(f.Curves.Real, f.Curves.Middle) * step.Seconds()
	f.MaxLagSeconds, f.Outside = farthest(f.Curves.Real, desired, step)
	f.Refused[0] = 1 - float64(len(real))/float64(len(arrivals))
	f.KS = ks(real, all)
	f.Latency = [2]summary{summarize(real), summarize(all)}
	f.Curves.CDF = [2][]point{cdf(real), cdf(all)}
	return f
}

// sampled holds each value until the next.
func sampled[T any](n int, step time.Duration, all []T, of func(T) (float64, int)) []int {
	out := make([]int, n)
	k, v := 0, 0
	for i := range out {
		for k < len(all) {
			at, value := of(all[k])
			if at > float64(i)*step.Seconds() {
				break
			}
			v = value
			k++
		}
		out[i] = v
	}
	return out
}

// lag is by how many steps the simulated curve has to be moved for it to be
// next to the real one.
func lag(real []int, simulated []float64) float64 {
	best, at := math.Inf(1), 0
	for d := -20; d <= 20; d++ {
		sum := 0.0
		for k := range real {
			if o := k + d; o >= 0 && o < len(simulated) {
				sum += math.Abs(float64(real[k]) - simulated[o])
			}
		}
		if sum < best-1e-9 || sum < best+1e-9 && abs(d) < abs(at) {
			best, at = sum, d
		}
	}
	return float64(at)
}

func abs(d int) int { return max(d, -d) }

// farthest is how far in time a value of the real curve is from the nearest
// between the least and the most of the simulated ones, give or take a pod or a
// tenth, at most; and how many decisions' worth of time are further than a tick.
func farthest(real []int, simulated [][]int, step time.Duration) (most float64, outside int) {
	n := len(real)
	low, high := make([]int, n), make([]int, n)
	for k := range n {
		low[k], high[k] = math.MaxInt, 0
		for _, s := range simulated {
			low[k], high[k] = min(low[k], s[k]), max(high[k], s[k])
		}
	}
	beyond := 0
	for k, v := range real {
		slack := max(1, v/10)
		near := n
		for d := 0; d < n && near == n; d++ {
			for _, o := range []int{k - d, k + d} {
				if o >= 0 && o < n && v >= low[o]-slack && v <= high[o]+slack {
					near = d
				}
			}
		}
		away := float64(near) * step.Seconds()
		most = max(most, away)
		if away > 2 {
			beyond++
		}
	}
	return most, int(float64(beyond) * step.Seconds() / 2)
}

// ks is the largest distance between two distributions.
func ks(a, b []time.Duration) float64 {
	a, b = slices.Clone(a), slices.Clone(b)
	slices.Sort(a)
	slices.Sort(b)
	most := 0.0
	i, j := 0, 0
	for i < len(a) && j < len(b) {
		v := min(a[i], b[j])
		for i < len(a) && a[i] <= v {
			i++
		}
		for j < len(b) && b[j] <= v {
			j++
		}
		most = max(most, math.Abs(float64(i)/float64(len(a))-float64(j)/float64(len(b))))
	}
	return most
}

func summarize(all []time.Duration) summary {
	s := slices.Clone(all)
	slices.Sort(s)
	q := func(p float64) float64 { return s[min(int(p*float64(len(s))), len(s)-1)].Seconds() }
	return summary{q(0.5), q(0.9), q(0.99), q(1)}
}

func cdf(all []time.Duration) (out []point) {
	s := slices.Clone(all)
	sort.Slice(s, func(i, j int) bool { return s[i] < s[j] })
	for k := 0; k <= 200; k++ {
		out = append(out, point{s[min(k*len(s)/200, len(s)-1)].Seconds(), float64(k) / 200})
	}
	return out
}
