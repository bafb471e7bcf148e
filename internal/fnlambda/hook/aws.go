package hook

import (
	"cmp"
	"context"
	"encoding/json"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"godwit.dev/adapters/stores/awsauth"
	"godwit.dev/adapters/stores/wire"
	"godwit.dev/runtime/fault"
)

// services are the two of AWS that a hook calls.
type services struct{ lambda, codedeploy service }

type service struct {
	at     *url.URL
	client *wire.Client
}

func newServices(o *Options) (*services, error) {
	keys := awsauth.NewChain(&awsauth.Options{Getenv: o.Getenv})
	client := o.HTTP
	if client == nil {
		client = wire.NewHTTP()
		// An invocation is answered when the function has answered, which may take
		// its timeout; the context bounds it.
		client.Transport.(*http.Transport).ResponseHeaderTimeout = 0
	}
	var s services
	for name, to := range map[string]*service{"lambda": &s.lambda, "codedeploy": &s.codedeploy} {
		at, err := address(name, keys.Region(), o.Getenv)
		if err != nil {
			return nil, err
		}
		*to = service{at: at, client: &wire.Client{
			HTTP: client, Sign: sign(keys, name), Read: refusal, Hint: hint(name),
			// A function that is busy, or not quite there yet, gets half a minute.
			Attempts: 10,
		}}
	}
	return &s, nil
}

// address is where a service answers.
func address(name, region string, getenv func(string) string) (*url.URL, error) {
	region = cmp.Or(region, "us-east-1")
	for i := range len(region) {
		if b := region[i]; len(region) > 63 || !(b >= 'a' && b <= 'z' || b >= '0' && b <= '9' || b == '-') {
			return nil, fault.New(fault.BadConfig, "hook.New", "AWS_REGION", "want a region such as eu-west-1, got %q", clip(region))
		}
	}
	at := "https://" + name + "." + region + ".amazonaws.com"
	if strings.HasPrefix(region, "cn-") {
		at += ".cn"
	}
	variable := "AWS_ENDPOINT_URL_" + strings.ToUpper(name)
	at = cmp.Or(getenv(variable), getenv("AWS_ENDPOINT_URL"), at)
	u, err := url.Parse(at)
	// Credentials do not travel without TLS, but to this machine.
	if err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Scheme != "https" && !(u.Scheme == "http" && loopback(u.Hostname())) {
		return nil, fault.New(fault.BadConfig, "hook.New", variable, "want an https:// URL, got %q", clip(at))
	}
	return u, nil
}

// loopback reports whether host is this machine.
func loopback(host string) bool {
	a, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && a.Unmap().IsLoopback()
}

func sign(keys *awsauth.Chain, name string) func(context.Context, *http.Request, []byte) error {
	return func(ctx context.Context, req *http.Request, body []byte) error {
		k, err := keys.Credentials(ctx)
		if err == nil && k == nil {
			err = fault.New(fault.Unauthenticated, name, "", "want credentials of AWS, got none").WithHint("Give the hook a role.")
		}
		if err == nil {
			awsauth.Sign(req, k, name, cmp.Or(keys.Region(), "us-east-1"), awsauth.Sum(body), time.Now())
		}
		return err
	}
}

// refusal reads an error of either service.
func refusal(resp *http.Response, body []byte) (name, text string) {
	var e struct {
		Type    string `json:"__type"` // "com.amazonaws.codedeploy#Name"
		Message string // also "message"
	}
	_ = json.Unmarshal(body, &e) // what is no JSON has a status all the same
	name = cmp.Or(resp.Header.Get("X-Amzn-Errortype"), e.Type)
	name, _, _ = strings.Cut(name, ":")
	return name[strings.LastIndexByte(name, '#')+1:], e.Message
}

func hint(name string) func(fault.Code, string) string {
	action := "lambda:InvokeFunction"
	if name == "codedeploy" {
		action = "codedeploy:PutLifecycleEventHookExecutionStatus"
	}
	return func(code fault.Code, kind string) string {
		if code == fault.Denied || kind == "AccessDeniedException" {
			return "The hook's role needs " + action + "."
		}
		return ""
	}
}

// invoke is the version's answer to payload.
func (s *services) invoke(ctx context.Context, function, version string, payload []byte) ([]byte, error) {
	const op = "lambda.Invoke"
	a, body, err := s.lambda.client.Text(ctx, &wire.Call{
		Op: op, Key: function + ":" + version, Method: http.MethodPost, Body: payload,
		URL: func() *url.URL {
			return wire.At(s.lambda.at, "2015-03-31/functions/"+function+"/invocations", wire.Query("Qualifier", version))
		},
		Header: http.Header{"Content-Type": {"application/json"}, "X-Amz-Invocation-Type": {"RequestResponse"}},
	})
	if err != nil {
		return nil, err
	}
	if a.Header.Get("X-Amz-Function-Error") == "" {
		return body, nil
	}
	var e struct {
		Type    string `json:"errorType"`
		Message string `json:"errorMessage"`
	}
	_ = json.Unmarshal(body, &e) // of a process that was killed there may be nothing
	return nil, fault.New(fault.Mismatch, op, function+":"+version, "want an answer, got the error %s: %s", cmp.Or(clip(e.Type), "of no name"), clip(e.Message))
}

// tell tells CodeDeploy how the check ended.
func (s *services) tell(ctx context.Context, e *event, status string) error {
	body, err := json.Marshal(struct {
		Deployment string `json:"deploymentId"`
		Execution  string `json:"lifecycleEventHookExecutionId"`
		Status     string `json:"status"`
	}{e.Deployment, e.Execution, status})
	if err != nil {
		return fault.New(fault.Internal, "codedeploy.Tell", e.Deployment, "%w", err)
	}
	_, _, err = s.codedeploy.client.Text(ctx, &wire.Call{
		Op: "codedeploy.PutLifecycleEventHookExecutionStatus", Key: clip(e.Deployment), Method: http.MethodPost, Body: body,
		URL: func() *url.URL { return wire.At(s.codedeploy.at, "", "") },
		Header: http.Header{"Content-Type": {"application/x-amz-json-1.1"},
			"X-Amz-Target": {"CodeDeploy_20141006.PutLifecycleEventHookExecutionStatus"}},
	})
	if err != nil && strings.Contains(err.Error(), "LifecycleEventAlreadyCompletedException") {
		return nil // an earlier attempt got through
	}
	return err
}
