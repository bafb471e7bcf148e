package oip

import (
	"context"
	"net/http"

	"godwit.dev/runtime/driver"
	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/infer"
	"godwit.dev/runtime/tensor"
)

// ServerMetadata is what the protocol calls server metadata.
type ServerMetadata struct {
	Name       string   `json:"name"`
	Version    string   `json:"version"`
	Extensions []string `json:"extensions"`
}

// TensorMetadata is an input or output of a model; -1 in Shape is any size.
type TensorMetadata struct {
	Name     string  `json:"name"`
	Datatype string  `json:"datatype"`
	Shape    []int64 `json:"shape"`
}

// ModelMetadata is what the protocol calls model metadata. Properties hold the
// model's digest, the engine's name, the execution provider in use, and the
// name that Triton has for the platform.
type ModelMetadata struct {
	Name       string            `json:"name"`
	Versions   []string          `json:"versions"`
	Platform   string            `json:"platform"`
	Inputs     []TensorMetadata  `json:"inputs"`
	Outputs    []TensorMetadata  `json:"outputs"`
	Properties map[string]string `json:"properties"`
}

// Metadata describes the server.
func (s *Server) Metadata() ServerMetadata {
	return ServerMetadata{Name: s.opts.Name, Version: s.opts.Version, Extensions: []string{
		"binary_tensor_data", "model_configuration", "model_repository", "parameters", "statistics",
	}}
}

// Model describes a model; an empty version is the newest that is ready.
// Errors: Invalid, NotFound, Unavailable.
func (s *Server) Model(name, version string) (ModelMetadata, error) {
	m, err := s.lookup(name, version)
	if err != nil {
		return ModelMetadata{}, err
	}
	meta := ModelMetadata{
		Name: m.Name(), Versions: []string{}, Platform: m.Info().Platform,
		Inputs: tensors(m.Signature().Inputs), Outputs: tensors(m.Signature().Outputs),
		Properties: map[string]string{"digest": m.Digest(), "engine": m.Info().Name, "provider": provider(m), "triton_platform": m.Info().Name + "_onnx"},
	}
	for _, status := range s.registry.Index() {
		if status.Name == m.Name() && status.State == infer.Ready {
			meta.Versions = append(meta.Versions, status.Version)
		}
	}
	return meta, nil
}

// lookup is the registry's, for names as they come off the wire.
func (s *Server) lookup(name, version string) (*infer.Model, error) {
	if name != "" && !infer.ValidName(name) {
		return nil, badName("model", name)
	}
	if version != "" && !infer.ValidName(version) {
		return nil, badName("version", version)
	}
	return s.registry.Lookup(name, version)
}

// ModelReady reports whether a model is ready. Errors: Invalid and NotFound;
// a model that is loading is false.
func (s *Server) ModelReady(name, version string) (bool, error) {
	_, err := s.lookup(name, version)
	if fault.CodeOf(err) == fault.Unavailable {
		return false, nil
	}
	return err == nil, err
}

func provider(m *infer.Model) string {
	if all := m.Providers(); len(all) > 0 {
		return all[0]
	}
	return ""
}

func tensors(infos []driver.TensorInfo) []TensorMetadata {
	all := make([]TensorMetadata, len(infos))
	for i, info := range infos {
		all[i] = TensorMetadata{Name: info.Name, Datatype: info.Type.String(), Shape: append([]int64{}, info.Shape...)}
	}
	return all
}

// ModelConfig is the part of Triton's model configuration that says something
// here. MaxBatchSize is always 0: shapes are whole, no dimension is implied.
type ModelConfig struct {
	Name         string         `json:"name"`
	Platform     string         `json:"platform"`
	Backend      string         `json:"backend"`
	MaxBatchSize int            `json:"max_batch_size"`
	Input        []TensorConfig `json:"input"`
	Output       []TensorConfig `json:"output"`
}

// TensorConfig is a tensor in a ModelConfig; DataType is Triton's name.
type TensorConfig struct {
	Name     string  `json:"name"`
	DataType string  `json:"data_type"`
	Dims     []int64 `json:"dims"`
}

// Config is the model's configuration. Errors: those of Model.
func (s *Server) Config(name, version string) (ModelConfig, error) {
	m, err := s.lookup(name, version)
	if err != nil {
		return ModelConfig{}, err
	}
	return ModelConfig{
		Name: m.Name(), Platform: m.Info().Name + "_onnx", Backend: m.Info().Name,
		Input: configs(m.Signature().Inputs), Output: configs(m.Signature().Outputs),
	}, nil
}

func configs(infos []driver.TensorInfo) []TensorConfig {
	all := make([]TensorConfig, len(infos))
	for i, info := range infos {
		name := "TYPE_" + info.Type.String()
		if info.Type == tensor.Bytes {
			name = "TYPE_STRING"
		}
		all[i] = TensorConfig{Name: info.Name, DataType: name, Dims: append([]int64{}, info.Shape...)}
	}
	return all
}

// IndexEntry is one line of the repository index.
type IndexEntry struct {
	Name    string `json:"name"`
	Version string `json:"version"`
	State   string `json:"state"`
	Reason  string `json:"reason"`
}

// Index lists the model versions, or only those that are ready.
func (s *Server) Index(readyOnly bool) []IndexEntry {
	all := []IndexEntry{}
	for _, status := range s.registry.Index() {
		if !readyOnly || status.State == infer.Ready {
			all = append(all, IndexEntry{status.Name, status.Version, status.State.String(), status.Reason})
		}
	}
	return all
}

func (s *Server) serveMetadata(_ context.Context, _ *Exchange, w http.ResponseWriter, _ *http.Request) error {
	writeJSON(w, http.StatusOK, s.Metadata())
	return nil
}

func (s *Server) serveModel(_ context.Context, _ *Exchange, w http.ResponseWriter, r *http.Request) error {
	meta, err := s.Model(r.PathValue("model"), r.PathValue("version"))
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, meta)
	return nil
}

func (s *Server) serveConfig(_ context.Context, _ *Exchange, w http.ResponseWriter, r *http.Request) error {
	config, err := s.Config(r.PathValue("model"), r.PathValue("version"))
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, config)
	return nil
}
