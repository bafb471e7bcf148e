"""Has Azure's own library read the files of az ml: azureml.py TESTDATA."""

import json
import logging
import pathlib
import sys

logging.disable(logging.WARNING)

from azure.ai.ml import entities, load_batch_endpoint, load_component, load_compute, load_online_deployment, load_online_endpoint
from azure.ai.ml.entities._load_functions import load_pipeline_component_batch_deployment

ONLINE = {"endpoint.yml": load_online_endpoint, "deployment.yml": load_online_deployment}
BATCH = {
    "endpoint.yml": load_batch_endpoint, "deployment.yml": load_pipeline_component_batch_deployment,
    "compute.yml": load_compute, "pipeline.yml": load_component, "score.yml": load_component,
}


def read(folder):
    batch = (folder / "score.yml").exists()
    return {name: load(source=str(folder / name)) for name, load in (BATCH if batch else ONLINE).items()}


def main(testdata):
    count = 0
    for folder in sorted((testdata / "golden" / "ml").iterdir()):
        files = read(folder)
        count += len(files)
        deployment = files["deployment.yml"]
        if isinstance(deployment, entities.PipelineComponentBatchDeployment):
            assert deployment.component.jobs["score"].component.environment.image == files["score.yml"].environment.image, folder
            continue
        # What the library would send of the file is what Bicep says.
        resources = json.loads((testdata / "arm" / "ml" / folder.name / "main.json").read_text())["resources"]
        image = resources["imageVersion"]["properties"]
        assert (deployment.environment.image, deployment.environment.inference_config) == (image["image"], image["inferenceConfig"]), folder
        rest = deployment._to_rest_object("westeurope")
        assert rest.sku.capacity == resources["deployment"]["sku"]["capacity"], folder
        want = dict(resources["deployment"]["properties"])
        got = {key: value for key, value in rest.properties.as_dict().items() if key in want}
        for key, value in want.pop("environmentVariables").items():
            assert value.startswith("[") or got["environmentVariables"][key] == value, f"{folder}: {key}"
        del want["environmentId"], got["environmentVariables"]
        want["egressPublicNetworkAccess"] = want["egressPublicNetworkAccess"].lower()
        assert got == want, f"{folder}: want {want}, got {got}"
    print(f"azure-ai-ml: {count} files read")
    return 0 if count else 1


if __name__ == "__main__":
    sys.exit(main(pathlib.Path(sys.argv[1])))
