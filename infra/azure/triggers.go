package azure

import (
	"slices"

	"godwit.dev/infra/spec"
)

// trigger tells that godwit.yaml has the trigger of this name.
func (b *builder) trigger(name string) bool { return slices.Contains(b.s.Triggers, name) }

// byEventGrid tells that Event Grid calls a function of the app, which has to
// be there first.
func (b *builder) byEventGrid() bool { return b.trigger("objects") || b.trigger("events") }

// triggers adds what starts the function besides HTTP. The names of settings
// are those that function.json in the package refers to.
func (b *builder) triggers() {
	if len(b.s.Triggers) == 0 {
		return
	}
	const host = "AzureFunctionsJobHost__"
	if b.trigger("queue") || b.trigger("topic") {
		b.param(alarmParam())
	}
	attempts := 5
	if b.s.Batch != nil {
		attempts = b.s.Batch.Attempts
	}
	if b.trigger("queue") {
		b.queue(host+"extensions__queues__", attempts)
	}
	if b.trigger("topic") {
		b.topic(host+"extensions__serviceBus__", attempts)
	}
	if b.trigger("stream") {
		b.stream(host + "extensions__eventHubs__")
	}
	if b.trigger("events") {
		b.main.add(&resource{
			symbol: "eventsTopic", typ: "Microsoft.EventGrid/topics@2025-02-15", note: "Whoever publishes here needs the role EventGrid Data Sender.",
			name: ref("appName"), body: of("location", ref("location"), "identity", of("type", "SystemAssigned"),
				"properties", of("inputSchema", "CloudEventSchemaV1_0", "disableLocalAuth", true, "minimumTlsVersionAllowed", "1.2")),
		})
		b.out("EVENTS_ENDPOINT", ref("eventsTopic.properties.endpoint"))
	}
	if b.byEventGrid() {
		b.events = b.subscriptions(attempts)
	}
}

func (b *builder) queue(host string, attempts int) {
	const name = "rows"
	account := b.find("storage")
	queues := &resource{symbol: "queues", typ: "Microsoft.Storage/storageAccounts/queueServices@2025-01-01", name: "default", parent: account}
	of := func(symbol, name, note string) *resource {
		return &resource{symbol: symbol, typ: "Microsoft.Storage/storageAccounts/queueServices/queues@2025-01-01", note: note, name: name, parent: queues}
	}
	queue, poison := of("queue", name, ""), of("poison", name+"-poison", "Messages that failed for good, put here by the host.")
	b.main.add(queues, queue, poison)
	b.grant("seesQueue", queueDataReader, queue, "")
	b.grant("takesMessages", queueDataProcessor, queue, "")
	b.grant("setsMessagesAside", queueDataSender, poison, "")
	b.main.add(b.poisonAlarm(name + "-poison"))
	b.setting("GODWIT_QUEUE", ref("queue.name"))
	b.setting(host+"maxDequeueCount", number(attempts), "Then a message goes to "+name+"-poison.")
	if b.s.Batch != nil && b.s.Batch.MaxConcurrency > 0 {
		b.setting(host+"batchSize", number(b.s.Batch.MaxConcurrency), "Messages at a time.")
		b.setting(host+"newBatchThreshold", "0")
	}
	b.out("QUEUE_URL", text{ref("storage.properties.primaryEndpoints.queue"), ref("queue.name")})
}

// find is the resource with the symbol.
func (b *builder) find(symbol string) *resource {
	all := b.main.resources()
	return all[slices.IndexFunc(all, func(r *resource) bool { return r.symbol == symbol })]
}

