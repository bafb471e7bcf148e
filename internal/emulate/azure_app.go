package emulate

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"godwit.dev/runtime/fault"
)

// azureApp is a function app as its files say it.
type azureApp struct {
	prefix    string // of HTTP routes
	encoding  string // of queues' messages: "base64" or "none"
	dequeues  int    // of a queue's message, until it is poison
	timeout   time.Duration
	functions map[string]*azureFunction
}

type azureFunction struct {
	trigger azureBinding
	out     string   // the http output's name
	outputs []string // the names of the others
}

type azureBinding struct {
	Type, Direction, Name, Cardinality, DataType string
	QueueName, Path, EventHubName, Topic         string
	TopicName, SubscriptionName                  string
}

// readAzureApp reads host.json and the folders with a function.json.
func readAzureApp(root string) (*azureApp, error) {
	var host struct {
		FunctionTimeout string
		Extensions      struct {
			HTTP   struct{ RoutePrefix *string }
			Queues struct {
				MessageEncoding string
				MaxDequeueCount int
			}
		}
	}
	if err := readAzureFile(filepath.Join(root, "host.json"), &host); err != nil {
		return nil, err
	}
	q := host.Extensions.Queues
	app := &azureApp{prefix: "api", encoding: "base64", dequeues: 5, timeout: azureTimeout, functions: map[string]*azureFunction{}}
	if p := host.Extensions.HTTP.RoutePrefix; p != nil {
		app.prefix = strings.Trim(*p, "/")
	}
	if q.MessageEncoding != "" {
		app.encoding = strings.ToLower(q.MessageEncoding)
	}
	if q.MaxDequeueCount > 0 {
		app.dequeues = q.MaxDequeueCount
	}
	var h, m int
	var s float64
	if n, _ := fmt.Sscanf(host.FunctionTimeout, "%d:%d:%f", &h, &m, &s); n == 3 {
		app.timeout = time.Duration(h)*time.Hour + time.Duration(m)*time.Minute + time.Duration(s*float64(time.Second))
	}
	files, err := filepath.Glob(filepath.Join(root, "*", "function.json"))
	if err != nil {
		return nil, fault.New(fault.Usage, "emulate.Start", root, "%w", err)
	}
	for _, file := range files {
		var doc struct{ Bindings []azureBinding }
		if err := readAzureFile(file, &doc); err != nil {
			return nil, err
		}
		f := new(azureFunction)
		for _, b := range doc.Bindings {
			switch {
			case strings.HasSuffix(b.Type, "Trigger"):
				f.trigger = b
			case b.Type == "http" && b.Direction == "out":
				f.out = b.Name
			case b.Direction == "out":
				f.outputs = append(f.outputs, b.Name)
			}
		}
		app.functions[filepath.Base(filepath.Dir(file))] = f
	}
	if len(app.functions) == 0 {
		return nil, fault.New(fault.Usage, "emulate.Start", root, "want folders with a function.json, got none")
	}
	return app, nil
}

func readAzureFile(file string, into any) error {
	data, err := os.ReadFile(file)
	if err == nil {
		err = json.Unmarshal(data, into)
	}
	if err != nil {
		return fault.New(fault.Usage, "emulate.Start", file, "%w", err)
	}
	return nil
}

// names are the functions', in alphabetical order.
func (a *azureApp) names() []string { return slices.Sorted(maps.Keys(a.functions)) }

// http is the function that takes requests.
func (a *azureApp) http() (string, *azureFunction) {
	for _, name := range a.names() {
		if f := a.functions[name]; f.trigger.Type == "httpTrigger" {
			return name, f
		}
	}
	return "", nil
}

// first is the function that deliveries are for if they do not say.
func (a *azureApp) first() string {
	for _, name := range a.names() {
		if a.functions[name].trigger.Type != "httpTrigger" {
			return name
		}
	}
	return ""
}

// writeAzureApp writes an app with a function for each trigger. What they
// answer goes to a queue.
func writeAzureApp(root, variant string, timeout time.Duration) error {
	host := map[string]any{
		"version": "2.0", "functionTimeout": azureTimeSpan(timeout),
		"extensions":    map[string]any{"queues": map[string]any{"messageEncoding": "base64", "maxDequeueCount": 5}},
		"customHandler": map[string]any{"description": map[string]any{"defaultExecutablePath": "handler"}},
	}
	handler := host["customHandler"].(map[string]any)
	switch variant {
	case "proxied":
		handler["enableProxyingHttpRequest"] = true
	case "forwarded":
		handler["enableForwardingHttpRequest"] = true
		host["extensions"].(map[string]any)["http"] = map[string]any{"routePrefix": ""}
	}
	type object = map[string]any
	out := object{"type": "queue", "direction": "out", "name": "results", "queueName": "results", "connection": "AzureWebJobsStorage"}
	files := map[string]any{
		"host.json": host,
		"http/function.json": object{"bindings": []any{
			object{"type": "httpTrigger", "direction": "in", "name": "req", "authLevel": "function", "methods": []string{"get", "head", "post", "options"}, "route": "{*path}"},
			object{"type": "http", "direction": "out", "name": "res"},
		}},
	}
	for name, trigger := range map[string]object{
		"queue":            {"type": "queueTrigger", "queueName": "requests", "connection": "AzureWebJobsStorage"},
		"blob":             {"type": "blobTrigger", "path": "incoming/{name}", "source": "EventGrid", "dataType": "binary", "connection": "AzureWebJobsStorage"},
		"servicebus":       {"type": "serviceBusTrigger", "queueName": "requests", "connection": "ServiceBus"},
		"servicebus-batch": {"type": "serviceBusTrigger", "topicName": "requests", "subscriptionName": "scoring", "connection": "ServiceBus", "cardinality": "many", "isSessionsEnabled": true},
		"eventgrid":        {"type": "eventGridTrigger"},
		"eventgrid-batch":  {"type": "eventGridTrigger", "cardinality": "many"},
		"eventhub":         {"type": "eventHubTrigger", "eventHubName": "readings", "consumerGroup": "$Default", "connection": "EventHubs", "cardinality": "many"},
		"kafka":            {"type": "kafkaTrigger", "brokerList": "broker:9092", "topic": "readings", "consumerGroup": "scoring", "cardinality": "many", "dataType": "string"},
		"timer":            {"type": "timerTrigger", "schedule": "0 */5 * * * *"},
	} {
		trigger["direction"], trigger["name"] = "in", "item"
		files[name+"/function.json"] = object{"bindings": []any{trigger, out}}
	}
	for name, doc := range files {
		data, err := json.MarshalIndent(doc, "", "  ")
		if err == nil {
			err = os.MkdirAll(filepath.Dir(filepath.Join(root, name)), 0o755)
		}
		if err == nil {
			err = os.WriteFile(filepath.Join(root, name), data, 0o644)
		}
		if err != nil {
			return fault.New(fault.Internal, "emulate.Start", name, "%w", err)
		}
	}
	return nil
}

// azureTimeSpan is a time as .NET writes it, below a day.
func azureTimeSpan(d time.Duration) string {
	return fmt.Sprintf("%02d:%02d:%010.7f", int(d.Hours()), int(d.Minutes())%60, (d % time.Minute).Seconds())
}

// azureGUID is a random one.
func azureGUID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}
