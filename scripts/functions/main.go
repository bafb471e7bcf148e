// Command functions makes a folder of what functions are packaged from, for
// Linux on one architecture: the binaries, and the libraries that they load.
// scripts/functions.sh fetches the libraries and the compiler and calls it.
//
//	functions -arch amd64 -out bin/linux-amd64 -version V -programs P,P -handler DIR LIBRARY...
//	functions -check FOLDER...     only looks at the files
//
// It fails when a file there asks for a newer glibc than handlerbuild.GLibC.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"godwit.dev/internal/handlerbuild"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "functions:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, w io.Writer) error {
	flags := flag.NewFlagSet("functions", flag.ContinueOnError)
	arch := flags.String("arch", "", "amd64 or arm64")
	out := flags.String("out", "", "the folder to make")
	version := flags.String("version", "", "what the binaries say that they are")
	handler := flags.String("handler", "", "folder of a handler that is compiled in")
	programs := flags.String("programs", "fn-lambda,fn-server", "what to build; also godwit, without a handler")
	check := flags.Bool("check", false, "only look at the files in the folders that the arguments name")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *check {
		return checkAll(w, flags.Args())
	}
	if *out == "" {
		return errors.New("want -out FOLDER, got none")
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return err
	}
	source, err := os.Getwd()
	if err != nil {
		return err
	}
	// Whatever another version has left would be packaged too.
	lib := filepath.Join(*out, "lib")
	if err := os.RemoveAll(lib); err != nil {
		return err
	}
	if err := os.MkdirAll(lib, 0o755); err != nil {
		return err
	}
	for _, file := range flags.Args() {
		if err := install(file, filepath.Join(lib, filepath.Base(file))); err != nil {
			return err
		}
	}
	err = handlerbuild.Functions(ctx, *handler, *arch, *out, handlerbuild.Options{
		Source: source, Cache: filepath.Join(cache, "godwit"), Stderr: os.Stderr,
		Programs: strings.Split(*programs, ","), Version: *version,
	})
	if err != nil {
		return err
	}
	return checkAll(w, []string{*out})
}

func install(from, to string) error {
	data, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return os.WriteFile(to, data, 0o755)
}

// checkAll prints what each file in the folders weighs and asks for.
func checkAll(w io.Writer, folders []string) error {
	var problems []error
	for _, folder := range folders {
		err := filepath.WalkDir(folder, func(path string, d fs.DirEntry, err error) error {
			if err != nil || !d.Type().IsRegular() {
				return err
			}
			info, err := d.Info()
			if err != nil {
				return err
			}
			needs, err := glibc(path)
			if err != nil {
				return fmt.Errorf("%s: %w", path, err)
			}
			fmt.Fprintf(w, "%-50s %9d bytes, glibc %s\n", path, info.Size(), needs)
			if newer(needs, handlerbuild.GLibC) {
				problems = append(problems, fmt.Errorf("%s: want at most glibc %s, got %s", path, handlerbuild.GLibC, needs))
			}
			return nil
		})
		problems = append(problems, err)
	}
	return errors.Join(problems...)
}
