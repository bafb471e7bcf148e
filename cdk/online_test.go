package cdk_test

import "testing"

func TestSmoke(t *testing.T) {
	tpl := synth(t, load(t, "targets: {awslambda: {managedInstances: {capacityProvider: 'arn:aws:lambda:eu-central-1:111122223333:capacity-provider:gpus'}, gpu: 16GB}}"))
	p := only(t, tpl, "AWS::Lambda::Function")
	t.Log(p)
}
