package azure

// gateway is API Management in front of the app, in a file of its own: the key
// of a host is there only when the host runs, and it runs when there is a package.
func (b *builder) gateway() *template {
	t := begin(b.d)
	t.note += "\n\nDeploy this when the package is there: only a host that runs has keys."
	t.add(
		&param{name: "appName", typ: "string", about: "The function app: AZURE_FUNCTION_NAME of main.bicep."},
		&param{name: "location", typ: "string", about: "The region of main.bicep.", value: location(b.t.Location)},
		&param{name: "publisherEmail", typ: "string", about: "Who answers for the API; API Management writes there."},
	)
	app := &resource{symbol: "app", typ: "Microsoft.Web/sites@2024-11-01", existing: true, name: ref("appName")}
	gateway := &resource{
		symbol: "gateway", typ: "Microsoft.ApiManagement/service@2024-05-01", note: "Consumption: paid for by the call. A request has 30s and 2MiB.",
		name: text{ref("appName"), "-api"},
		body: of("location", ref("location"), "sku", of("name", "Consumption", "capacity", 0), "properties", of("publisherName", b.s.Name, "publisherEmail", ref("publisherEmail"))),
	}
	backend := of("protocol", "http", "url", text{"https://", ref("app.properties.defaultHostName")})
	t.add(app, gateway)
	var needs []string
	if b.s.Auth.Mode == "platform" {
		key := &resource{
			symbol: "functionKey", typ: "Microsoft.ApiManagement/service/namedValues@2024-05-01", parent: gateway, name: "function-key",
			note: "The one key in these files, which stays between the two: the Functions host knows callers by nothing else.",
			body: of("properties", of("displayName", "function-key", "secret", true,
				"value", fn("listKeys", text{ref("app.id"), "/host/default"}, "2024-11-01").at("functionKeys.default"))),
		}
		t.add(key)
		backend.set("credentials", of("header", of("x-functions-key", list{"{{function-key}}"})))
		needs = []string{"functionKey"}
	}
	api := object{}
	api.set("displayName", b.s.Name)
	api.set("path", "")
	api.set("protocols", list{"https"})
	if b.s.Auth.Mode == "platform" {
		api.set("subscriptionRequired", true, "Callers show a subscription's key.")
	} else {
		api.set("subscriptionRequired", false, "The function itself checks who calls, or nobody does, as auth says.")
	}
	of := func(symbol, typ, name string, properties object, in *resource) *resource {
		return &resource{symbol: symbol, typ: "Microsoft.ApiManagement/service/" + typ + "@2024-05-01", parent: in, name: name, body: object{{key: "properties", value: properties}}}
	}
	function := of("function", "backends", "function", backend, gateway)
	function.needs = needs
	protocol := of("protocol", "apis", b.s.Name, api, gateway)
	t.add(function, protocol)
	for _, method := range []string{"GET", "HEAD", "POST"} {
		name := map[string]string{"GET": "reads", "HEAD": "asks", "POST": "infers"}[method]
		t.add(of(name, "apis/operations", name, object{{key: "displayName", value: name}, {key: "method", value: method}, {key: "urlTemplate", value: "/*"}}, protocol))
	}
	policy := of("policy", "apis/policies", "policy", object{{key: "format", value: "rawxml"}, {key: "value", value: policies}}, protocol)
	policy.needs = []string{"function"}
	t.add(policy, &output{"GATEWAY_URL", "string", ref("gateway.properties.gatewayUrl")})
	return t
}

const policies = `<policies><inbound><base /><set-backend-service backend-id="function" /></inbound><backend><base /></backend><outbound><base /></outbound><on-error><base /></on-error></policies>`
