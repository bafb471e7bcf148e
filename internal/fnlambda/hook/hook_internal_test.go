package hook

import (
	"strings"
	"testing"

	"godwit.dev/runtime/fault"
)

func FuzzEvent(f *testing.F) {
	f.Add([]byte(`{"DeploymentId":"d-ABC","LifecycleEventHookExecutionId":"eyJ+token/="}`))
	f.Add([]byte(`{"DeploymentId":"d-ABC","deploymentid":"","LifecycleEventHookExecutionId":"e","CombinedDeploymentId":[{}]}`))
	f.Add([]byte(`null`))
	f.Add([]byte(`{"DeploymentId":"\ud800","LifecycleEventHookExecutionId":"\u0000"}`))
	f.Fuzz(func(t *testing.T, payload []byte) {
		e, err := decode(payload)
		switch {
		case err != nil && fault.CodeOf(err) != fault.Invalid:
			t.Errorf("%v", err)
		case err == nil && (e.Deployment == "" || e.Execution == "" || len(e.Deployment) > maxID || len(e.Execution) > maxID):
			t.Errorf("%+v", e)
		}
	})
}

// Where services answer that no variable names.
func TestAddresses(t *testing.T) {
	none := func(string) string { return "" }
	for region, want := range map[string]string{"eu-west-1": "https://codedeploy.eu-west-1.amazonaws.com", "": "https://codedeploy.us-east-1.amazonaws.com", "cn-north-1": "https://codedeploy.cn-north-1.amazonaws.com.cn"} {
		if u, err := address("codedeploy", region, none); err != nil || u.String() != want {
			t.Errorf("%q: %v, %v", region, u, err)
		}
	}
	if _, err := address("lambda", strings.Repeat("a", 64), none); fault.CodeOf(err) != fault.BadConfig {
		t.Errorf("%v", err)
	}
}
