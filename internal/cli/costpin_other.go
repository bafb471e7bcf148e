//go:build !linux

package cli

import "time"

// pin: only Linux has it; times are then of all processors.
func pin() (free func(), err error) { return func() {}, nil }

func processorTime(int) time.Duration { return 0 }

func processorName() string { return "" }
