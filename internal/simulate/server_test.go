package simulate_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"godwit.dev/internal/simulate"
	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/infer"
	"godwit.dev/runtime/memengine"
	"godwit.dev/runtime/tensor"
)

// answer is when a request was answered, or that it was refused.
type answer struct {
	Done    time.Duration
	Refused bool
}

// TestServerIsInfer gives the same requests to runtime/infer, whose engine
// sleeps for t(B) under a virtual clock, and to an instance of the simulator:
// each must be answered at the same nanosecond, or be refused by both.
func TestServerIsInfer(t *testing.T) {
	linear := func(base, row time.Duration) simulate.Service {
		s := simulate.Service{}
		for rows := 1; rows <= 128; rows *= 2 {
			s.Table = append(s.Table, simulate.RunTime{Rows: rows, Time: base + time.Duration(rows)*row})
		}
		return s
	}
	tests := []struct {
		name  string
		f     simulate.Function
		rates []float64 // per second, each for a part of the requests
	}{
		{"no batching", simulate.Function{Service: simulate.Constant(10 * time.Millisecond)}, []float64{50, 90, 60}},
		{"no batching, two runs, too much", simulate.Function{Service: simulate.Constant(10 * time.Millisecond), Runs: 2}, []float64{100, 500, 150}},
		{"no batching, a short queue", simulate.Function{Service: simulate.Constant(time.Millisecond), Queue: 3}, []float64{500, 3000, 900}},
		{"batches that gain", simulate.Function{Service: linear(10*time.Millisecond, 100*time.Microsecond), MaxBatch: 32}, []float64{50, 500, 2000, 100}},
		{"batches that gain, two runs", simulate.Function{Service: linear(5*time.Millisecond, 500*time.Microsecond), Runs: 2, MaxBatch: 64}, []float64{100, 900, 2500, 300}},
		{"batches that gain, far too much", simulate.Function{Service: linear(4*time.Millisecond, 900*time.Microsecond), MaxBatch: 16}, []float64{200, 4000, 100, 3000}},
		{"batches that gain nothing", simulate.Function{Service: linear(0, 5*time.Millisecond), MaxBatch: 32}, []float64{100, 190, 300, 100}},
		{"batches that lose, three runs", simulate.Function{Service: simulate.Service{Table: []simulate.RunTime{{1, 4 * time.Millisecond}, {2, 10 * time.Millisecond}, {4, 30 * time.Millisecond}}}, Runs: 3, MaxBatch: 8}, []float64{300, 700, 1200, 300}},
	}
	for k, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var arrivals []simulate.Arrival
			r := rand.New(rand.NewPCG(uint64(k), 1))
			at := time.Duration(0)
			for _, rate := range tt.rates {
				for range 1200 {
					at += time.Duration(r.ExpFloat64()/rate*1e9) + 1
					arrivals = append(arrivals, simulate.Arrival{At: at})
				}
			}
			want := askInfer(t, &tt.f, arrivals)
			got := make([]answer, len(arrivals))
			byTime := map[time.Duration]int{}
			for i, a := range arrivals {
				byTime[a.At] = i
			}
			report, err := simulate.Run(t.Context(), simulate.Slice(arrivals), &simulate.Options{
				Functions: []simulate.Function{tt.f}, Policy: simulate.Fixed{},
				Observe: func(o *simulate.Outcome) {
					got[byTime[o.Arrived]] = answer{o.Done, o.Status == simulate.Rejected}
				},
			})
			if err != nil {
				t.Fatal(err)
			}
			for i := range want {
				if want[i] != got[i] {
					t.Fatalf("request %d of %d (-want +got):\n%s", i, len(want), cmp.Diff(want[i], got[i]))
				}
			}
			t.Logf("%d requests, %d refused, %d runs", report.Requests, report.Rejected, report.Runs)
		})
	}
}

// askInfer is what runtime/infer does with the arrivals.
func askInfer(t *testing.T, f *simulate.Function, arrivals []simulate.Arrival) []answer {
	got := make([]answer, len(arrivals))
	synctest.Test(t, func(t *testing.T) {
		model := memengine.Identity(tensor.FP32, -1, 4)
		identity := model.Run
		model.Run = func(ctx context.Context, in []tensor.Tensor) ([]tensor.Tensor, error) {
			<-time.After(f.Service.At(int(in[0].Shape[0])))
			return identity(ctx, in)
		}
		runs := max(f.Runs, 1)
		m, err := infer.Load(t.Context(), memengine.New(map[string]memengine.Model{"m": model}), "m", &infer.Options{
			Name: "m", Digest: "sha256:0", Runs: runs, Queue: f.Queue, QueueShare: 100, Deterministic: true,
			Batch: infer.Batching{Off: f.MaxBatch < 2, MaxRows: f.MaxBatch},
		})
		if err != nil {
			t.Fatal(err)
		}
		sample := func(seed float32) *infer.Request {
			return &infer.Request{Inputs: []tensor.Tensor{tensor.Of("x", []int64{1, 4}, []float32{seed, 2, 3, 4})}}
		}
		if f.MaxBatch > 1 {
			if err := m.ProbeBatching(t.Context(), []*infer.Request{sample(1), sample(9)}); err != nil {
				t.Fatal(err)
			}
		}
		<-time.After(time.Hour) // what the probe left behind is over
		began := time.Now()
		var wg sync.WaitGroup
		for i, a := range arrivals {
			<-time.After(a.At - time.Since(began))
			wg.Go(func() {
				resp, err := m.Infer(context.Background(), sample(float32(i)))
				got[i] = answer{Done: time.Since(began), Refused: fault.CodeOf(err) == fault.Unavailable}
				if err == nil {
					resp.Release()
				} else if !got[i].Refused {
					panic(fmt.Sprint("request ", i, ": ", err))
				}
			})
		}
		wg.Wait()
		if err := m.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return got
}
