// Answers the requests that `go run ./e2e/node prepare DIR` wrote, with npm's onnxruntime-node.
//   node ask.mjs DIR PATH_OF_ONNXRUNTIME_NODE
// DIR/cases.json has the cases; the tensors of case C lie in DIR/C.in and its answers come into DIR/C.out,
// little-endian, strings with their length in four bytes before them. DIR/answers.json says what is where.
import fs from 'node:fs';
import path from 'node:path';
import { createRequire } from 'node:module';

const [dir, module] = process.argv.slice(2);
const require = createRequire(import.meta.url);
const ort = require(path.resolve(module));
const { version } = require(path.join(path.resolve(module), 'package.json'));

const TYPES = { // the protocol's name: Node's name and array
  BOOL: ['bool', Uint8Array], UINT8: ['uint8', Uint8Array], UINT16: ['uint16', Uint16Array],
  UINT32: ['uint32', Uint32Array], UINT64: ['uint64', BigUint64Array], INT8: ['int8', Int8Array],
  INT16: ['int16', Int16Array], INT32: ['int32', Int32Array], INT64: ['int64', BigInt64Array],
  FP16: ['float16', Uint16Array], FP32: ['float32', Float32Array], FP64: ['float64', Float64Array],
};
const NAMES = Object.fromEntries(Object.entries(TYPES).map(([name, [type]]) => [type, name]));

function readTensor(file, t) {
  const bytes = Buffer.alloc(t.length); // its own memory, so that it is aligned
  fs.readSync(file, bytes, 0, t.length, t.offset);
  if (t.type === 'BYTES') {
    const strings = [];
    for (let at = 0; at < bytes.length;) {
      const n = bytes.readUInt32LE(at);
      strings.push(bytes.toString('utf8', at + 4, at + 4 + n));
      at += 4 + n;
    }
    return new ort.Tensor('string', strings, t.shape);
  }
  const [type, Typed] = TYPES[t.type];
  const data = new Typed(bytes.buffer, bytes.byteOffset, t.length / Typed.BYTES_PER_ELEMENT);
  return new ort.Tensor(type, data, t.shape);
}

function bytesOf(tensor) {
  if (tensor.type !== 'string') {
    return Buffer.from(tensor.data.buffer, tensor.data.byteOffset, tensor.data.byteLength);
  }
  return Buffer.concat(tensor.data.flatMap((s) => {
    const text = Buffer.from(s, 'utf8');
    const length = Buffer.alloc(4);
    length.writeUInt32LE(text.length);
    return [length, text];
  }));
}

const options = { intraOpNumThreads: 1, interOpNumThreads: 1, executionMode: 'sequential', graphOptimizationLevel: 'all' };

async function answer(c) {
  const session = await ort.InferenceSession.create(path.join(dir, c.model), options);
  const file = fs.openSync(path.join(dir, c.name + '.in'));
  const feeds = Object.fromEntries(c.inputs.map((t) => [t.name, readTensor(file, t)]));
  fs.closeSync(file);
  const got = await session.run(feeds, c.outputs);
  const out = fs.openSync(path.join(dir, c.name + '.out'), 'w');
  let offset = 0;
  const outputs = c.outputs.map((name) => {
    const bytes = bytesOf(got[name]);
    fs.writeSync(out, bytes);
    const t = { name, type: NAMES[got[name].type] ?? 'BYTES', shape: got[name].dims, offset, length: bytes.length };
    offset += bytes.length;
    return t;
  });
  fs.closeSync(out);
  await session.release();
  return outputs;
}

const answers = [];
for (const c of JSON.parse(fs.readFileSync(path.join(dir, 'cases.json')))) {
  try {
    answers.push({ name: c.name, outputs: await answer(c) });
  } catch (e) {
    answers.push({ name: c.name, error: e.message });
  }
}
const runtime = `onnxruntime-node ${version}, Node.js ${process.versions.node}`;
fs.writeFileSync(path.join(dir, 'answers.json'), JSON.stringify({ runtime, answers }));
console.log(`${runtime}: ${answers.length} cases, ${answers.filter((a) => a.error).length} refused`);
