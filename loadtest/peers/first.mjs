// Answers one request with npm's onnxruntime-node and ends, as a cold start of it in Node would begin.
//   node first.mjs PATH_OF_ONNXRUNTIME_NODE MODEL REQUEST default|lean
import fs from 'node:fs';
import { createRequire } from 'node:module';

const [module, model, request, how] = process.argv.slice(2);
const ort = createRequire(import.meta.url)(module);
const lean = { intraOpNumThreads: 1, interOpNumThreads: 1, graphOptimizationLevel: 'disabled', executionMode: 'sequential' };
const session = await ort.InferenceSession.create(model, how === 'lean' ? lean : {});
const feeds = {};
for (const t of JSON.parse(fs.readFileSync(request, 'utf8')).inputs) {
  feeds[t.name] = new ort.Tensor('float32', Float32Array.from(t.data.flat(Infinity)), t.shape);
}
const got = await session.run(feeds);
const outputs = Object.entries(got).map(([name, t]) => ({ name, shape: t.dims, datatype: 'FP32', data: Array.from(t.data) }));
fs.writeSync(1, JSON.stringify({ model_name: 'm', outputs }) + '\n');
process.exit(0);
