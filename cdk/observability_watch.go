package cdk

import (
	"fmt"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsapigateway"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsapigatewayv2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awscloudwatch"
	"github.com/aws/aws-cdk-go/awscdk/v2/awselasticloadbalancingv2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awslambda"
	"github.com/aws/aws-cdk-go/awscdk/v2/awssqs"
	"github.com/aws/jsii-runtime-go"
)

// WatchedFunction is a function as Observability watches it.
type WatchedFunction struct {
	Function awslambda.IFunction // required
	Alias    awslambda.Alias     // what callers go through; nil: the function itself
	Timeout  awscdk.Duration     // required
	// Events says that events alone call it, which come again when all
	// environments are busy, and which make no requests of the protocol.
	Events bool
	// Provisioned says that environments wait for it.
	Provisioned bool
}

// metric is one of Lambda's own, of the alias where there is one.
func (w *WatchedFunction) metric(name, statistic string) awscloudwatch.Metric {
	d := map[string]*string{"FunctionName": w.Function.FunctionName()}
	if w.Alias != nil {
		d["Resource"] = w.resource()
	}
	return newMetric("AWS/Lambda", name, statistic, d)
}

// resource is how Lambda's metrics name the alias. It does not refer to the
// alias, which waits for the alarms of its deployments.
func (w *WatchedFunction) resource() *string {
	return awscdk.Fn_Join(jsii.String(":"), &[]*string{w.Function.FunctionName(), jsii.String(liveName)})
}

// ours is a metric that the function writes itself.
func (w *WatchedFunction) ours(name, statistic string) awscloudwatch.Metric {
	return newMetric("Godwit", name, statistic, map[string]*string{"Function": w.Function.FunctionName()})
}

// WatchFunction makes the alarms of a function, whose names begin with name, and
// puts it on the dashboard.
func (o *Observability) WatchFunction(name string, w *WatchedFunction) {
	o.watch(name)
	limit := *w.Timeout.ToMilliseconds(nil)
	o.alarm(name, "Errors", condition{
		what:   fmt.Sprintf("%v %% or more of the invocations in five minutes ended in an error: they crashed, ran out of memory or of time, or were refused.", o.percent),
		metric: share(w.metric("Errors", "Sum"), w.metric("Invocations", "Sum")), threshold: o.percent,
	})
	o.alarm(name, "Duration", condition{
		what:   fmt.Sprintf("One invocation in a hundred takes 80 %% or more of the timeout of %v s.", limit/1000),
		metric: w.metric("Duration", "p99"), threshold: limit * 0.8, of: 3, must: 2,
	})
	if !w.Events {
		o.alarm(name, "Faults", condition{
			what:   fmt.Sprintf("%v %% or more of the requests in five minutes failed by the function's own doing, with a status of 500 or more.", o.percent),
			metric: share(w.ours("Faults", "Sum"), w.ours("Requests", "Sum")), threshold: o.percent,
		})
		o.alarm(name, "Throttles", condition{
			what:   "Requests were refused because every environment that there may be is busy.",
			metric: w.metric("Throttles", "Sum"), threshold: 1,
		})
	}
	if w.Provisioned {
		o.alarm(name, "Spillover", condition{
			what:   "For a quarter of an hour requests have found no provisioned environment free, and may have waited for a start.",
			metric: w.metric("ProvisionedConcurrencySpilloverInvocations", "Sum"), threshold: 1, of: 3, must: 3,
		})
	}
	o.show(name)
	o.Dashboard.AddWidgets(o.functionWidgets(w)...)
}

// WatchNewVersion makes the alarms that end a deployment of the alias: of the
// version that is new, alone, so that what is wrong with the old one does not
// keep its remedy from being deployed. Lambda tells of versions apart while both
// have traffic: a deployment all at once has nothing to go by.
func (o *Observability) WatchNewVersion(name string, w *WatchedFunction) []awscloudwatch.IAlarm {
	o.watch(name)
	version := w.Alias.Version().Version()
	metric := func(name, statistic string) awscloudwatch.Metric {
		return soon(newMetric("AWS/Lambda", name, statistic, map[string]*string{
			"FunctionName": w.Function.FunctionName(), "Resource": w.resource(), "ExecutedVersion": version}))
	}
	failed, metrics := "FILL(errors, 0)", map[string]awscloudwatch.IMetric{"errors": metric("Errors", "Sum"), "invocations": metric("Invocations", "Sum")}
	if !w.Events {
		failed = "(FILL(errors, 0) + FILL(faults, 0))"
		metrics["faults"] = soon(newMetric("Godwit", "Faults", "Sum", map[string]*string{"Function": w.Function.FunctionName(), "ExecutedVersion": version}))
	}
	limit := *w.Timeout.ToMilliseconds(nil)
	alarms := []awscloudwatch.IAlarm{
		o.alarm(name, "Errors", condition{
			what: fmt.Sprintf("%v %% or more of what the new version was asked in a minute failed by its own doing: the deployment is rolled back.", o.percent),
			metric: awscloudwatch.NewMathExpression(&awscloudwatch.MathExpressionProps{
				Expression: jsii.String("100 * " + failed + " / invocations"), Label: jsii.String("failed, %"), Period: awscdk.Duration_Minutes(jsii.Number(1)), UsingMetrics: &metrics,
			}), threshold: o.percent,
		}),
		o.alarm(name, "Duration", condition{
			what:   fmt.Sprintf("One in a hundred of the new version's invocations in a minute takes 80 %% or more of the timeout of %v s: the deployment is rolled back.", limit/1000),
			metric: metric("Duration", "p99"), threshold: limit * 0.8,
		}),
	}
	o.show(name)
	return alarms
}

