package azurefunctions_test

import (
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"

	"godwit.dev/adapters/azurefunctions"
	"godwit.dev/runtime/fault"
)

func files(all map[string]string) fstest.MapFS {
	fs := fstest.MapFS{}
	for name, text := range all {
		fs[name] = &fstest.MapFile{Data: []byte(text)}
	}
	return fs
}

func TestReadApp(t *testing.T) {
	got, err := azurefunctions.ReadApp(files(map[string]string{
		"host.json":             `{"version":"2.0","functionTimeout":"1.02:03:04.5","extensions":{"http":{"routePrefix":""}}}`,
		"predict/function.json": `{"bindings":[{"type":"httpTrigger","direction":"in","name":"req"},{"type":"http","direction":"out","name":"res"}]}`,
		"bus/function.json":     `{"bindings":[{"type":"queue","direction":"out","name":"results"},{"type":"serviceBusTrigger","name":"m","topicName":"t","subscriptionName":"s","cardinality":"many"}]}`,
		"blob/function.json":    `{"bindings":[{"type":"blobTrigger","direction":"in","name":"b","path":"c/{name}","dataType":"binary"},{"type":"queue","direction":"out","name":"other"}]}`,
		"lib/readme.md":         "x",
		"handler":               "\x7fELF",
	}))
	if err != nil {
		t.Fatal(err)
	}
	want := &azurefunctions.App{
		Timeout: 26*time.Hour + 3*time.Minute + 4500*time.Millisecond,
		Functions: map[string]azurefunctions.Function{
			"predict": {Trigger: "httpTrigger", Input: "req", Output: "res"},
			"bus":     {Trigger: "serviceBusTrigger", Input: "m", Source: "t/s", Many: true, Results: true},
			"blob":    {Trigger: "blobTrigger", Input: "b", Source: "c/{name}", Binary: true},
		},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestReadAppRefuses(t *testing.T) {
	host := func(timeout string) map[string]string {
		return map[string]string{"host.json": `{"functionTimeout":"` + timeout + `"}`}
	}
	for name, c := range map[string]struct {
		files map[string]string
		want  string
	}{
		"no host.json":    {nil, "host.json"},
		"no JSON":         {map[string]string{"host.json": "x"}, "host.json"},
		"a large file":    {map[string]string{"host.json": strings.Repeat(" ", 1<<20+1)}, "want at most 1048576 bytes"},
		"a bad function":  {map[string]string{"host.json": "{}", "f/function.json": "[]"}, "f/function.json"},
		"no trigger":      {map[string]string{"host.json": "{}", "f/function.json": "{}"}, "f/function.json: want a binding whose type ends with Trigger, got none"},
		"two triggers":    {map[string]string{"host.json": "{}", "f/function.json": `{"bindings":[{"type":"aTrigger"},{"type":"bTrigger"}]}`}, `want one trigger, got "aTrigger" and "bTrigger"`},
		"no time":         {host("soon"), `got "soon"`},
		"minutes alone":   {host("10:00"), `got "10:00"`},
		"no such minute":  {host("00:60:00"), `got "00:60:00"`},
		"no such second":  {host("00:00:60"), `got "00:00:60"`},
		"a unit":          {host("00:00:5m"), `got "00:00:5m"`},
		"a negative time": {host("-00:10:00"), `got "-00:10:00"`},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := azurefunctions.ReadApp(files(c.files))
			if fault.CodeOf(err) != fault.BadConfig || !strings.Contains(err.Error(), c.want) {
				t.Errorf("want bad_config and %q, got %v", c.want, err)
			}
		})
	}
	if _, err := azurefunctions.ReadApp(files(map[string]string{"host.json": "{}" + strings.Repeat(" ", 1<<20-2)})); err != nil {
		t.Errorf("a file as large as one may be: %v", err)
	}
	app, err := azurefunctions.ReadApp(files(host("-1")))
	if err != nil || app.Timeout != 0 || app.RoutePrefix != "api" {
		t.Errorf("want the defaults, got %+v, %v", app, err)
	}
}

func TestAddress(t *testing.T) {
	for _, c := range []struct {
		env  map[string]string
		want string
	}{
		{map[string]string{"FUNCTIONS_CUSTOMHANDLER_PORT": "5000", "FUNCTIONS_HTTPWORKER_PORT": "6000", "PORT": "7000"}, "127.0.0.1:5000"},
		{map[string]string{"FUNCTIONS_HTTPWORKER_PORT": "6000"}, "127.0.0.1:6000"},
		{nil, "127.0.0.1:8080"},
	} {
		if got := azurefunctions.Address(func(name string) string { return c.env[name] }); got != c.want {
			t.Errorf("%v: got %s, want %s", c.env, got, c.want)
		}
	}
}
