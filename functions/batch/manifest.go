package batch

import (
	"time"
)

// A Manifest describes the scores of one object and is written last: where it
// lies, all parts lie beside it. It is JSON, and the same bytes whoever writes
// it, but for Timings.
type Manifest struct {
	Godwit   int              `json:"godwit"` // of this form: 1
	Input    ManifestInput    `json:"input"`
	Model    ManifestModel    `json:"model"`
	Settings ManifestSettings `json:"settings"`
	Format   string           `json:"format"` // of the scores
	Columns  []ManifestColumn `json:"columns"`
	Rows     int64            `json:"rows"`  // with scores, of all parts
	Bad      int64            `json:"bad"`   // without
	Lines    int64            `json:"lines"` // read; in Parquet rows
	Bytes    int64            `json:"bytes"` // of the scores
	// File and BadFile are the one object that all parts were joined into, and
	// that of the bad rows; nil where the parts lie beside the manifest.
	File    *File          `json:"file,omitempty"`
	BadFile *File          `json:"badFile,omitempty"`
	Parts   []ManifestPart `json:"parts"` // in order
	Timings *Timings       `json:"timings,omitempty"`
}

// ManifestInput is the object that was scored.
type ManifestInput struct {
	URL     string `json:"url"`
	Version string `json:"version"`
	Size    int64  `json:"size"`
	Format  string `json:"format"`
	// Compression is that of the whole file; "" without.
	Compression string `json:"compression,omitempty"`
}

// ManifestModel is the model that gave the scores.
type ManifestModel struct {
	Name    string `json:"name"`
	Version string `json:"version"`
	Digest  string `json:"digest"`
}

// ManifestSettings are what else decides about the bytes of the scores.
type ManifestSettings struct {
	Columns   map[string]string `json:"columns,omitempty"`
	Pass      []string          `json:"passThrough,omitempty"`
	PartBytes int64             `json:"partBytes,omitempty"` // 0 where Limit makes one part
	Limit     int64             `json:"limit,omitempty"`
	Only      string            `json:"only,omitempty"` // a digest of Job.Rows
	Code      string            `json:"code,omitempty"`
}

// ManifestColumn is one column of the scores.
type ManifestColumn struct {
	Name string `json:"name"`
	Type string `json:"type"` // the tensor's, as the protocol has it; "" for a column that is passed through
	// Shape is that of the output for one row; nil for a column that is passed through.
	Shape []int64 `json:"shape,omitempty"`
}

// ManifestPart is one part, and also the mark that says that the part is there
// to stay: part-00000.json beside it.
type ManifestPart struct {
	Index int   `json:"part"`
	Line  int64 `json:"line"` // that it begins with; in Parquet the row
	From  int64 `json:"from"` // as rows.Part
	To    int64 `json:"to"`
	Rows  int64 `json:"rows"`
	Bad   int64 `json:"bad"`
	Lines int64 `json:"lines"`
	File  *File `json:"file,omitempty"` // nil where parts were joined
	// BadFile has a line of JSON for each bad row, a BadRow; nil if there is none.
	BadFile *File `json:"badFile,omitempty"`
}

// A File is an object beside the manifest.
type File struct {
	Name   string `json:"name"`
	Bytes  int64  `json:"bytes"`
	SHA256 string `json:"sha256,omitempty"` // "" in marks of parts that are joined
}

// A BadRow is a line of a part's file of bad rows.
type BadRow struct {
	// Row is the line that the row begins at, from 1 on, and in Parquet the row.
	Row    int64  `json:"row"`
	Offset *int64 `json:"offset,omitempty"` // of that line in the file as it is uncompressed, in bytes
	Column string `json:"column,omitempty"`
	Code   string `json:"code"` // a fault code's name
	Reason string `json:"reason"`
}

// Timings are what differs between two runs of the same job.
type Timings struct {
	Begun   time.Time `json:"begun"` // of the run that wrote the manifest
	Ended   time.Time `json:"ended"`
	Seconds float64   `json:"seconds"`
	Resumed int       `json:"resumed"`    // parts that were there when it began
	Rows    int       `json:"rowsPerRun"` // the most that it asked the model for at once
}
