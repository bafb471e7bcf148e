package main

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"maps"
	"math"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"godwit.dev/internal/testmodels"
	"godwit.dev/runtime/onnx"
)

// A hungry model takes as much memory as it is asked to: n INT64 [1] → sum FP32
// [1], the sum of n ones that lie in memory.
func hungry(dir string) error {
	ones := testmodels.Tensor{Elem: onnx.Float, Dims: []int64{1}, Raw: []byte{0, 0, 0x80, 0x3f}}
	m := testmodels.Model{Graph: testmodels.Graph{
		Nodes: []testmodels.Node{
			testmodels.N("ConstantOfShape", []string{"n"}, []string{"ones"}, testmodels.TensorAttr("value", ones)),
			testmodels.N("ReduceSum", []string{"ones"}, []string{"sum"}, testmodels.Int("keepdims", 1)),
		},
		Inputs:  []testmodels.Value{testmodels.V("n", onnx.Int64, 1)},
		Outputs: []testmodels.Value{testmodels.V("sum", onnx.Float, 1)},
	}}
	return os.WriteFile(filepath.Join(dir, "hungry.onnx"), m.Bytes(), 0o644)
}

// pressed is what became of the requests of press.
type pressed struct {
	Answers int            `json:"answers"`
	Refused map[string]int `json:"refused"` // by status
	Lost    int            `json:"lost"`    // no status came
	Wrong   int            `json:"wrong"`   // 200, and not the sum
	Gap     float64        `json:"gap"`     // the longest time without an answer, in seconds
	P95     float64        `json:"p95_ms"`  // of answers
}

// press asks a hungry model for small sums, one after the other from each of
// some clients, and wants each answered right or refused with a status. It
// prints what became of them.
func press(args []string) error {
	flags := flag.NewFlagSet("press", flag.ExitOnError)
	crowd := flags.Int("c", 4, "requests at a time")
	lasts := flags.Duration("for", 10*time.Second, "how long")
	if err := flags.Parse(args); err != nil {
		return err
	}
	client := &http.Client{Timeout: time.Minute, Transport: &http.Transport{MaxIdleConnsPerHost: *crowd, DisableKeepAlives: true}}
	var mu sync.Mutex
	out := pressed{Refused: map[string]int{}}
	var took []float64
	last := time.Now()
	ctx, cancel := context.WithTimeout(context.Background(), *lasts)
	defer cancel()
	var all sync.WaitGroup
	for range *crowd {
		all.Go(func() {
			for ctx.Err() == nil {
				start := time.Now()
				status, right := sumOf(client, flags.Arg(0), 1000)
				mu.Lock()
				switch {
				case status == 0:
					out.Lost++
				case status != http.StatusOK:
					out.Refused[fmt.Sprint(status)]++
				case !right:
					out.Wrong++
				default:
					out.Answers++
					took = append(took, time.Since(start).Seconds()*1e3)
					out.Gap, last = math.Max(out.Gap, time.Since(last).Seconds()), time.Now()
				}
				mu.Unlock()
				if status != http.StatusOK { // who is refused waits for a moment
					select {
					case <-time.After(100 * time.Millisecond):
					case <-ctx.Done():
					}
				}
			}
		})
	}
	all.Wait()
	slices.Sort(took)
	if len(took) > 0 {
		out.P95 = took[(len(took)-1)*95/100]
	}
	if err := json.NewEncoder(os.Stdout).Encode(out); err != nil {
		return err
	}
	if out.Lost > 0 || out.Wrong > 0 || out.Answers == 0 {
		return fmt.Errorf("want each answered right or refused with a status, got %d answers, %d wrong, %d without a status, refused %v", out.Answers, out.Wrong, out.Lost, slices.Sorted(maps.Keys(out.Refused)))
	}
	return nil
}

// sumOf asks for n ones; status is 0 where none came.
func sumOf(client *http.Client, url string, n int) (status int, right bool) {
	body := fmt.Appendf(nil, `{"inputs":[{"name":"n","shape":[1],"datatype":"INT64","data":[%d]}]}`, n)
	resp, err := client.Post(url, "application/json", bytes.NewReader(body))
	if err != nil {
		return 0, false
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, false
	}
	var answer struct{ Outputs []struct{ Data []float64 } }
	err = json.Unmarshal(text, &answer)
	return resp.StatusCode, err == nil && len(answer.Outputs) == 1 && slices.Equal(answer.Outputs[0].Data, []float64{float64(n)})
}
