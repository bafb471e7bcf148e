package data

const (
	lambda, cloudRun, azure, knative = "awslambda", "cloudrun", "azurefunctions", "knative"
	sageMaker, vertex, azureML, edge = "sagemaker", "vertexai", "azureml", "edge"
)

func known(target string, key Key, value int64, s Source, note string, when ...string) Limit {
	return Limit{Target: target, Key: key, When: when, State: Known, Value: value, Note: note, Source: s}
}

func unknown(target string, key Key, s Source, note string, when ...string) Limit {
	return Limit{Target: target, Key: key, When: when, Note: note, Source: s}
}

func none(target string, key Key, s Source, note string, when ...string) Limit {
	return Limit{Target: target, Key: key, When: when, State: None, Note: note, Source: s}
}

var (
	lambdaQuotas  = doc("AWS, Lambda quotas")
	lambdaCycle   = doc("AWS, Understanding the Lambda execution environment lifecycle")
	lambdaStream  = doc("AWS, Stream the integration response for your proxy integrations")
	lambdaManaged = doc("AWS, Understanding the Lambda Managed Instances execution environment")
	albTargets    = standing("AWS, Lambda functions as targets of Application Load Balancers")
	runQuotas     = doc("Google, Cloud Run quotas and limits")
	runContract   = doc("Google, Cloud Run container runtime contract")
	runMemory     = doc("Google, Cloud Run memory limits")
	funcLimits    = Source{Doc: "Microsoft, Azure Functions service limits (functions-limits.md of 2025-02-02)", Day: "2026-11-23"}
	funcFlex      = doc("Microsoft, Azure Functions Flex Consumption plan hosting")
	funcHandlers  = doc("Microsoft, Azure Functions custom handlers")
	funcACA       = doc("Microsoft, Azure Functions on Azure Container Apps overview")
	knDefaults    = doc("knative/serving, pkg/apis/config/defaults.go of v1.23")
	knContract    = doc("knative/specs, specs/serving/runtime-contract.md")
	smHosting     = doc("AWS, Custom inference code with hosting services")
	smServerless  = doc("AWS, Invoke a serverless endpoint")
	smBatch       = doc("AWS, Custom inference code with batch transform")
	smOld         = standing("AWS, SageMaker endpoints and quotas")
	vertexCustom  = doc("Google, Custom container requirements for inference")
	vertexOld     = standing("Google, Vertex AI quotas and limits")
	amlOld        = standing("Microsoft, Managed online endpoints: limits and schema of deployments")
	device        = doc("nobody but the device's owner")
)

