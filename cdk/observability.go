package cdk

import (
	"slices"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awscloudwatch"
	"github.com/aws/aws-cdk-go/awscdk/v2/awscloudwatchactions"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsiam"
	"github.com/aws/aws-cdk-go/awscdk/v2/awskms"
	"github.com/aws/aws-cdk-go/awscdk/v2/awssns"
	"github.com/aws/constructs-go/constructs/v10"
	"github.com/aws/jsii-runtime-go"

	"godwit.dev/runtime/fault"
)

// ObservabilityProps is where alarms go and what they go by.
type ObservabilityProps struct {
	// Name is the dashboard's, before the region, and stands before each alarm's;
	// nil: the stack's.
	Name *string
	// AlarmTopic is told of alarms; nil: a topic is made, which has no subscribers.
	AlarmTopic awssns.ITopic
	// EncryptionKey is of a topic that is made; nil: one is made for it, since
	// alarms cannot write to a topic under AWS's own. CloudWatch must be allowed to
	// use it, which this construct sees to where the key is of the same app.
	EncryptionKey awskms.IKey
	// ErrorPercent is the share of requests, in five minutes, from which on it is
	// an alarm that they failed; nil: 1.
	ErrorPercent *float64
}

// Observability is a dashboard of one page and the alarms. What is watched its
// methods are told: WatchFunction, WatchHttpApi and its like, WatchQueue.
type Observability struct {
	constructs.Construct
	Topic     awssns.ITopic
	Key       awskms.IKey // nil with a topic that was given
	Dashboard awscloudwatch.Dashboard
	Alarms    []awscloudwatch.Alarm // in the order in which they were made

	name    string
	percent float64
	names   []string // of what is watched
	shown   int      // how many of Alarms the dashboard has
}

// NewObservability makes the dashboard, empty yet, and the topic.
func NewObservability(scope constructs.Construct, id string, p *ObservabilityProps) *Observability {
	if p == nil {
		p = &ObservabilityProps{}
	}
	o := &Observability{
		Construct: constructs.NewConstruct(scope, jsii.String(id)), Topic: p.AlarmTopic,
		name: *or(p.Name, awscdk.Stack_Of(scope).StackName()), percent: *or(p.ErrorPercent, jsii.Number(1)),
	}
	if o.Topic == nil {
		o.makeTopic(p.EncryptionKey)
	}
	o.Dashboard = awscloudwatch.NewDashboard(o.Construct, jsii.String("Dashboard"), &awscloudwatch.DashboardProps{
		// An account's dashboards are the same in all regions.
		DashboardName:   jsii.String(o.name + "-" + *awscdk.Aws_REGION()),
		DefaultInterval: awscdk.Duration_Hours(jsii.Number(3)),
		PeriodOverride:  awscloudwatch.PeriodOverride_AUTO,
	})
	return o
}

// makeTopic makes a topic that only alarms of this account write to.
func (o *Observability) makeTopic(key awskms.IKey) {
	if key == nil {
		key = awskms.NewKey(o.Construct, jsii.String("Key"), &awskms.KeyProps{
			Description:       jsii.String("Messages of alarms of " + o.name),
			EnableKeyRotation: jsii.Bool(true),
			// There is nothing to read back once the topic has gone.
			RemovalPolicy: awscdk.RemovalPolicy_DESTROY,
		})
	}
	o.Key = key
	ours := &map[string]any{"StringEquals": map[string]any{"aws:SourceAccount": awscdk.Aws_ACCOUNT_ID()}}
	alarms := func(sid string, resource *string, actions ...string) awsiam.PolicyStatement {
		return awsiam.NewPolicyStatement(&awsiam.PolicyStatementProps{
			Sid: jsii.String(sid), Actions: jsii.Strings(actions...), Resources: &[]*string{resource}, Conditions: ours,
			Principals: &[]awsiam.IPrincipal{awsiam.NewServicePrincipal(jsii.String("cloudwatch.amazonaws.com"), nil)},
		})
	}
	// In a key's policy "*" is the key.
	key.AddToResourcePolicy(alarms("EncryptAlarms", jsii.String("*"), "kms:Decrypt", "kms:GenerateDataKey"), jsii.Bool(true))
	topic := awssns.NewTopic(o.Construct, jsii.String("Topic"), &awssns.TopicProps{MasterKey: key, EnforceSSL: jsii.Bool(true)})
	// A topic with a policy has none of the permissions that it has without.
	topic.AddToResourcePolicy(alarms("PublishAlarms", topic.TopicArn(), "sns:Publish"))
	o.Topic = topic
}

// DashboardUrl is where people find the dashboard, a token.
func (o *Observability) DashboardUrl() *string {
	return awscdk.Fn_Join(jsii.String(""), &[]*string{
		jsii.String("https://console.aws.amazon.com/cloudwatch/home?region="), awscdk.Aws_REGION(), jsii.String("#dashboards:name="), o.Dashboard.DashboardName(),
	})
}

// watch takes a name for what is watched from now on.
func (o *Observability) watch(name string) {
	if name == "" || slices.Contains(o.names, name) {
		panic(fault.New(fault.BadConfig, "cdk.Observability", name, "want a name that nothing else has that is watched").
			WithHint("Names are of alarms, which must not change: give each a name of its own."))
	}
	o.names = append(o.names, name)
}

// condition is when an alarm goes off.
type condition struct {
	what      string // for people
	metric    awscloudwatch.IMetric
	threshold float64
	above     bool // the threshold itself is no alarm
	of, must  float64
	missing   awscloudwatch.TreatMissingData // "": no data is no alarm
}

// alarm makes an alarm that tells the topic when it goes off and when it is over.
// Its name is NAME-ID in kebab case, whatever CloudFormation replaces.
func (o *Observability) alarm(watched, id string, c condition) awscloudwatch.Alarm {
	props := &awscloudwatch.AlarmProps{
		AlarmName: jsii.String(o.name + "-" + kebab(watched+id)), AlarmDescription: jsii.String(c.what), Metric: c.metric,
		Threshold: &c.threshold, EvaluationPeriods: jsii.Number(max(c.of, 1)), DatapointsToAlarm: jsii.Number(max(c.must, 1)),
		ComparisonOperator: awscloudwatch.ComparisonOperator_GREATER_THAN_OR_EQUAL_TO_THRESHOLD,
		TreatMissingData:   awscloudwatch.TreatMissingData_NOT_BREACHING,
	}
	if c.above {
		props.ComparisonOperator = awscloudwatch.ComparisonOperator_GREATER_THAN_THRESHOLD
	}
	if c.missing != "" {
		props.TreatMissingData = c.missing
	}
	a := awscloudwatch.NewAlarm(o.Construct, jsii.String(watched+id), props)
	act := awscloudwatchactions.NewSnsAction(o.Topic)
	a.AddAlarmAction(act)
	a.AddOkAction(act)
	o.Alarms = append(o.Alarms, a)
	return a
}

// kebab is CamelCase as camel-case.
func kebab(s string) string {
	var out []byte
	for i := range len(s) {
		c := s[i]
		capital := c >= 'A' && c <= 'Z'
		if i > 0 && (capital || c >= '0' && c <= '9') && s[i-1] >= 'a' && s[i-1] <= 'z' {
			out = append(out, '-')
		}
		if capital {
			c += 'a' - 'A'
		}
		out = append(out, c)
	}
	return string(out)
}
