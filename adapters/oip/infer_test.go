package oip_test

import (
	"bytes"
	"compress/gzip"
	"compress/zlib"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"godwit.dev/adapters/oip"
	"godwit.dev/runtime/codec"
	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/infer"
	"godwit.dev/runtime/tensor"
)

type answer struct {
	ModelName    string `json:"model_name"`
	ModelVersion string `json:"model_version"`
	ID           string
	Outputs      []struct {
		Name, Datatype string
		Shape          []int64
		Data           []any
	}
}

func decode(t testing.TB, w *httptest.ResponseRecorder) answer {
	t.Helper()
	var a answer
	if w.Code != 200 {
		t.Fatalf("status %d: %s", w.Code, w.Body)
	}
	if err := json.Unmarshal(w.Body.Bytes(), &a); err != nil {
		t.Fatalf("%v: %s", err, w.Body)
	}
	return a
}

func TestInferJSON(t *testing.T) {
	f := newFixture(t, nil)
	a := decode(t, infers(f, "addsub", addsubBody))
	if a.ID != "r-1" || a.ModelName != "addsub" || len(a.Outputs) != 2 {
		t.Fatalf("got %+v", a)
	}
	if diff := cmp.Diff([]any{11., 22., 33., 44.}, a.Outputs[0].Data); diff != "" {
		t.Errorf("sum (-want +got):\n%s", diff)
	}
	one := decode(t, infers(f, "addsub", strings.Replace(addsubBody, `]}]}`, `]}],"outputs":[{"name":"diff"}]}`, 1)))
	if len(one.Outputs) != 1 || one.Outputs[0].Name != "diff" {
		t.Errorf("one output asked for: %+v", one)
	}
}

// binaryBody is a request whose tensors follow the JSON.
func binaryBody(t testing.TB, req *infer.Request) (body string, header string) {
	t.Helper()
	b, n, err := codec.EncodeRequest(nil, req, true)
	if err != nil {
		t.Fatal(err)
	}
	return string(b), strconv.Itoa(n)
}

func TestInferBinaryBothWays(t *testing.T) {
	f := newFixture(t, nil)
	body, header := binaryBody(t, &infer.Request{Inputs: []tensor.Tensor{
		tensor.Of("a", []int64{1, 4}, []float32{1, 2, 3, 4}), tensor.Of("b", []int64{1, 4}, []float32{10, 20, 30, 40}),
	}})
	w := infers(f, "addsub", body, "Inference-Header-Content-Length", header)
	if w.Code != 200 || w.Header().Get("Content-Type") != "application/octet-stream" {
		t.Fatalf("%d %v: %s", w.Code, w.Header(), w.Body)
	}
	n, err := strconv.Atoi(w.Header().Get("Inference-Header-Content-Length"))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := codec.DecodeResponse(w.Body.Bytes(), n, nil)
	if err != nil {
		t.Fatal(err)
	}
	sum, _ := tensor.View[float32](&resp.Outputs[0])
	if diff := cmp.Diff([]float32{11, 22, 33, 44}, sum); diff != "" {
		t.Errorf("sum (-want +got):\n%s", diff)
	}
}

func TestInferRaw(t *testing.T) {
	f := newFixture(t, nil)
	raw, _ := binary.Append(nil, binary.LittleEndian, []float32{1, 2, 3})
	w := infers(f, "flat", string(raw), "Inference-Header-Content-Length", "0")
	n, err := strconv.Atoi(w.Header().Get("Inference-Header-Content-Length"))
	if w.Code != 200 || err != nil {
		t.Fatalf("%d %v: %s", w.Code, err, w.Body)
	}
	if got := w.Body.Bytes()[n:]; !bytes.Equal(got, raw) {
		t.Errorf("got %x, want %x", got, raw)
	}
	wantError(t, infers(f, "addsub", string(raw), "Inference-Header-Content-Length", "0"), 400, fault.Invalid)
	for _, header := range []string{"-1", "+5", "1e1", "", "x", "99999999999", "500"} {
		wantError(t, infers(f, "addsub", addsubBody, "Inference-Header-Content-Length", header), 400, fault.Invalid)
	}
	wantError(t, infers(f, "addsub", addsubBody, "Inference-Header-Content-Length", "5", "Inference-Header-Content-Length", "6"), 400, fault.Invalid)
}