func (b *builder) topic(host string, attempts int) {
	bus := &resource{
		symbol: "bus", typ: "Microsoft.ServiceBus/namespaces@2024-01-01", note: "Topics need the Standard tier.",
		name: ref("appName"), body: of("location", ref("location"), "sku", of("name", "Standard", "tier", "Standard"),
			"properties", of("disableLocalAuth", true, "minimumTlsVersion", "1.2")),
	}
	topic := &resource{symbol: "topic", typ: "Microsoft.ServiceBus/namespaces/topics@2024-01-01", name: "rows", parent: bus}
	subscription := &resource{
		symbol: "ownSubscription", typ: "Microsoft.ServiceBus/namespaces/topics/subscriptions@2024-01-01", name: b.s.Name, parent: topic,
		body: object{{key: "properties", value: object{
			{key: "maxDeliveryCount", value: attempts, note: "Then a message goes to the subscription's dead-letter queue, and so does one that expires."},
			{key: "deadLetteringOnMessageExpiration", value: true},
			{key: "lockDuration", value: "PT5M"},
		}}},
	}
	b.main.add(bus, topic, subscription)
	b.grant("receives", serviceBusReceiver, subscription, "")
	b.main.add(metricAlarm("deadLetterAlarm", bus, "DeadletteredMessages", "Maximum", ref("topic.name"), ""))
	b.setting("ServiceBus__fullyQualifiedNamespace", text{ref("bus.name"), ".servicebus.windows.net"})
	b.connection("ServiceBus")
	b.setting("GODWIT_TOPIC", ref("topic.name"))
	b.setting("GODWIT_SUBSCRIPTION", ref("ownSubscription.name"))
	if b.s.Batch != nil && b.s.Batch.MaxConcurrency > 0 {
		b.setting(host+"maxConcurrentCalls", number(b.s.Batch.MaxConcurrency), "Messages at a time.")
	}
	b.out("TOPIC_URL", text{ref("bus.properties.serviceBusEndpoint"), ref("topic.name")})
}

func (b *builder) stream(host string) {
	hubs := &resource{
		symbol: "hubs", typ: "Microsoft.EventHub/namespaces@2024-01-01", name: ref("appName"),
		body: of("location", ref("location"), "sku", of("name", "Standard", "tier", "Standard", "capacity", 1),
			"properties", of("disableLocalAuth", true, "minimumTlsVersion", "1.2")),
	}
	hub := &resource{
		symbol: "hub", typ: "Microsoft.EventHub/namespaces/eventhubs@2024-01-01", name: "rows", parent: hubs,
		note: "An event that fails is not delivered again: the hub goes on behind it.",
		body: of("properties", of("partitionCount", 4, "retentionDescription", of("cleanupPolicy", "Delete", "retentionTimeInHours", 24))),
	}
	b.main.add(hubs, hub)
	b.grant("reads", eventHubsReceiver, hub, "")
	b.setting("EventHubs__fullyQualifiedNamespace", text{ref("hubs.name"), ".servicebus.windows.net"})
	b.connection("EventHubs")
	b.setting("GODWIT_STREAM", ref("hub.name"))
	if b.s.Batch != nil {
		b.setting(host+"maxEventBatchSize", number(b.s.Batch.Size), "Events of one delivery.")
		if b.s.Batch.Window > 0 {
			b.setting(host+"minEventBatchSize", number(b.s.Batch.Size))
			b.setting(host+"maxWaitTime", timeSpan(b.s.Batch.Window), "How long a delivery waits to be full.")
		}
	}
	b.out("STREAM_NAMESPACE", text{ref("hubs.name"), ".servicebus.windows.net"})
}

