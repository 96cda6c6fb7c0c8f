/** Writes one file per writer of src/formats into the folder given; read_ours.py then reads them in Python. */
import { nodeFiles } from '../../src/base/files-node.ts';
import { float32, type Tensor, tensor, toFloat16 } from '../../src/base/tensor.ts';
import { pythonJson } from '../../src/formats/json.ts';
import { encodeOnnx } from '../../src/formats/onnx.ts';
import { writeSafetensors } from '../../src/formats/safetensors.ts';
import { writeTorch } from '../../src/formats/torch.ts';

const folder = process.argv[2];
if (folder === undefined) throw new Error('usage: write_ours.ts FOLDER');
const tensors: [string, Tensor][] = [
  ['weight', float32([2, 3], [1, 2, 3, 4, 5, 6])],
  ['step', tensor('int64', [], BigInt64Array.of(7n))],
  ['empty', float32([0, 3], [])],
  ['mask', tensor('bool', [2], Uint8Array.of(1, 0))],
  ['half', tensor('float16', [2], toFloat16(Float32Array.of(0.5, -2)))],
  ['wide é', float32([300], new Float32Array(300).fill(0.5))],
];
const config = { scaling: 1, rate: 1e-5, text: 'é😀', list: [], none: null, reduction_factor: 16 };
const weight = new Uint8Array(Float32Array.of(1, 2).buffer);
await nodeFiles.write(`${folder}/ours.safetensors`, writeSafetensors(tensors, { format: 'pt' }));
await nodeFiles.write(`${folder}/ours.bin`, writeTorch(tensors));
await nodeFiles.write(`${folder}/ours.json`, pythonJson(config, { floatKeys: ['scaling'] }));
await nodeFiles.write(
  `${folder}/ours.onnx`,
  encodeOnnx({
    irVersion: 10,
    opsetImport: [{ domain: '', version: 21 }],
    graph: {
      name: 'g',
      node: [
        { opType: 'Mul', input: ['x', 'w'], output: ['m'] },
        { opType: 'ReduceSum', input: ['m', 'axes'], output: ['y'], attribute: [{ name: 'keepdims', type: 'int', value: 0 }] },
      ],
      initializer: [
        { name: 'w', dtype: 'float32', dims: [2], rawData: weight },
        { name: 'axes', dtype: 'int64', dims: [1], rawData: new Uint8Array(BigInt64Array.of(1n).buffer) },
      ],
      input: [{ name: 'x', dtype: 'float32', shape: ['batch', 2] }],
      output: [{ name: 'y', dtype: 'float32', shape: ['batch'] }],
    },
  }),
);
