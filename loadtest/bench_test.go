package loadtest

import (
	"net/http"
	"testing"
	"time"
)

// BenchmarkRecord is what a request's end costs the client beside reading it.
func BenchmarkRecord(b *testing.B) {
	b.Run("total", func(b *testing.B) { benchmarkRecord(b, newRecorder()) })
	b.Run("windows", func(b *testing.B) {
		rec := newRecorder()
		rec.window, rec.behind = newTally(), newTally()
		benchmarkRecord(b, rec)
	})
}

func benchmarkRecord(b *testing.B, rec *recorder) {
	rec.from = time.Now()
	rec.end, rec.windowEnd = rec.from.Add(time.Hour), rec.from.Add(time.Hour)
	o := &Options{}
	i := time.Duration(0)
	for b.Loop() {
		i++
		due := rec.from.Add(i * time.Microsecond)
		rec.record(o, job{due: due}, due.Add(time.Microsecond), due.Add(time.Millisecond+i%1000*time.Microsecond), answer{ok: true, code: 200, in: 300, out: 400})
	}
}

// BenchmarkClient is a request with a server in memory, both sides.
func BenchmarkClient(b *testing.B) {
	o := inMemory(Options{Connections: 4, Duration: time.Hour, Count: int64(b.N)}, func(*http.Request, []byte) string { return okAnswer })
	o.sleep = nil
	if _, err := Run(b.Context(), o); err != nil {
		b.Fatal(err)
	}
}