// WatchHttpApi watches the answers of an HTTP API.
func (o *Observability) WatchHttpApi(name string, api awsapigatewayv2.IHttpApi) {
	d := map[string]*string{"ApiId": api.ApiId()}
	o.api(name, "AWS/ApiGateway", "Count", "4xx", "5xx", "Latency", d)
}

// WatchRestApi watches the answers of a REST API.
func (o *Observability) WatchRestApi(name string, api awsapigateway.IRestApi) {
	d := map[string]*string{"ApiName": api.RestApiName()}
	o.api(name, "AWS/ApiGateway", "Count", "4XXError", "5XXError", "Latency", d)
}

// WatchFunctionUrl watches the answers of a function's URL.
func (o *Observability) WatchFunctionUrl(name string, w *WatchedFunction) {
	d := map[string]*string{"FunctionName": w.Function.FunctionName()}
	if w.Alias != nil {
		d["Resource"] = w.resource()
	}
	o.api(name, "AWS/Lambda", "UrlRequestCount", "Url4xxCount", "Url5xxCount", "UrlRequestLatency", d)
}

// WatchTargetGroup watches what a load balancer could not use of a function's answers.
func (o *Observability) WatchTargetGroup(name string, group awselasticloadbalancingv2.CfnTargetGroup) {
	d := map[string]*string{"TargetGroup": group.AttrTargetGroupFullName()}
	o.watch(name)
	failed := newMetric("AWS/ApplicationELB", "LambdaUserError", "Sum", d)
	o.alarm(name, "Errors", condition{
		what:   "The load balancer got errors from the function, or answers that it cannot use.",
		metric: failed, threshold: 1,
	})
	o.show(name)
	o.Dashboard.AddWidgets(graph("Requests of the load balancer", nil,
		newMetric("AWS/ApplicationELB", "RequestCount", "Sum", d), failed, newMetric("AWS/ApplicationELB", "LambdaInternalError", "Sum", d)))
}

func (o *Observability) api(name, namespace, count, bad, failed, latency string, d map[string]*string) {
	o.watch(name)
	m := func(metric, statistic, label string) awscloudwatch.Metric {
		return labelled(newMetric(namespace, metric, statistic, d), label)
	}
	o.alarm(name, "5xx", condition{
		what:   fmt.Sprintf("%v %% or more of the API's answers in five minutes have a status of 500 or more.", o.percent),
		metric: share(m(failed, "Sum", ""), m(count, "Sum", "")), threshold: o.percent,
	})
	o.show(name)
	o.Dashboard.AddWidgets(
		graph("Requests of the API", nil, m(count, "Sum", "requests"), m(bad, "Sum", "4xx"), m(failed, "Sum", "5xx")),
		graph("Latency of the API, ms", nil, m(latency, "p50", "p50"), m(latency, "p99", "p99")),
	)
}

// WatchQueue makes the alarms of a queue and of its dead letters. oldest is the
// age from which on it is an alarm that a message waits; nil is the time that the
// queue hides a message, which a delivery that went well does not take: then
// deliveries fail, or too few are under way.
func (o *Observability) WatchQueue(name string, queue awssqs.Queue, deadLetters awssqs.IQueue, oldest awscdk.Duration) {
	o.watch(name)
	m := func(q awssqs.IQueue, metric, label string) awscloudwatch.Metric {
		return labelled(newMetric("AWS/SQS", metric, "Maximum", map[string]*string{"QueueName": q.QueueName()}), label)
	}
	if oldest == nil {
		oldest = hidden(queue)
	}
	o.alarm(name, "Age", condition{
		what:   fmt.Sprintf("A message has waited for %v s or more: deliveries fail, or there are not enough of them.", *oldest.ToSeconds(nil)),
		metric: m(queue, "ApproximateAgeOfOldestMessage", ""), threshold: *oldest.ToSeconds(nil),
	})
	o.alarm(name, "DeadLetters", condition{
		what:   "Messages failed for good and lie in the dead-letter queue. What is to be done: read why in the log, mend it, and move them back (redrive).",
		metric: soon(m(deadLetters, "ApproximateNumberOfMessagesVisible", "")), threshold: 0, above: true,
		// SQS tells nothing of a queue that nobody has asked for six hours, and
		// the letters still lie there.
		missing: awscloudwatch.TreatMissingData_IGNORE,
	})
	o.show(name)
	o.Dashboard.AddWidgets(
		graph("Messages", nil, m(queue, "ApproximateNumberOfMessagesVisible", "waiting"), m(queue, "ApproximateNumberOfMessagesNotVisible", "being scored")),
		graph("Age of the oldest message, s", &line{*oldest.ToSeconds(nil), "alarm"}, m(queue, "ApproximateAgeOfOldestMessage", "age")),
		graph("Dead letters", nil, m(deadLetters, "ApproximateNumberOfMessagesVisible", "dead letters")),
	)
}

// hidden is for how long a queue hides a message.
func hidden(queue awssqs.Queue) awscdk.Duration {
	if s := queue.Node().DefaultChild().(awssqs.CfnQueue).VisibilityTimeout(); s != nil {
		return awscdk.Duration_Seconds(s)
	}
	return awscdk.Duration_Seconds(jsii.Number(30)) // SQS's own
}
