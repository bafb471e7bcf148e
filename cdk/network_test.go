package cdk_test

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsec2"
	"github.com/aws/jsii-runtime-go"
	"github.com/google/go-cmp/cmp"

	"godwit.dev/cdk"
)

// A network that is made has no way out but its endpoints, which functions
// alone reach, and writes down what flows in it.
func TestNetwork(t *testing.T) {
	s := awscdk.NewStack(app(), jsii.String("s"), nil)
	n := cdk.NewNetwork(s, "Network", &cdk.NetworkProps{
		InterfaceEndpoints: map[string]awsec2.IInterfaceVpcEndpointService{"SQS": awsec2.InterfaceVpcEndpointAwsService_SQS()},
		EncryptionKey:      cdk.NewEncryptionKey(s, "Key"),
	})
	if got := len(*n.VpcConfig.SubnetIds); got != 2 {
		t.Errorf("want subnets in two zones, got %d", got)
	}
	tpl := templateOf(t, s)
	for _, typ := range []string{"AWS::EC2::NatGateway", "AWS::EC2::InternetGateway", "AWS::EC2::EIP", "AWS::EC2::Route", function} {
		if n := len(resources(tpl, typ)); n > 0 {
			t.Errorf("want no %s, got %d", typ, n)
		}
	}
	var endpoints []string
	for _, e := range resources(tpl, "AWS::EC2::VPCEndpoint") {
		p := e["Properties"].(map[string]any)
		name := text(p["ServiceName"])
		for _, service := range []string{"s3", "dynamodb", "sqs"} {
			if strings.Contains(name, "."+service+`"`) {
				endpoints = append(endpoints, p["VpcEndpointType"].(string)+" "+service)
			}
		}
	}
	slices.Sort(endpoints)
	if diff := cmp.Diff([]string{"Gateway dynamodb", "Gateway s3", "Interface sqs"}, endpoints); diff != "" {
		t.Errorf("endpoints (-want +got):\n%s", diff)
	}
	for id, g := range resources(tpl, "AWS::EC2::SecurityGroup") {
		if in := g["Properties"].(map[string]any)["SecurityGroupIngress"]; in != nil {
			t.Errorf("%s: want nothing in by address, got %s", id, text(in))
		}
	}
	for id, in := range resources(tpl, "AWS::EC2::SecurityGroupIngress") {
		p := in["Properties"].(map[string]any)
		if p["SourceSecurityGroupId"] == nil || p["FromPort"] != 443. {
			t.Errorf("%s: want TLS from the functions' group, got %s", id, text(p))
		}
	}
	if got := dug(tpl, "AWS::EC2::FlowLog", "TrafficType"); got != "ALL" {
		t.Errorf("want a flow log, got %v", got)
	}
	if got := dug(tpl, "AWS::Logs::LogGroup", "KmsKeyId"); got == nil {
		t.Error("want the flow log encrypted with the key")
	}
}

// Rules that ask for a key and a network get both made, for both functions.
func TestMadeForCompliance(t *testing.T) {
	tpl := synth(t, load(t, "compliance: hipaa\nbatch: {input: rows/, output: scores/}\ntriggers: [objects]\ntargets: {awslambda: {api: rest, reservedConcurrency: 5}}"))
	key := only(t, tpl, "AWS::KMS::Key")
	if key["EnableKeyRotation"] != true {
		t.Errorf("want the key rotated, got %s", text(key))
	}
	if policy := text(key["KeyPolicy"]); !strings.Contains(policy, `"EncryptLogs"`) || !strings.Contains(policy, "kms:EncryptionContext:aws:logs:arn") {
		t.Errorf("want log groups of this account let in, got %s", policy)
	}
	for _, k := range resources(tpl, "AWS::KMS::Key") {
		if k["DeletionPolicy"] != "Retain" {
			t.Errorf("want the key kept, got %v", k["DeletionPolicy"])
		}
	}
	functions := resources(tpl, function)
	for _, id := range slices.Sorted(maps.Keys(functions)) {
		if !strings.HasPrefix(id, "Online") && !strings.HasPrefix(id, "Batch") {
			continue
		}
		p := functions[id]["Properties"].(map[string]any)
		if p["KmsKeyArn"] == nil || p["VpcConfig"] == nil {
			t.Errorf("%s: want the key and the network, got %s", id, text(p))
		}
	}
	for id, g := range resources(tpl, "AWS::Logs::LogGroup") {
		if g["Properties"].(map[string]any)["KmsKeyId"] == nil {
			t.Errorf("%s: want it encrypted with the key", id)
		}
	}
}

// A key that is named is everywhere, and its policy left to its owner.
func TestNamedKey(t *testing.T) {
	tpl := synth(t, load(t, "targets: {awslambda: {kmsKey: '"+aKey+"'}}"))
	if n := len(resources(tpl, "AWS::KMS::Key")); n > 0 {
		t.Errorf("want no key made, got %d", n)
	}
	for id, g := range resources(tpl, "AWS::Logs::LogGroup") {
		if got := g["Properties"].(map[string]any)["KmsKeyId"]; got != aKey {
			t.Errorf("%s: want %s, got %v", id, aKey, got)
		}
	}
}
