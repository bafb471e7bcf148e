package oip

import (
	"bytes"
	"compress/gzip"
	"compress/zlib"
	"io"
	"strconv"
	"strings"
	"sync"
)

// minCompressed is the size below which compressing an answer costs more than
// it saves: it still fits the first packets.
const minCompressed = 1 << 10

// coders keeps compressors, which are several hundred kilobytes each.
type coders struct {
	gunzip, gzip, zlib sync.Pool // of *gzip.Reader, *gzip.Writer, *zlib.Writer
}

// compress appends body to dst as the coding; speed counts more than size.
func (c *coders) compress(dst []byte, body []byte, coding string) []byte {
	out := bytes.NewBuffer(dst)
	type writer interface {
		io.WriteCloser
		Reset(io.Writer)
	}
	pool, z := &c.gzip, writer(nil)
	if coding == "deflate" {
		pool = &c.zlib
	}
	switch got := pool.Get().(type) {
	case writer:
		z = got
	default:
		if coding == "deflate" {
			z, _ = zlib.NewWriterLevel(nil, zlib.BestSpeed) // the level is a valid one
		} else {
			z, _ = gzip.NewWriterLevel(nil, gzip.BestSpeed)
		}
	}
	z.Reset(out)
	_, _ = z.Write(body) // a bytes.Buffer takes everything
	_ = z.Close()
	pool.Put(z)
	return out.Bytes()
}

// chooseCoding picks gzip or deflate, whichever the caller prefers, from the
// values of Accept-Encoding, or "" for neither. gzip wins a tie.
func chooseCoding(accept []string) string {
	best, bestQ := "", 0.0
	for _, header := range accept {
		for part := range strings.SplitSeq(header, ",") {
			name, params, _ := strings.Cut(part, ";")
			name = strings.ToLower(strings.TrimSpace(name))
			switch name {
			case "gzip", "deflate":
			case "x-gzip", "*":
				name = "gzip"
			default:
				continue
			}
			q := quality(params)
			if q > bestQ || q == bestQ && q > 0 && name == "gzip" {
				best, bestQ = name, q
			}
		}
	}
	return best
}

// quality reads ";q=0.5"; anything that is not a quality counts as refused.
func quality(params string) float64 {
	params = strings.TrimSpace(params)
	if params == "" {
		return 1
	}
	value, ok := strings.CutPrefix(strings.ToLower(params), "q=")
	if !ok {
		return 0
	}
	q, err := strconv.ParseFloat(value, 64)
	if err != nil || !(q > 0 && q <= 1) {
		return 0
	}
	return q
}
