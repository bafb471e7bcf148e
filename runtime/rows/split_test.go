package rows_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/rows"
	"godwit.dev/runtime/tensor"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// remote is a source that is read by many at once, and fails from some byte on.
type remote struct {
	memory
	bad int64
	err error
}

func (r *remote) Range(ctx context.Context, off, n int64) (io.ReadCloser, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if r.err != nil && off+n > r.bad {
		return nil, r.err
	}
	return r.memory.Range(ctx, off, n)
}

// Parts begin where rows begin, follow each other, and are as long as told.
func TestSplit(t *testing.T) {
	var quoted strings.Builder
	quoted.WriteString("x,text\n")
	for i := 0; quoted.Len() < 10<<20; i++ {
		switch i % 10000 {
		case 0:
			fmt.Fprintf(&quoted, "%d,\"%s\"\n", i, strings.Repeat("two\nlines, \"\"quoted\"\"", 1+i%9))
		case 5000:
			fmt.Fprintf(&quoted, "%d,\"lost\n", i)
		default:
			fmt.Fprintf(&quoted, "%d,some text that is as it is\n", i)
		}
	}
	tests := []struct {
		name   string
		format rows.Format
		text   string
	}{
		{"csv", rows.CSV, numbered(0, 800000)},
		{"csv with quotes", rows.CSV, quoted.String()},
		{"jsonl", rows.JSONL, strings.Repeat("{\"x\":1,\"text\":\"as it is, with \\\"quotes\\\"\"}\n", 250000)},
		{"jsonl without a last end", rows.JSONL, strings.TrimSuffix(strings.Repeat("{\"x\":1}\n", 1200000), "\n")},
		{"one line", rows.JSONL, `{"x":"` + strings.Repeat("x", 9<<20) + `"}`},
	}
	for _, tt := range tests {
		for _, partBytes := range []int64{1 << 20, 777777, 9 << 20} {
			t.Run(fmt.Sprintf("%s/%d", tt.name, partBytes), func(t *testing.T) {
				f := &rows.File{Source: &remote{memory: memory(tt.text)}, Format: tt.format}
				parts, err := rows.Split(t.Context(), f, &rows.SplitOptions{PartBytes: partBytes})
				if err != nil {
					t.Fatal(err)
				}
				size := int64(len(tt.text))
				if want := size / (partBytes + 1000); int64(len(parts)) < want && tt.name != "one line" {
					t.Errorf("got %d parts, want at least %d", len(parts), want)
				}
				at, line := int64(0), int64(1)
				for i, p := range parts {
					if p.Index != i || p.From != at || p.Line != line {
						t.Fatalf("part %d: got %+v, want it from %d on at line %d", i, p, at, line)
					}
					if length := p.To - p.From; i < len(parts)-1 && (length < partBytes || length > partBytes+1000) {
						t.Errorf("part %d has %d bytes", i, length)
					}
					if p.To < size && tt.text[p.To-1] != '\n' {
						t.Errorf("part %d ends within a line", i)
					}
					line += int64(strings.Count(tt.text[p.From:p.To], "\n"))
					at = p.To
				}
				if at != size {
					t.Errorf("the parts end at %d of %d", at, size)
				}
			})
		}
	}
	f := &rows.File{Source: memory(quoted.String()), Format: rows.CSV}
	p := plan(t, f, &rows.PlanOptions{Pass: []string{"text"}}, in("x", tensor.FP64, -1))
	whole, _ := readAll(t, f, p, 1<<40, 5000, nil)
	inParts, _ := readAll(t, f, p, 100000, 777, nil)
	if diff := cmp.Diff(whole, inParts); diff != "" || len(whole.Bad) < 10 || len(whole.Rows) < 100000 {
		t.Errorf("%d rows and %d bad ones; in parts (-whole +parts):\n%s", len(whole.Rows), len(whole.Bad), diff)
	}
}

func TestSplitFails(t *testing.T) {
	text := numbered(0, 2000000)
	away := fault.New(fault.Unavailable, "store.Open", "k", "away")
	f := &rows.File{Source: &remote{memory(text), 17 << 20, away}, Format: rows.CSV}
	if _, err := rows.Split(t.Context(), f, &rows.SplitOptions{PartBytes: 1 << 20}); !errors.Is(err, away) {
		t.Errorf("a source that is away: got %v", err)
	}
	f.Source = &remote{memory(text), 17 << 20, io.ErrUnexpectedEOF}
	if _, err := rows.Split(t.Context(), f, &rows.SplitOptions{PartBytes: 1 << 20}); fault.CodeOf(err) != fault.Unavailable {
		t.Errorf("a source that breaks: got %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := rows.Split(ctx, &rows.File{Source: &remote{memory: memory(text)}, Format: rows.CSV}, &rows.SplitOptions{PartBytes: 1 << 20}); fault.CodeOf(err) != fault.Canceled {
		t.Errorf("after its end: got %v", err)
	}
	parts, err := rows.Split(t.Context(), csvOf(""), nil)
	if err != nil || len(parts) != 0 {
		t.Errorf("an empty file: got %v, %v", parts, err)
	}
	if _, err := rows.Split(t.Context(), &rows.File{Source: memory("\xff\xfea\x00"), Format: rows.CSV}, &rows.SplitOptions{PartBytes: 1}); fault.CodeOf(err) != fault.Invalid {
		t.Errorf("UTF-16: got %v", err)
	}
}

// A lost quote is looked for no further than a row may be long, again and again,
// and memory stays within that.
func TestLostQuotesCostLittle(t *testing.T) {
	line := bytes.Repeat([]byte("1,\"lost,2\n"+strings.Repeat("3,found,4\n", 99)), 200)
	f := &rows.File{Source: memory(append([]byte("a,b,c\n"), line...)), Format: rows.CSV}
	p := plan(t, f, nil, in("a", tensor.FP32, -1))
	got, parts := readAll(t, f, p, 50000, 100, &rows.ReadOptions{MaxRow: 2000})
	if len(got.Rows) != 200*99 || len(got.Bad) != 200 || len(parts) < 3 {
		t.Errorf("got %d rows and %d bad ones in %d parts", len(got.Rows), len(got.Bad), len(parts))
	}
	// Without being told, 4 MiB; a line by itself may be longer.
	long := `1,"` + strings.Repeat("text, ", 1<<20) + `",3` + "\n"
	f.Source = memory("a,b,c\n" + long + "1,\"lost,2\n" + strings.Repeat("3,found,4\n", 600000))
	got, _ = readAll(t, f, p, 1<<40, 1000, nil)
	if len(got.Rows) != 600001 || len(got.Bad) != 1 || got.Bad[0].Row != 3 || !strings.Contains(got.Bad[0].Reason, "go on") {
		t.Errorf("got %d rows and %v", len(got.Rows), got.Bad)
	}
}
