package cdk_test

import (
	"encoding/json"
	"os"
	"testing"
)

func TestSmoke(t *testing.T) {
	for name, y := range map[string]string{
		"http": "targets: {awslambda: {api: http, cors: ['https://a.example'], rollout: Canary10Percent5Minutes, throttle: {rate: 5, burst: 9}}}",
		"rest": "targets: {awslambda: {api: rest, responseStreaming: true, throttle: {rate: 5, burst: 9}}}",
		"url":  "auth: none\ntargets: {awslambda: {api: url, cors: ['https://a.example'], provisionedConcurrency: 2, provisionedSchedule: [{at: 'cron(0 8 ? * MON-FRI *)', timezone: Europe/Berlin, concurrency: 5}]}}",
		"alb":  "targets: {awslambda: {api: alb, vpc: {subnets: [subnet-1], securityGroups: [sg-1]}}}",
		"gpu":  "compliance: aws-solutions\ntargets: {awslambda: {api: rest, managedInstances: {capacityProvider: 'arn:aws:lambda:eu-central-1:111122223333:capacity-provider:gpus'}, gpu: 16GB, secrets: {A: a/b:k}}}",
	} {
		tpl := synth(t, load(t, y))
		b, _ := json.MarshalIndent(tpl, "", " ")
		os.WriteFile("/tmp/core/"+name+".json", b, 0o644)
	}
}
