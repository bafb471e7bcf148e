package cdk

import (
	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsapigateway"
	"github.com/aws/aws-cdk-go/awscdk/v2/awslambda"
	"github.com/aws/aws-cdk-go/awscdk/v2/awslogs"
	"github.com/aws/jsii-runtime-go"
)

const restStage = "prod"

// newRestAPI puts a regional REST API in front of handler, which passes bodies
// on as they are, and streams the answer where p says so.
//
// Its stage has no cache: what a cache of API Gateway knows of a request is its
// path, and the tensors are in the body.
func (o *OnlineFunction) newRestAPI(p *OnlineFunctionProps, handler awslambda.IFunction) {
	o.AccessLogGroup = newLogGroup(o.Construct, "AccessLog", p.LogRetention, p.EncryptionKey)
	stage := &awsapigateway.StageOptions{
		StageName:            jsii.String(restStage),
		AccessLogDestination: awsapigateway.NewLogGroupLogDestination(o.AccessLogGroup),
		AccessLogFormat:      awsapigateway.AccessLogFormat_Custom(jsii.String(accessLogFormat("$context.resourcePath"))),
		TracingEnabled:       jsii.Bool(p.Tracing == awslambda.Tracing_ACTIVE),
		DataTraceEnabled:     jsii.Bool(false), // it would log bodies
		MetricsEnabled:       jsii.Bool(true),
	}
	if p.Throttle != nil {
		stage.ThrottlingRateLimit, stage.ThrottlingBurstLimit = p.Throttle.RateLimit, p.Throttle.BurstLimit
	}
	if p.LogErrors != nil && *p.LogErrors {
		stage.LoggingLevel = awsapigateway.MethodLoggingLevel_ERROR
	}
	o.RestApi = awsapigateway.NewRestApi(o.Construct, jsii.String("RestApi"), &awsapigateway.RestApiProps{
		RestApiName:      o.Node().Path(),
		EndpointTypes:    &[]awsapigateway.EndpointType{awsapigateway.EndpointType_REGIONAL},
		BinaryMediaTypes: jsii.Strings("*/*"),
		CloudWatchRole:   jsii.Bool(false), // the account's, once for all of its APIs
		DeployOptions:    stage,
	})
	integration := &awsapigateway.LambdaIntegrationOptions{AllowTestInvoke: jsii.Bool(false)}
	if p.InvokeMode == awslambda.InvokeMode_RESPONSE_STREAM {
		integration.ResponseTransferMode = awsapigateway.ResponseTransferMode_STREAM
		integration.Timeout = p.Timeout
	}
	method := &awsapigateway.MethodOptions{
		AuthorizationType: awsapigateway.AuthorizationType_IAM,
		RequestValidator: o.RestApi.AddRequestValidator(jsii.String("Validator"), &awsapigateway.RequestValidatorOptions{
			ValidateRequestBody: jsii.Bool(true), ValidateRequestParameters: jsii.Bool(true),
		}),
	}
	if p.AuthType == awslambda.FunctionUrlAuthType_NONE {
		method.AuthorizationType = awsapigateway.AuthorizationType_NONE
	}
	to := awsapigateway.NewLambdaIntegration(handler, integration)
	o.RestApi.Root().AddMethod(jsii.String("ANY"), to, method)
	proxy := o.RestApi.Root().AddProxy(&awsapigateway.ProxyResourceOptions{
		AnyMethod: jsii.Bool(true), DefaultIntegration: to, DefaultMethodOptions: method,
	})
	if len(p.CorsAllowOrigins) > 0 {
		// Browsers ask for leave without credentials, which the gateway answers.
		// The headers of all other answers are the function's.
		proxy.AddCorsPreflight(&awsapigateway.CorsOptions{
			AllowOrigins: jsii.Strings(p.CorsAllowOrigins...), AllowMethods: jsii.Strings("GET", "POST"),
			AllowHeaders: jsii.Strings(browserHeaders()...), MaxAge: awscdk.Duration_Hours(jsii.Number(1)),
		})
		// All media are binary here, and an integration that answers by itself
		// takes text alone: unconverted, each question would end with status 500.
		for _, m := range *o.RestApi.Methods() {
			if *m.HttpMethod() == "OPTIONS" {
				m.Node().DefaultChild().(awsapigateway.CfnMethod).AddPropertyOverride(jsii.String("Integration.ContentHandling"), "CONVERT_TO_TEXT")
			}
		}
	}
	if stage.LoggingLevel != "" {
		// The gateway makes this group by itself otherwise, and keeps it forever.
		log := newLogGroup(o.Construct, "ExecutionLog", p.LogRetention, p.EncryptionKey)
		log.Node().DefaultChild().(awslogs.CfnLogGroup).SetLogGroupName(awscdk.Fn_Join(jsii.String(""), &[]*string{
			jsii.String("API-Gateway-Execution-Logs_"), o.RestApi.RestApiId(), jsii.String("/" + restStage)}))
		o.RestApi.DeploymentStage().Node().AddDependency(log)
	}
	awscdk.Annotations_Of(o.Construct).AddInfo(jsii.String("REST APIs write logs with the account's role for API Gateway, which has to be there once in each region: " +
		"aws apigateway update-account --patch-operations op=replace,path=/cloudwatchRoleArn,value=ROLE"))
	stack := awscdk.Stack_Of(o.Construct)
	o.Url = awscdk.Fn_Join(jsii.String(""), &[]*string{jsii.String("https://"), o.RestApi.RestApiId(), jsii.String(".execute-api."),
		stack.Region(), jsii.String("."), stack.UrlSuffix(), jsii.String("/" + restStage)})
}
