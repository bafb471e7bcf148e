package store_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/store"
)

func TestParse(t *testing.T) {
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	at := func(path string) string { return strings.TrimPrefix(filepath.ToSlash(filepath.Join(here, path)), "/") }
	for url, want := range map[string]store.Location{
		"s3://acme-rows/in/a.csv":                {Scheme: "s3", Bucket: "acme-rows", Key: "in/a.csv"},
		"s3://acme.rows/in/":                     {Scheme: "s3", Bucket: "acme.rows", Key: "in/"},
		"s3://acme":                              {Scheme: "s3", Bucket: "acme"},
		"s3://acme/":                             {Scheme: "s3", Bucket: "acme"},
		"gs://acme_rows/a b?c#d%20e":             {Scheme: "gs", Bucket: "acme_rows", Key: "a b?c#d%20e"},
		"azblob://acme1/rows/in/a.csv":           {Scheme: "azblob", Bucket: "acme1/rows", Key: "in/a.csv"},
		"azblob://acme1/$web":                    {Scheme: "azblob", Bucket: "acme1/$web"},
		"file:///data/rows/ü b.csv":              {Scheme: "file", Bucket: "/", Key: "data/rows/ü b.csv"},
		"file:///data/rows/":                     {Scheme: "file", Bucket: "/", Key: "data/rows/"},
		"/data/a.csv":                            {Scheme: "file", Bucket: "/", Key: "data/a.csv"},
		"/data/x/../a.csv":                       {Scheme: "file", Bucket: "/", Key: "data/a.csv"},
		"/":                                      {Scheme: "file", Bucket: "/"},
		"rows/a.csv":                             {Scheme: "file", Bucket: "/", Key: at("rows/a.csv")},
		"./rows/":                                {Scheme: "file", Bucket: "/", Key: at("rows") + "/"},
		"../a.csv":                               {Scheme: "file", Bucket: "/", Key: at("../a.csv")},
		"C:a":                                    {Scheme: "file", Bucket: "/", Key: at("C:a")},
		"s3://acme/" + strings.Repeat("k", 1024): {Scheme: "s3", Bucket: "acme", Key: strings.Repeat("k", 1024)},
	} {
		got, err := store.Parse(url)
		if err != nil {
			t.Errorf("%q: %v", url, err)
			continue
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%q (-want +got):\n%s", url, diff)
		}
		if again, err := store.Parse(got.String()); err != nil || again != got {
			t.Errorf("%q is written as %q, and that is %+v, %v", url, got, again, err)
		}
		if want := got.Key == "" || strings.HasSuffix(got.Key, "/"); got.Prefix() != want {
			t.Errorf("%q: Prefix is %v", url, got.Prefix())
		}
	}
}

func TestParseRefuses(t *testing.T) {
	for _, url := range []string{
		"", "http://host/a", "ftp://x/y", "S3://acme/a", "s3:///a", "s3://", "s3://Acme/a", "s3://ac/a", "s3://acme..x/a", "s3://-acme/a", "s3://acme./a",
		"s3://user@acme/a", "s3://acme:443/a", "s3://acme/a//b", "s3://acme//a", "s3://acme/../b", "s3://acme/./b", "s3://acme/a\nb", "s3://acme/\xff",
		"s3://acme/" + strings.Repeat("k", 1025), "gs://", "azblob://acme1", "azblob://acme1/", "azblob://Acme/rows/a", "azblob://acme-1/rows/a", "azblob://acme1//a",
		"file://relative", "file://host/share", "file://", "a\x00b",
	} {
		l, err := store.Parse(url)
		if fault.CodeOf(err) != fault.BadConfig {
			t.Errorf("%q: got %+v, %v; want BadConfig", url, l, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, url := range []string{"s3://acme/a", "azblob://acme1/rows/", "file:///a/b", "a/../b", "gs://x"} {
		f.Add(url)
	}
	f.Fuzz(func(t *testing.T, url string) {
		l, err := store.Parse(url)
		if err != nil {
			return
		}
		again, err := store.Parse(l.String())
		if err != nil || again != l {
			t.Errorf("%q is %+v, written %q, read %+v, %v", url, l, l, again, err)
		}
		if key := strings.TrimSuffix(l.Key, "/"); key != "" {
			if err := store.CheckKey("", key); err != nil {
				t.Error(err)
			}
		}
	})
}
