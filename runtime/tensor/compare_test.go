package tensor_test

import (
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"godwit.dev/runtime/tensor"
)

func TestCompare(t *testing.T) {
	f32 := func(v ...float32) tensor.Tensor { return tensor.Of("y", []int64{int64(len(v))}, v) }
	f64 := func(v ...float64) tensor.Tensor { return tensor.Of("y", []int64{int64(len(v))}, v) }
	half := func(d tensor.DType, bits ...uint16) tensor.Tensor {
		return tensor.OfBits("y", d, []int64{int64(len(bits))}, bits)
	}
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	at := func(want, got string, index ...int64) tensor.Difference {
		return tensor.Difference{Index: index, Want: want, Got: got}
	}
	tests := []struct {
		name      string
		want, got tensor.Tensor
		tol       tensor.Tolerance
		diff      tensor.Diff
		text      string
	}{
		{
			name: "equal", want: f32(1, nan, inf), got: f32(1, nan, inf),
			diff: tensor.Diff{Elements: 3}, text: "3 elements as wanted",
		},
		{
			name: "minus zero is zero, any NaN is NaN", want: f32(0, nan), got: f32(float32(math.Copysign(0, -1)), math.Float32frombits(0xffc00001)),
			diff: tensor.Diff{Elements: 2}, text: "2 elements as wanted",
		},
		{
			name: "within", want: f32(1, 2), got: f32(math.Nextafter32(1, 2), 2), tol: tensor.Tolerance{Relative: 1e-6},
			diff: tensor.Diff{Elements: 2, MaxAbsolute: 0x1p-23, MaxRelative: 0x1p-23, MaxULP: 1},
			text: "2 elements within tolerance, the largest difference is 1.19e-07 (relative 1.19e-07), 1 ULP",
		},
		{
			name: "no tolerance", want: f32(1), got: f32(math.Nextafter32(1, 2)),
			diff: tensor.Diff{Elements: 1, Different: 1, First: at("1", "1.0000001", 0), Worst: at("1", "1.0000001", 0), MaxAbsolute: 0x1p-23, MaxRelative: 0x1p-23, MaxULP: 1},
			text: "1 of 1 element differs: at [0] want 1, got 1.0000001; the largest difference is 1.19e-07 (relative 1.19e-07), 1 ULP",
		},
		{
			name: "the border is within", want: f64(4), got: f64(4.5), tol: tensor.Tolerance{Relative: 0.0625, Absolute: 0.25},
			diff: tensor.Diff{Elements: 1, MaxAbsolute: 0.5, MaxRelative: 0.125, MaxULP: 1 << 49},
			text: "1 element within tolerance, the largest difference is 0.5 (relative 0.125), 562949953421312 ULP",
		},
		{
			// 100 is off by more, but 1 exceeds its tolerance by more.
			name: "worst is in tolerances", tol: tensor.Tolerance{Relative: 0.01},
			want: tensor.Of("y", []int64{1, 3}, []float32{100, 7, 1}), got: tensor.Of("y", []int64{1, 3}, []float32{102, 7, 1.5}),
			diff: tensor.Diff{Elements: 3, Different: 2, First: at("100", "102", 0, 0), Worst: at("1", "1.5", 0, 2), MaxAbsolute: 2, MaxRelative: 0.5, MaxULP: 1 << 22},
			text: "2 of 3 elements differ: at [0 0] want 100, got 102; worst at [0 2] want 1, got 1.5; the largest difference is 2 (relative 0.5), 4194304 ULP",
		},
		{
			name: "NaN and infinity exceed any tolerance", want: f32(1, 1, inf), got: f32(3, nan, -inf), tol: tensor.Tolerance{Absolute: 1e9},
			diff: tensor.Diff{Elements: 3, Different: 2, First: at("1", "NaN", 1), Worst: at("1", "NaN", 1), MaxAbsolute: 2, MaxRelative: 2, MaxULP: 3 << 22},
			text: "2 of 3 elements differ: at [1] want 1, got NaN; the largest difference is 2 (relative 2), 12582912 ULP",
		},
		{
			name: "ULP across zero", want: f32(-math.SmallestNonzeroFloat32), got: f32(2 * math.SmallestNonzeroFloat32), tol: tensor.Tolerance{Absolute: 1},
			diff: tensor.Diff{Elements: 1, MaxAbsolute: 3 * math.SmallestNonzeroFloat32, MaxRelative: 3, MaxULP: 3},
			text: "1 element within tolerance, the largest difference is 4.2e-45 (relative 3), 3 ULP",
		},
		{
			name: "FP16 counts its own ULP", want: half(tensor.FP16, 0x3c00), got: half(tensor.FP16, 0x3c02), tol: tensor.Tolerance{Relative: 0.01},
			diff: tensor.Diff{Elements: 1, MaxAbsolute: 0x1p-9, MaxRelative: 0x1p-9, MaxULP: 2},
			text: "1 element within tolerance, the largest difference is 0.00195 (relative 0.00195), 2 ULP",
		},
		{
			name: "BF16", want: half(tensor.BF16, 0x3f80), got: half(tensor.BF16, 0x4000),
			diff: tensor.Diff{Elements: 1, Different: 1, First: at("1", "2", 0), Worst: at("1", "2", 0), MaxAbsolute: 1, MaxRelative: 1, MaxULP: 128},
			text: "1 of 1 element differs: at [0] want 1, got 2; the largest difference is 1 (relative 1), 128 ULP",
		},
		{
			name: "tolerance is not for integers", want: tensor.Of("y", nil, []int64{math.MinInt64}), got: tensor.Of("y", nil, []int64{math.MaxInt64}), tol: tensor.Tolerance{Absolute: 1e30},
			diff: tensor.Diff{Elements: 1, Different: 1, First: at("-9223372036854775808", "9223372036854775807", []int64{}...), Worst: at("-9223372036854775808", "9223372036854775807", []int64{}...), MaxAbsolute: 0x1p64, MaxRelative: 2},
			text: "1 of 1 element differs: at [] want -9223372036854775808, got 9223372036854775807; the largest difference is 1.84e+19 (relative 2)",
		},
		{
			name: "beyond 2^53", want: tensor.Of("y", []int64{2}, []uint64{1 << 53, 0}), got: tensor.Of("y", []int64{2}, []uint64{1<<53 + 1, 0}),
			diff: tensor.Diff{Elements: 2, Different: 1, First: at("9007199254740992", "9007199254740993", 0), Worst: at("9007199254740992", "9007199254740993", 0), MaxAbsolute: 1, MaxRelative: 0x1p-53},
			text: "1 of 2 elements differs: at [0] want 9007199254740992, got 9007199254740993; the largest difference is 1 (relative 1.11e-16)",
		},
		{
			name: "small integers have a sign", want: tensor.Of("y", []int64{2}, []int8{-1, 0}), got: tensor.Of("y", []int64{2}, []int8{1, 100}),
			diff: tensor.Diff{Elements: 2, Different: 2, First: at("-1", "1", 0), Worst: at("0", "100", 1), MaxAbsolute: 100, MaxRelative: 2},
			text: "2 of 2 elements differ: at [0] want -1, got 1; worst at [1] want 0, got 100; the largest difference is 100 (relative 2)",
		},
		{
			name: "bool", want: tensor.Of("y", []int64{2, 2}, []bool{true, false, true, true}), got: tensor.Of("y", []int64{2, 2}, []bool{true, false, false, true}),
			diff: tensor.Diff{Elements: 4, Different: 1, First: at("true", "false", 1, 0), Worst: at("true", "false", 1, 0)},
			text: "1 of 4 elements differs: at [1 0] want true, got false",
		},
		{
			name: "bytes", want: tensor.OfStrings("y", []int64{2}, "a", ""), got: tensor.OfStrings("y", []int64{2}, "a\x00", strings.Repeat("ü", 40)),
			diff: tensor.Diff{Elements: 2, Different: 2, First: at(`"a"`, `"a\x00"`, 0), Worst: at(`"a"`, `"a\x00"`, 0)},
			text: `2 of 2 elements differ: at [0] want "a", got "a\x00"`,
		},
		{
			name: "long bytes are cut", want: tensor.OfStrings("y", nil, ""), got: tensor.OfStrings("y", nil, "x"+strings.Repeat("ü", 40)),
			diff: tensor.Diff{Elements: 1, Different: 1, First: at(`""`, `"x`+strings.Repeat("ü", 23)+`"… (81 bytes)`, []int64{}...), Worst: at(`""`, `"x`+strings.Repeat("ü", 23)+`"… (81 bytes)`, []int64{}...)},
			text: `1 of 1 element differs: at [] want "", got "x` + strings.Repeat("ü", 23) + `"… (81 bytes)`,
		},
		{
			name: "type", want: f32(1), got: f64(1),
			diff: tensor.Diff{Problem: "want FP32 [1], got FP64 [1]"}, text: "want FP32 [1], got FP64 [1]",
		},
		{
			name: "shape", want: f32(1), got: tensor.Of("y", []int64{1, 1}, []float32{1}),
			diff: tensor.Diff{Problem: "want FP32 [1], got FP32 [1 1]"}, text: "want FP32 [1], got FP32 [1 1]",
		},
		{
			name: "no data", want: f32(1), got: tensor.Tensor{Name: "y", Type: tensor.FP32, Shape: []int64{1}},
			diff: tensor.Diff{Problem: `tensor "y": want 4 bytes for FP32 [1], got 0`}, text: `tensor "y": want 4 bytes for FP32 [1], got 0`,
		},
		{
			name: "empty", want: tensor.Of("y", []int64{0, 3}, []float32{}), got: tensor.Of("y", []int64{0, 3}, []float32{}),
			diff: tensor.Diff{}, text: "0 elements as wanted",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := tensor.Compare(&tt.want, &tt.got, tt.tol)
			if diff := cmp.Diff(tt.diff, got); diff != "" {
				t.Errorf("Compare (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tt.text, got.String()); diff != "" {
				t.Errorf("String (-want +got):\n%s", diff)
			}
			if want := tt.diff.Problem == "" && tt.diff.Different == 0; got.OK() != want {
				t.Errorf("OK() = %v, want %v", got.OK(), want)
			}
		})
	}
}

// Moving a float by n representable values is a difference of n ULP.
func TestCompareCountsULP(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		v := rapid.Float32().Draw(t, "v")
		n := rapid.IntRange(0, 20).Draw(t, "n")
		moved := v
		for range n {
			moved = math.Nextafter32(moved, float32(math.Inf(1)))
		}
		if math.IsInf(float64(moved), 0) || math.IsInf(float64(v), 0) || v != v {
			n, moved = 0, v
		}
		a, b := tensor.Of("y", nil, []float32{v}), tensor.Of("y", nil, []float32{moved})
		d := tensor.Compare(&a, &b, tensor.Tolerance{})
		if d.MaxULP != uint64(n) || d.OK() != (n == 0) {
			t.Fatalf("%g moved by %d: MaxULP %d, OK %v", v, n, d.MaxULP, d.OK())
		}
	})
}