// limits are grouped by target, in the order of the spec's reference page.
var limits = []Limit{
	known(lambda, Request, 6*mb, lambdaQuotas, "a direct call; 6 MB of JSON, binary as base64 in it"),
	known(lambda, Request, 6*mb, lambdaQuotas, "the gateway takes 10 MB, the function 6 MB", "api=http"),
	known(lambda, Request, 6*mb, lambdaQuotas, "the gateway takes 10 MB, the function 6 MB", "api=rest"),
	known(lambda, Request, 1*mb, albTargets, "", "api=alb"),
	known(lambda, Response, 6*mb, lambdaQuotas, ""),
	known(lambda, Response, 1*mb, albTargets, "", "api=alb"),
	known(lambda, Response, 200*mb, lambdaQuotas, "streamed", "stream"),
	known(lambda, Time, 900*sec, lambdaQuotas, ""),
	known(lambda, Time, 30*sec, doc("AWS, Quotas of HTTP APIs"), "", "api=http"),
	known(lambda, Time, 29*sec, doc("AWS, Quotas of REST APIs"), "can be raised for regional and private ones", "api=rest"),
	known(lambda, Time, 900*sec, lambdaStream, "", "api=rest", "stream"),
	known(lambda, Time, 90*60*sec, lambdaManaged, "asynchronous calls and event sources only", "managed"),
	known(lambda, Start, 10*sec, lambdaCycle, "beyond, the start is done again inside of the first call"),
	known(lambda, Start, 130*sec, lambdaCycle, "or the function's timeout where that is longer", "provisioned"),
	known(lambda, Start, 130*sec, lambdaManaged, "or the function's timeout where that is longer", "managed"),
	known(lambda, Stop, 500, lambdaCycle, "with an extension of the process's own, as Godwit registers; 0 without"),
	known(lambda, Zip, 50*mib, lambdaQuotas, "uploaded directly; larger ones through S3", "package=zip"),
	known(lambda, Unpacked, 250*mib, lambdaQuotas, "layers included", "package=zip"),
	known(lambda, Image, 10*gib, lambdaQuotas, "uncompressed", "package=image"),
	known(lambda, Config, 16*kib, lambdaQuotas, "", "package=image"),
	known(lambda, MemoryMin, 128*mib, lambdaQuotas, ""),
	known(lambda, MemoryMax, 10240*mib, lambdaQuotas, ""),
	known(lambda, MemoryMin, 2*gib, lambdaManaged, "", "managed"),
	known(lambda, MemoryMax, 32*gib, lambdaManaged, "", "managed"),
	known(lambda, Env, 4*kib, lambdaQuotas, ""),
	known(lambda, OpenFiles, 1024, lambdaQuotas, "as many processes and threads"),
	known(lambda, OpenFiles, 4096, lambdaManaged, "", "managed"),
	known(lambda, Concurrent, 1, lambdaCycle, ""),

	known(cloudRun, Request, 32*mib, runQuotas, "HTTP/1"),
	none(cloudRun, Request, runQuotas, "HTTP/2", "http2"),
	known(cloudRun, Response, 32*mib, runQuotas, "HTTP/1, unless it is streamed"),
	none(cloudRun, Response, runQuotas, "HTTP/2", "http2"),
	known(cloudRun, Time, 3600*sec, runQuotas, "300 s unless asked for; the start of an instance is part of it"),
	known(cloudRun, Start, 240*sec, runContract, "until it listens"),
	known(cloudRun, Stop, 10*sec, runContract, ""),
	unknown(cloudRun, Image, runQuotas, "files are read as they are needed; no size is stated"),
	known(cloudRun, MemoryMin, 128*mib, runMemory, "512 MiB in gen2"),
	known(cloudRun, MemoryMax, 32*gib, runMemory, "with 8 CPUs; more with a GPU"),
	unknown(cloudRun, MemoryMax, runMemory, "the least is stated, not the most", "gpu"),
	known(cloudRun, OpenFiles, 25000, runContract, ""),
	known(cloudRun, Concurrent, 1000, runQuotas, "80 unless asked for"),

	known(azure, Request, 100*mb, standing("Microsoft, Azure Functions HTTP trigger: limits"), "the host's own limit is 210 MB since 2025"),
	unknown(azure, Request, funcACA, "Container Apps' ingress states none", "plan=containerapps"),
	unknown(azure, Response, funcHandlers, "streamed where requests are proxied"),
	known(azure, Time, 230*sec, standing("Microsoft, Azure Functions HTTP trigger: limits"), "the load balancer in front, for HTTP; events have functionTimeout"),
	known(azure, Time, 240*sec, funcACA, "Container Apps' ingress", "plan=containerapps"),
	known(azure, Start, 30*sec, doc("Azure/azure-functions-host, WorkerOptions: InitializationTimeout"), "until it listens; the documents say 60 s"),
	unknown(azure, Start, funcACA, "the app's own probes say it", "plan=containerapps"),
	unknown(azure, Stop, funcFlex, "documents name no time on a signal"),
	known(azure, Stop, 30*sec, funcACA, "terminationGracePeriodSeconds unless asked for", "plan=containerapps"),
	unknown(azure, Zip, funcFlex, "one deploy takes the package from a blob; no size is stated"),
	known(azure, Unpacked, 800*mb, funcLimits, "the temporary storage of an instance, which the package is unpacked to", "plan=flex"),
	unknown(azure, Image, funcACA, "", "plan=containerapps"),
	known(azure, MemoryMin, 512*mib, funcFlex, "", "plan=flex"),
	known(azure, MemoryMax, 4096*mib, funcFlex, "", "plan=flex"),
	known(azure, MemoryMax, 14*gb, funcLimits, "", "plan=premium"),
	known(azure, MemoryMax, 220*gib, funcACA, "the machine with an A100; 4 GiB for each 2 CPUs without a GPU", "plan=containerapps"),
	unknown(azure, OpenFiles, funcFlex, ""),
	known(azure, Concurrent, 1000, funcFlex, "for HTTP, a setting"),

	none(knative, Request, knContract, "unless the ingress has one of its own"),
	none(knative, Response, knContract, "unless the ingress has one of its own"),
	known(knative, Time, 600*sec, knDefaults, "max-revision-timeout-seconds, which a cluster may raise"),
	known(knative, Start, 600*sec, knDefaults, "progress-deadline unless asked for"),
	known(knative, Stop, 300*sec, knContract, "the revision's timeout"),
	unknown(knative, Image, knContract, "the node's disk"),
	unknown(knative, MemoryMax, knContract, "the largest node"),
	known(knative, Concurrent, 1000, knDefaults, "container-concurrency-max-limit"),

	known(sageMaker, Request, 6*mb, smOld, "25 MB is reported since; 6 MB is what is sure"),
	known(sageMaker, Request, 4*mb, smServerless, "", "mode=serverless"),
	known(sageMaker, Request, 1*gb, smOld, "from S3; 128,000 bytes in the call itself", "mode=async"),
	known(sageMaker, Request, 100*mib, smBatch, "MaxPayloadInMB, 6 unless asked for", "mode=transform"),
	known(sageMaker, Response, 6*mb, smOld, "25 MB is reported since; 6 MB is what is sure"),
	known(sageMaker, Response, 4*mb, smServerless, "", "mode=serverless"),
	unknown(sageMaker, Response, smOld, "", "mode=async"),
	unknown(sageMaker, Response, smBatch, "", "mode=transform"),
	known(sageMaker, Time, 60*sec, smHosting, ""),
	known(sageMaker, Time, 60*sec, smServerless, "", "mode=serverless"),
	known(sageMaker, Time, 3600*sec, smOld, "", "mode=async"),
	known(sageMaker, Start, 480*sec, smOld, "ContainerStartupHealthCheckTimeoutInSeconds, 60 to 3600"),
	known(sageMaker, Start, 180*sec, smServerless, "with the download of the model", "mode=serverless"),
	known(sageMaker, Stop, 30*sec, smHosting, ""),
	known(sageMaker, Image, 10*gb, smOld, "", "mode=serverless"),
	unknown(sageMaker, Image, smHosting, "the volume of the instance"),
	known(sageMaker, MemoryMin, 1*gib, smOld, "", "mode=serverless"),
	known(sageMaker, MemoryMax, 6*gib, smOld, "", "mode=serverless"),

	known(vertex, Request, 1_500_000, vertexOld, "a shared public endpoint"),
	known(vertex, Request, 10*mb, vertexOld, "", "dedicated"),
	known(vertex, Response, 1_500_000, vertexOld, "a shared public endpoint"),
	known(vertex, Response, 10*mb, vertexOld, "", "dedicated"),
	known(vertex, Time, 60*sec, vertexCustom, ""),
	known(vertex, Time, 3600*sec, vertexOld, "", "dedicated"),
	unknown(vertex, Start, vertexCustom, "probes must be answered within 10 s, four of them"),
	unknown(vertex, Stop, vertexCustom, "10 s is assumed, as Cloud Run's"),
	unknown(vertex, Image, vertexCustom, ""),

	known(azureML, Request, 10*mb, amlOld, ""),
	known(azureML, Response, 10*mb, amlOld, ""),
	known(azureML, Time, 180*sec, amlOld, "request_timeout_ms, 5 s unless asked for"),
	unknown(azureML, Start, amlOld, "the probes of the deployment say it"),
	unknown(azureML, Stop, amlOld, ""),
	unknown(azureML, Image, amlOld, "the disk of the machine"),

	unknown(edge, Request, device, ""),
	unknown(edge, Time, device, ""),
	known(edge, Stop, 5*sec, doc("aws-greengrass/aws-greengrass-nucleus, UnixExec.close and Exec.gracefulShutdownTimeout"), "", "runtime=greengrass"),
	unknown(edge, Start, device, ""),
	unknown(edge, Unpacked, device, "its disk"),
	unknown(edge, MemoryMax, device, ""),
}

