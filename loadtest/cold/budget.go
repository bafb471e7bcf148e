package cold

import (
	"errors"
	"time"

	"godwit.dev/infra/spec"
	"godwit.dev/runtime/fault"
)

// Check compares the starts from memory with what a spec allows: those from the
// disk measure the disk of whoever asks as well. nil allows everything. Errors:
// TooLarge, which names the phase that takes most.
func (r *Report) Check(b *spec.Budget) error {
	if b == nil {
		return nil
	}
	var problems []error
	if limit := time.Duration(b.ColdStart); limit > 0 && r.Warm.Total.P95 > milliseconds(limit) {
		most := r.Warm.Largest()
		problems = append(problems, fault.New(fault.TooLarge, "", r.Target, "want a cold start of at most %v in 95 of 100 as budget.coldStart says, got %.1f ms; most of it is %s with %.1f ms", limit, r.Warm.Total.P95, most.Phase, most.P95).
			WithHint("docs/cold.md says what each phase is and what makes it shorter; or raise budget.coldStart in godwit.yaml."))
	}
	if limit := b.Memory; limit > 0 && r.Warm.Memory > int64(limit) {
		problems = append(problems, fault.New(fault.TooLarge, "", r.Target, "want at most %s of memory as budget.memory says, got %s", limit, spec.Bytes(r.Warm.Memory)).
			WithHint("The model's weights and what ONNX Runtime makes of them take most; or raise budget.memory in godwit.yaml."))
	}
	return errors.Join(problems...)
}
