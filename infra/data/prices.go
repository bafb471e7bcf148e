package data

const (
	virginia = "us-east-1"
	iowa     = "us-central1"
	eastUS   = "eastus"
	perHour  = 3600 // of what price lists have by the second
)

var (
	lambdaPrices    = standing("AWS, Lambda pricing: provisioned concurrency")
	smPrices        = standing("AWS, SageMaker pricing: real-time inference")
	runPrices       = doc("Google, Cloud Run pricing")
	runOldPrices    = standing("Google, Cloud Run pricing")
	vertexPrices    = standing("Google, Vertex AI pricing: prediction")
	flexPrices      = standing("Microsoft, Azure Functions pricing: Flex Consumption, always ready")
	premiumPrices   = standing("Microsoft, Azure Functions pricing: Premium")
	containerPrices = standing("Microsoft, Azure Container Apps pricing: idle usage")
	vmPrices        = standing("Microsoft, Linux virtual machines pricing")
)

// prices are what waits for requests costs. Serving costs more on platforms that
// bill by the request.
var prices = []Price{
	{lambda, MemoryHour, "", nil, 0.0000041667 * perHour, virginia, lambdaPrices},
	{lambda, MemoryHour, "", []string{"arch=arm64"}, 0.0000033334 * perHour, virginia, lambdaPrices},

	{cloudRun, CPUHour, "", nil, 0.0000025 * perHour, iowa, runOldPrices},
	{cloudRun, MemoryHour, "", nil, 0.0000025 * perHour, iowa, runOldPrices},
	{cloudRun, CPUHour, "", []string{"billing=instance"}, 0.000018 * perHour, iowa, runPrices},
	{cloudRun, MemoryHour, "", []string{"billing=instance"}, 0.000002 * perHour, iowa, runOldPrices},
	{cloudRun, GPUHour, "nvidia-l4", nil, 0.0001867 * perHour, iowa, runOldPrices},
	{cloudRun, GPUHour, "nvidia-l4", []string{"redundant"}, 0.0002909 * perHour, iowa, runOldPrices},

	{azure, MemoryHour, "", []string{"plan=flex"}, 0.000004 * perHour, eastUS, flexPrices},
	{azure, CPUHour, "", []string{"plan=premium"}, 0.173, eastUS, premiumPrices},
	{azure, MemoryHour, "", []string{"plan=premium"}, 0.0123, eastUS, premiumPrices},
	{azure, CPUHour, "", []string{"plan=containerapps"}, 0.000003 * perHour, eastUS, containerPrices},
	{azure, MemoryHour, "", []string{"plan=containerapps"}, 0.000003 * perHour, eastUS, containerPrices},

	{sageMaker, MachineHour, "ml.c5.large", nil, 0.102, virginia, smPrices},
	{sageMaker, MachineHour, "ml.c5.xlarge", nil, 0.204, virginia, smPrices},
	{sageMaker, MachineHour, "ml.m5.large", nil, 0.115, virginia, smPrices},
	{sageMaker, MachineHour, "ml.m5.xlarge", nil, 0.23, virginia, smPrices},
	{sageMaker, MachineHour, "ml.g4dn.xlarge", nil, 0.7364, virginia, smPrices},
	{sageMaker, MachineHour, "ml.g5.xlarge", nil, 1.408, virginia, smPrices},

	{vertex, MachineHour, "n1-standard-2", nil, 0.1095, iowa, vertexPrices},
	{vertex, MachineHour, "n1-standard-4", nil, 0.219, iowa, vertexPrices},
	{vertex, MachineHour, "n1-standard-8", nil, 0.438, iowa, vertexPrices},
	{vertex, GPUHour, "NVIDIA_TESLA_T4", nil, 0.4025, iowa, vertexPrices},

	{azureML, MachineHour, "Standard_DS2_v2", nil, 0.114, eastUS, vmPrices},
	{azureML, MachineHour, "Standard_DS3_v2", nil, 0.229, eastUS, vmPrices},
	{azureML, MachineHour, "Standard_DS4_v2", nil, 0.458, eastUS, vmPrices},
	{azureML, MachineHour, "Standard_NC4as_T4_v3", nil, 0.526, eastUS, vmPrices},
}
