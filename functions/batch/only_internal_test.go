package batch

import (
	"context"
	"io"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"godwit.dev/runtime/rows"
	"godwit.dev/runtime/tensor"
)

// blocks gives blocks of rows that are numbers, of which every fifth is bad.
type blocks struct {
	rows.Reader
	at, end int64
}

func (r *blocks) Next(_ context.Context, b *rows.Block, n int) error {
	*b = rows.Block{}
	if r.at >= r.end {
		return io.EOF
	}
	var x []float32
	var names [][]byte
	v := rows.Values{Name: "id", Kind: rows.Int, Null: []bool{}}
	for range n {
		if r.at++; r.at > r.end {
			break
		}
		if r.at%5 == 0 {
			b.Bad = append(b.Bad, rows.Bad{Row: r.at, Offset: -1})
			continue
		}
		b.Rows++
		b.At = append(b.At, r.at)
		x = append(x, float32(r.at), -float32(r.at))
		names = append(names, []byte{byte(r.at)})
		v.Ints, v.Null = append(v.Ints, r.at), append(v.Null, r.at%2 == 0)
	}
	b.Inputs = []tensor.Tensor{tensor.Of("x", []int64{int64(b.Rows), 2}, x), {Name: "s", Type: tensor.Bytes, Shape: []int64{int64(b.Rows)}, Strings: names}}
	b.Pass = []rows.Values{v}
	return nil
}

func TestOnlyWantedRowsAreRead(t *testing.T) {
	for _, c := range []struct {
		want   []int64
		blocks int
	}{
		{[]int64{1, 3, 5, 7, 8, 22, 30}, 4},
		{[]int64{}, 0},
		{[]int64{5, 40}, 1},
		{[]int64{1, 2, 3, 4, 5, 6, 7}, 1},
	} {
		r := &only{Reader: &blocks{end: 31}, want: c.want}
		got, n := []int64{}, 0
		for b := new(rows.Block); ; n++ {
			if err := r.Next(t.Context(), b, 7); err == io.EOF {
				break
			}
			for i, row := range b.At {
				x, ok := tensor.View[float32](&b.Inputs[0])
				if !ok || b.Inputs[0].Check() != nil || b.Inputs[1].Check() != nil || len(b.At) != b.Rows {
					t.Fatalf("%v: a block that is not whole: %+v", c.want, b)
				}
				if x[2*i] != float32(row) || x[2*i+1] != -float32(row) || b.Inputs[1].Strings[i][0] != byte(row) ||
					b.Pass[0].Ints[i] != row || b.Pass[0].Null[i] != (row%2 == 0) {
					t.Errorf("%v: row %d has another's values: %v", c.want, row, x[2*i:2*i+2])
				}
				got = append(got, row)
			}
			for _, bad := range b.Bad {
				got = append(got, bad.Row)
			}
		}
		slices.Sort(got)
		want := []int64{}
		for _, row := range c.want {
			if row <= 31 {
				want = append(want, row)
			}
		}
		if diff := cmp.Diff(want, got); diff != "" || n != c.blocks {
			t.Errorf("%v: in %d blocks, want %d (-want +got)\n%s", c.want, n, c.blocks, diff)
		}
	}
	if onlyID(nil) != "" || onlyID([]int64{}) == "" || onlyID([]int64{1}) == onlyID([]int64{2}) {
		t.Error("other rows are not other settings")
	}
}
