package cost

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"godwit.dev/runtime/fault"
)

// TimesSchema names the document; docs/cost.md describes it.
const TimesSchema = "godwit.dev/times/v1"

// Times are what was measured of a model, or given: on one processor of some
// machine, through the real server. They may be kept and used again.
type Times struct {
	Schema string `json:"schema"`
	Model  string `json:"model"`
	Digest string `json:"digest,omitempty"` // of the model's file
	Taken  string `json:"taken"`            // the day, as 2026-11-23
	// Machine says whose processor it was.
	Machine string `json:"machine,omitempty"`
	// Service is a request of so many rows that comes alone, by rows from 1 on.
	Service []RowTime `json:"service"`
	// BusyMS is the processor's time of one request of one row where always some
	// wait and share runs; 0 where nobody knows.
	BusyMS Spread `json:"busy"`
	// StartMS is from exec to the first answer, and StartOf what was started.
	StartMS Spread `json:"start"`
	StartOf string `json:"start_of,omitempty"`
	// GPUMS is a request on a GPU; 0 where nobody knows.
	GPUMS float64 `json:"gpu_ms,omitempty"`
	// Memory is the most that the server had resident, in bytes; 0 unknown.
	Memory int64 `json:"memory_bytes,omitempty"`
	// Body and Answer are the bytes of a request and of its answer, as JSON.
	Body   int64 `json:"request_bytes,omitempty"`
	Answer int64 `json:"answer_bytes,omitempty"`
	// Given says which of them a person gave: "service", "start", "gpu".
	Given []string `json:"given,omitempty"`
}

// RowTime is t(B).
type RowTime struct {
	Rows int `json:"rows"`
	Spread
}

// Spread is a time in milliseconds and how it was spread: the median of all, the
// 99th percentile of all, and the least and the largest of the rounds' medians.
type Spread struct {
	P50  float64 `json:"p50_ms"`
	P99  float64 `json:"p99_ms,omitempty"`
	Low  float64 `json:"low_ms,omitempty"`
	High float64 `json:"high_ms,omitempty"`
	N    int64   `json:"n,omitempty"` // how many were timed; 0: given
}

// maxTime bounds every time of a document.
const maxTime = 24 * 3600 * 1000

// ReadTimes reads a document that Write wrote, strictly. Errors: BadConfig.
func ReadTimes(r io.Reader) (*Times, error) {
	b, err := io.ReadAll(io.LimitReader(r, 1<<20))
	if err != nil {
		return nil, fault.New(fault.BadConfig, "cost.ReadTimes", "", "%w", err)
	}
	t := &Times{}
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(t); err != nil {
		return nil, fault.New(fault.BadConfig, "cost.ReadTimes", "", "want a document of %s, got %w", TimesSchema, err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, fault.New(fault.BadConfig, "cost.ReadTimes", "", "want one document, got more behind it")
	}
	return t, t.Check()
}

// Write writes the document.
func (t *Times) Write(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(t)
}

// Check says what is wrong with t. Errors: BadConfig.
func (t *Times) Check() error {
	bad := func(subject, format string, args ...any) error {
		return fault.New(fault.BadConfig, "cost.ReadTimes", subject, format, args...).WithHint("Leave the file out, so that it is measured and written.")
	}
	if t.Schema != TimesSchema {
		return bad("schema", "want %q, got %q", TimesSchema, t.Schema)
	}
	if _, err := time.Parse(time.DateOnly, t.Taken); err != nil {
		return bad("taken", "want a day as 2026-11-23, got %q", t.Taken)
	}
	if len(t.Service) == 0 || t.Service[0].Rows != 1 {
		return bad("service", "want the time of 1 row first, got %d entries", len(t.Service))
	}
	rows := 0
	for _, s := range t.Service {
		if s.Rows <= rows || !within(s.P50, 0) || s.P50 == 0 || !within(s.P99, 0) {
			return bad("service", "want rising rows and times above 0 of at most a day, got %d rows in %g ms behind %d rows", s.Rows, s.P50, rows)
		}
		rows = s.Rows
	}
	if !within(t.BusyMS.P50, 0) || !within(t.StartMS.P50, 0) || !within(t.StartMS.P99, 0) || !within(t.GPUMS, 0) || t.Memory < 0 || t.Body < 0 || t.Answer < 0 {
		return bad("", "want times of at most a day and sizes of at least 0, got busy %g, start %g, gpu %g, memory %d", t.BusyMS.P50, t.StartMS.P50, t.GPUMS, t.Memory)
	}
	if t.StartMS.P50 == 0 {
		return bad("start", "want a time above 0, got %g ms", t.StartMS.P50)
	}
	return nil
}

func within(ms, least float64) bool { return ms >= least && ms <= maxTime } // NaN is not

// Load is t as what Configs have to serve.
func (t *Times) Load() *Load {
	ms := func(v float64) time.Duration { return time.Duration(v * float64(time.Millisecond)) }
	return &Load{Service: ms(t.Service[0].P50), Busy: ms(t.BusyMS.P50), Start: ms(t.StartMS.P50), GPU: ms(t.GPUMS), Body: t.Body, Bytes: t.Body + t.Answer}
}

// tail are the 99th percentiles over the medians, of serving and of starting.
func (t *Times) tail() (service, start float64) {
	over := func(s Spread) float64 {
		if s.P50 > 0 && s.P99 > s.P50 {
			return s.P99 / s.P50
		}
		return 1
	}
	return over(t.Service[0].Spread), over(t.StartMS)
}

// String is "1.20 ms of 240, 1.15 to 1.31" for people.
func (s Spread) String() string {
	if s.N == 0 {
		return fmt.Sprintf("%s, given", millisText(s.P50))
	}
	text := fmt.Sprintf("%s (n %d", millisText(s.P50), s.N)
	if s.High > 0 {
		text += fmt.Sprintf(", rounds %s to %s", millisText(s.Low), millisText(s.High))
	}
	if s.P99 > 0 {
		text += ", p99 " + millisText(s.P99)
	}
	return text + ")"
}

func millisText(v float64) string {
	switch {
	case v < 10:
		return fmt.Sprintf("%.3f ms", v)
	case v < 1000:
		return fmt.Sprintf("%.1f ms", v)
	}
	return fmt.Sprintf("%.2f s", v/1000)
}
