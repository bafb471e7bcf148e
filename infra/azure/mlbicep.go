package azure

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"godwit.dev/infra/render"
)

const mlVersion = "2025-12-01"

// template is the same in Bicep.
func (m *ml) template() *template {
	t := begin(m.d)
	t.add(&param{name: "workspaceName", typ: "string", about: "The Azure Machine Learning workspace, which is there."},
		&param{name: "location", typ: "string", about: "The region, which is the workspace's.", value: location(m.t.Location)})
	workspace := &resource{symbol: "workspace", typ: "Microsoft.MachineLearningServices/workspaces@" + mlVersion, existing: true, name: ref("workspaceName")}
	t.add(workspace)
	kind := func(below string) string {
		return "Microsoft.MachineLearningServices/workspaces/" + below + "@" + mlVersion
	}
	if m.batch() {
		t.add(&resource{
			symbol: "cluster", typ: kind("computes"), parent: workspace, name: m.cluster(), note: "Nothing runs, and nothing is paid for, between jobs.",
			body: of("location", ref("location"), "properties", of("computeType", "AmlCompute", "properties", of(
				"vmSize", m.t.InstanceType,
				"scaleSettings", of("minNodeCount", 0, "maxNodeCount", m.t.InstanceCount, "nodeIdleTimeBeforeScaleDown", "PT2M"),
			))),
		}, &resource{
			symbol: "endpoint", typ: kind("batchEndpoints"), parent: workspace, name: m.endpoint,
			body: of("location", ref("location"), "identity", of("type", "SystemAssigned"), "properties", of("authMode", "AADToken")),
		}, &output{"ENDPOINT_NAME", "string", ref("endpoint.name")})
		return t
	}
	environment := &resource{symbol: "image", typ: kind("environments"), parent: workspace, name: m.endpoint, body: of("properties", object{})}
	config := object{}
	for _, r := range mlRoutes {
		config.set(r.arm, of("path", r.path, "port", mlPort))
	}
	endpoint := &resource{
		symbol: "endpoint", typ: kind("onlineEndpoints"), parent: workspace, name: m.endpoint,
		note: "Callers show an Entra token, and need the right to score on this endpoint.",
		body: of("location", ref("location"), "identity", of("type", "SystemAssigned"),
			"properties", of("authMode", "AADToken", "publicNetworkAccess", enabled(m.t.PublicNetworkAccess))),
	}
	properties := of(
		"endpointComputeType", "Managed",
		"environmentId", ref("imageVersion.id"),
		"instanceType", m.t.InstanceType,
		"environmentVariables", m.settings(),
	)
	properties.set("requestSettings", of(
		"requestTimeout", iso(time.Duration(m.t.RequestTimeout)),
		"maxConcurrentRequestsPerInstance", m.t.MaxConcurrentRequests,
		"maxQueueWait", iso(time.Duration(m.t.MaxQueueWait)),
	), "The proxy in front passes on one request at a time unless it is told.")
	for _, p := range mlProbes {
		second := func(n int) string { return iso(time.Duration(n) * time.Second) }
		properties.set(p.arm, of("initialDelay", second(p.initial), "period", second(p.period), "timeout", second(p.timeout), "failureThreshold", p.fails, "successThreshold", 1))
	}
	properties.set("egressPublicNetworkAccess", enabled(m.t.PublicNetworkAccess))
	t.add(environment, &resource{
		symbol: "imageVersion", typ: kind("environments/versions"), parent: environment, name: m.version,
		body: of("properties", of("image", m.d.Image, "osType", "Linux", "inferenceConfig", config)),
	}, endpoint, &resource{
		symbol: "deployment", typ: kind("onlineEndpoints/deployments"), parent: endpoint, name: m.deployment,
		note: "Traffic is sent to it when it is up: README.md has the line.",
		body: of("location", ref("location"), "sku", of("name", "Default", "capacity", m.t.InstanceCount), "properties", properties),
	}, &output{"ENDPOINT_NAME", "string", ref("endpoint.name")}, &output{"SCORING_URI", "string", ref("endpoint.properties.scoringUri")})
	return t
}

// settings are the process's variables, sorted.
func (m *ml) settings() object {
	var o object
	all := m.variables("", "")
	for _, name := range sorted(all) {
		if m.t.Secrets[name] == "" {
			o.set(name, all[name])
			continue
		}
		rest := strings.TrimPrefix(all[name], "https://")
		vault, path, _ := strings.Cut(rest, ".vault.azure.net")
		o.set(name, text{"${{keyvault:https://" + vault, fn("environment").at("suffixes.keyvaultDns"), path + "}}"})
	}
	return o
}

