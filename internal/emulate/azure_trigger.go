package emulate

import (
	"bytes"
	"context"
	"crypto/md5"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"godwit.dev/runtime/fault"
)

// AzureMessage is what lies where a trigger of Azure Functions looks: a message,
// an event, or a blob.
type AzureMessage struct {
	ID   string // the message's id, or the blob's name
	Body []byte // as its sender wrote it; base64 if that is how a queue's sender encodes
	// Session, Properties, Number and Partition are what Service Bus, Event Hubs
	// and Kafka keep with it; Number is its sequence number or offset.
	Session    string
	Properties map[string]string
	Number     int64
	Partition  int
}

// AzureSettled is what became of messages.
type AzureSettled struct {
	Deliveries int  // how often the function was called
	Done       bool // else it is in Aside
	// Aside is where the messages went after the last try: "QUEUE-poison",
	// "webjobs-blobtrigger-poison" or "dead letter"; for Event Hubs and Kafka
	// "lost", as they go on behind what failed.
	Aside string
	// Outputs are the values of the function's other outputs as the bindings get
	// them: strings that are base64 have become bytes.
	Outputs map[string][]byte
}

// AzureDelivery is the envelope in which the host delivers messages to the
// function of an app that i runs; attempt begins with 1. Only functions with
// cardinality many take several. Errors: Usage; Unprocessable for a queue's
// message that is not encoded as host.json says, which the host moves aside
// without calling anybody.
func AzureDelivery(i *Instance, function string, attempt int, messages ...AzureMessage) (*Delivery, error) {
	a, ok := i.platform.(*azure)
	if !ok {
		return nil, fault.New(fault.Usage, "emulate.AzureDelivery", i.Target(), "want an instance of azurefunctions")
	}
	f, ok := a.app.functions[function]
	if !ok {
		return nil, fault.New(fault.Usage, "emulate.AzureDelivery", fmt.Sprintf("function %q", function), "want one of %s", strings.Join(a.app.names(), ", "))
	}
	many := strings.EqualFold(f.trigger.Cardinality, "many")
	if len(messages) == 0 || len(messages) > 1 && !many {
		return nil, fault.New(fault.Usage, "emulate.AzureDelivery", fmt.Sprintf("function %q", function), "want one message, got %d", len(messages))
	}
	t := &azureTrigger{app: a.app, binding: &f.trigger, attempt: attempt, metadata: map[string]any{}}
	var value any
	var err error
	if many {
		value, err = t.several(messages)
	} else {
		value, err = t.one(&messages[0])
	}
	if err != nil {
		return nil, err
	}
	t.metadata["sys"] = azureSys(function)
	body, err := azureJSON(map[string]any{"Data": map[string]any{f.trigger.Name: value}, "Metadata": t.metadata})
	return &Delivery{Function: function, Body: body}, err
}

// AzureRun delivers messages as the function's trigger does, until they are done
// or out of tries.
func AzureRun(ctx context.Context, i *Instance, function string, messages ...AzureMessage) (*AzureSettled, error) {
	s := new(AzureSettled)
	for attempt := 1; ; attempt++ {
		d, err := AzureDelivery(i, function, attempt, messages...)
		if fault.CodeOf(err) == fault.Unprocessable {
			s.Aside = i.platform.(*azure).app.functions[function].trigger.QueueName + "-poison"
			return s, nil
		}
		if err != nil {
			return nil, err
		}
		reply, err := i.Deliver(ctx, d)
		if err != nil {
			return nil, err
		}
		s.Deliveries++
		app := i.platform.(*azure).app
		if !reply.Retry {
			s.Done = true
			s.Outputs, err = azureOutputs(app.functions[function].outputs, reply.Body)
			return s, err
		}
		if tries, aside := app.tries(function); attempt >= tries {
			s.Aside = aside
			return s, nil
		}
	}
}

// tries is how often a trigger delivers, and where what still fails is put.
// (Storage extension's maxDequeueCount; the blob trigger's queue; Service Bus's
// MaxDeliveryCount; Event Grid's schedule of 30 attempts; no retry policy.)
func (a *azureApp) tries(function string) (int, string) {
	switch b := a.functions[function].trigger; b.Type {
	case "queueTrigger":
		return a.dequeues, b.QueueName + "-poison"
	case "blobTrigger":
		return 5, "webjobs-blobtrigger-poison"
	case "serviceBusTrigger":
		return 10, "dead letter"
	case "eventGridTrigger":
		return 30, "dead letter"
	}
	return 1, "lost"
}

