package emulate

// Evidence says what stands for a platform when a function is run under its
// contract here, so that nobody takes a green line for more than it is.
type Evidence string

// The kinds of evidence, the strongest first.
const (
	// Real is the platform's own code: its emulator, its controllers.
	Real Evidence = "real"
	// Framework is the vendor's own library on the function's side of the wire,
	// and ours on the other.
	Framework Evidence = "framework"
	// Protocol is ours on both sides, each written from the documents by itself.
	Protocol Evidence = "protocol"
)

// EvidenceOf is the evidence that Start gives for a target, and in a few words
// where the contract is taken from.
func EvidenceOf(target string) (kind Evidence, from string) {
	switch target {
	case "awslambda":
		return Framework, "aws-lambda-go's runtime loop, under a Runtime API of ours"
	case "cloudrun":
		return Protocol, "the container runtime contract"
	case "azurefunctions":
		return Protocol, "the Functions host's source"
	case "knative":
		return Protocol, "the runtime contract and the Eventing data plane"
	case "sagemaker", "vertexai", "azureml":
		return Protocol, "the container contract"
	case "edge":
		return Protocol, "systemd's service protocol"
	}
	return Protocol, ""
}

// CarriesBinary reports whether a form of a platform's requests lets bodies
// with binary tensors through.
func CarriesBinary(target, variant string) bool {
	switch target {
	case "sagemaker", "vertexai":
		return variant == "binary"
	case "awslambda":
		return variant != "direct" // the event itself is JSON
	case "azurefunctions":
		return variant != "envelope" // its answers' bodies are text
	}
	return true
}
