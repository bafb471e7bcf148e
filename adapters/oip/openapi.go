package oip

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"

	"godwit.dev/runtime/codec"
	"godwit.dev/runtime/driver"
	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/infer"
	"godwit.dev/runtime/tensor"
)

type object = map[string]any

// OpenAPI is the OpenAPI 3.1 document of what the server offers now: one
// infer path for each model that is ready, with the schema of its tensors and
// its recorded requests, and the protocol's other routes.
func (s *Server) OpenAPI() ([]byte, error) {
	paths := object{
		"/v2/health/live":      object{"get": operation("live", "Whether the process runs.", reply("It does.", object{"type": "object"}))},
		"/v2/health/ready":     object{"get": operation("ready", "Whether every model is loaded and the server is not stopping; 503 when not.", reply("It is ready.", object{"type": "object"}))},
		"/v2":                  object{"get": operation("serverMetadata", "Name, version and extensions of the server.", reply("The server's metadata.", ref("ServerMetadata")))},
		"/v2/models/stats":     object{"get": operation("statistics", "Statistics of every model that is ready.", reply("The statistics.", ref("Statistics")))},
		"/v2/repository/index": object{"post": operation("index", "The model versions and their states.", reply("The index.", object{"type": "array", "items": ref("IndexEntry")}))},
	}
	components := schemas(s.opts.NaN)
	newest := map[string]*infer.Model{}
	for _, status := range s.registry.Index() { // from the oldest version to the newest
		if status.State != infer.Ready {
			continue
		}
		m, err := s.registry.Lookup(status.Name, status.Version)
		if err != nil {
			continue // unloaded meanwhile
		}
		newest[status.Name] = m
		components[schemaName("Request", m)] = inferRequest(m.Signature())
		components[schemaName("Response", m)] = inferResponse(m.Signature())
		s.describe(paths, "/v2/models/"+m.Name()+"/versions/"+m.Version(), m)
	}
	for name, m := range newest {
		s.describe(paths, "/v2/models/"+name, m)
	}
	doc := object{
		"openapi": "3.1.0",
		"info": object{
			"title": s.opts.Name, "version": s.opts.Version,
			"description": "The Open Inference Protocol v2 over HTTP. Tensors are JSON, or follow the JSON as bytes when Inference-Header-Content-Length gives its length.",
		},
		"servers":    []any{object{"url": "/"}},
		"paths":      paths,
		"components": object{"schemas": components, "responses": object{"Error": errorResponse()}},
	}
	if s.opts.Auth != nil {
		// Keys are taken as bearer tokens too, so one scheme is right for all.
		doc["components"].(object)["securitySchemes"] = object{"bearer": object{"type": "http", "scheme": "bearer"}}
		doc["security"] = []any{object{"bearer": []any{}}}
		for _, probe := range []string{"/v2/health/live", "/v2/health/ready"} {
			paths[probe].(object)["get"].(object)["security"] = []any{}
		}
	}
	return json.MarshalIndent(doc, "", "  ")
}

