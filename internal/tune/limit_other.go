//go:build !linux

package tune

import (
	"context"
	"fmt"
	"os/exec"
	"runtime"

	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/quota"
)

// Limiter holds processes to a shape; here there is no way to.
type Limiter struct{}

// NewLimiter finds out what is there.
func NewLimiter(context.Context) (*Limiter, error) { return &Limiter{}, nil }

// How is "none".
func (l *Limiter) How() string { return none }

// Memory reports whether memory can be limited, and Fractions whether parts of a
// processor can.
func (l *Limiter) Memory() bool    { return false }
func (l *Limiter) Fractions() bool { return false }

// Why is why there is no better way.
func (l *Limiter) Why() string {
	return "processes are held to a quota on Linux alone, not on " + runtime.GOOS
}

// Beside says where the client runs.
func (l *Limiter) Beside(Shape) string {
	return fmt.Sprintf("the client shares the machine's %d processors with the server", runtime.NumCPU())
}

// Close has nothing to do.
func (l *Limiter) Close() {}

type cage struct{ shape Shape }

func (l *Limiter) cage(s Shape) (*cage, error) {
	if s != (Shape{}) {
		return nil, fault.New(fault.Unsupported, "tune.Limit", "", "%s", l.Why())
	}
	return &cage{s}, nil
}

func (c *cage) start(cmd *exec.Cmd) error { return cmd.Start() }
func (c *cage) killed() bool              { return false }
func (c *cage) close()                    {}

func sees(int) quota.Quota { return quota.Quota{CPUs: float64(runtime.NumCPU()), CPUFrom: "affinity"} }
