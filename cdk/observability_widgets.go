package cdk

import (
	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awscloudwatch"
	"github.com/aws/aws-cdk-go/awscdk/v2/interfaces/interfacesawscloudwatch"
	"github.com/aws/jsii-runtime-go"
)

// newMetric is a metric of five minutes.
func newMetric(namespace, name, statistic string, dimensions map[string]*string) awscloudwatch.Metric {
	return awscloudwatch.NewMetric(&awscloudwatch.MetricProps{
		Namespace: &namespace, MetricName: &name, Statistic: &statistic, DimensionsMap: &dimensions, Period: awscdk.Duration_Minutes(jsii.Number(5)),
	})
}

func labelled(m awscloudwatch.Metric, label string) awscloudwatch.Metric {
	if label == "" {
		return m
	}
	return m.With(&awscloudwatch.MetricOptions{Label: &label})
}

// soon is a metric of one minute.
func soon(m awscloudwatch.Metric) awscloudwatch.Metric {
	return m.With(&awscloudwatch.MetricOptions{Period: awscdk.Duration_Minutes(jsii.Number(1))})
}

// share is part in percent of all, where there is any; a part that nobody wrote is 0.
func share(part, all awscloudwatch.Metric) awscloudwatch.IMetric {
	return awscloudwatch.NewMathExpression(&awscloudwatch.MathExpressionProps{
		Expression: jsii.String("100 * FILL(part, 0) / whole"), Label: jsii.String("%"), Period: awscdk.Duration_Minutes(jsii.Number(5)),
		UsingMetrics: &map[string]awscloudwatch.IMetric{"part": part, "whole": all},
	})
}

// line is one across a graph.
type line struct {
	at    float64
	label string
}

// The dashboard is 24 columns wide.
const (
	graphWidth  = 8
	graphHeight = 6
)

// graph is one of three in a row.
func graph(title string, across *line, metrics ...awscloudwatch.IMetric) awscloudwatch.IWidget {
	return graphs(title, across, metrics, nil)
}

func graphs(title string, across *line, left, right []awscloudwatch.IMetric) awscloudwatch.IWidget {
	p := &awscloudwatch.GraphWidgetProps{
		Title: &title, Width: jsii.Number(graphWidth), Height: jsii.Number(graphHeight), Left: &left,
		LeftYAxis: &awscloudwatch.YAxisProps{Min: jsii.Number(0), ShowUnits: jsii.Bool(false)},
	}
	if len(right) > 0 {
		p.Right = &right
		p.RightYAxis = &awscloudwatch.YAxisProps{Min: jsii.Number(0), ShowUnits: jsii.Bool(false)}
	}
	if across != nil {
		p.LeftAnnotations = &[]*awscloudwatch.HorizontalAnnotation{{Value: &across.at, Label: &across.label}}
	}
	return awscloudwatch.NewGraphWidget(p)
}

// show begins a part of the dashboard with the state of its alarms, those that
// were made since the last one.
func (o *Observability) show(name string) {
	var alarms []interfacesawscloudwatch.IAlarmRef
	for _, a := range o.Alarms[o.shown:] {
		alarms = append(alarms, a)
	}
	o.shown = len(o.Alarms)
	o.Dashboard.AddWidgets(awscloudwatch.NewAlarmStatusWidget(&awscloudwatch.AlarmStatusWidgetProps{
		Title: &name, Alarms: &alarms, Width: jsii.Number(24), Height: jsii.Number(2),
	}))
}

// functionWidgets are the graphs of a function.
func (o *Observability) functionWidgets(w *WatchedFunction) []awscloudwatch.IWidget {
	theirs := func(name, statistic, label string) awscloudwatch.IMetric {
		return labelled(w.metric(name, statistic), label)
	}
	ours := func(name, statistic, label string) awscloudwatch.IMetric {
		return labelled(w.ours(name, statistic), label)
	}
	failures := []awscloudwatch.IMetric{theirs("Errors", "Sum", "errors"), theirs("Throttles", "Sum", "throttles"), ours("EngineRestarts", "Sum", "restarts of the engine")}
	busy := []awscloudwatch.IMetric{theirs("ConcurrentExecutions", "Maximum", "at a time")}
	if w.Provisioned {
		failures = append(failures, theirs("ProvisionedConcurrencySpilloverInvocations", "Sum", "beyond the provisioned"))
		busy = append(busy, theirs("ProvisionedConcurrentExecutions", "Maximum", "provisioned"))
	}
	widgets := []awscloudwatch.IWidget{
		graph("Invocations", nil, theirs("Invocations", "Sum", "invocations")),
		graph("Duration, ms", &line{*w.Timeout.ToMilliseconds(nil), "timeout"}, theirs("Duration", "p50", "p50"), theirs("Duration", "p99", "p99")),
		graphs("Failures; environments", nil, failures, busy),
	}
	if !w.Events {
		widgets = append(widgets,
			graph("Requests", nil, ours("Requests", "Sum", "requests"), ours("Errors", "Sum", "refused or failed"), ours("Faults", "Sum", "failed by its own doing")),
			graph("Time of requests, ms", nil, ours("RequestTime", "p50", "p50"), ours("RequestTime", "p99", "p99")),
		)
	}
	return append(widgets,
		graphs("Cold starts; until ready, ms", nil,
			[]awscloudwatch.IMetric{ours("StartReady", "SampleCount", "starts")},
			[]awscloudwatch.IMetric{ours("StartReady", "p50", "until ready, p50"), ours("StartReady", "p99", "until ready, p99"), ours("StartLoad", "p99", "loading models, p99"), ours("StartWarmup", "p99", "first answers, p99")}),
		graph("Time of the models, ms", nil, ours("QueueTime", "p99", "waiting, p99"), ours("ComputeTime", "p50", "computing, p50"), ours("ComputeTime", "p99", "computing, p99")),
		graphs("Rows; of one run", nil, []awscloudwatch.IMetric{ours("BatchRows", "Sum", "rows")}, []awscloudwatch.IMetric{ours("BatchRows", "Average", "average"), ours("BatchRows", "Maximum", "largest")}),
		graph("Model versions: runs", nil, o.byVersion(w, "ComputeTime", "SampleCount")),
		graph("Model versions: computing, p99, ms", nil, o.byVersion(w, "ComputeTime", "p99")),
	)
}

// byVersion finds the models and versions that there are in a metric.
func (o *Observability) byVersion(w *WatchedFunction, metric, statistic string) awscloudwatch.IMetric {
	return awscloudwatch.NewMathExpression(&awscloudwatch.MathExpressionProps{
		Expression: jsii.String(`SEARCH('{Godwit,Function,Model,Version} MetricName="` + metric + `" Function="` + *w.Function.FunctionName() + `"', '` + statistic + `', 300)`),
		Label:      jsii.String("${PROP('Dim.Model')} ${PROP('Dim.Version')}"),
		Period:     awscdk.Duration_Minutes(jsii.Number(5)),
	})
}
