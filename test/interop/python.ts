import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { Attached, AttachedFusion, AttachedHead } from '../../src/auto-adapter-model/attached.ts';
import { kindsWith } from '../../src/auto-adapter-model/extensions.ts';
import type { ModelState } from '../../src/auto-adapter-model/model-state.ts';
import { Named } from '../../src/auto-adapter-model/named.ts';
import { nodeFiles } from '../../src/base/files-node.ts';
import type { Random } from '../../src/base/random.ts';
import { float32, type Tensor } from '../../src/base/tensor.ts';
import type { Encoder } from '../../src/encoders/index.ts';
import { firstValues } from '../../src/model/first-values.ts';
import type { ParameterSpec } from '../../src/nn/index.ts';

/** A Python that has adapters, peft and transformers, or nothing: then the tests beside this file are skipped. */
export const python = process.env.MULTIGRAFT_PYTHON;

/** What a script of tools/golden says of a case. */
export interface Result {
  readonly name: string;
  readonly ok: boolean;
  readonly relative: number | null;
  readonly weights: string | null;
  readonly error: string | null;
}

/** A line for each case of a manifest, from a script of tools/golden. */
export async function askPython(script: string, manifest: string): Promise<Result[]> {
  const run = promisify(execFile)(python as string, [`tools/golden/${script}`, manifest], {
    env: { ...process.env, OMP_NUM_THREADS: '1', PYTHONDONTWRITEBYTECODE: '1' },
    maxBuffer: 2 ** 28,
  });
  // Exit code 1 means that a case differs: its line says which.
  const { stdout, stderr } = await run.catch((error: { stdout: string; stderr: string }) => error);
  const lines = stdout.split('\n').filter((line) => line.startsWith('{"name"'));
  if (lines.length === 0) throw new Error(stderr);
  return lines.map((line) => JSON.parse(line));
}

/** Writes NAME.json of results/interop where MULTIGRAFT_RECORD names that folder. */
export async function record(name: string, script: string, what: string, results: readonly Result[]): Promise<void> {
  if (!process.env.MULTIGRAFT_RECORD) return;
  const versions =
    'import json,platform,torch,transformers,adapters,peft;print(json.dumps({"python":platform.python_version(),**{m.__name__:m.__version__ for m in (torch,transformers,adapters,peft)}}))';
  const { stdout } = await promisify(execFile)(python as string, ['-c', versions], { env: { ...process.env, OMP_NUM_THREADS: '1' } });
  const report = {
    what: `${what} written by this package, loaded by Python: largest difference of the outputs over their largest value`,
    script,
    versions: { node: process.versions.node, ...JSON.parse(stdout.trim().split('\n').at(-1) as string) },
    cases: results.length,
    ok: results.filter(({ ok }) => ok).length,
    worst: Math.max(...results.map(({ relative }) => relative ?? Number.POSITIVE_INFINITY)),
    results: results.map(({ name: title, relative, weights }) => ({ name: title, relative, weights })),
  };
  await nodeFiles.write(join(process.env.MULTIGRAFT_RECORD, `${name}.json`), `${JSON.stringify(report, null, 1)}\n`);
}

/** No zeros, no unit gains: every tensor must arrive to give the right output. What stays, and what keeps rows orthonormal, starts as it does. */
export async function valuesOf(specs: readonly ParameterSpec[], encoder: Encoder, random: Random): Promise<Map<string, Tensor>> {
  const kept = specs.filter(({ name, trains }) => trains === false || name.includes('.parametrizations.'));
  const started = await firstValues(kept, encoder, { seed: 1 });
  return new Map(specs.map(({ name, shape }) => [name, started.get(name) ?? randomTensor(shape, random)]));
}

export function randomTensor(shape: readonly number[], random: Random): Tensor {
  const count = shape.reduce((a, b) => a * b, 1);
  return float32(
    shape,
    Float32Array.from({ length: count }, () => random.normal() * 0.2 + (shape.length === 1 ? 0.3 : 0)),
  );
}

/** An encoder with nothing attached yet, and no tokenizer. */
export function emptyState(encoder: Encoder): ModelState {
  return {
    files: nodeFiles,
    kinds: kindsWith({}),
    encoder,
    tokenizer: undefined as never,
    adapters: new Named<Attached>('adapter'),
    fusions: new Named<AttachedFusion>('fusion'),
    heads: new Named<AttachedHead>('head'),
  };
}
