package oip

import (
	"context"
	"net/http"

	"godwit.dev/runtime/infer"
)

// DurationStats is a number of events and the nanoseconds they took together.
type DurationStats struct {
	Count uint64 `json:"count"`
	NS    uint64 `json:"ns"`
}

// ModelStats is the statistics extension's record of one model version. The
// engine copies nothing in or out that could be timed apart, so ComputeInput
// and ComputeOutput are zero.
type ModelStats struct {
	Name           string         `json:"name"`
	Version        string         `json:"version"`
	LastInference  uint64         `json:"last_inference"` // milliseconds since 1970; 0 is never
	InferenceCount uint64         `json:"inference_count"`
	ExecutionCount uint64         `json:"execution_count"`
	InferenceStats InferenceStats `json:"inference_stats"`
	ResponseStats  struct{}       `json:"response_stats"` // for models that answer more than once
	BatchStats     []BatchStats   `json:"batch_stats"`
	MemoryUsage    []struct{}     `json:"memory_usage"`
}

// InferenceStats are times of whole requests and of their parts.
type InferenceStats struct {
	Success       DurationStats `json:"success"`
	Fail          DurationStats `json:"fail"`
	Queue         DurationStats `json:"queue"`
	ComputeInput  DurationStats `json:"compute_input"`
	ComputeInfer  DurationStats `json:"compute_infer"`
	ComputeOutput DurationStats `json:"compute_output"`
	CacheHit      DurationStats `json:"cache_hit"`
	CacheMiss     DurationStats `json:"cache_miss"`
}

// BatchStats are the runs with one number of rows.
type BatchStats struct {
	BatchSize     uint64        `json:"batch_size"`
	ComputeInput  DurationStats `json:"compute_input"`
	ComputeInfer  DurationStats `json:"compute_infer"`
	ComputeOutput DurationStats `json:"compute_output"`
}

// Statistics are those of one model, or with an empty name of every one that
// is ready. Errors: those of Model.
func (s *Server) Statistics(name, version string) ([]ModelStats, error) {
	all := []ModelStats{}
	if name != "" {
		m, err := s.lookup(name, version)
		if err != nil {
			return nil, err
		}
		return append(all, statsOf(m)), nil
	}
	for _, status := range s.registry.Index() {
		if status.State != infer.Ready {
			continue
		}
		if m, err := s.registry.Lookup(status.Name, status.Version); err == nil { // else unloaded meanwhile
			all = append(all, statsOf(m))
		}
	}
	return all, nil
}

func statsOf(m *infer.Model) ModelStats {
	st := m.Stats()
	all := ModelStats{
		Name: m.Name(), Version: m.Version(), InferenceCount: st.Inferences, ExecutionCount: st.Executions,
		InferenceStats: InferenceStats{
			Success: duration(st.Success), Fail: duration(st.Fail), Queue: duration(st.Queue), ComputeInfer: duration(st.Compute),
			CacheHit: duration(st.CacheHit), CacheMiss: duration(st.CacheMiss),
		},
		BatchStats: []BatchStats{}, MemoryUsage: []struct{}{},
	}
	if !st.LastInference.IsZero() {
		all.LastInference = uint64(st.LastInference.UnixMilli())
	}
	for _, b := range st.Batches {
		all.BatchStats = append(all.BatchStats, BatchStats{BatchSize: uint64(b.Rows), ComputeInfer: duration(b.Compute)})
	}
	return all
}

func duration(d infer.Duration) DurationStats {
	return DurationStats{Count: d.Count, NS: uint64(d.Total.Nanoseconds())}
}

func (s *Server) serveStatistics(_ context.Context, _ *Exchange, w http.ResponseWriter, r *http.Request) error {
	all, err := s.Statistics(r.PathValue("model"), r.PathValue("version"))
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, struct {
		ModelStats []ModelStats `json:"model_stats"`
	}{all})
	return nil
}
