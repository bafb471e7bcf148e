package sagemaker_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"godwit.dev/adapters/adaptertest"
	"godwit.dev/adapters/httpserve"
	"godwit.dev/adapters/sagemaker"
)

func TestRoutes(t *testing.T) {
	s := adaptertest.For(t, nil)
	const (
		body   = `{"inputs":[{"name":"x","shape":[1,3],"datatype":"FP32","data":[1,2,3]}]}`
		header = `{"inputs":[{"name":"x","shape":[1,3],"datatype":"INT8","parameters":{"binary_data_size":3}}],"parameters":{"binary_data_output":true}}`
		attrs  = "X-Amzn-SageMaker-Custom-Attributes"
		target = "X-Amzn-SageMaker-Target-Model"
		json   = "Content-Type: application/json"
		csv    = "Content-Type: text/csv"
	)
	one := &sagemaker.Options{Model: "echo-FP32"}
	of := func(model string) *sagemaker.Options { return &sagemaker.Options{Model: model, Transforms: 2} }
	for name, c := range map[string]struct {
		opts         *sagemaker.Options
		method, path string
		headers      []string
		body         string
		status       int
		want         string // within the answer; begins with "=": the whole
	}{
		"a ping":                   {nil, "GET", "/ping", nil, "", 200, "="},
		"a POST to ping":           {nil, "POST", "/ping", nil, "", 405, "GET, OPTIONS"},
		"the only model":           {one, "POST", "/invocations", []string{json}, body, 200, `"model_name":"echo-FP32"`},
		"a GET":                    {one, "GET", "/invocations", nil, "", 405, "POST"},
		"none of several":          {nil, "POST", "/invocations", []string{json}, body, 400, "CustomAttributes model=NAME"},
		"by attributes":            {nil, "POST", "/invocations", []string{json, attrs + ": model=echo-FP32&version=1"}, body, 200, `"model_version":"1"`},
		"attributes of others":     {one, "POST", "/invocations", []string{json, attrs + ": trace-id: 7%"}, body, 200, `"model_name":"echo-FP32"`},
		"a version alone":          {one, "POST", "/invocations", []string{json, attrs + ": version=2"}, body, 404, "not_found"},
		"attributes that are none": {one, "POST", "/invocations", []string{json, attrs + ": model=%zz"}, body, 400, "encoded as in a URL"},
		"two models":               {one, "POST", "/invocations", []string{json, attrs + ": model=a&model=b"}, body, 400, "each once"},
		"by target":                {nil, "POST", "/invocations", []string{json, target + ": echo-FP32"}, body, 200, `"model_name":"echo-FP32"`},
		"target and attributes":    {nil, "POST", "/invocations", []string{json, target + ": echo-FP32", attrs + ": model=text"}, body, 400, "want one model"},
		"a name like a path":       {nil, "POST", "/invocations", []string{json, target + ": ../x"}, body, 400, "invalid"},
		"JSON Lines":               {one, "POST", "/invocations", []string{"Content-Type: application/jsonlines; charset=utf-8"}, body, 200, `"Kind":"sagemaker"`},
		"another type":             {one, "POST", "/invocations", []string{"Content-Type: application/x-recordio-protobuf"}, body, 415, "application/json"},
		"binary tensors":           {of("echo-INT8"), "POST", "/invocations", []string{"Content-Type: " + sagemaker.BinaryType + "; json-header-size=134"}, header + "\x01\x02\x03", 200, "\x01\x02\x03"},
		"no length":                {of("echo-INT8"), "POST", "/invocations", []string{"Content-Type: " + sagemaker.BinaryType}, header + "\x01\x02\x03", 400, "Inference-Header-Content-Length"},
		"a length beyond":          {of("echo-INT8"), "POST", "/invocations", []string{"Content-Type: " + sagemaker.BinaryType + ";json-header-size=999"}, header + "\x01\x02\x03", 400, "invalid"},
		"a raw tensor":             {of("text"), "POST", "/invocations", []string{"Content-Type: " + sagemaker.BinaryType + ";json-header-size=0"}, "\x01\x00\x00\x00a", 200, "\x01\x00\x00\x00a"},
		"the protocol's route":     {nil, "POST", "/v2/models/echo-FP32/infer", []string{json}, body, 200, `"model_name":"echo-FP32"`},

		"rows":                 {of("echo-INT64"), "POST", "/invocations", []string{csv, "Accept: text/csv"}, "9223372036854775807,2,3\r\n4, 5 ,-6\n", 200, "=9223372036854775807,2,3\n4,5,-6\n"},
		"rows, answered JSON":  {of("echo-FP32"), "POST", "/invocations", []string{csv}, "0.1,1e-3,3", 200, `"data":[0.1,0.001,3]`},
		"a header line":        {of("echo-FP32"), "POST", "/invocations", []string{"Content-Type: text/csv; charset=UTF-8; header=present", "Accept: text/csv; q=1, */*"}, "a,b,c\n1,2,3", 200, "=1,2,3\n"},
		"only a header line":   {of("echo-FP32"), "POST", "/invocations", []string{"Content-Type: text/csv; header=present"}, "a,b,c", 400, "got nothing"},
		"a header unannounced": {of("echo-FP32"), "POST", "/invocations", []string{csv}, "a,b,c\n1,2,3", 400, `line 1, column 1: want a number, got \"a\"`},
		"labels":               {of("echo-FP32"), "POST", "/invocations", []string{"Content-Type: text/csv; label_size=1"}, "1,2,3", 415, "label_size=1"},
		"a parameter torn":     {of("echo-FP32"), "POST", "/invocations", []string{"Content-Type: text/csv; ="}, "1,2,3", 415, "unsupported_media"},
		"a short row":          {of("echo-FP32"), "POST", "/invocations", []string{csv}, "1,2,3\n1,2\n", 400, "line 2: want 3 columns as in line 1, got 2"},
		"an empty line":        {of("echo-FP32"), "POST", "/invocations", []string{csv}, "1,2,3\n\n", 400, `line 2, column 1: want a number`},
		"too many columns":     {of("echo-FP32"), "POST", "/invocations", []string{csv}, "1,2,3,4", 400, "[1 4]"},
		"a range":              {of("echo-INT8"), "POST", "/invocations", []string{csv}, "1,2,300", 400, "INT8 (-128 to 127)"},
		"not a JSON number":    {of("echo-FP32"), "POST", "/invocations", []string{csv}, "1,02,NaN", 400, `column 2: want a number, got \"02\"`},
		"nothing":              {of("echo-FP32"), "POST", "/invocations", []string{csv}, "", 400, "got nothing"},
		"rows for two inputs":  {of("addsub"), "POST", "/invocations", []string{csv}, "1,2,3", 415, "application/json"},
		"rows of texts":        {of("echo-BYTES"), "POST", "/invocations", []string{csv}, "1,2,3", 415, "application/json"},
		"rows compressed":      {of("echo-FP32"), "POST", "/invocations", []string{csv, "Content-Encoding: br"}, "1,2,3", 415, "gzip"},

		"parameters of rows":    {of("echo-FP32"), "GET", "/execution-parameters", nil, "", 200, `{"MaxConcurrentTransforms":2,"BatchStrategy":"MULTI_RECORD","MaxPayloadInMB":6}`},
		"parameters of others":  {of("addsub"), "GET", "/execution-parameters", nil, "", 200, `"BatchStrategy":"SINGLE_RECORD"`},
		"parameters of several": {nil, "GET", "/execution-parameters", nil, "", 200, `{"MaxConcurrentTransforms":1,"BatchStrategy":"SINGLE_RECORD"`},

		"the models":            {nil, "GET", "/models", nil, "", 200, `{"modelName":"addsub","modelUrl":"/opt/ml/model"}`},
		"a model":               {nil, "GET", "/models/addsub", nil, "", 200, "={\"modelName\":\"addsub\",\"modelUrl\":\"/opt/ml/model\"}\n"},
		"no such model":         {nil, "GET", "/models/none", nil, "", 404, "not_found"},
		"a model like a path":   {nil, "GET", "/models/..%2Fx", nil, "", 400, "invalid"},
		"invoke":                {nil, "POST", "/models/echo-FP32/invoke", []string{json}, body, 200, `"model_name":"echo-FP32"`},
		"invoke rows":           {nil, "POST", "/models/echo-FP32/invoke", []string{csv}, "1,2,3", 200, `"data":[1,2,3]`},
		"invoke none":           {nil, "POST", "/models/none/invoke", []string{json}, body, 404, "not_found"},
		"invoke no name":        {nil, "POST", "/models//invoke", []string{json}, body, 400, "want /models/NAME/invoke"},
		"invoke a path":         {nil, "POST", "/models/..%2Fx/invoke", []string{json}, body, 400, "invalid"},
		"load what is there":    {nil, "POST", "/models", []string{json}, `{"model_name":"addsub","url":"/opt/ml/models/a/model"}`, 409, "already"},
		"load another":          {nil, "POST", "/models", []string{json}, `{"model_name":"b","url":"/opt/ml/models/b/model"}`, 501, "fixed"},
		"load nothing":          {nil, "POST", "/models", []string{json}, `{}`, 400, "model_name"},
		"load too much":         {nil, "POST", "/models", []string{json}, strings.Repeat(" ", 65<<10), 413, "65536"},
		"unload":                {nil, "DELETE", "/models/addsub", nil, "", 501, "fixed"},
		"unload all":            {nil, "DELETE", "/models", nil, "", 405, "GET"},
		"an unknown route":      {nil, "GET", "/modelsx", nil, "", 404, "no such route"},
		"an answer of integers": {of("scalar-INT32"), "POST", "/invocations", []string{csv, "Accept: text/csv"}, "1", 415, "application/json"},
	} {
		t.Run(name, func(t *testing.T) {
			w := adaptertest.Ask(sagemaker.New(s.API, s.Events, c.opts), c.method, c.path, c.body, c.headers...)
			adaptertest.Answered(t, w, c.status, c.want)
			if n := w.Header().Get("Inference-Header-Content-Length"); n != "" && !strings.HasPrefix(c.path, "/v2") {
				t.Errorf("want the length in the content type, got a header that would be lost, and %q", w.Header().Get("Content-Type"))
			}
		})
	}
	s.API.Drain()
	adaptertest.Answered(t, adaptertest.Ask(sagemaker.New(s.API, nil, nil), http.MethodGet, "/ping", ""), http.StatusServiceUnavailable, "")
}

func TestContainer(t *testing.T) {
	env := map[string]string{}
	getenv := func(name string) string { return env[name] }
	if got := sagemaker.Address(getenv); got != ":8080" || sagemaker.Here(getenv) {
		t.Errorf("address %s and here %t, want :8080 and false", got, sagemaker.Here(getenv))
	}
	env["SAGEMAKER_BIND_TO_PORT"] = "18080"
	if got := sagemaker.Address(getenv); got != ":18080" || !sagemaker.Here(getenv) {
		t.Errorf("address %s and here %t, want :18080 and true", got, sagemaker.Here(getenv))
	}
	o := httpserve.Options{Drain: time.Hour}
	sagemaker.Limits(&o)
	if !o.NoGRPC || o.Drain <= 0 || o.Drain.Seconds() >= 30 {
		t.Errorf("limits %+v, want no gRPC and to be drained before 30 s", o)
	}
}
