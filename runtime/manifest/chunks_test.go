package manifest

import (
	"crypto/sha256"
	"encoding/hex"
	"io/fs"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"godwit.dev/runtime/fault"
)

// long are n bytes, no two chunks of which are alike.
func long(n int) []byte {
	data := make([]byte, n)
	r := rand.New(rand.NewPCG(uint64(n), 1))
	for i := 0; i < n; i += 1000 {
		data[i] = byte(r.Uint32())
	}
	return data
}

func hexSum(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// The entry of a file does not depend on how its bytes come, and is what a
// reader of the format works out: SHA-256 of all and of each 8 MiB.
func TestSum(t *testing.T) {
	for _, test := range []struct{ size, chunks int }{
		{0, 0}, {1, 0}, {ChunkBytes, 0}, {ChunkBytes + 1, 2}, {2 * ChunkBytes, 2}, {2*ChunkBytes + 5, 3},
	} {
		data := long(test.size)
		want := File{Path: "a", Size: int64(test.size), SHA256: hexSum(data)}
		if test.chunks > 0 {
			for chunk := range slices.Chunk(data, 8<<20) {
				want.Chunks = append(want.Chunks, hexSum(chunk))
			}
		}
		if len(want.Chunks) != test.chunks {
			t.Fatalf("%d bytes: the test expects %d chunks", test.size, len(want.Chunks))
		}
		for _, step := range []int{test.size, 3 << 20, 1_000_003} {
			var sum Sum
			for part := range slices.Chunk(data, max(step, 1)) {
				if n, err := sum.Write(part); n != len(part) || err != nil {
					t.Fatal(n, err)
				}
			}
			if diff := cmp.Diff(want, sum.File("a")); diff != "" {
				t.Errorf("%d bytes by %d (-want +got):\n%s", test.size, step, diff)
			}
		}
	}
}

// plain hides that its files can be read at any place.
type plain struct{ fs.FS }

func (p plain) Open(name string) (fs.File, error) {
	f, err := p.FS.Open(name)
	return struct{ fs.File }{f}, err
}

func TestCheckOfChunks(t *testing.T) {
	data := long(2*ChunkBytes + 5)
	var sum Sum
	_, _ = sum.Write(data)
	entry := sum.File("weights")
	with := func(at int) []byte {
		other := slices.Clone(data)
		other[at]++
		return other
	}
	swapped := slices.Concat(data[ChunkBytes:2*ChunkBytes], data[:ChunkBytes], data[2*ChunkBytes:])
	contradicts, unlisted := entry, entry
	contradicts.SHA256 = sumA
	unlisted.Chunks = nil
	chunkless := slices.Clone(entry.Chunks)
	chunkless[1] = sumA
	wrongChunk := entry
	wrongChunk.Chunks = chunkless
	for _, test := range []struct {
		name         string
		entry        File
		data         []byte
		quick, whole string // part of the error; "" none
	}{
		{"as packaged", entry, data, "", ""},
		{"as packaged, without chunks", unlisted, data, "", ""},
		{"first byte", entry, with(0), "8388608 bytes from 0 on", "want SHA-256 " + entry.SHA256},
		{"end of a chunk", entry, with(ChunkBytes - 1), "8388608 bytes from 0 on", "want SHA-256 " + entry.SHA256},
		{"next chunk", entry, with(ChunkBytes), "8388608 bytes from 8388608 on", "want SHA-256 " + entry.SHA256},
		{"last byte", entry, with(len(data) - 1), "5 bytes from 16777216 on", "want SHA-256 " + entry.SHA256},
		{"last byte, without chunks", unlisted, with(len(data) - 1), "want SHA-256 " + entry.SHA256, "want SHA-256 " + entry.SHA256},
		{"chunks in another order", entry, swapped, "from", "want SHA-256 " + entry.SHA256},
		{"cut", entry, data[:len(data)-1], "got 16777220", "got 16777220"},
		{"longer", entry, append(slices.Clone(data), 0), "got 16777222", "got 16777222"},
		{"a chunk's digest", wrongChunk, data, "want SHA-256 " + sumA, "though the whole file's is right"},
		{"digests of two files", contradicts, data, "", "want SHA-256 " + sumA},
	} {
		fsys := fstest.MapFS{"weights": {Data: test.data}}
		m := &Manifest{Files: []File{test.entry}}
		for name, check := range map[string]struct {
			err  error
			want string
		}{
			"quick":              {m.CheckQuick(fsys, nil), test.quick},
			"quick, in one pass": {m.CheckQuick(plain{fsys}, nil), test.whole},
			"whole":              {m.Check(fsys, nil), test.whole},
		} {
			switch {
			case check.want == "" && check.err != nil:
				t.Errorf("%s, %s: %v", test.name, name, check.err)
			case check.want != "" && (fault.CodeOf(check.err) != fault.BadModel || !strings.Contains(check.err.Error(), check.want)):
				t.Errorf("%s, %s: want BadModel with %q, got %v", test.name, name, check.want, check.err)
			}
		}
		if err := m.CheckQuick(fsys, func(*File) bool { return false }); err != nil {
			t.Errorf("%s, nothing asked for: %v", test.name, err)
		}
	}
	m := &Manifest{Files: []File{entry}}
	if err := m.CheckQuick(fstest.MapFS{}, nil); fault.CodeOf(err) != fault.BadModel {
		t.Errorf("gone: want BadModel, got %v", err)
	}
	if err := m.CheckQuick(fstest.MapFS{"weights/a": {}}, nil); fault.CodeOf(err) != fault.BadModel {
		t.Errorf("a folder: want BadModel, got %v", err)
	}
}