// azureOutputs is what the bindings get of a reply (GetBindingValue): a string
// that Convert.FromBase64String takes is bytes, whatever it was meant to be.
func azureOutputs(names []string, reply []byte) (map[string][]byte, error) {
	var r azureResult
	if err := json.Unmarshal(reply, &r); err != nil {
		return nil, fault.New(fault.Invalid, "emulate.AzureRun", "", "%w", err)
	}
	outputs := map[string][]byte{}
	for _, name := range names {
		raw, ok := r.Outputs[name]
		if !ok {
			continue
		}
		var text string
		if json.Unmarshal(raw, &text) != nil {
			outputs[name] = raw
		} else if data, err := base64.StdEncoding.DecodeString(text); err == nil {
			outputs[name] = data
		} else {
			outputs[name] = []byte(text)
		}
	}
	return outputs, nil
}

// azureTrigger makes what the extension and the host say of messages.
type azureTrigger struct {
	app      *azureApp
	binding  *azureBinding
	attempt  int
	metadata map[string]any
}

// azureThen is when everything happened.
var azureThen = time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)

// azureDateTime is a moment as .NET's DateTime has it that does not know its
// zone: DateTimeOffset.DateTime, of which the extensions make the names with Utc.
func azureDateTime(t time.Time) dateTime { return dateTime(t.Format("2006-01-02T15:04:05")) }

type dateTime string

// azureString is JsonConvert.SerializeObject's text of a value that is no object,
// as the string in which it travels.
func azureString(v any) string {
	b, _ := azureJSON(v) // strings, numbers and arrays of them
	return string(b)
}

// one is a lone message's value, and fills the metadata.
func (t *azureTrigger) one(m *AzureMessage) (any, error) {
	switch t.binding.Type {
	case "queueTrigger":
		body := m.Body
		if t.app.encoding == "base64" {
			var err error
			if body, err = base64.StdEncoding.DecodeString(string(m.Body)); err != nil {
				return nil, fault.New(fault.Unprocessable, "emulate.AzureDelivery", fmt.Sprintf("message %q", m.ID), "want base64, as messageEncoding says: %w", err)
			}
		}
		t.metadata["Id"], t.metadata["PopReceipt"] = azureString(m.ID), azureString("AgAAAAMAAAAAAAAA")
		t.metadata["DequeueCount"] = strconv.Itoa(t.attempt)
		t.metadata["InsertionTime"], t.metadata["ExpirationTime"] = azureThen, azureThen.Add(7*24*time.Hour)
		t.metadata["NextVisibleTime"] = azureThen.Add(10 * time.Minute)
		return t.text(body), nil
	case "blobTrigger":
		t.metadata["Uri"] = azureString("https://account.blob.core.windows.net/" + escapeBlob(strings.ReplaceAll(t.binding.Path, "{name}", m.ID)))
		t.metadata["Properties"] = map[string]any{
			// Azure.ETag tells the host's serializer, Newtonsoft's, nothing.
			"ETag": map[string]any{}, "ContentLength": len(m.Body), "LastModified": azureThen, "BlobType": 0, "ContentHash": azureMD5(m.Body),
		}
		t.metadata["Metadata"] = m.Properties
		t.metadata["name"] = azureString(m.ID)
		return t.text(m.Body), nil
	case "serviceBusTrigger":
		for name, value := range t.serviceBus(m) {
			t.metadata[name] = azureValue(value)
		}
		return t.text(m.Body), nil
	case "eventGridTrigger":
		var event map[string]any
		if err := json.Unmarshal(m.Body, &event); err != nil {
			return nil, fault.New(fault.Usage, "emulate.AzureDelivery", "", "want an event: %w", err)
		}
		if data, ok := event["data"].(map[string]any); ok {
			t.metadata["data"] = data
		}
		return json.RawMessage(m.Body), nil
	case "eventHubTrigger":
		for name, value := range t.eventHub(m) {
			t.metadata[name] = azureValue(value)
		}
		t.partition()
		return t.text(m.Body), nil
	case "kafkaTrigger":
		return t.text([]byte(azureString(t.kafka(m)))), nil
	case "timerTrigger":
		return map[string]any{
			"Schedule": map[string]any{"AdjustForDST": true}, "IsPastDue": false,
			"ScheduleStatus": map[string]any{"Last": azureThen, "Next": azureThen.Add(5 * time.Minute), "LastUpdated": azureThen},
		}, nil
	}
	return nil, fault.New(fault.Usage, "emulate.AzureDelivery", t.binding.Type, "it delivers nothing")
}

