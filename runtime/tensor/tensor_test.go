package tensor_test

import (
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"godwit.dev/runtime/tensor"
)

func TestElements(t *testing.T) {
	tests := []struct {
		name  string
		shape []int64
		want  int
		ok    bool
	}{
		{"scalar", nil, 1, true},
		{"matrix", []int64{2, 3}, 6, true},
		{"empty", []int64{4, 0}, 0, true},
		{"negative", []int64{2, -1}, 0, false},
		{"wraps to zero", []int64{8589934592, 2147483648}, 0, false},
		{"zero hides no overflow", []int64{0, math.MaxInt64, 3}, 0, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, ok := tensor.Elements(tt.shape)
			if got != tt.want || ok != tt.ok {
				t.Errorf("Elements(%v) = %d, %v; want %d, %v", tt.shape, got, ok, tt.want, tt.ok)
			}
		})
	}
	if _, ok := tensor.ByteSize(tensor.FP64, []int64{math.MaxInt64 / 4}); ok {
		t.Error("ByteSize of 2^61 doubles is ok, want overflow")
	}
}

func TestViewSharesAlignedAndCopiesUnaligned(t *testing.T) {
	x := tensor.Of("x", []int64{3}, []float32{1, 2, 3})
	v, ok := tensor.View[float32](&x)
	if !ok {
		t.Fatal("View[float32] of FP32 refused")
	}
	v[0] = 7
	if again, _ := tensor.View[float32](&x); again[0] != 7 {
		t.Error("an aligned view does not share memory")
	}
	raw := append(make([]byte, 1, 13), x.Data...)
	u := tensor.Tensor{Name: "u", Type: tensor.FP32, Shape: []int64{3}, Data: raw[1:]}
	got, _ := tensor.View[float32](&u)
	if diff := cmp.Diff([]float32{7, 2, 3}, got); diff != "" {
		t.Errorf("unaligned view (-want +got):\n%s", diff)
	}
	if _, ok := tensor.View[int32](&x); ok {
		t.Error("View[int32] of FP32 accepted")
	}
}

func TestReleaseRunsOnce(t *testing.T) {
	n := 0
	x := tensor.Of("x", nil, []int64{1})
	x.SetFree(func() { n++ })
	x.Release()
	x.Release()
	if n != 1 {
		t.Errorf("free ran %d times, want once", n)
	}
}

func TestFloat16EveryValueSurvives(t *testing.T) {
	for i := range 1 << 16 {
		b := uint16(i)
		f := tensor.Float16(b)
		if f != f {
			if back := tensor.ToFloat16(float64(f)); back&0x7c00 != 0x7c00 || back&0x3ff == 0 {
				t.Fatalf("NaN %#04x became %#04x", b, back)
			}
		} else if back := tensor.ToFloat16(float64(f)); back != b {
			t.Fatalf("FP16 %#04x = %g became %#04x", b, f, back)
		}
		g := tensor.BFloat16(b)
		if g != g {
			continue
		}
		if back := tensor.ToBFloat16(float64(g)); back != b {
			t.Fatalf("BF16 %#04x = %g became %#04x", b, g, back)
		}
	}
}

// Rounding is right when no neighbour is nearer and ties choose the even one.
func TestToFloat16RoundsToNearestEven(t *testing.T) {
	check := func(t *rapid.T, name string, bits uint16, v float64, value func(uint16) float32) {
		got := math.Abs(float64(value(bits)) - v)
		for _, n := range []uint16{bits - 1, bits + 1} {
			other := float64(value(n))
			if math.IsInf(other, 0) || other != other || math.Signbit(other) != math.Signbit(v) {
				continue
			}
			if d := math.Abs(other - v); d < got || (d == got && bits&1 == 1) {
				t.Fatalf("%s(%g) = %#04x (%g), but %#04x (%g) is better", name, v, bits, value(bits), n, other)
			}
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		v := rapid.Float64Range(-65000, 65000).Draw(t, "v")
		scaled := v * math.Pow(2, float64(rapid.IntRange(-40, 0).Draw(t, "e")))
		check(t, "ToFloat16", tensor.ToFloat16(scaled), scaled, tensor.Float16)
		check(t, "ToBFloat16", tensor.ToBFloat16(scaled), scaled, tensor.BFloat16)
	})
	for v, want := range map[float64]uint16{65519: 0x7bff, 65520: 0x7c00, 1e9: 0x7c00, math.Copysign(0, -1): 0x8000, 5.960464477539063e-08: 1, 2e-8: 0} {
		if got := tensor.ToFloat16(v); got != want {
			t.Errorf("ToFloat16(%g) = %#04x, want %#04x", v, got, want)
		}
	}
}
