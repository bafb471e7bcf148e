//go:build !linux

package folder

import (
	"errors"
	"os"
	"runtime"
)

// nameless files are Linux's alone.
func nameless(string) *os.File { return nil }

func linkNameless(*os.File, string) error { return errors.ErrUnsupported }

// syncFolder makes the names in dir durable; Windows does so by itself.
func syncFolder(dir string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

// beginToWrite does nothing: Commit waits for all.
func beginToWrite(*os.File, int64, int64) {}