var systems = []System{
	{Target: lambda, When: []string{"package=zip"}, Name: "Amazon Linux 2023, minimal (provided.al2023)", Glibc: "2.34", GlibcMost: "2.34",
		Root: "/var/task", Path: []string{"/lib64", "/usr/lib64", "/var/runtime", "/var/runtime/lib", "/var/task", "/var/task/lib", "/opt/lib"},
		Files: "/tmp only", Arch: []string{"amd64", "arm64"}, Port: "none: the process asks AWS_LAMBDA_RUNTIME_API for work",
		Source: doc("AWS, Core toolchain packages glibc, gcc, binutils; Building a custom runtime")},
	{Target: lambda, When: []string{"package=image"}, Name: "the image's own", Files: "/tmp only", Arch: []string{"amd64", "arm64"},
		Port: "none: the process asks AWS_LAMBDA_RUNTIME_API for work", Source: lambdaQuotas},
	{Target: cloudRun, Name: "the image's own", Files: "all, in memory: what is written counts against the limit", Arch: []string{"amd64"},
		Port: "$PORT, 8080 unless asked for", Source: runContract},
	{Target: azure, Name: "Azure's host image for custom handlers, Debian 11 or newer", Glibc: "2.31", GlibcMost: "2.39",
		Root: "/home/site/wwwroot", Files: "the temporary folder only; the package is mounted read-only", Arch: []string{"amd64"},
		Port:   "$FUNCTIONS_CUSTOMHANDLER_PORT",
		Source: Source{Doc: "Azure/azure-functions-docker, list of V4 images (Debian 11 and 12); Azure/azure-functions-golang-worker (Ubuntu 24.04)", Day: "2026-11-23"}},
	{Target: azure, When: []string{"plan=containerapps"}, Name: "the image's own", Files: "all, until the replica goes", Arch: []string{"amd64"},
		Port: "the ingress's targetPort", Source: funcACA},
	{Target: knative, Name: "the image's own", Files: "all, until the pod goes, unless the cluster mounts it read-only", Arch: []string{"amd64", "arm64"},
		Port: "$PORT, 8080 unless asked for; not 8008, 8012, 8013, 8022, 9090, 9091", Source: knContract},
	{Target: sageMaker, Name: "the image's own", Files: "all; /opt/ml/model is read-only", Arch: []string{"amd64", "arm64"},
		Port: "8080, or $SAGEMAKER_BIND_TO_PORT", Source: smHosting},
	{Target: vertex, Name: "the image's own", Files: "all", Arch: []string{"amd64"}, Port: "$AIP_HTTP_PORT, 8080 unless asked for", Source: vertexCustom},
	{Target: azureML, Name: "the image's own", Files: "all", Arch: []string{"amd64"}, Port: "the scoring route's", Source: amlOld},
	{Target: edge, Name: "the device's own", Files: "what its unit allows", Arch: []string{"amd64", "arm64"}, Port: "targets.edge.listen", Source: device},
}

