//go:build cgo

package ort

import (
	"fmt"
	"reflect"
	"sync"
	"unsafe"

	binding "github.com/yalue/onnxruntime_go"

	"godwit.dev/runtime/driver"
	"godwit.dev/runtime/fault"
)

// signals serialises the work around which signal handlers are saved and
// restored: two at once would save the wrong ones.
var signals sync.Mutex

const cpu = "cpu"

// providers maps our names to ONNX Runtime's.
var providers = map[string]string{
	cpu:        "CPUExecutionProvider",
	"cuda":     "CUDAExecutionProvider",
	"tensorrt": "TensorrtExecutionProvider",
	"coreml":   "CoreMLExecutionProvider",
	"openvino": "OpenVINOExecutionProvider",
	"directml": "DmlExecutionProvider",
	"xnnpack":  "XnnpackExecutionProvider",
	"qnn":      "QNNExecutionProvider",
	"azure":    "AzureExecutionProvider",
}

// sessionOptions makes the binding's options and the pointer inside them. The
// caller destroys the options after the session is open.
func sessionOptions(opts *driver.Options) (*binding.SessionOptions, unsafe.Pointer, error) {
	o, err := binding.NewSessionOptions()
	if err != nil {
		return nil, nil, fault.New(fault.Runtime, "ort.Open", "", "%w", err)
	}
	level, packing := binding.GraphOptimizationLevel(binding.GraphOptimizationLevelEnableAll), "0"
	if opts.Optimized {
		level = binding.GraphOptimizationLevelDisableAll
	}
	if opts.Unpacked {
		packing = "1"
	}
	set := []error{
		o.SetIntraOpNumThreads(max(opts.IntraOp, 1)),
		o.SetInterOpNumThreads(1),
		o.SetExecutionMode(binding.ExecutionModeSequential),
		o.SetGraphOptimizationLevel(level),
		o.AddSessionConfigEntry("session.disable_prepacking", packing),
		o.SetCpuMemArena(!opts.NoArena),
		// Spinning threads burn a quota that is billed or shared, and stand
		// still with the process when a platform freezes it.
		o.AddSessionConfigEntry("session.intra_op.allow_spinning", "0"),
		o.AddSessionConfigEntry("session.inter_op.allow_spinning", "0"),
		// As much as runtime/onnx lets one constant grow; what it cannot foresee stays unfolded.
		o.AddSessionConfigEntry("optimization.constant_folding_max_output_size_in_bytes", "1073741824"),
		appendProvider(o, opts.Provider),
	}
	for _, err := range set {
		if err != nil {
			o.Destroy()
			if fault.Of(err) != nil {
				return nil, nil, err
			}
			return nil, nil, fault.New(fault.Runtime, "ort.Open", "", "%w", err)
		}
	}
	pointer, err := optionsPointer(o)
	if err != nil {
		o.Destroy()
		return nil, nil, err
	}
	return o, pointer, nil
}

// appendProvider asks for the execution provider. Whether the session really
// uses it is checked once it is open: ONNX Runtime falls back silently.
func appendProvider(o *binding.SessionOptions, p driver.Provider) error {
	if p.Name == "" || p.Name == cpu {
		return nil
	}
	if providers[p.Name] == "" {
		return fault.New(fault.BadConfig, "ort.Open", "", "unknown provider %q", p.Name).
			WithHint("Use cpu, cuda, tensorrt, coreml, openvino, directml, xnnpack, qnn or azure.")
	}
	err := o.AddSessionConfigEntry("session.record_ep_graph_assignment_info", "1")
	if err == nil {
		switch p.Name {
		case "cuda":
			err = appendCUDA(o, p.Options)
		case "tensorrt":
			err = appendTensorRT(o, p.Options)
		case "coreml":
			err = o.AppendExecutionProviderCoreMLV2(p.Options)
		case "openvino":
			err = o.AppendExecutionProviderOpenVINO(p.Options)
		default:
			err = o.AppendExecutionProvider(map[string]string{"directml": "DML", "xnnpack": "XNNPACK", "qnn": "QNN", "azure": "AZURE"}[p.Name], p.Options)
		}
	}
	if err != nil {
		return fault.New(fault.Runtime, "ort.Open", "", "want provider %q, but it does not start: %s", p.Name, scrub(err.Error())).
			WithHint("Point GODWIT_ONNXRUNTIME to a build of ONNX Runtime with this provider, its libraries beside it, or set provider: cpu.")
	}
	return nil
}

func appendCUDA(o *binding.SessionOptions, options map[string]string) error {
	c, err := binding.NewCUDAProviderOptions()
	if err != nil {
		return err
	}
	defer c.Destroy()
	// The default search benchmarks every new shape: seconds of cold start.
	all := map[string]string{"cudnn_conv_algo_search": "HEURISTIC"}
	for k, v := range options {
		all[k] = v
	}
	if err := c.Update(all); err != nil {
		return err
	}
	return o.AppendExecutionProviderCUDA(c)
}

// appendTensorRT also appends CUDA, which takes the operators that TensorRT leaves.
func appendTensorRT(o *binding.SessionOptions, options map[string]string) error {
	t, err := binding.NewTensorRTProviderOptions()
	if err != nil {
		return err
	}
	defer t.Destroy()
	if len(options) > 0 {
		if err := t.Update(options); err != nil {
			return err
		}
	}
	if err := o.AppendExecutionProviderTensorRT(t); err != nil {
		return err
	}
	var device map[string]string
	if id, ok := options["device_id"]; ok {
		device = map[string]string{"device_id": id}
	}
	return appendCUDA(o, device)
}

// optionsPointer reads the C pointer that the binding keeps to itself. The
// binding's version is pinned, and this check turns a change of its layout
// into an error instead of a crash.
func optionsPointer(o *binding.SessionOptions) (unsafe.Pointer, error) {
	field := reflect.ValueOf(o).Elem().FieldByName("o")
	if !field.IsValid() || field.Kind() != reflect.Pointer || field.IsNil() {
		return nil, fault.New(fault.Internal, "ort.Open", "", "the binding's SessionOptions has no pointer named o: %s", fmt.Sprintf("%T", *o))
	}
	return field.UnsafePointer(), nil
}
