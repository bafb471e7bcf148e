package cdk_test

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"godwit.dev/cdk"
)

// packaged is a function whose package is a zip of files besides its program.
func packaged(t *testing.T, yaml string, files map[string]string) *cdk.Function {
	t.Helper()
	dir := folder(t, yaml)
	all := map[string]string{"bootstrap": "x"}
	for name, text := range files {
		all[name] = text
	}
	f, err := cdk.Load(dir, &cdk.LoadOptions{Zip: pack(t, filepath.Join(dir, "m.zip"), all)})
	if err != nil {
		t.Fatal(err)
	}
	return f
}

var requests = map[string]string{"requests/m/1.json": "{}", "requests/m/1.want.json": "{}"}

// one is the only resource of a type whose id begins with prefix.
func one(t *testing.T, tpl map[string]any, typ, prefix string) (id string, r map[string]any) {
	t.Helper()
	for i, some := range resources(tpl, typ) {
		if strings.HasPrefix(i, prefix) {
			if r != nil {
				t.Fatalf("want one %s %s, got %s and %s", typ, prefix, id, i)
			}
			id, r = i, some
		}
	}
	if r == nil {
		t.Fatalf("want a %s %s, got none", typ, prefix)
	}
	return id, r
}

// statements are what a policy allows, a line for each.
func statements(t *testing.T, tpl map[string]any, prefix string) []string {
	t.Helper()
	_, policy := one(t, tpl, "AWS::IAM::ManagedPolicy", prefix)
	var all []string
	for _, s := range policy["Properties"].(map[string]any)["PolicyDocument"].(map[string]any)["Statement"].([]any) {
		s := s.(map[string]any)
		all = append(all, fmt.Sprintf("%v %v on %v", s["Sid"], s["Action"], flat(s["Resource"])))
	}
	return all
}

// flat is a value of a template as text; what CloudFormation hashes is left out.
func flat(v any) string {
	switch v := v.(type) {
	case map[string]any:
		if ref, ok := v["Ref"].(string); ok {
			return "${" + unhashed(ref) + "}"
		}
		if get, ok := v["Fn::GetAtt"].([]any); ok {
			return "${" + unhashed(get[0].(string)) + "." + get[1].(string) + "}"
		}
		if join, ok := v["Fn::Join"].([]any); ok {
			var parts []string
			for _, part := range join[1].([]any) {
				parts = append(parts, flat(part))
			}
			return strings.Join(parts, join[0].(string))
		}
	case []any:
		var parts []string
		for _, part := range v {
			parts = append(parts, flat(part))
		}
		return strings.Join(parts, ", ")
	}
	return fmt.Sprint(v)
}

// unhashed is a logical id without what CDK makes of its path.
func unhashed(id string) string {
	if i := strings.Index(id, "CurrentVersion"); i >= 0 {
		return id[:i+len("CurrentVersion")]
	}
	if strings.Contains(id, "::") || len(id) < 8 {
		return id
	}
	return id[:len(id)-8]
}

// A deployment goes as godwit.yaml says, ends with what is wrong with the new
// version alone, and asks it what is recorded first.
func TestRollout(t *testing.T) {
	for _, name := range []string{"AllAtOnce", "Canary10Percent5Minutes", "Linear10PercentEvery10Minutes"} {
		t.Run(name, func(t *testing.T) {
			tpl := synth(t, packaged(t, "targets: {awslambda: {api: url, rollout: "+name+"}}", requests))
			_, alias := one(t, tpl, "AWS::Lambda::Alias", "OnlineLive")
			hook, _ := one(t, tpl, "AWS::Lambda::Function", "RolloutHook")
			group, g := one(t, tpl, "AWS::CodeDeploy::DeploymentGroup", "Rollout")
			application, _ := one(t, tpl, "AWS::CodeDeploy::Application", "Rollout")
			ref := func(id string) any { return map[string]any{"Ref": id} }
			update := map[string]any{"CodeDeployLambdaAliasUpdate": map[string]any{
				"ApplicationName": ref(application), "DeploymentGroupName": ref(group), "BeforeAllowTrafficHook": ref(hook)}}
			if diff := cmp.Diff(update, alias["UpdatePolicy"]); diff != "" {
				t.Errorf("alias (-want +got):\n%s", diff)
			}
			got := g["Properties"].(map[string]any)
			alarms, events := []any{}, []any{"DEPLOYMENT_FAILURE", "DEPLOYMENT_STOP_ON_REQUEST"}
			if name != "AllAtOnce" {
				events = append(events, "DEPLOYMENT_STOP_ON_ALARM")
			}
			for _, prefix := range []string{"ObservabilityRolloutErrors", "ObservabilityRolloutDuration"} {
				if name == "AllAtOnce" { // both versions never have traffic at a time
					break
				}
				id, a := one(t, tpl, "AWS::CloudWatch::Alarm", prefix)
				alarms = append(alarms, map[string]any{"Name": ref(id)})
				text := fmt.Sprint(a["Properties"])
				if !strings.Contains(text, "ExecutedVersion") || strings.Count(text, "ExecutedVersion") != strings.Count(text, "Fn::GetAtt:[OnlineFunctionCurrentVersion") {
					t.Errorf("%s: want metrics of the new version alone, got %s", prefix, text)
				}
			}
			role, _ := one(t, tpl, "AWS::IAM::Role", "RolloutRole")
			want := map[string]any{
				"ApplicationName": ref(application), "DeploymentGroupName": "live", "DeploymentConfigName": "CodeDeployDefault.Lambda" + name,
				"AutoRollbackConfiguration": map[string]any{"Enabled": true, "Events": events},
				"DeploymentStyle":           map[string]any{"DeploymentOption": "WITH_TRAFFIC_CONTROL", "DeploymentType": "BLUE_GREEN"},
				"ServiceRoleArn":            map[string]any{"Fn::GetAtt": []any{role, "Arn"}},
			}
			if name != "AllAtOnce" {
				want["AlarmConfiguration"] = map[string]any{"Enabled": true, "Alarms": alarms}
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("group (-want +got):\n%s", diff)
			}
		})
	}
}