func enabled(s string) string { return strings.ToUpper(s[:1]) + s[1:] }

// MLCommands is what deploys the files of RenderML, in their folder and into the
// group and workspace that az has as its defaults (az configure --defaults
// group=… workspace=…).
func MLCommands(d *render.Deployment) []render.Command {
	m := newML(d)
	if m.batch() {
		return []render.Command{
			{Args: []string{"az", "ml", "compute", "create", "--file", "compute.yml"}, Why: "a cluster that goes to zero"},
			{Args: []string{"az", "ml", "batch-endpoint", "create", "--name", m.endpoint}, Why: "the endpoint, without a deployment yet"},
			{Args: []string{"az", "ml", "batch-deployment", "create", "--file", "deployment.yml"}, Why: "what this package does"},
			{Args: []string{"az", "ml", "batch-endpoint", "update", "--file", "endpoint.yml"}, Why: "makes it the endpoint's own"},
		}
	}
	return []render.Command{
		{Args: []string{"az", "ml", "online-endpoint", "create", "--file", "endpoint.yml"}, Why: "the endpoint"},
		{Args: []string{"az", "ml", "online-deployment", "create", "--file", "deployment.yml"}, Why: "this package on machines of its own, without traffic"},
		{Args: []string{"az", "ml", "online-endpoint", "update", "--name", m.endpoint, "--traffic", m.deployment + "=100"}, Why: "all traffic, once it is up"},
	}
}

func (m *ml) readme() []byte {
	var s strings.Builder
	fmt.Fprintf(&s, "# %s on Azure Machine Learning\n\nRendered by godwit from godwit.yaml and the package %s. Change godwit.yaml and render again rather than these files.\n\n", m.s.Name, m.d.Digest)
	line := func(command, why string) {
		if why != "" {
			command = fmt.Sprintf("%-66s # %s", command, why)
		}
		s.WriteString("    " + command + "\n")
	}
	line("az login", "")
	line("az configure --defaults group=GROUP workspace=WORKSPACE", "a workspace that is there")
	for _, c := range MLCommands(m.d) {
		words := slices.Clone(c.Args)
		for i := range words {
			words[i] = render.Shell(words[i])
		}
		line(strings.Join(words, " "), c.Why)
	}
	if m.batch() {
		line("az ml batch-endpoint invoke --name "+m.endpoint+" --input-type uri_folder --input FOLDER", "a job; its output has the scores")
		line("az ml batch-endpoint delete --name "+m.endpoint+" --yes", "teardown")
		line("az ml compute delete --name "+m.cluster()+" --yes", "")
		s.WriteString("\nIdle, nothing runs and nothing is paid for.\n\n`infra/main.bicep` has the cluster and the endpoint; the deployment's component is az ml's to register.\n")
		return []byte(s.String())
	}
	line("URI=$(az ml online-endpoint show --name "+m.endpoint+" --query scoring_uri -o tsv)", "")
	line("TOKEN=$(az account get-access-token --resource https://ml.azure.com --query accessToken -o tsv)", "")
	if r := m.d.Request; r != nil {
		key, which := "", ""
		if len(m.s.Models) > 1 {
			which = "?model=" + r.Model
		}
		if m.s.Auth.Mode == "key" {
			key = ` -H "x-api-key: $KEY"`
		}
		line(fmt.Sprintf(`curl "$URI%s" -H "authorization: Bearer $TOKEN" -H "content-type: application/json"%s -d @%s`, which, key, render.Shell(r.Path)), "in the function's folder")
	}
	line("az ml online-endpoint delete --name "+m.endpoint+" --yes", "teardown")
	fmt.Fprintf(&s, "\nThe same with Bicep, but for the traffic:\n\n    az deployment group create -g GROUP -f infra/main.bicep -p workspaceName=WORKSPACE\n")
	fmt.Fprintf(&s, "\nIdle, %d of %s run and are paid for: a managed online endpoint does not go to zero.\n", m.t.InstanceCount, m.t.InstanceType)
	if len(m.t.Secrets) > 0 {
		s.WriteString("\nSecrets are read as the endpoint's identity, which needs the role Key Vault Secrets User on the vault before the deployment is made.\n")
	}
	return []byte(s.String())
}
