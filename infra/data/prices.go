package data

const (
	virginia = "us-east-1"
	iowa     = "us-central1"
	eastUS   = "eastus"
	perHour  = 3600 // of what price lists have by the second
	million  = 1_000_000
	usd      = 1e12 // untyped, so that what is no whole number of picodollars does not compile
)

// priced is the day on which the price lists were read.
const priced = "2026-11-23"

// copied is a price list that was read that day in a copy that others keep, as the
// lists themselves are drawn by scripts; its numbers are the copy's.
func copied(title, url string) Source { return Source{Doc: title, URL: url, Day: priced, Copy: true} }

// remembered is a price list of long standing that was not read again that day.
func remembered(title, url string) Source {
	return Source{Doc: title, URL: url, Day: priced, Standing: true}
}

const (
	lambdaURL    = "https://aws.amazon.com/lambda/pricing/"
	gatewayURL   = "https://aws.amazon.com/api-gateway/pricing/"
	sageMakerURL = "https://aws.amazon.com/sagemaker/pricing/"
	ec2URL       = "https://aws.amazon.com/ec2/pricing/on-demand/"
	runURL       = "https://cloud.google.com/run/pricing"
	vertexURL    = "https://cloud.google.com/vertex-ai/pricing"
	computeURL   = "https://cloud.google.com/compute/vm-instance-pricing"
	functionsURL = "https://azure.microsoft.com/pricing/details/functions/"
	appsURL      = "https://azure.microsoft.com/pricing/details/container-apps/"
	machinesURL  = "https://azure.microsoft.com/pricing/details/virtual-machines/linux/"
)

var (
	lambdaPrices    = copied("AWS, Lambda pricing", lambdaURL)
	lambdaTiers     = remembered("AWS, Lambda pricing: tiers and Arm", lambdaURL)
	gatewayPrices   = copied("AWS, API Gateway pricing", gatewayURL)
	smPrices        = remembered("AWS, SageMaker pricing: real-time inference", sageMakerURL)
	smServerlessAt  = copied("AWS, SageMaker pricing: serverless inference", sageMakerURL)
	smData          = copied("AWS, SageMaker pricing: data processed", sageMakerURL)
	ec2Prices       = remembered("AWS, EC2 on-demand pricing", ec2URL)
	runPrices       = copied("Google, Cloud Run pricing", runURL)
	vertexPrices    = copied("Google, Vertex AI pricing: prediction", vertexURL)
	vertexGPU       = remembered("Google, Vertex AI pricing: prediction", vertexURL)
	computePrices   = copied("Google, Compute Engine pricing", computeURL)
	flexPrices      = copied("Microsoft, Azure Functions pricing: Flex Consumption", functionsURL)
	premiumPrices   = remembered("Microsoft, Azure Functions pricing: Premium", functionsURL)
	containerPrices = copied("Microsoft, Azure Container Apps pricing", appsURL)
	vmPrices        = remembered("Microsoft, Linux virtual machines pricing", machinesURL)
)

// The choices that prices depend on.
var (
	arm         = []string{"arch=arm64"}
	provisioned = []string{"provisioned"}
	both        = []string{"provisioned", "arch=arm64"}
	instance    = []string{"billing=instance"}
	flex        = []string{"plan=flex"}
	ready       = []string{"plan=flex", "ready"} // of instances that are always ready
	premium     = []string{"plan=premium"}
	apps        = []string{"plan=containerapps"}
	serverless  = []string{"mode=serverless"}
	httpAPI     = []string{"api=http"}
	restAPI     = []string{"api=rest"}
)

