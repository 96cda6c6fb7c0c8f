// @ts-check
/**
 * A worker that measures this library: reads commands on stdin, answers each with one JSON line. The protocol is that
 * of bench/peers/adapters_bench.py, so that bench/run.mjs can take the two in turn.
 *
 *     node bench/ours.mjs --model DIR --method seq_bn --batch 16 --length 128 --threads 2 --micro-batch 4 [--fuse 16]
 */
import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { parseArgs } from 'node:util';

/**
 * @typedef {{ model: string, method: string, batch: number, length: number, threads: number, dropout: number,
 *   labels: number, headLayers: number, microBatch: number, fuse: number, dist: string }} Settings
 * @typedef {() => Promise<Record<string, unknown>>} Command
 */

const settings = readSettings();
const { commands, release } = await createWorkload(settings);
answer({ ready: true, startupMs: round(performance.now()) });
for await (const line of createInterface({ input: process.stdin })) {
  const command = line.trim();
  if (command === 'quit') break;
  const run = commands[command];
  if (run) {
    const start = performance.now();
    const result = await run();
    answer({ ms: round(performance.now() - start), ...result });
  } else answer({ error: `unknown command '${command}'; expected ${Object.keys(commands).join(', ')} or quit` });
}
await release();

/** @returns {Settings} */
function readSettings() {
  const { values } = parseArgs({
    options: {
      model: { type: 'string' },
      method: { type: 'string', default: 'seq_bn' },
      batch: { type: 'string', default: '16' },
      length: { type: 'string', default: '128' },
      threads: { type: 'string', default: '2' },
      dropout: { type: 'string', default: '0.1' },
      labels: { type: 'string', default: '2' },
      'head-layers': { type: 'string', default: '2' },
      'micro-batch': { type: 'string', default: '0' },
      fuse: { type: 'string', default: '0' },
      dist: { type: 'string', default: 'dist' },
    },
  });
  if (values.model === undefined) throw new Error('--model: a Hugging Face model folder is needed');
  return {
    model: values.model,
    method: values.method,
    dist: values.dist,
    batch: Number(values.batch),
    length: Number(values.length),
    threads: Number(values.threads),
    dropout: Number(values.dropout),
    labels: Number(values.labels),
    headLayers: Number(values['head-layers']),
    fuse: Number(values.fuse),
    microBatch: Number(values['micro-batch']) || Number(values.batch),
  };
}

/**
 * Programs are compiled when they are first asked for, so that a process that only trains holds no evaluation program
 * in memory, as in the peer.
 * @param {Settings} options
 * @returns {Promise<{ commands: Record<string, Command>, release: () => Promise<void> }>}
 */
async function createWorkload(options) {
  const library = await importLibrary(options.dist);
  const engine = await library.nodeEngine({ threads: options.threads });
  const model = await createModel(library, options);
  const store = new library.ParameterStore(library.trainableParameters(model));
  store.initialize(1);
  if (model.attachment.trainsEncoder) {
    for (const { name } of store.specs) {
      const weight = model.encoder.weights.get(name);
      if (weight) store.set(name, (await weight.read()).data);
    }
  }
  const random = library.createRandom(1);
  const parts = Array.from({ length: Math.ceil(options.batch / options.microBatch) }, (_, i) =>
    randomBatch(Math.min(options.microBatch, options.batch - i * options.microBatch)),
  );
  const all = randomBatch(options.batch);
  let t = 0;
  /** @type {any} */
  let training;
  /** @type {any} */
  let evaluation;

  return { commands: { step, forward, stats: async () => ({ peakMB: peakMegabytes() }) }, release };

  async function step() {
    training ??= await library.createTrainingStep(engine, model, store, { adamw: library.ADAMW, seed: 1 });
    t += 1;
    const { loss } = await training.run(parts, 1e-4, t);
    return { loss };
  }

  async function forward() {
    evaluation ??= await engine.compile(
      { outputs: { logits: library.drawModel(model, library.noDropout, () => false).logits[0] } },
      library.weightsOf(model, store.values()),
    );
    await evaluation.run(all);
    return {};
  }

  async function release() {
    await training?.release();
    await evaluation?.release();
  }

  /** @param {number} rows */
  function randomBatch(rows) {
    const { vocabulary } = model.encoder.config;
    const encodings = Array.from({ length: rows }, () => ({
      inputIds: Int32Array.from({ length: options.length }, () => 1000 + random.below(vocabulary - 1000)),
      tokenTypeIds: new Int32Array(options.length),
    }));
    return {
      ...library.encoderFeeds(encodings, model.encoder),
      labels: library.int32(
        [rows],
        Int32Array.from({ length: rows }, () => random.below(options.labels)),
      ),
      lossWeights: library.float32([rows], new Float32Array(rows).fill(1 / options.batch)),
    };
  }
}

/**
 * @param {any} library
 * @param {Settings} options
 */
async function createModel(library, { model, method, dropout, labels, headLayers, fuse }) {
  const loaded = await library.loadEncoder(library.nodeFiles, model);
  const config = { ...loaded.config, hiddenDropout: dropout, attentionDropout: dropout, classifierDropout: undefined };
  const head = library.createHead('task', { head_type: 'classification', num_labels: labels, layers: headLayers });
  const encoder = { ...loaded, config };
  const one = library.configureMethod(method);
  if (fuse === 0) return library.adapterModel(encoder, one, 'task', head);
  const facts = { encoder: config, family: loaded.family };
  const names = Array.from({ length: fuse }, (_, i) => `a${i}`);
  const adapters = new library.ParameterStore(names.flatMap((name) => library.bindAdapter(one, { ...facts, name }).parameters));
  adapters.initialize(1);
  const parts = { adapters: new Map(names.map((name) => [name, one])), fusions: new Map([['task', library.fusionConfig('dynamic')]]) };
  const attachment = library.attachComposition(library.fuse(names, { name: 'task' }), parts, facts);
  return { encoder, attachment, heads: [head], frozen: adapters.values() };
}

/**
 * The built modules, by file: the measured parts are not all of the public interface.
 * @param {string} dist
 */
async function importLibrary(dist) {
  const names = [
    'base/files-node',
    'base/random',
    'base/tensor',
    'encoders/load',
    'methods/index',
    'model/draw',
    'model/encoder-inputs',
    'model/model',
    'nn/dropout',
    'objectives/registry',
    'session/node',
    'train/step',
    'update/adamw',
    'update/store',
  ];
  const modules = await Promise.all(names.map((name) => import(new URL(`../${dist}/${name}.js`, import.meta.url).href)));
  return Object.assign({}, ...modules);
}

/** Highest resident memory of this process so far; null where the system does not say. */
function peakMegabytes() {
  try {
    return round(Number(/VmHWM:\s+(\d+)/.exec(readFileSync('/proc/self/status', 'utf8'))?.[1]) / 1024);
  } catch {
    return null;
  }
}

/** @param {Record<string, unknown>} value */
function answer(value) {
  process.stdout.write(`${JSON.stringify(value)}\n`);
}

/** @param {number} value */
function round(value) {
  return Math.round(value * 100) / 100;
}