// subscriptions are those of Event Grid, in a file of their own: it asks whether
// the function is there, and it is when the package is deployed.
func (b *builder) subscriptions(attempts int) *template {
	t := begin(b.d)
	t.note += "\n\nDeploy this when the package is there: Event Grid asks for the functions it calls."
	t.add(
		&param{name: "appName", typ: "string", about: "The function app: AZURE_FUNCTION_NAME of main.bicep."},
		&param{name: "storageName", typ: "string", about: "Its storage: AZURE_STORAGE_NAME of main.bicep."},
		alarmParam(),
	)
	in, _ := b.places()
	if b.trigger("objects") {
		about := "The region of main.bicep."
		if in.account != "" {
			about = "The region of batch.input's account, where its topic has to be."
			t.add(&param{name: lakeGroup, typ: "string", about: "Where that account is: AZURE_BATCH_RESOURCE_GROUP of main.bicep.", value: fn("resourceGroup").at("name")})
		}
		t.add(&param{name: "location", typ: "string", about: about, value: location(b.t.Location)})
	}
	app := &resource{symbol: "app", typ: "Microsoft.Web/sites@2024-11-01", existing: true, name: ref("appName")}
	storage := &resource{symbol: "storage", typ: "Microsoft.Storage/storageAccounts@2025-01-01", existing: true, name: ref("storageName")}
	blobs := &resource{symbol: "blobs", typ: "Microsoft.Storage/storageAccounts/blobServices@2025-01-01", existing: true, name: "default", parent: storage}
	dead := &resource{symbol: "deadLetters", typ: "Microsoft.Storage/storageAccounts/blobServices/containers@2025-01-01", existing: true, name: deadAt, parent: blobs}
	t.add(app, storage, blobs, dead, &variable{name: "storageBlobDataContributor", value: blobDataContributor.id, note: "Azure's built-in role, by its id."})
	add := func(name, kind string, topic *resource, filter object) {
		g := granted(name+"KeepDeadLetters", ref("storageBlobDataContributor"), dead, ref(topic.symbol+".id"), ref(topic.symbol+".identity.principalId"), "Event Grid writes what failed for good as the topic's identity.")
		schema := "EventGridSchema"
		if name == "events" {
			schema = "CloudEventSchemaV1_0"
		}
		properties := of(
			"destination", of("endpointType", "AzureFunction", "properties", of("resourceId", text{ref("app.id"), "/functions/" + name}, "maxEventsPerBatch", 1)),
			"eventDeliverySchema", schema,
			"retryPolicy", of("maxDeliveryAttempts", attempts, "eventTimeToLiveInMinutes", 1440),
			"deadLetterWithResourceIdentity", of("identity", of("type", "SystemAssigned"),
				"deadLetterDestination", of("endpointType", "StorageBlob", "properties", of("resourceId", ref("storage.id"), "blobContainerName", deadAt))),
		)
		if filter != nil {
			properties.set("filter", filter)
		}
		t.add(topic, g, metricAlarm(name+"Alarm", topic, "DeadLetteredCount", "Total", nil, ""), &resource{symbol: name + "Subscription", typ: kind + "/eventSubscriptions@2025-02-15", name: name, parent: topic, body: of("properties", properties), needs: []string{g.symbol}})
	}
	if b.trigger("objects") {
		source := any(ref("storage.id"))
		if in.account != "" {
			source = fn("resourceId", ref(lakeGroup), "Microsoft.Storage/storageAccounts", in.account)
		}
		add("objects", "Microsoft.EventGrid/systemTopics", &resource{
			symbol: "objectsTopic", typ: "Microsoft.EventGrid/systemTopics@2025-02-15", name: text{ref("appName"), "-objects"},
			body: of("location", ref("location"), "identity", of("type", "SystemAssigned"), "properties", of("source", source, "topicType", "Microsoft.Storage.StorageAccounts")),
		}, of("includedEventTypes", list{"Microsoft.Storage.BlobCreated"}, "subjectBeginsWith", "/blobServices/default/containers/"+in.container+"/blobs/"+in.path))
	}
	if b.trigger("events") {
		add("events", "Microsoft.EventGrid/topics", &resource{symbol: "eventsTopic", typ: "Microsoft.EventGrid/topics@2025-02-15", existing: true, name: ref("appName")}, nil)
	}
	return t
}

// timeSpan is d as .NET writes a TimeSpan.
func timeSpan(d spec.Duration) string {
	s := int64(d) / 1e9
	return two(s/3600) + ":" + two(s/60%60) + ":" + two(s%60)
}

func two(n int64) string {
	if n < 10 {
		return "0" + number(n)
	}
	return number(n)
}
