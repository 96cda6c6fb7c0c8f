import { createHash } from 'node:crypto';
import { availableParallelism, totalmem } from 'node:os';
import type { InferenceSession } from 'onnxruntime-node';
import { baseName, bytesPerElement, fail, folderOf } from '../base/index.ts';
import { ortEngine, type SessionPlan } from './ort.ts';
import { type Engine, type FileWeight, isFileWeight, type Weights } from './session.ts';

export interface NodeEngineOptions {
  /** Threads for one operator; ONNX Runtime chooses when left out. */
  readonly threads?: number;
  /** Writes ONNX Runtime's profile to files that begin with this path. */
  readonly profile?: string;
}

/** ONNX Runtime on the CPU, in this process. `run` computes on the calling thread. Throws `session.missing`, `usage.value`. */
export async function nodeEngine(options: NodeEngineOptions = {}): Promise<Engine> {
  checkThreads(options.threads);
  return ortEngine({
    name: 'node',
    ort: await importRuntime(),
    memory: memoryInAll(),
    plan: (weights) => planSession(weights, options),
    digest: (bytes) => createHash('sha256').update(bytes).digest('hex'),
  });
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

async function importRuntime(): Promise<typeof import('onnxruntime-node')> {
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

/** Files of one folder are read in place: of that where most bytes of the weights lie. */
function planSession(weights: Weights, { threads, profile }: NodeEngineOptions): SessionPlan {
  const files = [...weights].filter((entry): entry is [string, FileWeight] => isFileWeight(entry[1]) && inPlace(entry[1]));
  const bytes = new Map<string, number>();
  for (const [, { file, byteLength }] of files) bytes.set(folderOf(file), (bytes.get(folderOf(file)) ?? 0) + byteLength);
  const folder = [...bytes].sort((a, b) => b[1] - a[1])[0]?.[0];
  const options: InferenceSession.SessionOptions = {
    executionProviders: ['cpu'],
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
  const inFolder = files.filter(([, { file }]) => folderOf(file) === folder);
  const external = new Map(
    inFolder.map(([name, { file, offset, byteLength }]) => [name, { location: baseName(file), offset, byteLength }]),
  );
  return { external, key: folder ?? '', options };
}

/** ONNX Runtime reads external data at offsets that suit the element type. */
function inPlace(weight: FileWeight): boolean {
  return weight.inPlace && weight.offset % bytesPerElement('float32') === 0;
}
