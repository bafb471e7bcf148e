package main

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestProofsIn(t *testing.T) {
	got := proofsIn("# Title\n\n| number | requirement | proof |\n| --- | --- | --- |\n" +
		"| 1 | a `word` in it | `a/b:TestOne`, `e2e/part` |\n\n| requirement | proof |\n| --- | --- |\n| again | `a/b:TestOne`, `c:FuzzTwo`, in `words` |\n")
	if diff := cmp.Diff([]string{"a/b:TestOne", "e2e/part", "c:FuzzTwo"}, got); diff != "" {
		t.Errorf("proofs (-want +got):\n%s", diff)
	}
}

func TestMissing(t *testing.T) {
	const events = `
{"Action":"run","Package":"godwit.dev/a","Test":"TestGood"}
{"Action":"output","Package":"godwit.dev/a","Test":"TestGood","Output":"=== RUN   TestGood\n"}
{"Action":"output","Package":"godwit.dev/a","Test":"TestGood","Output":"chatter\n"}
{"Action":"pass","Package":"godwit.dev/a","Test":"TestGood"}
{"Action":"skip","Package":"godwit.dev/a","Test":"TestHalf/case"}
{"Action":"pass","Package":"godwit.dev/a","Test":"TestHalf/other"}
{"Action":"pass","Package":"godwit.dev/a","Test":"TestHalf"}
{"Action":"output","Package":"godwit.dev/a","Output":"PASS\n"}
{"Action":"output","Package":"godwit.dev/a","Output":"ok  \tgodwit.dev/a\t0.1s\n"}
{"Action":"pass","Package":"godwit.dev/a"}
{"Action":"output","Package":"godwit.dev/b","Test":"TestBad","Output":"    b_test.go:3: want 1, got 2\n"}
{"Action":"fail","Package":"godwit.dev/b","Test":"TestBad"}
{"Action":"output","Package":"godwit.dev/b","Test":"TestHangs","Output":"panic: test timed out\n"}
{"Action":"output","Package":"godwit.dev/b","Output":"FAIL\n"}
{"Action":"fail","Package":"godwit.dev/b"}
{"ImportPath":"godwit.dev/c","Action":"build-output","Output":"c.go:1: undefined: x\n"}
`
	var out strings.Builder
	r := results{}
	if err := r.read(strings.NewReader(events), &out); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff("ok  \tgodwit.dev/a\t0.1s\npanic: test timed out\n    b_test.go:3: want 1, got 2\nFAIL\nc.go:1: undefined: x\n", out.String()); diff != "" {
		t.Errorf("printed (-want +got):\n%s", diff)
	}
	proofs := []string{"a:TestGood", "a:TestHalf", "a:TestHalf/other", "a:TestGone", "b:TestBad", "e2e/there:TestGone", "e2e/there/more", "e2e/gone"}
	want := []string{
		"a:TestHalf: a:TestHalf/case was skipped", "a:TestHalf/other: a:TestHalf/case was skipped",
		"a:TestGone did not run", "b:TestBad: fail", "e2e/there:TestGone did not run", "there is no e2e/gone",
	}
	if diff := cmp.Diff(want, r.missing(proofs, func(part string) bool { return part == "e2e/there" })); diff != "" {
		t.Errorf("missing (-want +got):\n%s", diff)
	}
}
