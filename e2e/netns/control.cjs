// Loads a model with ONNX Runtime as it comes, telemetry on, and stays: what run.sh's check has to catch.
const [model, seconds] = process.argv.slice(2);
require(process.env.GODWIT_E2E_MODULE).InferenceSession.create(model).then(() => setTimeout(() => process.exit(0), seconds * 1000));