// several is the value of a batch: an array, in a string.
func (t *azureTrigger) several(messages []AzureMessage) (any, error) {
	var bodies []any
	columns := map[string][]any{}
	add := func(row map[string]any) {
		for name, value := range row {
			columns[name+"Array"] = append(columns[name+"Array"], value)
		}
	}
	for i := range messages {
		m := &messages[i]
		switch t.binding.Type {
		case "serviceBusTrigger":
			add(t.serviceBus(m))
		case "eventHubTrigger":
			add(t.eventHub(m))
		case "kafkaTrigger":
			bodies = append(bodies, azureString(t.kafka(m)))
			continue
		case "eventGridTrigger":
		default:
			return nil, fault.New(fault.Usage, "emulate.AzureDelivery", t.binding.Type, "it has no cardinality")
		}
		if t.binding.DataType == "binary" {
			bodies = append(bodies, m.Body)
		} else {
			bodies = append(bodies, azureText(m.Body))
		}
	}
	for name, values := range columns {
		t.metadata[name] = azureString(values)
	}
	if t.binding.Type == "eventHubTrigger" {
		t.partition()
	}
	return azureString(bodies), nil
}

// azureValue is a metadata value alone (GetHttpScriptInvocationContextValue).
func azureValue(v any) any {
	switch v.(type) {
	case map[string]any, map[string]string, time.Time, dateTime:
		return v
	}
	return azureString(v)
}

func (t *azureTrigger) serviceBus(m *AzureMessage) map[string]any {
	row := map[string]any{
		"MessageId": m.ID, "SequenceNumber": m.Number, "DeliveryCount": t.attempt, "LockToken": azureGUID(),
		"EnqueuedTimeUtc": azureDateTime(azureThen), "EnqueuedTime": azureThen,
		"ExpiresAtUtc": azureDateTime(azureThen.Add(14 * 24 * time.Hour)), "ExpiresAt": azureThen.Add(14 * 24 * time.Hour), "ContentType": "application/json", "CorrelationId": nil,
		"ApplicationProperties": orEmpty(m.Properties),
	}
	if m.Session != "" {
		row["SessionId"] = m.Session
	}
	return row
}

func (t *azureTrigger) eventHub(m *AzureMessage) map[string]any {
	return map[string]any{
		"SequenceNumber": m.Number, "Offset": strconv.FormatInt(m.Number*100, 10), "PartitionKey": m.Session, "EnqueuedTimeUtc": azureDateTime(azureThen),
		"Properties": orEmpty(m.Properties), "SystemProperties": map[string]any{"SequenceNumber": m.Number},
	}
}

func (t *azureTrigger) partition() {
	t.metadata["PartitionContext"] = map[string]any{"ConsumerGroup": "$Default", "EventHubName": t.binding.EventHubName, "PartitionId": "0"}
}

func (t *azureTrigger) kafka(m *AzureMessage) map[string]any {
	var headers []map[string]any
	for _, name := range slices.Sorted(maps.Keys(m.Properties)) {
		headers = append(headers, map[string]any{"Key": name, "Value": []byte(m.Properties[name])})
	}
	return map[string]any{
		"Offset": m.Number, "Partition": m.Partition, "Topic": t.binding.Topic, "Timestamp": azureThen, "Key": m.Session,
		"Value": azureText(m.Body), "Headers": headers,
	}
}

func orEmpty(m map[string]string) map[string]string {
	if m == nil {
		return map[string]string{}
	}
	return m
}

// text is a payload's value: base64 with dataType binary; else it is a string,
// and the host adds what it finds in one that is a JSON object to the metadata,
// over what was there (Utility.ApplyBindingData).
func (t *azureTrigger) text(body []byte) any {
	if t.binding.DataType == "binary" {
		return body
	}
	text := azureText(body)
	var members map[string]json.RawMessage
	if trimmed := bytes.TrimSpace(body); len(trimmed) > 0 && trimmed[0] == '{' && json.Unmarshal(trimmed, &members) == nil {
		for name, raw := range members {
			switch raw[0] {
			case '[', 'n':
				continue
			case '{':
				t.set(name, raw)
			case '"':
				t.set(name, string(raw))
			default:
				t.set(name, azureString(string(raw)))
			}
		}
	}
	return azureString(text)
}

// set is a dictionary's that does not care for case.
func (t *azureTrigger) set(name string, value any) {
	for had := range t.metadata {
		if strings.EqualFold(had, name) {
			name = had
		}
	}
	t.metadata[name] = value
}

// azureMD5 is what Blob Storage keeps of a blob that was written in one piece.
func azureMD5(body []byte) []byte {
	sum := md5.Sum(body)
	return sum[:]
}

func azureSys(function string) map[string]any {
	return map[string]any{"MethodName": function, "UtcNow": azureThen, "RandGuid": azureGUID()}
}

// escapeBlob is a blob's path in its URL.
func escapeBlob(path string) string {
	var b strings.Builder
	for _, c := range []byte(path) {
		if c == '/' || c == '-' || c == '_' || c == '.' || c == '~' || '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' {
			b.WriteByte(c)
			continue
		}
		fmt.Fprintf(&b, "%%%02X", c)
	}
	return b.String()
}
