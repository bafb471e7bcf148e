// Package cdk is a function folder on AWS: constructs for AWS CDK that make of
// godwit.yaml, and of the package that godwit package made of it, an API for
// inference and a pipeline for batch scoring, private unless asked otherwise,
// encrypted, observed, with no permission that is not used.
//
// NewStack reads a whole godwit.yaml. Who has a CDK app already takes the
// constructs that it is made of, each with props of its own: NewOnlineFunction,
// NewBatchScoring, NewObservability and NewRollout.
//
// Constructs panic, as everything in CDK for Go does, with a *fault.Error where
// props contradict each other; Synth turns panics into errors.
package cdk