// CodeDeploy and the hook may do what a deployment takes, and nothing else; no
// policy is AWS's.
func TestRolloutPermissions(t *testing.T) {
	tpl := synth(t, packaged(t, "targets: {awslambda: {api: url, provisionedConcurrency: 2, rollout: Canary10Percent5Minutes}}", requests))
	want := map[string][]string{
		"RolloutRolePolicy": {
			"MoveAlias [lambda:GetAlias lambda:UpdateAlias] on ${OnlineFunction.Arn}",
			"AskHook lambda:InvokeFunction on ${RolloutHook.Arn}",
			"AwaitEnvironments lambda:GetProvisionedConcurrencyConfig on ${OnlineFunction.Arn}:live",
			"ReadAlarms cloudwatch:DescribeAlarms on ${ObservabilityRolloutErrors.Arn}, ${ObservabilityRolloutDuration.Arn}",
		},
		"RolloutHookRolePolicy": {
			"WriteLog [logs:CreateLogStream logs:PutLogEvents] on ${RolloutHookLog.Arn}",
			"AskNewVersion lambda:InvokeFunction on ${OnlineFunctionCurrentVersion}",
			"TellCodeDeploy codedeploy:PutLifecycleEventHookExecutionStatus on " +
				"arn:${AWS::Partition}:codedeploy:${AWS::Region}:${AWS::AccountId}:deploymentgroup:${RolloutApplication}/live",
		},
	}
	got := map[string][]string{}
	for policy := range want {
		got[policy] = statements(t, tpl, policy)
	}
	less := func(s []string) map[string]bool {
		all := map[string]bool{}
		for _, one := range s {
			all[one] = true
		}
		return all
	}
	for policy := range want {
		if diff := cmp.Diff(less(want[policy]), less(got[policy])); diff != "" {
			t.Errorf("%s (-want +got):\n%s", policy, diff)
		}
	}
	for id, r := range resources(tpl, "AWS::IAM::Role") {
		if p := r["Properties"].(map[string]any); p["ManagedPolicyArns"] != nil || p["Policies"] != nil {
			t.Errorf("%s: %v", id, p)
		}
	}
	// A deployment may begin as soon as the alias is changed.
	policy, _ := one(t, tpl, "AWS::IAM::ManagedPolicy", "RolloutHookRolePolicy")
	role, _ := one(t, tpl, "AWS::IAM::ManagedPolicy", "RolloutRolePolicy")
	_, alias := one(t, tpl, "AWS::Lambda::Alias", "")
	_, group := one(t, tpl, "AWS::CodeDeploy::DeploymentGroup", "")
	if !strings.Contains(fmt.Sprint(alias["DependsOn"]), policy) || !strings.Contains(fmt.Sprint(group["DependsOn"]), role) {
		t.Errorf("the alias waits for %v, the group for %v", alias["DependsOn"], group["DependsOn"])
	}
}

