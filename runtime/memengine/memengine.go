// Package memengine is a pure-Go engine for tests, examples and tools that
// must not link native code. Its models are Go functions registered by file
// path; there need not be a file.
package memengine

import (
	"context"
	"fmt"
	"sync/atomic"

	"godwit.dev/runtime/driver"
	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/tensor"
)

// Model is a model made of Go code.
type Model struct {
	Signature driver.Signature
	// Run gets the inputs in the signature's order and returns all outputs in
	// its order. It must watch ctx if it takes long. It may be called concurrently.
	Run func(ctx context.Context, in []tensor.Tensor) ([]tensor.Tensor, error)
	// Refuse, when it is set, is what Open says instead of opening the model.
	Refuse error
}

// Engine serves Models by path. Its methods may be called concurrently.
type Engine struct {
	models map[string]Model
	open   atomic.Int64
}

// New returns an engine with the models, keyed by the path that Open is given.
func New(models map[string]Model) *Engine { return &Engine{models: models} }

var (
	_ driver.Engine  = (*Engine)(nil)
	_ driver.Session = (*session)(nil)
)

// Info names the engine "memengine".
func (e *Engine) Info() driver.Info {
	return driver.Info{Name: "memengine", Version: "1", Platform: "go"}
}

// Sessions is the number of sessions that are open: 0 when all were closed.
func (e *Engine) Sessions() int { return int(e.open.Load()) }

// Open returns a session for the model registered under path.
func (e *Engine) Open(ctx context.Context, path string, opts *driver.Options) (driver.Session, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if p := opts.Provider.Name; p != "" && p != "cpu" {
		return nil, fault.New(fault.Runtime, "memengine.Open", path, "want provider %q, got an engine that has only the CPU", p)
	}
	m, ok := e.models[path]
	if !ok {
		return nil, fault.New(fault.BadModel, "memengine.Open", path, "no such model")
	}
	if m.Refuse != nil {
		return nil, m.Refuse
	}
	e.open.Add(1)
	return &session{engine: e, model: m}, nil
}

type session struct {
	engine *Engine
	model  Model
	closed atomic.Bool
}

func (s *session) Signature() *driver.Signature { return &s.model.Signature }

func (s *session) Run(ctx context.Context, in, out []tensor.Tensor) error {
	all, err := s.model.Run(ctx, in)
	if err != nil {
		return err
	}
	if len(all) != len(s.model.Signature.Outputs) {
		return fault.New(fault.Internal, "memengine.Run", "", "want %d outputs, got %d", len(s.model.Signature.Outputs), len(all))
	}
	for i := range out {
		for j, info := range s.model.Signature.Outputs {
			if info.Name != out[i].Name {
				continue
			}
			if err := all[j].Check(); err != nil {
				return fault.New(fault.Internal, "memengine.Run", fmt.Sprintf("output %q", info.Name), "%w", err)
			}
			data := append(out[i].Data[:0], all[j].Data...)
			if all[j].Data != nil && data == nil {
				data = []byte{}
			}
			shape := append(out[i].Shape[:0], all[j].Shape...)
			out[i] = tensor.Tensor{Name: info.Name, Type: all[j].Type, Shape: shape, Data: data, Strings: all[j].Strings}
		}
	}
	return nil
}

func (s *session) Close() error {
	if !s.closed.Swap(true) {
		s.engine.open.Add(-1)
	}
	return nil
}

// Identity is a model with one input "x" and one output "y" of the type and
// shape, which answers what it was asked.
func Identity(d tensor.DType, shape ...int64) Model {
	return Model{
		Signature: driver.Signature{
			Inputs:  []driver.TensorInfo{{Name: "x", Type: d, Shape: shape}},
			Outputs: []driver.TensorInfo{{Name: "y", Type: d, Shape: shape}},
		},
		Run: func(_ context.Context, in []tensor.Tensor) ([]tensor.Tensor, error) {
			y := in[0].Clone()
			y.Name = "y"
			return []tensor.Tensor{y}, nil
		},
	}
}

// AddSub is a model with two FP32 inputs "a" and "b" and two outputs "sum" and
// "diff", all of shape [-1 4].
func AddSub() Model {
	shape := []int64{-1, 4}
	info := func(name string) driver.TensorInfo {
		return driver.TensorInfo{Name: name, Type: tensor.FP32, Shape: shape}
	}
	return Model{
		Signature: driver.Signature{
			Inputs:  []driver.TensorInfo{info("a"), info("b")},
			Outputs: []driver.TensorInfo{info("sum"), info("diff")},
		},
		Run: func(_ context.Context, in []tensor.Tensor) ([]tensor.Tensor, error) {
			a, _ := tensor.View[float32](&in[0])
			b, _ := tensor.View[float32](&in[1])
			if len(a) != len(b) {
				return nil, fault.New(fault.Invalid, "memengine.Run", "", "want inputs of one shape, got %s and %s",
					tensor.FormatShape(in[0].Shape), tensor.FormatShape(in[1].Shape))
			}
			sum, diff := make([]float32, len(a)), make([]float32, len(a))
			for i := range a {
				sum[i], diff[i] = a[i]+b[i], a[i]-b[i]
			}
			return []tensor.Tensor{tensor.Of("sum", in[0].Shape, sum), tensor.Of("diff", in[0].Shape, diff)}, nil
		},
	}
}