func TestContentTypes(t *testing.T) {
	f := newFixture(t, nil)
	for ct, want := range map[string]int{
		"application/json": 200, "application/json; charset=UTF-8": 200, "Application/JSON": 200, "application/octet-stream": 200,
		"application/json; charset=latin1": 415, "text/plain": 415, "application/x-www-form-urlencoded": 200,
		"multipart/form-data; boundary=x": 415, "application/jsonx": 415, ";;": 415,
	} {
		w := do(f, "POST", "/v2/models/addsub/infer", addsubBody, "Content-Type", ct)
		if w.Code != want {
			t.Errorf("%q: %d, want %d: %s", ct, w.Code, want, w.Body)
		}
	}
	if w := do(f, "POST", "/v2/models/addsub/infer", addsubBody); w.Code != 200 {
		t.Errorf("no content type: %d, want 200", w.Code)
	}
	for _, mark := range []string{"Origin", "Sec-Fetch-Site"} {
		if w := do(f, "POST", "/v2/models/addsub/infer", addsubBody, mark, "cross-site"); w.Code != 415 {
			t.Errorf("a browser without a content type: %d, want 415", w.Code)
		}
		if w := do(f, "POST", "/v2/models/addsub/infer", addsubBody, mark, "x", "Content-Type", "application/x-www-form-urlencoded"); w.Code != 415 {
			t.Errorf("a browser's form: %d, want 415", w.Code)
		}
		if w := infers(f, "addsub", addsubBody, mark, "same-origin"); w.Code != 200 {
			t.Errorf("a page that sends JSON: %d, want 200", w.Code)
		}
	}
	w := infers(f, "addsub", addsubBody, "Accept", "image/png")
	if w.Code != 200 || w.Header().Get("Content-Type") != "application/json" {
		t.Errorf("Accept is not negotiated: %d %v", w.Code, w.Header())
	}
}

func TestRequestCompression(t *testing.T) {
	f := newFixture(t, nil)
	zipped, flated := gzipped(t, []byte(addsubBody)), deflated(t, []byte(addsubBody))
	broken := []byte(zipped)
	broken[len(broken)-5] ^= 1 // in the CRC
	tests := []struct {
		name, coding, body string
		status             int
		code               fault.Code
	}{
		{"gzip", "gzip", zipped, 200, 0},
		{"x-gzip", "X-GZip", zipped, 200, 0},
		{"deflate", "deflate", flated, 200, 0},
		{"identity", "identity", addsubBody, 200, 0},
		{"two gzip members", "gzip", gzipped(t, []byte(addsubBody[:20])) + gzipped(t, []byte(addsubBody[20:])), 200, 0},
		{"unknown", "br", zipped, 415, fault.UnsupportedMedia},
		{"twice", "gzip, gzip", gzipped(t, []byte(zipped)), 415, fault.UnsupportedMedia},
		{"gzip in gzip", "gzip", gzipped(t, []byte(zipped)), 400, fault.Invalid},
		{"not gzip", "gzip", addsubBody, 400, fault.Invalid},
		{"not deflate", "deflate", addsubBody, 400, fault.Invalid},
		{"empty gzip body", "gzip", "", 400, fault.Invalid},
		{"truncated gzip", "gzip", zipped[:len(zipped)-10], 400, fault.Invalid},
		{"gzip header only", "gzip", zipped[:10], 400, fault.Invalid},
		{"truncated deflate", "deflate", flated[:len(flated)-5], 400, fault.Invalid},
		{"wrong CRC", "gzip", string(broken), 400, fault.Invalid},
		{"junk after gzip", "gzip", zipped + "junk", 400, fault.Invalid},
		{"junk after deflate", "deflate", flated + "junk", 400, fault.Invalid},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := infers(f, "addsub", tt.body, "Content-Encoding", tt.coding)
			if tt.status == 200 {
				decode(t, w)
				return
			}
			wantError(t, w, tt.status, tt.code)
		})
	}
}

