# What moto's CloudFormation makes of a template for SageMaker: python sagemaker.py TEMPLATE IMAGE
import json
import sys

import boto3
from moto import mock_aws

with open(sys.argv[1]) as f:
    template = json.load(f)
region = "eu-central-1"
with mock_aws():
    # What cdk bootstrap leaves, and templates ask for.
    boto3.client("ssm", region).put_parameter(Name="/cdk-bootstrap/hnb659fds/version", Value="30", Type="String")
    cloudformation = boto3.client("cloudformation", region)
    cloudformation.create_stack(StackName="s", TemplateBody=json.dumps(template), Capabilities=["CAPABILITY_IAM"])
    made = cloudformation.list_stack_resources(StackName="s")["StackResourceSummaries"]
    left = {r["Type"] for r in template["Resources"].values()} - {r["ResourceType"] for r in made}
    sagemaker = boto3.client("sagemaker", region)
    (model,) = sagemaker.list_models()["Models"]
    model = sagemaker.describe_model(ModelName=model["ModelName"])
    assert model["PrimaryContainer"]["Image"] == sys.argv[2], model
    assert model["PrimaryContainer"]["Environment"]["GODWIT_TARGET"] == "sagemaker", model
    role = boto3.client("iam", region).get_role(RoleName=model["ExecutionRoleArn"].rsplit("/", 1)[1])["Role"]
    assert role["AssumeRolePolicyDocument"]["Statement"][0]["Principal"] == {"Service": "sagemaker.amazonaws.com"}, role
    for endpoint in sagemaker.list_endpoints()["Endpoints"]:
        endpoint = sagemaker.describe_endpoint(EndpointName=endpoint["EndpointName"])
        config = sagemaker.describe_endpoint_config(EndpointConfigName=endpoint["EndpointConfigName"])
        assert config["ProductionVariants"][0]["ModelName"] == model["ModelName"], config
        print("endpoint", endpoint["EndpointName"], endpoint["EndpointStatus"], end="; ")
    print(len(made), "resources; moto does not make", ", ".join(sorted(left)) or "none")
