import { bytesOf, type Tensor } from '../base/index.ts';
import type { Encoder } from '../encoders/index.ts';
import type { Prepared } from '../model/prepare.ts';

/** 16 hexadecimal digits that tell tokenised rows with their targets apart from any others: data, order and tokenizer. */
export async function digestOfRows({ units }: Prepared): Promise<string> {
  return digest(
    (function* () {
      for (const { row, encodings, target } of units) {
        yield text(`${row} ${JSON.stringify(target, (_, value) => (ArrayBuffer.isView(value) ? Array.from(value as Int32Array) : value))}`);
        for (const { inputIds } of encodings) yield bytesOf({ dtype: 'int32', shape: [inputIds.length], data: inputIds });
      }
    })(),
  );
}

/** The same of texts to pretrain on. */
export async function digestOfSamples(samples: readonly (readonly string[])[]): Promise<string> {
  return digest(
    (function* () {
      for (const sample of samples) yield text(JSON.stringify(sample));
    })(),
  );
}

/** The same of an encoder: its configuration and its vectors. Checkpoints of one shape differ in biases and norms, and these are quickly read. */
export async function digestOfEncoder({ fields, weights }: Encoder): Promise<string> {
  const vectors: Tensor[] = [];
  for (const weight of weights.values()) if (weight.shape.length === 1) vectors.push(await weight.read());
  return digest([text(JSON.stringify(fields)), ...vectors.map(bytesOf)]);
}

/** The same of tensors by name, with settings that belong to them: an adapter, a head, a fusion. */
export async function digestOfTensors(tensors: ReadonlyMap<string, Tensor>, settings: unknown = null): Promise<string> {
  return digest(
    (function* () {
      yield text(JSON.stringify(settings));
      for (const [name, value] of tensors) {
        yield text(`${name} ${value.dtype} ${value.shape}`);
        yield bytesOf(value);
      }
    })(),
  );
}

const CHUNK = 2 ** 20;

/** SHA-256 over chunks, each hashed with the digest of those before it: the data is never in memory twice. */
async function digest(parts: Iterable<Uint8Array>): Promise<string> {
  let before = new Uint8Array(32);
  let held: Uint8Array[] = [];
  let size = 0;
  const flush = async () => {
    const chunk = new Uint8Array(before.length + size);
    let at = 0;
    for (const part of [before, ...held]) {
      chunk.set(part, at);
      at += part.length;
    }
    before = new Uint8Array(await crypto.subtle.digest('SHA-256', chunk));
    [held, size] = [[], 0];
  };
  for (const part of parts) {
    held.push(part);
    size += part.length;
    if (size >= CHUNK) await flush();
  }
  await flush();
  return Array.from(before.subarray(0, 8), (byte) => byte.toString(16).padStart(2, '0')).join('');
}

function text(value: string): Uint8Array {
  return new TextEncoder().encode(value);
}
