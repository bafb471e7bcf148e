package pack

import (
	"encoding/json"
	"fmt"
	"time"

	"godwit.dev/runtime/fault"
)

type object = map[string]any

// azure adds host.json and a folder for each function of the app: one that
// takes every HTTP route, and one for each trigger of the spec. Where a queue
// or container is called what, its user says in the app's settings.
func (c *contents) azure() error {
	level := "anonymous" // who may ask is checked in the process
	if c.spec.Auth.Mode == "platform" {
		level = "function"
	}
	host := object{
		"version": "2.0",
		// The protocol's own paths, not those behind /api.
		"extensions":    object{"http": object{"routePrefix": ""}},
		"customHandler": object{"description": object{"defaultExecutablePath": "fn-server"}, "enableProxyingHttpRequest": true},
		"logging":       object{"logLevel": object{"default": "Information"}},
	}
	if a := c.spec.Targets.AzureFunctions; a != nil {
		host["functionTimeout"] = timeSpan(time.Duration(a.Timeout))
	}
	if len(c.spec.Triggers) > 0 { // the host's own triggers beside HTTP
		host["extensionBundle"] = object{"id": "Microsoft.Azure.Functions.ExtensionBundle", "version": "[4.*, 5.0.0)"}
	}
	files := map[string]object{
		"host.json": host,
		"http/function.json": {"bindings": []object{
			{"type": "httpTrigger", "direction": "in", "name": "req", "authLevel": level, "methods": []string{"get", "head", "post", "options"}, "route": "{*path}"},
			{"type": "http", "direction": "out", "name": "res"},
		}},
	}
	for _, name := range c.spec.Triggers {
		if trigger := azureTriggers[name]; trigger != nil {
			files[name+"/function.json"] = object{"bindings": []object{trigger}}
		}
	}
	for name, doc := range files {
		text, err := json.MarshalIndent(doc, "", "  ")
		if err != nil {
			return fault.New(fault.Internal, "pack.Contents", name, "%w", err)
		}
		if err := c.tree.Add(File{Path: name, Part: Spec, Data: append(text, '\n')}); err != nil {
			return err
		}
	}
	return nil
}

// azureTriggers are the spec's triggers as bindings. %NAME% is an app setting.
var azureTriggers = map[string]object{
	// Blobs start a function through Event Grid, which names them only: the host
	// would send the content of each as one envelope.
	"objects": {"type": "eventGridTrigger", "direction": "in", "name": "item"},
	"events":  {"type": "eventGridTrigger", "direction": "in", "name": "item"},
	"queue":   {"type": "queueTrigger", "direction": "in", "name": "item", "queueName": "%GODWIT_QUEUE%", "connection": "AzureWebJobsStorage"},
	"topic":   {"type": "serviceBusTrigger", "direction": "in", "name": "item", "topicName": "%GODWIT_TOPIC%", "subscriptionName": "%GODWIT_SUBSCRIPTION%", "connection": "ServiceBus"},
	"stream":  {"type": "eventHubTrigger", "direction": "in", "name": "item", "eventHubName": "%GODWIT_STREAM%", "consumerGroup": "$Default", "connection": "EventHubs", "cardinality": "many"},
}

// timeSpan is d as .NET writes a TimeSpan of whole seconds.
func timeSpan(d time.Duration) string {
	s := int64(d.Seconds())
	text := fmt.Sprintf("%02d:%02d:%02d", s/3600%24, s/60%60, s%60)
	if days := s / 86400; days > 0 {
		text = fmt.Sprintf("%d.%s", days, text)
	}
	return text
}
