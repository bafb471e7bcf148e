package isolate

import (
	"encoding/binary"
	"math"

	"golang.org/x/sys/unix"

	"godwit.dev/runtime/driver"
	"godwit.dev/runtime/tensor"
)

// Lies are the ways in which Lie answers a run.
var Lies = []string{
	"outside", "overflow", "type", "shape", "count", "strings", "kind", "length", "code", "text", "space", "trailing", "nothing", "other type",
}

// Lie is a worker that has one model, x FP32 [1] → y FP32 [1] and z BYTES [1],
// and answers every run of it with what a worker must not say.
func Lie(how string) error {
	c, err := newControl(controlFD)
	if err != nil {
		return err
	}
	for {
		m, file, err := c.receive()
		if err != nil {
			return nil
		}
		reply := &message{ID: m.ID}
		switch m.Kind {
		case askOpen:
			reply.Signature = &driver.Signature{
				Inputs:  []driver.TensorInfo{{Name: "x", Type: tensor.FP32, Shape: []int64{1}}},
				Outputs: []driver.TensorInfo{{Name: "y", Type: tensor.FP32, Shape: []int64{1}}, {Name: "z", Type: tensor.Bytes, Shape: []int64{1}}},
			}
			if how == "signature" {
				reply.Signature.Inputs[0].Type = 200
			}
		case askLane:
			go func(p *pipe) {
				for {
					if _, _, err := p.read(); err != nil {
						return
					}
					if err := p.write(lie(how)); err != nil {
						return
					}
				}
			}(newPipe(file))
		}
		if err := c.send(reply); err != nil {
			return err
		}
	}
}

func lie(how string) []byte {
	w := &writer{}
	w.start(kindOK)
	w.u32(2)
	y := func(d tensor.DType, shape []int64, off, size int) { w.block(d, shape, off, size) }
	z := func() { w.block(tensor.Bytes, []int64{1}, markSize+align, 4) }
	one := []int64{1}
	switch how {
	case "outside":
		y(tensor.FP32, one, smallest-2, 4)
		z()
	case "overflow":
		y(tensor.FP32, one, math.MaxInt64, 4)
		z()
	case "type":
		y(77, one, markSize, 4)
		z()
	case "other type":
		y(tensor.Int32, one, markSize, 4)
		z()
	case "shape":
		y(tensor.FP32, []int64{1 << 40, 1 << 40}, markSize, 4)
		z()
	case "count":
		w.start(kindOK)
		w.u32(1 << 31)
	case "strings": // lengths beyond what is there: the segment holds the input, 1.0
		y(tensor.FP32, one, markSize, 4)
		w.block(tensor.Bytes, one, markSize, 4)
	case "kind":
		w.start(99)
	case "length":
		return binary.LittleEndian.AppendUint64(nil, math.MaxUint32)
	case "code":
		w.start(kindError)
		w.u8(250)
		for range 4 {
			w.text("")
		}
	case "text":
		w.start(kindError)
		w.u8(1)
		w.u32(1 << 30)
	case "space":
		w.start(kindSpace)
		w.u64(math.MaxUint64)
	case "trailing":
		y(tensor.FP32, one, markSize, 4)
		z()
		w.u64(0)
	case "nothing":
		w.start(kindOK)
	}
	b, _ := w.finish()
	return b
}

// Cut is what a worker does that makes its segments shorter; it must not succeed.
func Cut(fd int) error { return unix.Ftruncate(fd, 0) }

// NewMemory makes what a segment is made of.
func NewMemory(size int) (int, error) { return newMemory(size) }