// describe adds the routes of one model under the path prefix.
func (s *Server) describe(paths object, prefix string, m *infer.Model) {
	id := strings.NewReplacer("/v2/models/", "", "/versions/", "@").Replace(prefix) // no name has an @
	paths[prefix] = object{"get": operation("metadata_"+id, "Inputs and outputs of "+m.Name()+".", reply("The model's metadata.", ref("ModelMetadata")))}
	paths[prefix+"/ready"] = object{"get": operation("ready_"+id, "Whether "+m.Name()+" is ready; 503 when not.", reply("It is ready.", object{"type": "object"}))}
	paths[prefix+"/config"] = object{"get": operation("config_"+id, "The configuration of "+m.Name()+" as Triton writes it.", reply("The configuration.", object{"type": "object"}))}
	paths[prefix+"/stats"] = object{"get": operation("stats_"+id, "Statistics of "+m.Name()+".", reply("The statistics.", ref("Statistics")))}

	request := object{"schema": ref(schemaName("Request", m))}
	answer := object{"schema": ref(schemaName("Response", m))}
	asked, answered := object{}, object{}
	for _, e := range s.opts.Examples {
		if e.Model != m.Name() {
			continue
		}
		asked[e.Name] = object{"value": e.Request}
		if e.Response != nil {
			answered[e.Name] = object{"value": e.Response}
		}
	}
	if len(asked) > 0 {
		request["examples"] = asked
	}
	if len(answered) > 0 {
		answer["examples"] = answered
	}
	binary := object{"schema": object{"type": "string", "format": "binary"}}
	infer := operation("infer_"+id, "Run "+m.Name()+".", object{
		"description": "The outputs.",
		"content":     object{"application/json": answer, "application/octet-stream": binary},
	})
	infer["parameters"] = []any{object{
		"name": headerLength, "in": "header", "required": false,
		"description": "Bytes of JSON at the start of the body, when tensors follow it; 0 when the body is one tensor and nothing else.",
		"schema":      object{"type": "integer", "minimum": 0},
	}}
	infer["requestBody"] = object{
		"required": true,
		"content":  object{"application/json": request, "application/octet-stream": binary},
	}
	paths[prefix+"/infer"] = object{"post": infer}
}

// schemaName names a schema of one model version; names of models and
// versions have no characters that such a name may not have. The length keeps
// version 1_2 of a apart from version 2 of a_1.
func schemaName(kind string, m *infer.Model) string {
	return fmt.Sprintf("%s_%s_%s_%d", kind, m.Name(), m.Version(), len(m.Name()))
}

func operation(id, summary string, ok object) object {
	return object{"operationId": id, "summary": summary, "responses": object{"200": ok, "default": object{"$ref": "#/components/responses/Error"}}}
}

func reply(description string, schema object) object {
	return object{"description": description, "content": object{"application/json": object{"schema": schema}}}
}

func ref(name string) object { return object{"$ref": "#/components/schemas/" + name} }

func inferRequest(sig *driver.Signature) object {
	required := []any{"inputs"}
	return object{
		"type": "object", "required": required,
		"properties": object{
			"id":         object{"type": "string"},
			"parameters": ref("Parameters"),
			"inputs":     tensorList(sig.Inputs, false),
			"outputs": object{"type": "array", "description": "The wanted outputs; all when absent.", "items": object{
				"type": "object", "required": []any{"name"},
				"properties": object{"name": object{"enum": tensorNames(sig.Outputs)}, "parameters": ref("Parameters")},
			}},
		},
	}
}

func inferResponse(sig *driver.Signature) object {
	return object{
		"type": "object", "required": []any{"model_name", "outputs"},
		"properties": object{
			"model_name": object{"type": "string"}, "model_version": object{"type": "string"}, "id": object{"type": "string"},
			"parameters": ref("Parameters"),
			"outputs":    tensorList(sig.Outputs, true),
		},
	}
}

// tensorList describes a list of tensors: all of them in a request, some of
// them in an answer, each by its name and in any order.
func tensorList(infos []driver.TensorInfo, some bool) object {
	kinds := make([]any, len(infos))
	for i := range infos {
		kinds[i] = tensorSchema(&infos[i])
	}
	list := object{"type": "array", "maxItems": len(infos)}
	if !some {
		list["minItems"] = len(infos)
	}
	if len(kinds) > 0 {
		list["items"] = object{"oneOf": kinds}
	}
	return list
}

