package batch

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"slices"

	"godwit.dev/runtime/rows"
	"godwit.dev/runtime/tensor"
)

// only reads the rows of a part that are wanted, and leaves out the others.
type only struct {
	rows.Reader
	want []int64 // their numbers, ascending
	keep []int   // of the block, used again
}

// Next is rows.Reader's. It does not return a block without any row before the end.
func (o *only) Next(ctx context.Context, b *rows.Block, n int) error {
	for {
		if err := o.Reader.Next(ctx, b, n); err != nil {
			return err
		}
		o.thin(b)
		if b.Rows > 0 || len(b.Bad) > 0 {
			return nil
		}
	}
}

func (o *only) wanted(row int64) bool {
	_, found := slices.BinarySearch(o.want, row)
	return found
}

// thin takes what is not wanted out of b.
func (o *only) thin(b *rows.Block) {
	b.Bad = slices.DeleteFunc(b.Bad, func(bad rows.Bad) bool { return !o.wanted(bad.Row) })
	o.keep = o.keep[:0]
	for i, row := range b.At {
		if o.wanted(row) {
			o.keep = append(o.keep, i)
		}
	}
	if len(o.keep) == b.Rows {
		return
	}
	for i := range b.Inputs {
		t := &b.Inputs[i]
		t.Shape[0] = int64(len(o.keep))
		if t.Type == tensor.Bytes {
			t.Strings = kept(t.Strings, o.keep, len(t.Strings)/b.Rows)
		} else {
			t.Data = kept(t.Data, o.keep, len(t.Data)/b.Rows)
		}
	}
	for i := range b.Pass {
		v := &b.Pass[i]
		v.Null, v.Raw = kept(v.Null, o.keep, 1), kept(v.Raw, o.keep, 1)
		v.Ints, v.Uints, v.Floats = kept(v.Ints, o.keep, 1), kept(v.Uints, o.keep, 1), kept(v.Floats, o.keep, 1)
	}
	b.At = kept(b.At, o.keep, 1)
	b.Rows = len(o.keep)
}

// kept moves some rows of values, of each n, to the front, and cuts the rest off.
func kept[T any](values []T, rows []int, n int) []T {
	if len(values) == 0 {
		return values
	}
	for to, from := range rows {
		copy(values[to*n:(to+1)*n], values[from*n:(from+1)*n])
	}
	return values[:len(rows)*n]
}

// onlyID stands for the wanted rows in the settings; "" for all.
func onlyID(want []int64) string {
	if want == nil {
		return ""
	}
	sum := sha256.New()
	var b [8]byte
	for _, row := range want {
		binary.LittleEndian.PutUint64(b[:], uint64(row))
		sum.Write(b[:])
	}
	return hex.EncodeToString(sum.Sum(nil)[:16])
}
