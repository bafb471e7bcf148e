package sagemaker_test

import (
	"context"
	"encoding/csv"
	"math"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"

	"godwit.dev/adapters/adaptertest"
	"godwit.dev/adapters/sagemaker"
	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/trigger"
)

// Rows that are taken come back, from a model that answers what it is given, as
// the standard library reads them; nothing is an error of ours.
func FuzzCSV(f *testing.F) {
	for _, text := range []string{"1,2,3\n", "1,2,3\r\n4,5,6", "-0,1e5,0.1", "a,b,c", "", "\n", ",,", "\"1\",2,3", "1,2,3\n\n", "1e999,2,3", " 1,\t2,3 "} {
		f.Add(text)
	}
	s := adaptertest.For(f, nil)
	h := sagemaker.New(s.API, s.Events, &sagemaker.Options{Model: "echo-FP64"})
	f.Fuzz(func(t *testing.T, text string) {
		r := httptest.NewRequest(http.MethodPost, "/invocations", strings.NewReader(text))
		r.Header.Set("Content-Type", "text/csv")
		r.Header.Set("Accept", "text/csv")
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		switch w.Code {
		case http.StatusBadRequest:
			return
		case http.StatusOK:
		default:
			t.Fatalf("%q: status %d: %s", text, w.Code, w.Body)
		}
		want, err := csv.NewReader(strings.NewReader(text)).ReadAll()
		if err != nil {
			t.Fatalf("%q was taken: %v", text, err)
		}
		got, err := csv.NewReader(w.Body).ReadAll()
		if err != nil || len(got) != len(want) {
			t.Fatalf("%q: want %d rows back, got %q, %v", text, len(want), got, err)
		}
		for i := range want {
			for j := range want[i] {
				a, errA := strconv.ParseFloat(strings.TrimSpace(want[i][j]), 64)
				b, errB := strconv.ParseFloat(got[i][j], 64)
				if errA != nil || errB != nil || math.Float64bits(a) != math.Float64bits(b) {
					t.Errorf("%q: want %s, got %s", text, want[i][j], got[i][j])
				}
			}
		}
	})
}

// Whatever a content type says, the answer is one, and never an error of ours.
func FuzzContentType(f *testing.F) {
	for _, text := range []string{"application/json", "text/csv", sagemaker.BinaryType + ";json-header-size=7", sagemaker.BinaryType + ";json-header-size=-1", "text/csv; header=present; x", ";;", "text/csv;charset=latin1"} {
		f.Add(text, "model=echo-FP32", []byte("1,2,3"))
	}
	s := adaptertest.For(f, nil)
	h := sagemaker.New(s.API, s.Events, &sagemaker.Options{Model: "echo-FP32"})
	f.Fuzz(func(t *testing.T, contentType, attributes string, body []byte) {
		r := httptest.NewRequest(http.MethodPost, "/invocations", strings.NewReader(string(body)))
		r.Header["Content-Type"] = []string{contentType}
		r.Header["X-Amzn-Sagemaker-Custom-Attributes"] = []string{attributes}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code >= 500 {
			t.Errorf("%q: status %d: %s", contentType, w.Code, w.Body)
		}
	})
}

// Whatever lines are sent, there is an answer in a line for each, in order.
func FuzzLines(f *testing.F) {
	for _, text := range []string{"{}", "{}\n", "{}\r\n\n[]\n", "\n\n", "", "{\"test_fail\":\"invalid\"}\n1", "\x00\n\xff"} {
		f.Add(text)
	}
	s := adaptertest.For(f, nil)
	h := sagemaker.New(s.API, trigger.HandlerFunc(func(_ context.Context, ev *trigger.Event) []trigger.Outcome {
		out := make([]trigger.Outcome, len(ev.Items))
		for i := range out {
			out[i] = trigger.Outcome{State: trigger.Done, Result: ev.Items[i].Data}
			if len(ev.Items[i].Data)%2 == 1 {
				out[i] = trigger.Of(fault.New(fault.Invalid, "", "", "odd"))
			}
		}
		return out
	}), &sagemaker.Options{Model: "echo-FP32"})
	f.Fuzz(func(t *testing.T, text string) {
		w := adaptertest.Ask(h, http.MethodPost, "/invocations", text, "Content-Type: application/jsonlines")
		lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
		if strings.Trim(text, "\n") == "" && len(lines) == 1 {
			adaptertest.Answered(t, w, http.StatusBadRequest, "got nothing")
			return
		}
		for i, line := range lines {
			if len(line)%2 == 1 {
				lines[i] = `{"error":"odd","code":"invalid"}`
			}
		}
		adaptertest.Answered(t, w, http.StatusOK, "="+strings.Join(lines, "\n")+"\n")
	})
}
