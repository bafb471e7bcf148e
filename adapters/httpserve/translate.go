package httpserve

import (
	"context"

	"godwit.dev/adapters/httpserve/oippb"
	"godwit.dev/adapters/oip"
)

// The calls below are what oip.Server says, in generated types.

func (s *service) ServerLive(context.Context, *oippb.ServerLiveRequest) (*oippb.ServerLiveResponse, error) {
	return &oippb.ServerLiveResponse{Live: true}, nil
}

func (s *service) ServerReady(context.Context, *oippb.ServerReadyRequest) (*oippb.ServerReadyResponse, error) {
	return &oippb.ServerReadyResponse{Ready: s.api.Ready() == nil}, nil
}

func (s *service) ModelReady(_ context.Context, r *oippb.ModelReadyRequest) (*oippb.ModelReadyResponse, error) {
	ready, err := s.api.ModelReady(r.GetName(), r.GetVersion())
	if err != nil {
		return nil, err
	}
	return &oippb.ModelReadyResponse{Ready: ready}, nil
}

func (s *service) ServerMetadata(context.Context, *oippb.ServerMetadataRequest) (*oippb.ServerMetadataResponse, error) {
	m := s.api.Metadata()
	return &oippb.ServerMetadataResponse{Name: m.Name, Version: m.Version, Extensions: m.Extensions}, nil
}

func (s *service) ModelMetadata(_ context.Context, r *oippb.ModelMetadataRequest) (*oippb.ModelMetadataResponse, error) {
	m, err := s.api.Model(r.GetName(), r.GetVersion())
	if err != nil {
		return nil, err
	}
	return &oippb.ModelMetadataResponse{
		Name: m.Name, Versions: m.Versions, Platform: m.Platform,
		Inputs: tensorMetadata(m.Inputs), Outputs: tensorMetadata(m.Outputs), Properties: m.Properties,
	}, nil
}

func tensorMetadata(all []oip.TensorMetadata) []*oippb.ModelMetadataResponse_TensorMetadata {
	out := make([]*oippb.ModelMetadataResponse_TensorMetadata, len(all))
	for i, t := range all {
		out[i] = &oippb.ModelMetadataResponse_TensorMetadata{Name: t.Name, Datatype: t.Datatype, Shape: t.Shape}
	}
	return out
}

func (s *service) ModelConfig(_ context.Context, r *oippb.ModelConfigRequest) (*oippb.ModelConfigResponse, error) {
	c, err := s.api.Config(r.GetName(), r.GetVersion())
	if err != nil {
		return nil, err
	}
	config := &oippb.ModelConfig{Name: c.Name, Platform: c.Platform, Backend: c.Backend, MaxBatchSize: int32(c.MaxBatchSize)}
	for _, t := range c.Input {
		config.Input = append(config.Input, &oippb.ModelInput{Name: t.Name, DataType: dataType(t), Dims: t.Dims})
	}
	for _, t := range c.Output {
		config.Output = append(config.Output, &oippb.ModelOutput{Name: t.Name, DataType: dataType(t), Dims: t.Dims})
	}
	return &oippb.ModelConfigResponse{Config: config}, nil
}

func dataType(t oip.TensorConfig) oippb.DataType {
	return oippb.DataType(oippb.DataType_value[t.DataType])
}

func (s *service) ModelStatistics(_ context.Context, r *oippb.ModelStatisticsRequest) (*oippb.ModelStatisticsResponse, error) {
	all, err := s.api.Statistics(r.GetName(), r.GetVersion())
	if err != nil {
		return nil, err
	}
	out := &oippb.ModelStatisticsResponse{}
	for i := range all {
		out.ModelStats = append(out.ModelStats, modelStatistics(&all[i]))
	}
	return out, nil
}

func modelStatistics(m *oip.ModelStats) *oippb.ModelStatistics {
	duration := func(d oip.DurationStats) *oippb.StatisticDuration {
		return &oippb.StatisticDuration{Count: d.Count, Ns: d.NS}
	}
	st := &m.InferenceStats
	out := &oippb.ModelStatistics{
		Name: m.Name, Version: m.Version, LastInference: m.LastInference,
		InferenceCount: m.InferenceCount, ExecutionCount: m.ExecutionCount,
		InferenceStats: &oippb.InferStatistics{
			Success: duration(st.Success), Fail: duration(st.Fail), Queue: duration(st.Queue),
			ComputeInput: duration(st.ComputeInput), ComputeInfer: duration(st.ComputeInfer), ComputeOutput: duration(st.ComputeOutput),
			CacheHit: duration(st.CacheHit), CacheMiss: duration(st.CacheMiss),
		},
	}
	for _, b := range m.BatchStats {
		out.BatchStats = append(out.BatchStats, &oippb.InferBatchStatistics{
			BatchSize: b.BatchSize, ComputeInput: duration(b.ComputeInput), ComputeInfer: duration(b.ComputeInfer), ComputeOutput: duration(b.ComputeOutput),
		})
	}
	return out
}

func (s *service) RepositoryIndex(_ context.Context, r *oippb.RepositoryIndexRequest) (*oippb.RepositoryIndexResponse, error) {
	out := &oippb.RepositoryIndexResponse{}
	for _, e := range s.api.Index(r.GetReady()) {
		out.Models = append(out.Models, &oippb.RepositoryIndexResponse_ModelIndex{Name: e.Name, Version: e.Version, State: e.State, Reason: e.Reason})
	}
	return out, nil
}

func (s *service) RepositoryModelLoad(ctx context.Context, r *oippb.RepositoryModelLoadRequest) (*oippb.RepositoryModelLoadResponse, error) {
	if err := s.api.Load(ctx, r.GetModelName(), len(r.GetParameters())+len(r.GetRepositoryName())); err != nil {
		return nil, err
	}
	return &oippb.RepositoryModelLoadResponse{}, nil
}

func (s *service) RepositoryModelUnload(context.Context, *oippb.RepositoryModelUnloadRequest) (*oippb.RepositoryModelUnloadResponse, error) {
	return nil, oip.ErrFixedModels()
}
