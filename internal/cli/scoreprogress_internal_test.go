package cli

import (
	"testing"
	"time"

	"godwit.dev/functions/batch"
)

func TestProgressOfScoring(t *testing.T) {
	s := (&program{}).scoring("scoring rows.csv")
	for _, c := range []struct {
		now  batch.Progress
		want string
	}{
		{batch.Progress{Size: 1000, Parts: 4, Mine: 4, Elapsed: 2 * time.Second},
			"scoring rows.csv [........................] 0%, 0 rows, 0/s"},
		{batch.Progress{Rows: 2_499_990, Bad: 10, Read: 500, Size: 1000, Parts: 4, Mine: 4, Elapsed: 5 * time.Second},
			"scoring rows.csv [############............] 50%, 2,500,000 rows, 500,000/s, 5s left, 10 bad"},
		// Half was there when it began, and a quarter is done since.
		{batch.Progress{Rows: 100, Read: 250, Size: 1000, Parts: 4, Done: 3, Resumed: 2, Mine: 4, Elapsed: 10 * time.Second},
			"scoring rows.csv [############............] 50%, 100 rows, 10/s, 10s left"},
		{batch.Progress{Rows: 1234, Size: 1000, Parts: 4, Mine: 4, Elapsed: time.Second, Ended: true},
			"scoring rows.csv [########################] 100%, 1,234 rows, 1,234/s"},
	} {
		if got := s.line(&c.now); got != c.want {
			t.Errorf("got  %s\nwant %s", got, c.want)
		}
	}
	for n, want := range map[int64]string{0: "0", 999: "999", 1000: "1,000", -1234567: "-1,234,567"} {
		if got := grouped(n); got != want {
			t.Errorf("grouped(%d) = %s, want %s", n, got, want)
		}
	}
}
