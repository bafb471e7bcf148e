package cdk

import (
	"maps"
	"slices"
	"strings"

	"github.com/aws/aws-cdk-go/awscdk/v2/awsec2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awskms"
	"github.com/aws/aws-cdk-go/awscdk/v2/awslambda"
	"github.com/aws/aws-cdk-go/awscdk/v2/awslogs"
	"github.com/aws/constructs-go/constructs/v10"
	"github.com/aws/jsii-runtime-go"

	"godwit.dev/runtime/fault"
)

// NetworkProps is a network for functions.
type NetworkProps struct {
	// InterfaceEndpoints are the services, beside S3 and DynamoDB, that functions
	// call, such as InterfaceVpcEndpointAwsService_SQS; nil: none. Each costs by
	// the hour in each zone.
	InterfaceEndpoints map[string]awsec2.IInterfaceVpcEndpointService
	LogRetention       awslogs.RetentionDays // "": 30 days
	EncryptionKey      awskms.IKey           // of the flow log; nil: AWS's own
}

// Network is a VPC with isolated subnets in two zones: no gateway to the
// internet and no NAT. What functions in it reach are the services that it has
// endpoints for.
type Network struct {
	constructs.Construct
	Vpc           awsec2.Vpc
	SecurityGroup awsec2.SecurityGroup // of the functions: out by TLS, nothing in
	FlowLogGroup  awslogs.LogGroup
	// VpcConfig is the network as LambdaProps takes it.
	VpcConfig *awslambda.CfnFunction_VpcConfigProperty
}

// NewNetwork makes a network.
func NewNetwork(scope constructs.Construct, id string, p *NetworkProps) *Network {
	n := &Network{Construct: constructs.NewConstruct(scope, jsii.String(id))}
	n.Vpc = awsec2.NewVpc(n.Construct, jsii.String("Vpc"), &awsec2.VpcProps{
		MaxAzs: jsii.Number(2), NatGateways: jsii.Number(0),
		SubnetConfiguration: &[]*awsec2.SubnetConfiguration{{Name: jsii.String("Isolated"), SubnetType: awsec2.SubnetType_PRIVATE_ISOLATED}},
		// CDK would empty the default group by a function of its own.
		RestrictDefaultSecurityGroup: jsii.Bool(false),
		GatewayEndpoints: &map[string]*awsec2.GatewayVpcEndpointOptions{
			"S3":       {Service: awsec2.GatewayVpcEndpointAwsService_S3()},
			"DynamoDB": {Service: awsec2.GatewayVpcEndpointAwsService_DYNAMODB()},
		},
	})
	n.SecurityGroup = awsec2.NewSecurityGroup(n.Construct, jsii.String("SecurityGroup"), &awsec2.SecurityGroupProps{
		Vpc: n.Vpc, AllowAllOutbound: jsii.Bool(false), Description: jsii.String("Functions: out by TLS to the endpoints of this VPC, nothing in"),
	})
	n.SecurityGroup.AddEgressRule(awsec2.Peer_AnyIpv4(), awsec2.Port_Tcp(jsii.Number(443)), jsii.String("TLS"), nil)
	if len(p.InterfaceEndpoints) > 0 {
		group := awsec2.NewSecurityGroup(n.Construct, jsii.String("EndpointSecurityGroup"), &awsec2.SecurityGroupProps{
			Vpc: n.Vpc, AllowAllOutbound: jsii.Bool(false), Description: jsii.String("Endpoints: in by TLS from functions, nothing out"),
		})
		group.AddIngressRule(n.SecurityGroup, awsec2.Port_Tcp(jsii.Number(443)), jsii.String("TLS"), nil)
		for _, name := range slices.Sorted(maps.Keys(p.InterfaceEndpoints)) {
			n.Vpc.AddInterfaceEndpoint(jsii.String(name), &awsec2.InterfaceVpcEndpointOptions{
				Service: p.InterfaceEndpoints[name], Open: jsii.Bool(false), SecurityGroups: &[]awsec2.ISecurityGroup{group},
			})
		}
	}
	n.FlowLogGroup = newLogGroup(n.Construct, "FlowLogGroup", p.LogRetention, p.EncryptionKey)
	role := newRole(n.Construct, "FlowLogRole", "vpc-flow-logs.amazonaws.com")
	role.Allow("WriteLog", []string{"logs:CreateLogStream", "logs:PutLogEvents", "logs:DescribeLogStreams"}, n.FlowLogGroup.LogGroupArn())
	log := awsec2.NewCfnFlowLog(n.Construct, jsii.String("FlowLog"), &awsec2.CfnFlowLogProps{
		ResourceId: n.Vpc.VpcId(), ResourceType: jsii.String("VPC"), TrafficType: jsii.String("ALL"),
		LogDestinationType: jsii.String("cloud-watch-logs"), LogGroupName: n.FlowLogGroup.LogGroupName(), DeliverLogsPermissionArn: role.IRole.RoleArn(),
	})
	log.Node().AddDependency(role.policy)
	n.VpcConfig = &awslambda.CfnFunction_VpcConfigProperty{
		SubnetIds:        n.Vpc.SelectSubnets(&awsec2.SubnetSelection{SubnetType: awsec2.SubnetType_PRIVATE_ISOLATED}).SubnetIds,
		SecurityGroupIds: &[]*string{n.SecurityGroup.SecurityGroupId()},
	}
	return n
}