func TestResponseCompression(t *testing.T) {
	f := newFixture(t, nil)
	values := make([]float32, 4096)
	body, _, err := codec.EncodeRequest(nil, &infer.Request{Inputs: []tensor.Tensor{tensor.Of("x", []int64{4096}, values)}}, false)
	if err != nil {
		t.Fatal(err)
	}
	plain := infers(f, "flat", string(body)).Body.String()
	for accept, want := range map[string]string{
		"gzip": "gzip", "deflate": "deflate", "gzip, deflate": "gzip", "deflate, gzip;q=0.5": "deflate", "deflate;q=0.5, gzip;q=0.5": "gzip",
		"*": "gzip", "br": "", "gzip;q=0": "", "gzip;q=x": "", "gzip;q=2": "", "": "", "identity, x-gzip": "gzip", "GZIP;Q=1": "gzip",
	} {
		w := infers(f, "flat", string(body), "Accept-Encoding", accept)
		h := w.Header()
		if got := h.Get("Content-Encoding"); w.Code != 200 || got != want || h.Get("Vary") != "Accept-Encoding" {
			t.Fatalf("%q: %d encoding %q, want %q", accept, w.Code, got, want)
		}
		if got := h.Get("Content-Length"); got != strconv.Itoa(w.Body.Len()) {
			t.Errorf("%q: Content-Length %s for %d bytes", accept, got, w.Body.Len())
		}
		var r io.Reader = w.Body
		switch want {
		case "gzip":
			if r, err = gzip.NewReader(w.Body); err != nil {
				t.Fatal(err)
			}
		case "deflate":
			if r, err = zlib.NewReader(w.Body); err != nil {
				t.Fatal(err)
			}
		}
		if got, err := io.ReadAll(r); err != nil || string(got) != plain {
			t.Errorf("%q: %v, %d bytes, want the %d bytes that come without compression", accept, err, len(got), len(plain))
		}
	}
	if got := infers(f, "addsub", addsubBody, "Accept-Encoding", "gzip").Header().Get("Content-Encoding"); got != "" {
		t.Errorf("a small answer was compressed: %q", got)
	}
}

func TestBodyLimits(t *testing.T) {
	const limit = 2 << 20
	f := newFixture(t, &oip.Options{Limits: &codec.Limits{Body: limit}})
	fill := func(n int) string { return addsubBody + strings.Repeat(" ", n-len(addsubBody)) }
	tests := []struct {
		name   string
		body   string
		header []string
		status int
	}{
		{"the limit", fill(limit), nil, 200},
		{"one more", fill(limit + 1), nil, 413},
		{"the limit in gzip", gzipped(t, []byte(fill(1<<20))), []string{"Content-Encoding", "gzip"}, 200},
		{"one more in gzip", gzipped(t, []byte(fill(limit+1))), []string{"Content-Encoding", "gzip"}, 413},
		{"bomb", gzipped(t, make([]byte, 64<<20)), []string{"Content-Encoding", "gzip"}, 413},
		{"deflate bomb", deflated(t, make([]byte, 64<<20)), []string{"Content-Encoding", "deflate"}, 413},
		{"ratio", gzipped(t, []byte(fill(limit))), []string{"Content-Encoding", "gzip"}, 413},
	}
	for _, tt := range tests {
		for _, known := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, length known: %v", tt.name, known), func(t *testing.T) {
				r := httptest.NewRequest("POST", "/v2/models/addsub/infer", strings.NewReader(tt.body))
				if !known {
					r.ContentLength, r.TransferEncoding = -1, []string{"chunked"}
				}
				for i := 0; i+1 < len(tt.header); i += 2 {
					r.Header.Set(tt.header[i], tt.header[i+1])
				}
				w := httptest.NewRecorder()
				f.ServeHTTP(w, r)
				if tt.status == 413 {
					wantError(t, w, 413, fault.TooLarge)
					if got := w.Header().Get("Connection"); got != "close" {
						t.Errorf("Connection: %q, want close: the rest of the body is of no use", got)
					}
					return
				}
				decode(t, w)
			})
		}
	}
}