// prices are what waits, by the hour, and what serves.
var prices = []Price{
	{lambda, MemoryHour, "", nil, 0, 0.0000041667 * perHour * usd, virginia, lambdaPrices},
	{lambda, MemoryHour, "", arm, 0, 0.0000033334 * perHour * usd, virginia, lambdaTiers},
	{lambda, MemorySecond, "", nil, 0, 0.0000166667 * usd, virginia, lambdaPrices},
	{lambda, MemorySecond, "", nil, 6_000 * million, 0.000015 * usd, virginia, lambdaTiers},
	{lambda, MemorySecond, "", nil, 15_000 * million, 0.0000133334 * usd, virginia, lambdaTiers},
	{lambda, MemorySecond, "", arm, 0, 0.0000133334 * usd, virginia, lambdaPrices},
	{lambda, MemorySecond, "", arm, 7_500 * million, 0.0000120001 * usd, virginia, lambdaTiers},
	{lambda, MemorySecond, "", arm, 18_750 * million, 0.0000106667 * usd, virginia, lambdaTiers},
	{lambda, MemorySecond, "", provisioned, 0, 0.0000097222 * usd, virginia, lambdaPrices},
	{lambda, MemorySecond, "", both, 0, 0.0000077778 * usd, virginia, lambdaTiers},
	{lambda, StorageSecond, "", nil, 0, 0.0000000309 * usd, virginia, lambdaPrices},
	{lambda, Requests, "", nil, 0, 0.20 * usd / million, virginia, lambdaPrices},
	{lambda, Gateway, "", httpAPI, 0, 1.00 * usd / million, virginia, gatewayPrices},
	{lambda, Gateway, "", httpAPI, 300 * million, 0.90 * usd / million, virginia, gatewayPrices},
	{lambda, Gateway, "", restAPI, 0, 3.50 * usd / million, virginia, gatewayPrices},
	{lambda, Gateway, "", restAPI, 333 * million, 2.80 * usd / million, virginia, gatewayPrices},
	{lambda, Gateway, "", restAPI, 1_000 * million, 2.38 * usd / million, virginia, gatewayPrices},

	{cloudRun, CPUHour, "", nil, 0, 0.0000025 * perHour * usd, iowa, runPrices},
	{cloudRun, MemoryHour, "", nil, 0, 0.0000025 * perHour * usd, iowa, runPrices},
	{cloudRun, CPUHour, "", instance, 0, 0.000018 * perHour * usd, iowa, runPrices},
	{cloudRun, MemoryHour, "", instance, 0, 0.000002 * perHour * usd, iowa, runPrices},
	{cloudRun, GPUHour, "nvidia-l4", nil, 0, 0.0001867 * perHour * usd, iowa, runPrices},
	{cloudRun, GPUHour, "nvidia-l4", []string{"redundant"}, 0, 0.0002909 * perHour * usd, iowa, runPrices},
	{cloudRun, CPUSecond, "", nil, 0, 0.000024 * usd, iowa, runPrices},
	{cloudRun, MemorySecond, "", nil, 0, 0.0000025 * usd, iowa, runPrices},
	{cloudRun, CPUSecond, "", instance, 0, 0.000018 * usd, iowa, runPrices},
	{cloudRun, MemorySecond, "", instance, 0, 0.000002 * usd, iowa, runPrices},
	{cloudRun, Requests, "", nil, 0, 0.40 * usd / million, iowa, runPrices},
	{cloudRun, Requests, "", instance, 0, 0, iowa, runPrices},

	{azure, MemoryHour, "", flex, 0, 0.000004 * perHour * usd, eastUS, flexPrices},
	{azure, MemorySecond, "", flex, 0, 0.000026 * usd, eastUS, flexPrices},
	{azure, MemorySecond, "", ready, 0, 0.000016 * usd, eastUS, flexPrices},
	{azure, Requests, "", flex, 0, 0.40 * usd / million, eastUS, flexPrices},
	{azure, CPUHour, "", premium, 0, 0.173 * usd, eastUS, premiumPrices},
	{azure, MemoryHour, "", premium, 0, 0.0123 * usd, eastUS, premiumPrices},
	{azure, CPUHour, "", apps, 0, 0.000003 * perHour * usd, eastUS, containerPrices},
	{azure, MemoryHour, "", apps, 0, 0.000003 * perHour * usd, eastUS, containerPrices},
	{azure, CPUSecond, "", apps, 0, 0.000024 * usd, eastUS, containerPrices},
	{azure, MemorySecond, "", apps, 0, 0.000003 * usd, eastUS, containerPrices},
	{azure, Requests, "", apps, 0, 0.40 * usd / million, eastUS, containerPrices},

	// Knative's are those of the node that --node names.
	{knative, MachineHour, "m5.large", nil, 0, 0.096 * usd, virginia, ec2Prices},
	{knative, MachineHour, "m5.xlarge", nil, 0, 0.192 * usd, virginia, ec2Prices},
	{knative, MachineHour, "c5.large", nil, 0, 0.085 * usd, virginia, ec2Prices},
	{knative, MachineHour, "c5.xlarge", nil, 0, 0.17 * usd, virginia, ec2Prices},
	{knative, MachineHour, "g4dn.xlarge", nil, 0, 0.526 * usd, virginia, ec2Prices},
	{knative, MachineHour, "g5.xlarge", nil, 0, 1.006 * usd, virginia, ec2Prices},
	{knative, MachineHour, "e2-standard-4", nil, 0, 0.134028 * usd, iowa, computePrices},
	{knative, MachineHour, "n2-standard-2", nil, 0, 0.097118 * usd, iowa, computePrices},
	{knative, MachineHour, "n2-standard-4", nil, 0, 0.194236 * usd, iowa, computePrices},
	{knative, MachineHour, "Standard_D2s_v3", nil, 0, 0.096 * usd, eastUS, vmPrices},
	{knative, MachineHour, "Standard_D4s_v3", nil, 0, 0.192 * usd, eastUS, vmPrices},
	{knative, MachineHour, "Standard_NC4as_T4_v3", nil, 0, 0.526 * usd, eastUS, vmPrices},

	{sageMaker, MachineHour, "ml.c5.large", nil, 0, 0.102 * usd, virginia, smPrices},
	{sageMaker, MachineHour, "ml.c5.xlarge", nil, 0, 0.204 * usd, virginia, smPrices},
	{sageMaker, MachineHour, "ml.m5.large", nil, 0, 0.115 * usd, virginia, smPrices},
	{sageMaker, MachineHour, "ml.m5.xlarge", nil, 0, 0.23 * usd, virginia, smPrices},
	{sageMaker, MachineHour, "ml.g4dn.xlarge", nil, 0, 0.7364 * usd, virginia, smPrices},
	{sageMaker, MachineHour, "ml.g5.xlarge", nil, 0, 1.408 * usd, virginia, smPrices},
	{sageMaker, MemorySecond, "", serverless, 0, 0.00002 * usd, virginia, smServerlessAt},
	{sageMaker, Data, "", nil, 0, 0.016 * usd, virginia, smData},

	{vertex, MachineHour, "n1-standard-2", nil, 0, 0.1095 * usd, iowa, vertexPrices},
	{vertex, MachineHour, "n1-standard-4", nil, 0, 0.219 * usd, iowa, vertexPrices},
	{vertex, MachineHour, "n1-standard-8", nil, 0, 0.438 * usd, iowa, vertexPrices},
	{vertex, GPUHour, "NVIDIA_TESLA_T4", nil, 0, 0.4025 * usd, iowa, vertexGPU},

	{azureML, MachineHour, "Standard_DS2_v2", nil, 0, 0.114 * usd, eastUS, vmPrices},
	{azureML, MachineHour, "Standard_DS3_v2", nil, 0, 0.229 * usd, eastUS, vmPrices},
	{azureML, MachineHour, "Standard_DS4_v2", nil, 0, 0.458 * usd, eastUS, vmPrices},
	{azureML, MachineHour, "Standard_NC4as_T4_v3", nil, 0, 0.526 * usd, eastUS, vmPrices},
}