// The hook is the package, told which version to ask, without what the function has.
func TestHookFunction(t *testing.T) {
	tpl := synth(t, packaged(t, "targets: {awslambda: {api: url, env: {LEVEL: b}, reservedConcurrency: 3, logRetention: 7d}}", requests))
	_, online := one(t, tpl, "AWS::Lambda::Function", "Online")
	_, r := one(t, tpl, "AWS::Lambda::Function", "RolloutHook")
	hook := r["Properties"].(map[string]any)
	if diff := cmp.Diff(online["Properties"].(map[string]any)["Code"], hook["Code"]); diff != "" {
		t.Errorf("code (-want +got):\n%s", diff)
	}
	variables := hook["Environment"].(map[string]any)["Variables"].(map[string]any)
	if len(variables) != 1 || flat(variables["GODWIT_HOOK"]) != "${OnlineFunction}:${OnlineFunctionCurrentVersion.Version}" {
		t.Errorf("variables %v", variables)
	}
	if hook["MemorySize"] != 512.0 || hook["Timeout"] != 900.0 || hook["ReservedConcurrentExecutions"] != nil {
		t.Errorf("%v", hook)
	}
	if _, log := one(t, tpl, "AWS::Logs::LogGroup", "RolloutHookLog"); log["Properties"].(map[string]any)["RetentionInDays"] != 7.0 {
		t.Errorf("%v", log)
	}
	for id, p := range resources(tpl, "AWS::Lambda::Permission") {
		if strings.Contains(flat(p["Properties"].(map[string]any)["FunctionName"]), "RolloutHook") {
			t.Errorf("%s lets somebody call the hook: %v", id, p)
		}
	}
	// Where nothing is recorded there is nothing to ask.
	tpl = synth(t, packaged(t, "targets: {awslambda: {api: url}}", map[string]string{"requests/m/1.json": "{}"}))
	_, alias := one(t, tpl, "AWS::Lambda::Alias", "")
	if text := fmt.Sprint(alias["UpdatePolicy"]); strings.Contains(text, "Hook") || !strings.Contains(text, "CodeDeployLambdaAliasUpdate") || len(resources(tpl, "AWS::Lambda::Function")) != 1 {
		t.Errorf("%s", text)
	}
}

// A version is of a package and its function's settings: another package is
// another version, and one that was there before is the version that it was.
// Lambda publishes it only if its code has the package's digest.
func TestVersions(t *testing.T) {
	yaml := "targets: {awslambda: {api: url}}"
	version := func(f *cdk.Function) (string, map[string]any) {
		return one(t, synth(t, f), "AWS::Lambda::Version", "Online")
	}
	f := packaged(t, yaml, map[string]string{"model": "a"})
	a, r := version(f)
	b, _ := version(packaged(t, yaml, map[string]string{"model": "b"}))
	again, _ := version(packaged(t, yaml, map[string]string{"model": "a"}))
	larger, _ := version(packaged(t, "targets: {awslambda: {api: url, memory: 3GiB}}", map[string]string{"model": "a"}))
	if a == b || a != again || larger == a {
		t.Errorf("package a is %s, b %s, a again %s, with more memory %s", a, b, again, larger)
	}
	zip, err := os.ReadFile(f.Zip)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(zip)
	p := r["Properties"].(map[string]any)
	if p["Description"] != "sha256:"+hex.EncodeToString(sum[:]) || p["CodeSha256"] != base64.StdEncoding.EncodeToString(sum[:]) {
		t.Errorf("%v", p)
	}
	if r["DeletionPolicy"] != "Retain" || r["UpdateReplacePolicy"] != "Retain" {
		t.Errorf("want versions that stay, got %v and %v", r["DeletionPolicy"], r["UpdateReplacePolicy"])
	}
	_, r = version(load(t, "targets: {awslambda: {package: image}}"))
	p = r["Properties"].(map[string]any)
	if _, digest, _ := strings.Cut(image, "@"); p["Description"] != digest || p["CodeSha256"] != nil {
		t.Errorf("an image: %v", p)
	}
}

// Whoever calls goes through the alias.
func TestCallersGoThroughTheAlias(t *testing.T) {
	for api, want := range map[string]int{"http": 2, "rest": 2, "url": 1, "alb": 2} { // what calls it, and what lets that
		tpl := synth(t, packaged(t, "targets: {awslambda: {api: "+api+"}}", nil))
		alias, _ := one(t, tpl, "AWS::Lambda::Alias", "OnlineLive")
		function, _ := one(t, tpl, "AWS::Lambda::Function", "OnlineFunction")
		callers := 0
		for _, typ := range []string{"AWS::Lambda::Permission", "AWS::Lambda::Url", "AWS::ApiGatewayV2::Integration", "AWS::ApiGateway::Method", "AWS::ElasticLoadBalancingV2::TargetGroup"} {
			for id, r := range resources(tpl, typ) {
				text := fmt.Sprint(r["Properties"])
				if typ == "AWS::Lambda::Url" { // an alias has its function's name, and Qualifier
					text = strings.Replace(text, function, "", 1)
				}
				if strings.Contains(text, alias) || strings.Contains(text, "Qualifier:live") {
					callers++
				} else if strings.Contains(text, "lambda") {
					t.Errorf("%s: %s calls no alias: %s", api, id, text)
				}
				if strings.Contains(text, function) {
					t.Errorf("%s: %s calls the function: %s", api, id, text)
				}
			}
		}
		if callers < want {
			t.Errorf("%s: want %d that name the alias, got %d", api, want, callers)
		}
	}
}
