import { allocate, type DType, fail, type Tensor } from '../base/index.ts';
import { bindShape, nameOf, optimize, type Program, partsOf } from '../graph/index.ts';
import { type ExternalData, type OnnxModel, toOnnx, type WeightPlace } from '../onnx/model.ts';
import { bindFeeds, type Engine, type Feeds, type FileWeight, isFileWeight, type Session, type Weights } from './session.ts';

/** ONNX Runtime as its packages have it on every platform. */
export interface Ort {
  readonly InferenceSession: { create(model: Uint8Array, options: object): Promise<OrtSession> };
  readonly Tensor: new (type: 'float32', data: Float32Array, dims: readonly number[]) => OrtTensor;
}

interface OrtSession {
  readonly inputNames: readonly string[];
  run(feeds: Record<string, never>, fetches: readonly string[], options: object): Promise<Readonly<Record<string, unknown>>>;
  release(): Promise<void>;
}

interface OrtTensor {
  readonly type: string;
  readonly data: unknown;
  readonly dims: readonly number[];
}

/** What the platforms of ONNX Runtime do differently. */
export interface OrtPlatform extends Pick<Engine, 'name' | 'memory'> {
  readonly ort: Ort;
  /** How a session over these weights is made. */
  plan(weights: Weights): SessionPlan | Promise<SessionPlan>;
  /** Of the bytes of a model, by which equal ones are found: SHA-256. */
  digest(bytes: Uint8Array): string | Promise<string>;
}

export interface SessionPlan {
  /** Weights that stay outside of the model's bytes, by name. */
  readonly external: ReadonlyMap<string, ExternalData>;
  /** Tells the external data of this plan apart from any other's: equal programs share a session only where it is equal. */
  readonly key: string;
  /** Session options of the platform's package, the way to the external data among them. */
  readonly options: object;
}

/** Session options for every platform. */
const OPTIONS = {
  graphOptimizationLevel: 'all',
  // A planned block per shape stands beside what the first run took: a fifth more memory, and nothing gained (docs/decisions.md).
  enableMemPattern: false,
  // Native code logs past JavaScript: errors come back as exceptions all the same.
  logSeverityLevel: 4,
} as const;

/** ONNX Runtime on a platform. Equal programs over the same weights are compiled once: whoever asks while the first lives shares it. */
export function ortEngine(platform: OrtPlatform): Engine {
  let compilations = 0;
  const live = new Map<string, { readonly session: Promise<OrtSession>; users: number }>();
  const create = (bytes: Uint8Array, options: object) => {
    compilations++;
    return guard('compiling a program', () => platform.ort.InferenceSession.create(bytes, { ...OPTIONS, ...options }));
  };
  return {
    name: platform.name,
    ...(platform.memory !== undefined && { memory: platform.memory }),
    get compilations() {
      return compilations;
    },
    async compile(program, weights) {
      const used = weightsOf(program, weights);
      const { external, key: ofData, options } = await platform.plan(used);
      const model = toOnnx(optimize(program), await placesOf(used, external));
      const key = `${ofData} ${await platform.digest(model.bytes)}`;
      const shared = live.get(key) ?? { session: create(model.bytes, options), users: 0 };
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
      return ortSession(platform.ort, session, program, model, release);
    },
  };
}

/** The weights that the program reads, of the shapes it reads them in. */
function weightsOf(program: Program, weights: Weights): Weights {
  return new Map(
    partsOf(program).weights.map((value) => {
      const name = nameOf(value) as string;
      const weight =
        weights.get(name) ?? fail({ code: 'graph.invalid', subject: `weight '${name}'`, found: 'nothing', expected: 'a tensor' });
      bindShape(`weight '${name}'`, value.shape, weight.shape, new Map());
      return [name, weight];
    }),
  );
}

/** Where each weight is read from: external data, or else the bytes of the model. */
async function placesOf(weights: Weights, external: SessionPlan['external']): Promise<(name: string) => WeightPlace> {
  const places = new Map<string, WeightPlace>();
  for (const [name, weight] of weights) places.set(name, external.get(name) ?? { tensor: await inMemory(weight) });
  return (name) => places.get(name) as WeightPlace;
}

async function inMemory(weight: Tensor | FileWeight): Promise<Tensor> {
  return isFileWeight(weight) ? weight.read() : weight;
}

function ortSession(ort: Ort, session: OrtSession, program: Program, model: OnnxModel, release: () => Promise<void>): Session {
  const { inputs } = partsOf(program);
  const used = new Set(session.inputNames);
  const names = Object.keys(program.outputs);
  let released = false;
  return {
    async run(feeds: Feeds) {
      bindFeeds(inputs, feeds);
      const fed: Record<string, OrtTensor> = {};
      for (const value of inputs) {
        const name = nameOf(value) as string;
        const place = model.inputs.get(name);
        if (place !== undefined && used.has(place)) fed[place] = toOrt(ort, feeds[name] as Tensor);
      }
      const placeOf = (name: string) => model.outputs.get(name) as string;
      const run = () => session.run(fed as Record<string, never>, names.map(placeOf), { logSeverityLevel: 4 });
      const results = await guard('running a program', run);
      return Object.fromEntries(names.map((name) => [name, fromOrt(results[placeOf(name)] as OrtTensor)]));
    },
    async release() {
      if (!released) await release();
      released = true;
    },
  };
}

function toOrt(ort: Ort, { dtype, data, shape }: Tensor): OrtTensor {
  return new ort.Tensor(dtype as 'float32', data as Float32Array, shape);
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
