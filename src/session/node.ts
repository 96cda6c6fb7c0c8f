import { createHash } from 'node:crypto';
import { availableParallelism, totalmem } from 'node:os';
import type { InferenceSession, Tensor as OrtTensor } from 'onnxruntime-node';
import { fail } from '../base/errors.ts';
import { folderOf } from '../base/files.ts';
import { allocate, bytesPerElement, type DType, type Tensor } from '../base/tensor.ts';
import { bindShape, nameOf, optimize, type Program, partsOf } from '../graph/index.ts';
import { type OnnxModel, toOnnx, type WeightPlace } from '../onnx/model.ts';
import { bindFeeds, type Engine, type Feeds, type FileWeight, isFileWeight, type Session, type Weights } from './session.ts';

type Ort = typeof import('onnxruntime-node');

export interface NodeEngineOptions {
  /** Threads for one operator; ONNX Runtime chooses when left out. */
  readonly threads?: number;
  /** Writes ONNX Runtime's profile to files that begin with this path. */
  readonly profile?: string;
}

/** ONNX Runtime on the CPU, in this process. `run` computes on the calling thread. Throws `session.missing`, `usage.value`. */
export async function nodeEngine(options: NodeEngineOptions = {}): Promise<Engine> {
  checkThreads(options.threads);
  const ort = await importRuntime();
  let compilations = 0;
  /** Equal programs over the same weights are compiled once: whoever asks while the first lives shares it. */
  const live = new Map<string, { readonly session: Promise<InferenceSession>; users: number }>();
  const create = (bytes: Uint8Array, folder: string | undefined) => {
    compilations++;
    return guard('compiling a program', () => ort.InferenceSession.create(bytes, sessionOptions(options, folder)));
  };
  return {
    name: 'node',
    memory: memoryInAll(),
    get compilations() {
      return compilations;
    },
    async compile(program, weights) {
      const folder = externalFolder(program, weights);
      const model = toOnnx(optimize(program), await placesOf(program, weights, folder));
      const { bytes } = model;
      const key = createHash('sha256')
        .update(folder ?? '')
        .update(bytes)
        .digest('hex');
      const shared = live.get(key) ?? { session: create(bytes, folder), users: 0 };
      live.set(key, shared);
      shared.users++;
      const session = await shared.session.catch((error) => {
        live.delete(key);
        throw error;
      });
      const release = async () => {
        shared.users--;
        if (shared.users > 0) return;
        live.delete(key);
        await session.release();
      };
      return nodeSession(ort, session, program, model, release);
    },
  };
}

/** So many threads are made at once: far more than there are cores only take memory, and at worst the whole machine. */
function checkThreads(threads: number | undefined): void {
  const cores = availableParallelism();
  const most = Math.min(4 * cores, 256);
  if (threads === undefined || (Number.isInteger(threads) && threads >= 1 && threads <= most)) return;
  fail({
    code: 'usage.value',
    subject: '--threads',
    found: String(threads),
    expected: `a whole number from 1 to ${most}: four for each of the ${cores} cores, and 256 at most`,
    next: 'Leave it out to use all cores.',
  });
}

/** Bytes of the machine, or of the container where that has fewer; swapping does not count. */
function memoryInAll(): number {
  // Where there is no limit Node says 0, or a number larger than any machine has.
  const limit = process.constrainedMemory() ?? 0;
  return limit > 0 ? Math.min(limit, totalmem()) : totalmem();
}

async function importRuntime(): Promise<Ort> {
  try {
    return await import('onnxruntime-node');
  } catch (cause) {
    return fail({
      code: 'session.missing',
      subject: `ONNX Runtime for ${process.platform}-${process.arch}`,
      found: cause instanceof Error ? (cause.message.split('\n')[0] as string) : String(cause),
      expected: 'the native library of the package onnxruntime-node',
      next: 'It exists for linux (glibc 2.28 or newer), macOS on arm64 and Windows; not for musl (Alpine) or macOS on x64. Reinstall without --omit=optional, or use a platform it has.',
      cause,
    });
  }
}