// allowances are what each account gets every month; those of an account's first
// year or months are not among them.
var allowances = []Allowance{
	{lambda, MemorySecond, nil, 400_000, lambdaPrices},
	{lambda, MemorySecond, provisioned, 0, lambdaPrices},
	{lambda, Requests, nil, million, lambdaPrices},
	{cloudRun, CPUSecond, nil, 180_000, runPrices},
	{cloudRun, MemorySecond, nil, 360_000, runPrices},
	{cloudRun, CPUSecond, instance, 240_000, runPrices},
	{cloudRun, MemorySecond, instance, 450_000, runPrices},
	{cloudRun, Requests, nil, 2 * million, runPrices},
	{azure, MemorySecond, flex, 100_000, flexPrices},
	{azure, MemorySecond, ready, 0, flexPrices},
	{azure, Requests, flex, 250_000, flexPrices},
	{azure, Requests, ready, 0, flexPrices},
	{azure, CPUSecond, apps, 180_000, containerPrices},
	{azure, MemorySecond, apps, 360_000, containerPrices},
	{azure, Requests, apps, 2 * million, containerPrices},
}

// sameRegions: of Lambda and API Gateway by their price lists; of Cloud Run the
// regions of tier 1.
var sameRegions = map[string][]string{
	lambda: {virginia, "us-east-2", "us-west-2"},
	cloudRun: {iowa, "us-east1", "us-east4", "us-west1", "us-south1", "europe-west1", "europe-west4", "europe-west9",
		"europe-north1", "europe-southwest1", "asia-east1", "asia-northeast1", "asia-northeast2"},
	azure:     {eastUS},
	knative:   {virginia, iowa, eastUS},
	sageMaker: {virginia},
	vertex:    {iowa},
	azureML:   {eastUS},
}

var (
	awsShapes    = standing("AWS, EC2 and SageMaker instance types")
	googleShapes = standing("Google, Compute Engine machine types")
	azureShapes  = standing("Microsoft, sizes of virtual machines")
)

var shapes = []Shape{
	{"ml.c5.large", 2, 0, awsShapes}, {"ml.c5.xlarge", 4, 0, awsShapes}, {"ml.m5.large", 2, 0, awsShapes}, {"ml.m5.xlarge", 4, 0, awsShapes},
	{"ml.g4dn.xlarge", 4, 1, awsShapes}, {"ml.g5.xlarge", 4, 1, awsShapes},
	{"c5.large", 2, 0, awsShapes}, {"c5.xlarge", 4, 0, awsShapes}, {"m5.large", 2, 0, awsShapes}, {"m5.xlarge", 4, 0, awsShapes},
	{"g4dn.xlarge", 4, 1, awsShapes}, {"g5.xlarge", 4, 1, awsShapes},
	{"n1-standard-2", 2, 0, googleShapes}, {"n1-standard-4", 4, 0, googleShapes}, {"n1-standard-8", 8, 0, googleShapes},
	{"e2-standard-4", 4, 0, googleShapes}, {"n2-standard-2", 2, 0, googleShapes}, {"n2-standard-4", 4, 0, googleShapes},
	{"Standard_DS2_v2", 2, 0, azureShapes}, {"Standard_DS3_v2", 4, 0, azureShapes}, {"Standard_DS4_v2", 8, 0, azureShapes},
	{"Standard_D2s_v3", 2, 0, azureShapes}, {"Standard_D4s_v3", 4, 0, azureShapes}, {"Standard_NC4as_T4_v3", 4, 1, azureShapes},
}
