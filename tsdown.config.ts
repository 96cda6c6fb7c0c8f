import { existsSync, readFileSync } from 'node:fs';
import { defineConfig } from 'tsdown';

const { exports, imports, bin } = JSON.parse(readFileSync(new URL('package.json', import.meta.url), 'utf8')) as {
  exports: Record<string, string | { default: string }>;
  imports: Record<string, { default: string }>;
  bin: Record<string, string>;
};

/** One entry for each thing package.json promises: dist/graph/index.js is built from src/graph/index.ts. */
const promised = [
  ...Object.values(exports).flatMap((target) => (typeof target === 'string' ? [] : [target.default])),
  ...Object.values(imports).map((target) => target.default),
  ...Object.values(bin),
];
/** Files that bench/ and tools/ read by name: they measure parts that are not public. */
const measured = [
  'base/files-node',
  'base/random',
  'base/tensor',
  'checkpoint/adapter',
  'encoders/load',
  'formats/onnx',
  'metrics/correlation',
  'metrics/logme',
  'model/draw',
  'model/encoder-inputs',
  'model/model',
  'model/prepare',
  'model/task-setup',
  'nn/dropout',
  'objectives/registry',
  'session/node',
  'tasks/load',
  'text/tokenizer',
  'train/multi-task/registry',
  'train/multi-task/settings',
  'train/multi-task/trainer',
  'train/step',
  'update/adamw',
  'update/store',
].map((name) => `./dist/${name}.js`);
const entry = [...new Set([...promised, ...measured])]
  .map((path) => path.replace('./dist/', 'src/').replace(/\.js$/, '.ts'))
  .filter((path) => existsSync(path));

export default defineConfig({
  entry,
  root: 'src',
  outDir: 'dist',
  format: 'esm',
  target: 'node20.19',
  platform: 'node',
  dts: true,
  sourcemap: false,
  unbundle: false,
  // Resolved where the package is used: each platform has a file of its own.
  deps: { neverBundle: Object.keys(imports) },
  fixedExtension: false,
  clean: true,
  report: false,
});
