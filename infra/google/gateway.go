package google

import (
	"strings"

	"godwit.dev/infra/render"
)

// serviceURL stands for the service's URL in openapi.yaml, as a word of its own.
const serviceURL = "SERVICE_URL"

// openAPI is what API Gateway is configured by: the protocol's REST routes in
// OpenAPI 2.0, and who may call them.
func openAPI(d *render.Deployment, p *plan) render.Mapping {
	s := d.Spec
	backend := render.Mapping{}
	backend.Add("address", serviceURL, "deploy.sh fills it in.")
	backend.Add("path_translation", "APPEND_PATH_TO_ADDRESS")
	backend.Add("deadline", render.Seconds(s.Targets.CloudRun.Timeout), "Without it a request had 15 seconds.")
	if s.Targets.CloudRun.HTTP2 {
		backend.Add("protocol", "h2")
	}
	if p.checks {
		backend.Add("jwt_audience", serviceURL, "The gateway calls as an account of its own, whose tokens Cloud Run checks.")
	} else {
		backend.Add("disable_auth", true, "The caller's own credentials go on to the function, which checks them too.")
	}
	m := render.Mapping{
		{"swagger", "2.0", "Rendered by godwit from godwit.yaml, for package " + d.Digest + ".\nChange godwit.yaml and render again rather than this file."},
		{"info", render.Mapping{{"title", s.Name}, {"description", describe(d)}, {"version", "1.0.0"}}},
		{"schemes", render.List{"https"}},
		{"consumes", render.List{"application/json", "application/octet-stream"}},
		{"produces", render.List{"application/json", "application/octet-stream"}},
		{"x-google-backend", backend},
	}
	definitions, anyOf := gatewayAuth(d)
	if len(definitions) > 0 {
		m.Add("securityDefinitions", definitions)
		m.Add("security", anyOf, "One of them is enough.")
	}
	m.Add("paths", routes())
	return m
}

// gatewayAuth is whom the gateway lets in: definitions, and one name for each.
func gatewayAuth(d *render.Deployment) (definitions render.Mapping, anyOf render.List) {
	s := d.Spec
	add := func(name string, m render.Mapping, note ...string) {
		definitions.Add(name, m, note...)
		anyOf = append(anyOf, render.Mapping{{name, render.List{}}})
	}
	switch s.Auth.Mode {
	case "platform":
		for _, caller := range s.Targets.CloudRun.Gateway.Callers {
			name := strings.NewReplacer("@", "_at_", ".", "_", "-", "_").Replace(strings.TrimSuffix(caller, ".iam.gserviceaccount.com"))
			add(name, jwt(caller, "https://www.googleapis.com/robot/v1/metadata/x509/"+caller, s.Name))
		}
	case "jwt":
		add("jwt", jwt(s.Auth.JWT.Issuer, s.Auth.JWT.JWKSURL, strings.Join(s.Auth.JWT.Audience, ",")))
	case "key":
		add("key", render.Mapping{{"type", "apiKey"}, {"name", "x-api-key"}, {"in", "header"}},
			"An API key of the project's, which has to be among the function's own keys too.")
	}
	return definitions, anyOf
}

func jwt(issuer, keys, audience string) render.Mapping {
	return render.Mapping{
		{"type", "oauth2"}, {"flow", "implicit"}, {"authorizationUrl", ""},
		{"x-google-issuer", issuer}, {"x-google-jwks_uri", keys}, {"x-google-audiences", audience},
	}
}

func routes() (paths render.Mapping) {
	open := render.List{} // health is asked by those who have nothing to show
	add := func(path, method, id string, public bool) {
		op := render.Mapping{{"operationId", id}}
		if public {
			op.Add("security", open)
		}
		var parameters render.List
		for _, name := range []string{"model", "version"} {
			if strings.Contains(path, "{"+name+"}") {
				parameters = append(parameters, render.Mapping{{"name", name}, {"in", "path"}, {"required", true}, {"type", "string"}})
			}
		}
		if len(parameters) > 0 {
			op.Add("parameters", parameters)
		}
		op.Add("responses", render.Mapping{{"default", render.Mapping{{"description", "What the function answers."}}}})
		paths.Add(path, render.Mapping{{method, op}})
	}
	add("/v2", "get", "serverMetadata", false)
	add("/v2/health/live", "get", "live", true)
	add("/v2/health/ready", "get", "ready", true)
	for _, at := range []struct{ path, id string }{{"/v2/models/{model}", "model"}, {"/v2/models/{model}/versions/{version}", "version"}} {
		add(at.path, "get", at.id+"Metadata", false)
		add(at.path+"/ready", "get", at.id+"Ready", false)
		add(at.path+"/infer", "post", at.id+"Infer", false)
	}
	return paths
}

func (s *script) gateway(d *render.Deployment, p *plan) {
	name := d.Spec.Name
	s.part("The gateway. What it is configured by cannot be changed, so it is named after its content.")
	if p.checks {
		s.grant("gcloud run services add-iam-policy-binding "+name+" --region \"$REGION\"", inShell(p.gate), invoker)
	}
	s.line("OPENAPI=$(mktemp -d)/openapi.yaml")
	s.line("sed -E \"s#^( *(address|jwt_audience): )%s\\$#\\1$URL#\" openapi.yaml >\"$OPENAPI\"", serviceURL)
	s.line("CONFIG=%s-$(sha256sum \"$OPENAPI\" | cut -c1-12)", name)
	s.line("there gcloud api-gateway apis describe %s ||", name)
	s.line("  gcloud api-gateway apis create %s", name)
	s.line("there gcloud api-gateway api-configs describe \"$CONFIG\" --api %s ||", name)
	flags := []string{"  gcloud api-gateway api-configs create \"$CONFIG\" --api " + name, "--openapi-spec \"$OPENAPI\""}
	if p.checks {
		flags = append(flags, "--backend-auth-service-account "+inShell(p.gate))
	}
	s.call(flags...)
	s.line("if there gcloud api-gateway gateways describe %s --location \"$REGION\"; then", name)
	s.line("  gcloud api-gateway gateways update %s --location \"$REGION\" --api %s --api-config \"$CONFIG\"", name, name)
	s.line("else")
	s.line("  gcloud api-gateway gateways create %s --location \"$REGION\" --api %s --api-config \"$CONFIG\"", name, name)
	s.line("fi")
	s.line("URL=https://$(gcloud api-gateway gateways describe %s --location \"$REGION\" --format='value(defaultHostname)')", name)
}