var machines = []struct {
	name   string
	memory int64
	source Source
}{
	{"ml.c5.large", 4 * gib, standing("AWS, SageMaker instance types")},
	{"ml.c5.xlarge", 8 * gib, standing("AWS, SageMaker instance types")},
	{"ml.m5.large", 8 * gib, standing("AWS, SageMaker instance types")},
	{"ml.m5.xlarge", 16 * gib, standing("AWS, SageMaker instance types")},
	{"ml.g4dn.xlarge", 16 * gib, standing("AWS, SageMaker instance types")},
	{"ml.g5.xlarge", 16 * gib, standing("AWS, SageMaker instance types")},
	{"n1-standard-2", 15 * gib / 2, standing("Google, Compute Engine machine types")},
	{"n1-standard-4", 15 * gib, standing("Google, Compute Engine machine types")},
	{"n1-standard-8", 30 * gib, standing("Google, Compute Engine machine types")},
	{"g2-standard-4", 16 * gib, standing("Google, Compute Engine machine types")},
	{"Standard_DS2_v2", 7 * gib, standing("Microsoft, sizes of virtual machines")},
	{"Standard_DS3_v2", 14 * gib, standing("Microsoft, sizes of virtual machines")},
	{"Standard_DS4_v2", 28 * gib, standing("Microsoft, sizes of virtual machines")},
	{"Standard_NC4as_T4_v3", 28 * gib, standing("Microsoft, sizes of virtual machines")},
}
