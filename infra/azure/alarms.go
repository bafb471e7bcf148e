package azure

// actionGroup is the parameter that names who is told by an alarm. Without one it
// shows in the portal alone.
const actionGroup = "alertActionGroupId"

func alarmParam() *param {
	return &param{name: actionGroup, typ: "string", about: "The id of the action group that is told when something failed for good; empty for none.", value: ""}
}

// metricAlarm goes off when a metric of a resource is above zero.
func metricAlarm(symbol string, of *resource, metric, how string, entity any, note string) *resource {
	one := object{
		{key: "criterionType", value: "StaticThresholdCriterion"}, {key: "name", value: metric},
		{key: "metricNamespace", value: of.kind()}, {key: "metricName", value: metric},
		{key: "operator", value: "GreaterThan"}, {key: "threshold", value: 0}, {key: "timeAggregation", value: how},
	}
	if entity != nil {
		one.set("dimensions", list{object{{key: "name", value: "EntityName"}, {key: "operator", value: "Include"}, {key: "values", value: list{entity}}}})
	}
	return &resource{
		symbol: symbol, typ: "Microsoft.Insights/metricAlerts@2018-03-01", note: note, name: text{ref("appName"), "-" + symbol},
		body: object{{key: "location", value: "global"}, {key: "properties", value: object{
			{key: "severity", value: 2}, {key: "enabled", value: true}, {key: "scopes", value: list{ref(of.symbol + ".id")}},
			{key: "evaluationFrequency", value: "PT5M"}, {key: "windowSize", value: "PT15M"},
			{key: "criteria", value: object{{key: "odata.type", value: "Microsoft.Azure.Monitor.SingleResourceMultipleMetricCriteria"}, {key: "allOf", value: list{one}}}},
			{key: "actions", value: choice{fn("empty", ref(actionGroup)), list{}, list{object{{key: "actionGroupId", value: ref(actionGroup)}}}}},
		}}},
	}
}

// poisonAlarm goes off when the host's log says that it put a message aside:
// queues of storage have no metric of their own.
func (b *builder) poisonAlarm(poison string) *resource {
	return &resource{
		symbol: "poisonAlarm", typ: "Microsoft.Insights/scheduledQueryRules@2023-12-01", note: "Queues of storage have no metric of their own; the host's log tells of each message that it puts aside.",
		name: text{ref("appName"), "-poison"},
		body: of("location", ref("location"), "properties", of(
			"severity", 2, "enabled", true, "scopes", list{ref("logs.id")},
			"evaluationFrequency", "PT5M", "windowSize", "PT15M",
			"criteria", of("allOf", list{of(
				"query", "AppTraces | where Message has \"Moving message to queue '"+poison+"'\"",
				"timeAggregation", "Count", "operator", "GreaterThan", "threshold", 0,
			)}),
			"skipQueryValidation", true,
			"actions", of("actionGroups", choice{fn("empty", ref(actionGroup)), list{}, list{ref(actionGroup)}}),
		)),
		needs: []string{"insights"},
	}
}
