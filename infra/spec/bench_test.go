package spec

import "testing"

func BenchmarkParse(b *testing.B) {
	for name, data := range goodFiles(b) {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				mustParse(b, data)
			}
		})
	}
}