// 200 promises of 16 MiB are six times the memory set aside for bodies: only
// what arrives may count, and it must be given back.
func TestMemoryGrowsWithWhatArrives(t *testing.T) {
	f := newFixture(t, nil)
	const n = 200
	began, end := make(chan struct{}), make(chan struct{})
	done := make(chan *httptest.ResponseRecorder)
	for range n {
		go func() {
			body := &promise{began: began, end: end}
			r := httptest.NewRequest("POST", "/v2/models/addsub/infer", body)
			r.ContentLength = 16 << 20
			w := httptest.NewRecorder()
			f.ServeHTTP(w, r)
			done <- w
		}()
	}
	for range n {
		<-began // all of them wait for their bodies at once
	}
	decode(t, infers(f, "addsub", addsubBody))
	close(end)
	for range n {
		wantError(t, <-done, 400, fault.Invalid)
	}
}

// promise is a body that breaks off when it is told to.
type promise struct{ began, end chan struct{} }

func (p *promise) Read([]byte) (int, error) {
	p.began <- struct{}{}
	<-p.end
	return 0, io.ErrUnexpectedEOF
}

func TestBodyMemoryIsShared(t *testing.T) {
	f := newFixture(t, &oip.Options{BodyMemory: 1 << 20, Limits: &codec.Limits{Body: 1 << 20}})
	began, end := make(chan struct{}), make(chan struct{})
	f.use(func(ctx context.Context, req *infer.Request) (*infer.Response, error) {
		began <- struct{}{}
		<-end
		return nil, fault.New(fault.Invalid, "", "", "done")
	})
	big := addsubBody + strings.Repeat(" ", 600<<10)
	first := make(chan *httptest.ResponseRecorder)
	go func() { first <- infers(f, "addsub", big) }()
	<-began
	w := infers(f, "addsub", big)
	wantError(t, w, 503, fault.Unavailable)
	close(end)
	wantError(t, <-first, 400, fault.Invalid)
	f.use(nil)
	decode(t, infers(f, "addsub", big)) // what was held has been given back
}

