//go:build linux && cgo

package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"godwit.dev/runtime/codec"
	"godwit.dev/runtime/tensor"
)

// coldGoal is goal 10: from exec to the whole first answer, `godwit predict
// DIR REQUEST` against the C program, both with the same plain .onnx file in
// the page cache.
func coldGoal(ctx context.Context, b *bench) ([]*figure, error) {
	var figures []*figure
	for _, name := range []string{"tiny", "medium", "wide"} {
		f, err := b.cold(ctx, name)
		if err != nil {
			return figures, fmt.Errorf("%s: %w", name, err)
		}
		figures = append(figures, f)
	}
	return figures, nil
}

func (b *bench) cold(ctx context.Context, name string) (*figure, error) {
	dir, err := b.function("cold-"+name, "", name)
	if err != nil {
		return nil, err
	}
	req := modelNamed(name).requests()[0]
	body, _, err := codec.EncodeRequest(nil, req, false)
	if err != nil {
		return nil, err
	}
	request, raw := filepath.Join(dir, "cold.json"), filepath.Join(dir, "cold.f32")
	if err := os.WriteFile(request, body, 0o644); err != nil {
		return nil, err
	}
	if err := os.WriteFile(raw, req.Inputs[0].Data, 0o644); err != nil {
		return nil, err
	}
	var ourAnswer, floorAnswer []byte
	ours := func() (float64, error) {
		var d time.Duration
		d, ourAnswer, err = first(b.command(b.subject, "predict", dir, request, "--model", name), '\n')
		return float64(d), err
	}
	floor := func() (float64, error) {
		var d time.Duration
		d, floorAnswer, err = first(b.command(b.floorPath, "-l", b.library, "-m", b.file(name), "-c", raw), -1)
		return float64(d), err
	}
	for _, side := range []func() (float64, error){ours, floor} { // into the page cache
		if _, err := side(); err != nil {
			return nil, err
		}
	}
	if err := sameAnswer(ourAnswer, floorAnswer); err != nil {
		return nil, err
	}
	pairs, err := paired(ctx, max(8, b.pairs(25)), ours, floor)
	if err != nil {
		return nil, err
	}
	f := &figure{Goal: 10, What: "cold start, " + name, How: "exec to the first answer: godwit predict over the C program, the same .onnx",
		Got: each(pairs, ratio), Ship: most(1.10), Moonshot: most(1.04),
		Absolute: fmt.Sprintf("%s ms, C %s ms", number(each(pairs, oursOf).Median/1e6), number(each(pairs, floorOf).Median/1e6)),
		Note:     "godwit also reads and checks godwit.yaml, the model file and its digest, and a JSON request; the C program reads raw floats."}
	if name == "tiny" {
		f.Got, f.Unit, f.Ship, f.Moonshot = each(pairs, func(p pair) float64 { return difference(p) / 1e6 }), "ms more", most(5), most(2.5)
		f.Note = fmt.Sprintf("as a ratio %s.", number(each(pairs, ratio).Median))
	}
	return f, nil
}

// first runs cmd and returns when its whole answer was there: up to the byte
// end, or all of it where end is negative.
func first(cmd *exec.Cmd, end int) (time.Duration, []byte, error) {
	var problem bytes.Buffer
	cmd.Stderr = &problem
	out, err := cmd.StdoutPipe()
	if err != nil {
		return 0, nil, err
	}
	start := time.Now()
	if err := cmd.Start(); err != nil {
		return 0, nil, err
	}
	var answer []byte
	var took time.Duration
	buf := make([]byte, 64<<10)
	for err == nil {
		var n int
		n, err = out.Read(buf)
		answer = append(answer, buf[:n]...)
		if n > 0 {
			took = time.Since(start)
		}
		if n > 0 && end >= 0 && buf[n-1] == byte(end) {
			break
		}
	}
	io.Copy(io.Discard, out)
	if err := cmd.Wait(); err != nil {
		return 0, nil, fmt.Errorf("%s: %w: %s", cmd.Path, err, problem.String())
	}
	return took, answer, nil
}

// sameAnswer compares our answer, a protocol body, with the raw floats of the C program.
func sameAnswer(ours, floor []byte) error {
	resp, err := codec.DecodeResponse(bytes.TrimSpace(ours), -1, nil)
	if err != nil {
		return err
	}
	if len(resp.Outputs) != 1 || len(floor) != len(resp.Outputs[0].Data) {
		return fmt.Errorf("want the C program's %d bytes of output, got %d outputs", len(floor), len(resp.Outputs))
	}
	v, _ := tensor.View[float32](&resp.Outputs[0])
	for i, got := range v {
		want := math.Float32frombits(binary.LittleEndian.Uint32(floor[4*i:]))
		if math.Abs(float64(got-want)) > 1e-5+1e-4*math.Abs(float64(want)) {
			return fmt.Errorf("output %d: want the C program's %g, got %g", i, want, got)
		}
	}
	return nil
}
