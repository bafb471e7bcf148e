package rows

import (
	"context"
	"io"

	"godwit.dev/runtime/fault"
)

// What follows goes as parquet*.go define it.

func parquetSchema(_ context.Context, f *File) (*Schema, error) {
	return nil, badFormat("rows.ReadSchema", f.Format)
}

func splitParquet(_ context.Context, f *File, _ *SplitOptions) ([]Part, error) {
	return nil, badFormat("rows.Split", f.Format)
}

func openParquet(_ context.Context, f *File, _ Part, _ *Plan, _ *ReadOptions) (Reader, error) {
	return nil, badFormat("rows.Open", f.Format)
}

func newParquetWriter(_ io.Writer, _ *Schema, _ []Output, _ *WriteOptions) (Writer, error) {
	return nil, fault.New(fault.Unsupported, "rows.NewWriter", "", "no parquet yet")
}

func joinParquet(_ context.Context, _ io.Writer, _ []Source) error {
	return fault.New(fault.Unsupported, "rows.Join", "", "no parquet yet")
}