func TestNaNPolicy(t *testing.T) {
	const body = `{"inputs":[{"name":"x","shape":[1],"datatype":"FP32","data":[1]}]}`
	w := infers(newFixture(t, nil), "nan", body)
	wantError(t, w, 422, fault.Unprocessable)
	if !strings.Contains(w.Body.String(), `\"y\"`) {
		t.Errorf("the error does not name the output: %s", w.Body)
	}
	w = infers(newFixture(t, &oip.Options{NaN: codec.NaNNull}), "nan", body)
	if w.Code != 200 || !strings.Contains(w.Body.String(), `"data":[null]`) {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

// Every code has its status on the wire, and those that blame the server keep their cause.
func TestHandlerErrors(t *testing.T) {
	f := newFixture(t, nil)
	for _, code := range fault.Codes() {
		f.use(func(context.Context, *infer.Request) (*infer.Response, error) {
			return nil, fmt.Errorf("around: %w", fault.New(code, "user.Op", "the subject", "cause %s", secret).WithHint("Do this."))
		})
		w := infers(f, "addsub", addsubBody)
		wantError(t, w, code.HTTP(), code)
		if hidden := !strings.Contains(w.Body.String(), "db-7"); hidden != (code.HTTP() == 500) {
			t.Errorf("%v: cause hidden: %v", code, hidden)
		}
	}
	for _, bad := range []infer.HandlerFunc{
		func(context.Context, *infer.Request) (*infer.Response, error) { return nil, errors.New(secret) },
		func(context.Context, *infer.Request) (*infer.Response, error) { return nil, nil },
		func(context.Context, *infer.Request) (*infer.Response, error) { panic(secret) },
		func(context.Context, *infer.Request) (*infer.Response, error) { panic(errors.New(secret)) },
	} {
		f.use(bad)
		w := infers(f, "addsub", addsubBody)
		wantError(t, w, 500, fault.Internal)
		for _, leak := range []string{"db-7", ".go", "goroutine", "/srv"} {
			if strings.Contains(w.Body.String(), leak) {
				t.Errorf("the body holds %q: %s", leak, w.Body)
			}
		}
		if w.Header().Get("X-Request-Id") == "" {
			t.Error("no request id to look for in the log")
		}
		f.use(nil)
		decode(t, infers(f, "addsub", addsubBody))
	}
	if !strings.Contains(f.log.String(), "infer_test.go") {
		t.Error("the log lacks the stack of the panic")
	}
}

func TestConcurrentRequestsDoNotMix(t *testing.T) {
	f := newFixture(t, nil)
	errs := make(chan error)
	const n = 8
	for g := range n {
		go func() {
			for i := range 50 {
				v := float64(g*1000 + i)
				body := fmt.Sprintf(`{"id":"%d","inputs":[{"name":"x","shape":[2],"datatype":"FP32","data":[%g,%g]}]}`, g*1000+i, v, -v)
				w := infers(f, "flat", body)
				var a answer
				if err := json.Unmarshal(w.Body.Bytes(), &a); err != nil || a.ID != strconv.Itoa(g*1000+i) || a.Outputs[0].Data[0] != v || a.Outputs[0].Data[1] != -v {
					errs <- fmt.Errorf("asked %s, got %s", body, w.Body)
					return
				}
			}
			errs <- nil
		}()
	}
	for range n {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
}

func FuzzInfer(f *testing.F) {
	fix := newFixture(f, nil)
	f.Add([]byte(addsubBody), "", "")
	f.Add([]byte(gzipped(f, []byte(addsubBody))), "gzip", "")
	f.Add([]byte(deflated(f, []byte(addsubBody))), "deflate", "")
	f.Add([]byte("\x00\x00\x80\x3f"), "", "0")
	f.Fuzz(func(t *testing.T, body []byte, coding, header string) {
		for _, model := range []string{"addsub", "flat", "text"} {
			r := httptest.NewRequest("POST", "/v2/models/"+model+"/infer", bytes.NewReader(body))
			if coding != "" {
				r.Header["Content-Encoding"] = []string{coding}
			}
			if header != "" {
				r.Header["Inference-Header-Content-Length"] = []string{header}
			}
			w := httptest.NewRecorder()
			fix.ServeHTTP(w, r)
			if w.Code >= 500 {
				t.Errorf("%d: %s", w.Code, w.Body)
			}
		}
	})
}

// The ratio is the server's to set: hexadecimal digits shrink to about half.
func TestCompressionRatioIsAnOption(t *testing.T) {
	digits := make([]byte, 1<<20)
	r := rand.New(rand.NewPCG(1, 2))
	for i := range digits {
		digits[i] = "0123456789abcdef"[r.IntN(16)]
	}
	body := strings.Replace(addsubBody, "{", `{"note":"`+string(digits)+`",`, 1)
	for ratio, want := range map[int]int{0: 200, 3: 200, 1: 413} {
		w := infers(newFixture(t, &oip.Options{CompressionRatio: ratio}), "addsub", gzipped(t, []byte(body)), "Content-Encoding", "gzip")
		if w.Code != want {
			t.Errorf("ratio %d: %d, want %d: %.200s", ratio, w.Code, want, w.Body)
		}
	}
}
