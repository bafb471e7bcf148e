package cdk

import (
	"github.com/aws/aws-cdk-go/awscdk/v2/awsiam"
	"github.com/aws/constructs-go/constructs/v10"
	"github.com/aws/jsii-runtime-go"
)

// Role is what something may do: a role with one managed policy, which holds
// what Allow was told and nothing else. CDK's own grants would go into an
// inline policy, with wildcards at the end of some actions; Function and its
// like are given IRole, which grants cannot change.
type Role struct {
	IRole  awsiam.IRole // immutable
	policy awsiam.ManagedPolicy
}

// newRole makes a role for a service such as "lambda.amazonaws.com".
func newRole(scope constructs.Construct, id, service string) *Role {
	role := awsiam.NewRole(scope, jsii.String(id), &awsiam.RoleProps{
		AssumedBy: awsiam.NewServicePrincipal(jsii.String(service), nil),
	})
	policy := awsiam.NewManagedPolicy(scope, jsii.String(id+"Policy"), &awsiam.ManagedPolicyProps{
		Roles: &[]awsiam.IRole{role},
	})
	return &Role{IRole: role.WithoutPolicyUpdates(nil), policy: policy}
}

// Allow permits actions on resources, which are ARNs. sid names the statement.
func (r *Role) Allow(sid string, actions []string, resources ...*string) {
	r.policy.AddStatements(awsiam.NewPolicyStatement(&awsiam.PolicyStatementProps{
		Sid:       jsii.String(sid),
		Actions:   jsii.Strings(actions...),
		Resources: &resources,
	}))
}
