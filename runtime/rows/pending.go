package rows

import (
	"context"
	"io"
	"sync"
)

// What follows goes as csv*.go, jsonl*.go and split.go define it.

const bom = "\xef\xbb\xbf"

type parked struct{ mu sync.Mutex }

func csvSchema(_ context.Context, f *File) (*Schema, error) {
	return nil, badFormat("rows.ReadSchema", f.Format)
}

func jsonlSchema(_ context.Context, f *File) (*Schema, error) {
	return nil, badFormat("rows.ReadSchema", f.Format)
}

func splitText(_ context.Context, f *File, _ *SplitOptions) ([]Part, error) {
	return nil, badFormat("rows.Split", f.Format)
}

func openCSV(_ context.Context, f *File, _ Part, _ *Plan, _ *ReadOptions) (Reader, error) {
	return nil, badFormat("rows.Open", f.Format)
}

func openJSONL(_ context.Context, f *File, _ Part, _ *Plan, _ *ReadOptions) (Reader, error) {
	return nil, badFormat("rows.Open", f.Format)
}

func newCSVWriter(_ io.Writer, _ *Schema, _ []Output, _ *WriteOptions) (Writer, error) {
	return nil, badFormat("rows.NewWriter", CSV)
}

func newJSONLWriter(_ io.Writer, _ *Schema, _ []Output, _ *WriteOptions) (Writer, error) {
	return nil, badFormat("rows.NewWriter", JSONL)
}

func joinText(_ context.Context, _ io.Writer, f Format, _ []Source, _ *JoinOptions) error {
	return badFormat("rows.Join", f)
}