func tensorSchema(info *driver.TensorInfo) object {
	dims := make([]any, len(info.Shape))
	for i, d := range info.Shape {
		dim := object{"type": "integer", "minimum": 0}
		if d >= 0 {
			dim = object{"const": d}
		} else if i < len(info.Symbols) && info.Symbols[i] != "" {
			dim["title"] = info.Symbols[i]
		}
		dims[i] = dim
	}
	shape := object{"type": "array", "minItems": len(dims), "maxItems": len(dims)}
	if len(dims) > 0 {
		shape["prefixItems"] = dims
	}
	return object{
		"type": "object", "title": fmt.Sprintf("%s: %s", info.Name, infer.Describe(info)),
		"required": []any{"name", "shape", "datatype"},
		"properties": object{
			"name":       object{"const": info.Name},
			"datatype":   object{"const": info.Type.String()},
			"shape":      shape,
			"parameters": ref("Parameters"),
			"data":       ref("Data_" + info.Type.String()),
		},
	}
}

func tensorNames(infos []driver.TensorInfo) []any {
	all := make([]any, len(infos))
	for i := range infos {
		all[i] = infos[i].Name
	}
	return all
}

// schemas are the components that every document has.
func schemas(nan codec.NaNPolicy) object {
	text, number := object{"type": "string"}, object{"type": "integer"}
	list := func(items object) object { return object{"type": "array", "items": items} }
	record := func(properties object) object { return object{"type": "object", "properties": properties} }
	tensorMetadata := record(object{"name": text, "datatype": text, "shape": list(number)})
	all := object{
		"Parameters":     object{"type": "object", "additionalProperties": object{"type": []any{"string", "number", "boolean"}}},
		"ServerMetadata": record(object{"name": text, "version": text, "extensions": list(text)}),
		"ModelMetadata": record(object{
			"name": text, "versions": list(text), "platform": text, "inputs": list(tensorMetadata), "outputs": list(tensorMetadata),
			"properties": object{"type": "object", "additionalProperties": text},
		}),
		"Statistics": record(object{"model_stats": list(object{"type": "object"})}),
		"IndexEntry": record(object{"name": text, "version": text, "state": object{"enum": []any{"READY", "LOADING", "UNAVAILABLE", "UNLOADING"}}, "reason": text}),
		"Error": object{
			"type": "object", "required": []any{"error", "code"},
			"properties": object{"error": text, "code": object{"enum": errorCodes()}},
		},
	}
	for _, d := range tensor.DTypes() {
		name := "Data_" + d.String()
		// Flat in row-major order, or nested like the shape.
		all[name] = object{"type": "array", "items": object{"anyOf": []any{element(d, nan), ref(name)}}}
	}
	return all
}

// element is the JSON schema of one element as codec writes and reads it.
func element(d tensor.DType, nan codec.NaNPolicy) object {
	switch d {
	case tensor.Bool:
		return object{"type": "boolean"}
	case tensor.Bytes:
		return object{"type": "string"}
	case tensor.FP16, tensor.BF16, tensor.FP32, tensor.FP64:
		switch nan {
		case codec.NaNNull:
			return object{"type": []any{"number", "null"}}
		case codec.NaNString:
			return object{"anyOf": []any{object{"type": "number"}, object{"enum": []any{"NaN", "Infinity", "-Infinity"}}}}
		}
		return object{"type": "number"}
	}
	bits := 8 * d.Size()
	if d >= tensor.Uint8 && d <= tensor.Uint64 {
		return object{"type": "integer", "minimum": 0, "maximum": ^uint64(0) >> (64 - bits)}
	}
	return object{"type": "integer", "minimum": int64(-1) << (bits - 1), "maximum": int64(^uint64(0) >> (65 - bits))}
}

func errorResponse() object {
	return object{
		"description": "The request failed; the status and the code come from one table.",
		"content":     object{"application/json": object{"schema": ref("Error")}},
	}
}

func errorCodes() []any {
	var all []any
	for _, c := range fault.Codes() {
		all = append(all, c.String())
	}
	return all
}

func (s *Server) serveOpenAPI(_ context.Context, _ *Exchange, w http.ResponseWriter, _ *http.Request) error {
	doc, err := s.OpenAPI()
	if err != nil {
		return fault.New(fault.Internal, "oip.OpenAPI", "", "%w", err) // an example that is not JSON
	}
	writeBody(w, http.StatusOK, append(doc, '\n'))
	return nil
}
