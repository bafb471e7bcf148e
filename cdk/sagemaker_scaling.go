package cdk

import (
	"github.com/aws/aws-cdk-go/awscdk/v2/awsapplicationautoscaling"
	"github.com/aws/aws-cdk-go/awscdk/v2/awscloudwatch"
	"github.com/aws/jsii-runtime-go"
)

// scales reports whether instances come and go.
func (s *SageMakerEndpoint) scales() bool {
	p := s.props
	return (p.Mode == SageMakerMode_REALTIME || p.Mode == SageMakerMode_ASYNC) && *p.MaxCapacity > *p.MinCapacity
}

// scale adds instances while requests are many and takes them away when they
// are few: of a realtime endpoint by the requests that an instance has at a time,
// of an asynchronous one by those that wait for it.
func (s *SageMakerEndpoint) scale() {
	if !s.scales() {
		return
	}
	p := s.props
	target := awsapplicationautoscaling.NewCfnScalableTarget(s.Construct, jsii.String("Instances"), &awsapplicationautoscaling.CfnScalableTargetProps{
		ServiceNamespace: jsii.String("sagemaker"), ScalableDimension: jsii.String("sagemaker:variant:DesiredInstanceCount"),
		ResourceId:  jsii.String("endpoint/" + *p.EndpointName + "/variant/" + variantName),
		MinCapacity: p.MinCapacity, MaxCapacity: p.MaxCapacity,
	})
	target.Node().AddDependency(s.Endpoint)
	tracking := &awsapplicationautoscaling.CfnScalingPolicy_TargetTrackingScalingPolicyConfigurationProperty{
		ScaleInCooldown: jsii.Number(300), ScaleOutCooldown: jsii.Number(60),
	}
	if p.Mode == SageMakerMode_REALTIME {
		tracking.TargetValue = p.ConcurrentRequestsPerModel
		tracking.PredefinedMetricSpecification = &awsapplicationautoscaling.CfnScalingPolicy_PredefinedMetricSpecificationProperty{
			PredefinedMetricType: jsii.String("SageMakerVariantConcurrentRequestsPerModelHighResolution"),
		}
	} else {
		tracking.TargetValue = p.BacklogSizePerInstance
		tracking.CustomizedMetricSpecification = &awsapplicationautoscaling.CfnScalingPolicy_CustomizedMetricSpecificationProperty{
			Namespace: jsii.String("AWS/SageMaker"), MetricName: jsii.String("ApproximateBacklogSizePerInstance"), Statistic: jsii.String("Average"),
			Dimensions: &[]any{&awsapplicationautoscaling.CfnScalingPolicy_MetricDimensionProperty{Name: jsii.String("EndpointName"), Value: p.EndpointName}},
		}
	}
	awsapplicationautoscaling.NewCfnScalingPolicy(s.Construct, jsii.String("Track"), &awsapplicationautoscaling.CfnScalingPolicyProps{
		PolicyName: jsii.String("track"), PolicyType: jsii.String("TargetTrackingScaling"), ScalingTargetId: target.Ref(),
		TargetTrackingScalingPolicyConfiguration: tracking,
	})
	if p.Mode == SageMakerMode_ASYNC && *p.MinCapacity == 0 {
		s.wake(target)
	}
}

// wake makes the first instance: with none there is no backlog for each of them
// that tracking could follow.
func (s *SageMakerEndpoint) wake(target awsapplicationautoscaling.CfnScalableTarget) {
	p := s.props
	policy := awsapplicationautoscaling.NewCfnScalingPolicy(s.Construct, jsii.String("Wake"), &awsapplicationautoscaling.CfnScalingPolicyProps{
		PolicyName: jsii.String("wake"), PolicyType: jsii.String("StepScaling"), ScalingTargetId: target.Ref(),
		StepScalingPolicyConfiguration: &awsapplicationautoscaling.CfnScalingPolicy_StepScalingPolicyConfigurationProperty{
			AdjustmentType: jsii.String("ChangeInCapacity"), MetricAggregationType: jsii.String("Average"), Cooldown: jsii.Number(300),
			StepAdjustments: &[]any{&awsapplicationautoscaling.CfnScalingPolicy_StepAdjustmentProperty{MetricIntervalLowerBound: jsii.Number(0), ScalingAdjustment: jsii.Number(1)}},
		},
	})
	awscloudwatch.NewCfnAlarm(s.Construct, jsii.String("WaitingForInstance"), &awscloudwatch.CfnAlarmProps{
		AlarmDescription: jsii.String("Requests wait and there is no instance: makes one."),
		Namespace:        jsii.String("AWS/SageMaker"), MetricName: jsii.String("HasBacklogWithoutCapacity"), Statistic: jsii.String("Average"),
		Dimensions: &[]any{&awscloudwatch.CfnAlarm_DimensionProperty{Name: jsii.String("EndpointName"), Value: p.EndpointName}},
		Period:     jsii.Number(60), EvaluationPeriods: jsii.Number(1), DatapointsToAlarm: jsii.Number(1),
		ComparisonOperator: jsii.String("GreaterThanOrEqualToThreshold"), Threshold: jsii.Number(1), TreatMissingData: jsii.String("missing"),
		AlarmActions: &[]any{policy.Ref()},
	})
}
