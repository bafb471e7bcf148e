package infer

import (
	"math/bits"
	"slices"
	"unsafe"

	"godwit.dev/runtime/tensor"
)

const (
	// slabAlign is what native kernels like best; any element type needs less.
	slabAlign = 64
	// slabKept is the largest memory kept between shared runs.
	slabKept = 4 << 20
)

// gather puts the rows of b's requests behind each other into b.in. It copies
// everything, so that a caller may leave while the run goes on. It returns the
// memory, which keepSlab takes back.
func (m *Model) gather(b *batch) []byte {
	head := b.tickets[0].in
	need := slabAlign
	for i := range head {
		for _, t := range b.tickets {
			need += t.in[i].Bytes()
		}
		need += slabAlign
	}
	mem := m.slab(need)
	at := aligned(mem, 0)
	b.in = make([]tensor.Tensor, len(head))
	for i := range head {
		t := &b.in[i]
		*t = tensor.Tensor{Name: head[i].Name, Type: head[i].Type, Shape: slices.Clone(head[i].Shape)}
		t.Shape[0] = int64(b.rows)
		begin := at
		for _, from := range b.tickets {
			if t.Type != tensor.Bytes {
				at += copy(mem[at:], from.in[i].Data)
				continue
			}
			for _, s := range from.in[i].Strings {
				n := copy(mem[at:], s)
				t.Strings = append(t.Strings, mem[at:at+n:at+n])
				at += n
			}
		}
		if t.Type != tensor.Bytes {
			t.Data = mem[begin:at:at]
		}
		at = aligned(mem, at)
	}
	return mem
}

// aligned is the first place in mem from at on whose address is aligned.
func aligned(mem []byte, at int) int {
	address := uintptr(unsafe.Pointer(unsafe.SliceData(mem))) + uintptr(at)
	return at + int(-address&(slabAlign-1))
}

func (m *Model) slab(n int) []byte {
	m.mu.Lock()
	defer m.mu.Unlock()
	if last := len(m.slabs) - 1; last >= 0 {
		mem := m.slabs[last]
		m.slabs = m.slabs[:last]
		if len(mem) >= n {
			return mem
		}
	}
	// Rounded up, so that a growing batch does not need new memory each time.
	return make([]byte, 1<<bits.Len(uint(n-1)))
}

// keepSlab keeps memory for the next shared runs. m.mu is held.
func (m *Model) keepSlab(mem []byte) {
	if len(mem) <= slabKept && len(m.slabs) < len(m.slots) {
		m.slabs = append(m.slabs, mem)
	}
}
