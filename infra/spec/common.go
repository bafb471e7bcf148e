package spec

// Common is what the named target's block says of what every target has, and
// whether there is such a block.
func (t *Targets) Common(name string) (Common, bool) {
	switch {
	case name == "awslambda" && t.AWSLambda != nil:
		return t.AWSLambda.Common, true
	case name == "cloudrun" && t.CloudRun != nil:
		return t.CloudRun.Common, true
	case name == "azurefunctions" && t.AzureFunctions != nil:
		return t.AzureFunctions.Common, true
	case name == "knative" && t.Knative != nil:
		return t.Knative.Common, true
	case name == "sagemaker" && t.SageMaker != nil:
		return t.SageMaker.Common, true
	case name == "vertexai" && t.VertexAI != nil:
		return t.VertexAI.Common, true
	case name == "azureml" && t.AzureML != nil:
		return t.AzureML.Common, true
	case name == "edge" && t.Edge != nil:
		return t.Edge.Common, true
	}
	return Common{}, false
}
