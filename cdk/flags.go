package cdk

// flags are CDK's feature flags that change something here, as `cdk init` of
// this version sets them. All that it recommends were tried one by one on
// stacks of each kind. Two that would change something are left out:
// aws-iam:minimizePolicies drops the names of statements, and
// aws-ec2:restrictDefaultSecurityGroup adds a function of CDK's own.
func flags() *map[string]any {
	return &map[string]any{
		"@aws-cdk/aws-cloudfront:defaultFunctionRuntimeV2_0": true,
		"@aws-cdk/aws-lambda:recognizeLayerVersion":          true, // versions have another digest in their ids
		"@aws-cdk/core:annotationsInValidationReport":        true, // where Synth reads them
		"@aws-cdk/core:validateAgainstDefaultRules":          true, // what does not fit CloudFormation's schemas is an error
	}
}
