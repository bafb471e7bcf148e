package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"godwit.dev/internal/emulate"
)

// functionStops has the emulator stop a function, as Lambda does between
// invocations: it closes the sockets of the Runtime API that the function keeps,
// all but the one that it asks for work over.
func (f *flags) functionStops(ctx context.Context, variant string) error {
	env := []string{"PATH=" + os.Getenv("PATH"), "HOME=" + os.Getenv("HOME"), "GODWIT_FUNCTION=" + f.folder}
	if v := os.Getenv("GODWIT_ONNXRUNTIME"); v != "" {
		env = append(env, "GODWIT_ONNXRUNTIME="+v)
	}
	i, err := emulate.Start(ctx, "awslambda", emulate.Command(f.fn, nil, env, nil, os.Stderr), &emulate.Options{Variant: variant, Freeze: true})
	if err != nil {
		return err
	}
	defer i.Kill()
	if _, err := f.ask(ctx, i); err != nil {
		return fmt.Errorf("before: %w", err)
	}
	if err := stopped(i.PID()); err != nil {
		return err
	}
	select {
	case <-time.After(f.still):
	case <-ctx.Done():
		return ctx.Err()
	}
	if err := stopped(i.PID()); err != nil {
		return err
	}
	begun := time.Now()
	if _, err := f.ask(ctx, i); err != nil {
		return fmt.Errorf("after %v: %w", f.still, err)
	}
	took := time.Since(begun)
	if err := i.Stop(ctx); err != nil {
		return err
	}
	fmt.Printf("fn-lambda, %s: stopped for %v; the first request after that answered within %v\n", variant, f.still, took.Round(time.Millisecond))
	return nil
}