// vpcConfig is where both functions have their interfaces: in what godwit.yaml
// names, or in a network that is made where its rules ask for one; nil is
// outside of a VPC.
func vpcConfig(scope constructs.Construct, f *Function) *awslambda.CfnFunction_VpcConfigProperty {
	v := f.Spec.Targets.AWSLambda.VPC
	if v == nil {
		if f.Spec.Compliance != "hipaa" {
			return nil
		}
		checkIsolated(f)
		p := &NetworkProps{LogRetention: retention(f.Spec.Targets.AWSLambda.LogRetention), EncryptionKey: f.key}
		if b := f.Spec.Batch; b != nil && b.Split != nil {
			p.InterfaceEndpoints = map[string]awsec2.IInterfaceVpcEndpointService{"SQS": awsec2.InterfaceVpcEndpointAwsService_SQS()}
		}
		return NewNetwork(scope, "Network", p).VpcConfig
	}
	c := &awslambda.CfnFunction_VpcConfigProperty{SubnetIds: jsii.Strings(v.Subnets...), SecurityGroupIds: jsii.Strings(v.SecurityGroups...)}
	if len(v.SecurityGroups) > 0 {
		return c
	}
	if v.ID == "" {
		panic(fault.New(fault.BadConfig, "cdk.NewStack", "targets.awslambda.vpc", "want securityGroups, or the VPC's id to make one in, got neither").
			WithHint("Subnets alone do not tell their VPC: add id: vpc-…, or securityGroups: [sg-…]."))
	}
	group := awsec2.NewCfnSecurityGroup(scope, jsii.String("SecurityGroup"), &awsec2.CfnSecurityGroupProps{
		VpcId: jsii.String(v.ID), GroupDescription: jsii.String("Functions: out by TLS, nothing in"),
		SecurityGroupEgress: []any{&awsec2.CfnSecurityGroup_EgressProperty{IpProtocol: jsii.String("tcp"), FromPort: jsii.Number(443), ToPort: jsii.Number(443),
			CidrIp: jsii.String("0.0.0.0/0"), Description: jsii.String("TLS")}},
	})
	c.SecurityGroupIds = &[]*string{group.AttrGroupId()}
	return c
}

// checkIsolated panics where the function asks for what a network without a way
// out does not reach.
func checkIsolated(f *Function) {
	if f.Spec.Auth.Mode == "jwt" {
		panic(fault.New(fault.BadConfig, "cdk.NewStack", "auth.jwt", "want a way to %s, whose keys check tokens, got a VPC without one, as compliance hipaa makes it", f.Spec.Auth.JWT.Issuer).
			WithHint("Use auth: platform or key, or give vpc with a way to the issuer."))
	}
	if b := f.Spec.Batch; b != nil {
		for _, at := range []string{b.Input, b.Output} {
			if scheme, _, ok := strings.Cut(at, "://"); ok && scheme != "s3" {
				panic(fault.New(fault.BadConfig, "cdk.NewStack", "batch", "want a store that a VPC without a way out reaches, got %q", at).
					WithHint("Use s3://, or give vpc with a way to the store."))
			}
		}
	}
}
