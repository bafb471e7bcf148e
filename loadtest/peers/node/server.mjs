// fastify in front of npm's onnxruntime-node: the Open Inference Protocol in
// JSON and with binary tensors, for models with one input x and one output y of
// float32. Workers are node:cluster's, as fastify's documentation has it.
import cluster from 'node:cluster';
import process from 'node:process';
import fastify from 'fastify';
import ort from 'onnxruntime-node';

const { PEER_MODELS, PEER_HTTP, PEER_INTRA, PEER_WORKERS } = process.env;
const LENGTH = 'inference-header-content-length';

if (cluster.isPrimary && Number(PEER_WORKERS) > 1) {
  for (let i = 0; i < Number(PEER_WORKERS); i++) cluster.fork();
  process.on('SIGTERM', () => process.exit(0));
} else {
  await serve();
}

async function serve() {
  const options = {
    intraOpNumThreads: Number(PEER_INTRA),
    interOpNumThreads: 1,
    extra: { session: { intra_op: { allow_spinning: '0' } } },
  };
  const sessions = new Map();
  for (const name of ['small', 'image']) {
    sessions.set(name, await ort.InferenceSession.create(`${PEER_MODELS}/${name}.onnx`, options));
  }

  const app = fastify({ logger: false, bodyLimit: 64 << 20 });
  app.addContentTypeParser('application/octet-stream', { parseAs: 'buffer' }, (request, body, done) => done(null, body));
  app.get('/v2/health/ready', async () => ({}));
  app.post('/v2/models/:name/infer', async (request, reply) => {
    const { name } = request.params;
    const session = sessions.get(name);
    if (session === undefined) return reply.code(404).send();
    const at = Number(request.headers[LENGTH] ?? -1);
    const { shape, x } = at < 0 ? plain(request.body) : binary(request.body, at);
    const { y } = await session.run({ x: new ort.Tensor('float32', x, shape) });
    const output = { name: 'y', datatype: 'FP32', shape: y.dims };
    if (at < 0) {
      output.data = Array.from(y.data);
      return { model_name: name, outputs: [output] };
    }
    output.parameters = { binary_data_size: y.data.byteLength };
    const head = Buffer.from(JSON.stringify({ model_name: name, outputs: [output] }));
    reply.header(LENGTH, head.length).type('application/octet-stream');
    return Buffer.concat([head, Buffer.from(y.data.buffer, y.data.byteOffset, y.data.byteLength)]);
  });
  await app.listen({ host: '127.0.0.1', port: Number(PEER_HTTP) });
}

function plain(body) {
  const [input] = body.inputs;
  return { shape: input.shape, x: Float32Array.from(input.data) };
}

function binary(body, at) {
  const [input] = JSON.parse(body.subarray(0, at)).inputs;
  const raw = body.subarray(at);
  // A view where the bytes happen to lie right, else a copy.
  const x =
    raw.byteOffset % 4 === 0
      ? new Float32Array(raw.buffer, raw.byteOffset, raw.length / 4)
      : new Float32Array(raw.buffer.slice(raw.byteOffset, raw.byteOffset + raw.length));
  return { shape: input.shape, x };
}