function sessionOptions({ threads, profile }: NodeEngineOptions, folder: string | undefined): InferenceSession.SessionOptions {
  return {
    executionProviders: ['cpu'],
    graphOptimizationLevel: 'all',
    // A planned block per shape stands beside what the first run took: a fifth more memory, and nothing gained (docs/decisions.md).
    enableMemPattern: false,
    // Native code logs past JavaScript: errors come back as exceptions all the same.
    logSeverityLevel: 4,
    ...(threads !== undefined && { intraOpNumThreads: threads }),
    ...(profile !== undefined && { enableProfiling: true, profileFilePrefix: profile }),
    extra: {
      session: {
        // Between runs the cores belong to the caller; a training step is 4 % faster where threads do not spin on (docs/decisions.md).
        force_spinning_stop: '1',
        ...(folder !== undefined && { model_external_initializers_file_folder_path: folder }),
      },
    },
  };
}

/** The one folder whose files are read in place: where most bytes of the program's weights lie. */
function externalFolder(program: Program, weights: Weights): string | undefined {
  const bytes = new Map<string, number>();
  for (const value of partsOf(program).weights) {
    const weight = weights.get(nameOf(value) as string);
    if (weight && inPlace(weight)) bytes.set(folderOf(weight.file), (bytes.get(folderOf(weight.file)) ?? 0) + weight.byteLength);
  }
  return [...bytes].sort((a, b) => b[1] - a[1])[0]?.[0];
}

/** ONNX Runtime reads external data at offsets that suit the element type. */
function inPlace(weight: Tensor | FileWeight): weight is FileWeight {
  return isFileWeight(weight) && weight.inPlace && weight.offset % bytesPerElement('float32') === 0;
}

async function placesOf(program: Program, weights: Weights, folder: string | undefined): Promise<(name: string) => WeightPlace> {
  const places = new Map<string, WeightPlace>();
  for (const value of partsOf(program).weights) {
    const name = nameOf(value) as string;
    const weight =
      weights.get(name) ?? fail({ code: 'graph.invalid', subject: `weight '${name}'`, found: 'nothing', expected: 'a tensor' });
    bindShape(`weight '${name}'`, value.shape, weight.shape, new Map());
    if (inPlace(weight) && folderOf(weight.file) === folder)
      places.set(name, {
        location: weight.file.slice(folder === '/' ? 1 : folder.length + 1),
        offset: weight.offset,
        byteLength: weight.byteLength,
      });
    else places.set(name, { tensor: isFileWeight(weight) ? await weight.read() : weight });
  }
  return (name) => places.get(name) as WeightPlace;
}

function nodeSession(
  ort: Ort,
  session: InferenceSession,
  program: Program,
  onnx: Pick<OnnxModel, 'inputs' | 'outputs'>,
  release: () => Promise<void>,
): Session {
  const { inputs } = partsOf(program);
  const used = new Set(session.inputNames);
  const names = Object.keys(program.outputs);
  let released = false;
  return {
    async run(feeds: Feeds) {
      bindFeeds(inputs, feeds);
      const given: Record<string, OrtTensor> = {};
      for (const value of inputs) {
        const name = nameOf(value) as string;
        const place = onnx.inputs.get(name);
        if (place !== undefined && used.has(place)) given[place] = toOrt(ort, feeds[name] as Tensor);
      }
      const placeOf = (name: string) => onnx.outputs.get(name) as string;
      const results = await guard('running a program', () => session.run(given, names.map(placeOf), { logSeverityLevel: 4 }));
      return Object.fromEntries(names.map((name) => [name, fromOrt(results[placeOf(name)] as OrtTensor)]));
    },
    async release() {
      if (!released) await release();
      released = true;
    },
  };
}

function toOrt(ort: Ort, { dtype, data, shape }: Tensor): OrtTensor {
  return new ort.Tensor(dtype as 'float32', data as Float32Array, shape as number[]);
}

function fromOrt(value: OrtTensor): Tensor {
  const dtype = value.type as DType;
  const data = value.data as Tensor['data'];
  return { dtype, shape: [...value.dims], data: data.length === 0 ? allocate(dtype, 0) : data };
}

async function guard<T>(what: string, action: () => Promise<T>): Promise<T> {
  try {
    return await action();
  } catch (cause) {
    const message = cause instanceof Error ? cause.message : String(cause);
    return fail({ code: 'session.run', subject: what, found: message, cause });
  }
}
