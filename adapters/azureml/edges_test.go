package azureml_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"godwit.dev/adapters/adaptertest"
	"godwit.dev/adapters/azureml"
	"godwit.dev/adapters/httpserve"
	"godwit.dev/adapters/oip"
)

const rawBody = `{"inputs":[{"name":"x","shape":[1,3],"datatype":"FP32","data":[1,2,3]}]}`

// What the query names stays one name, and the rest of it does not go on.
func TestNamesInTheQuery(t *testing.T) {
	s := adaptertest.For(t, nil)
	for target, want := range map[string]string{
		"/score?model=a%2Fb":                            `model \"a/b\"`,
		"/score?model=a%25":                             `model \"a%\"`,
		"/score?model=a%20b":                            `model \"a b\"`,
		"/score?model=echo-FP32&version=1%2F2":          `version \"1/2\"`,
		"/score?model=echo-FP32&version=2":              `not_found`,
		"/score?model=echo-FP32&version=1&model=none":   `"model_version":"1"`,
		"/score?model=echo-FP32&x=1":                    `"model_name":"echo-FP32"`,
		"/v2/models/echo-FP32/versions/1/infer?model=a": `"model_name":"echo-FP32"`,
	} {
		w := adaptertest.Ask(azureml.New(s.API, nil), http.MethodPost, target, rawBody)
		adaptertest.Answered(t, w, w.Code, want)
		adaptertest.OneDocument(t, w)
	}
	adaptertest.Answered(t, adaptertest.Ask(azureml.New(s.API, nil), http.MethodGet, "/v2/health/live?x=1", ""), http.StatusOK, `"live":true`)
}

// Who may not ask learns that and nothing else, whatever is wrong with what they
// ask. Health is everybody's.
func TestAccessComesFirst(t *testing.T) {
	s := adaptertest.For(t, nil)
	for target, want := range map[string]int{
		"POST /score": 403, "POST /score?model=none": 403, "POST /score?model=..": 403, "GET /score": 403,
		"GET /v2/health/live": 200, "GET /v2/health/ready": 200,
	} {
		auth := &adaptertest.Refusing{}
		method, path, _ := strings.Cut(target, " ")
		w := adaptertest.Ask(azureml.New(oip.New(s.Models, nil, &oip.Options{Auth: auth}), nil), method, path, "x")
		if w.Code != want || want == 403 && len(auth.Scopes) != 1 || want == 200 && auth.Scopes != nil {
			t.Errorf("%s: want %d, got %d after %q: %s", target, want, w.Code, auth.Scopes, w.Body)
		}
	}
}

func TestLimits(t *testing.T) {
	for drain, want := range map[time.Duration]time.Duration{0: time.Second, 5 * time.Second: 5 * time.Second, time.Minute: 29 * time.Second} {
		o := httpserve.Options{Drain: drain}
		if azureml.Limits(&o); o.Drain != want || !o.NoGRPC {
			t.Errorf("drain %v: want %v and no gRPC, got %v, %t", drain, want, o.Drain, o.NoGRPC)
		}
	}
}
