import { createRandom, defined, type Files, fail } from '../../base/index.ts';
import { type LoadedAdapter, loadAdapter } from '../../checkpoint/index.ts';
import { type Encoder, loadEncoder } from '../../encoders/index.ts';
import { centered, type EvidenceModel, evidenceModel } from '../../metrics/index.ts';
import { prepare } from '../../model/prepare.ts';
import { sequenceLength } from '../../model/task-setup.ts';
import { holding } from '../../session/holding.ts';
import type { Engine } from '../../session/session.ts';
import { loadRows, type Task } from '../../tasks/index.ts';
import { loadTokenizer } from '../../text/index.ts';
import { adapterFeatures, type Questions, questionsOf } from './features.ts';

export interface ChooseOptions {
  readonly files: Files;
  readonly engine: Engine;
  /** Folder of the encoder. */
  readonly model: string;
  readonly task: Task;
  /** Folders of the adapters to choose from. */
  readonly adapters: readonly string[];
  /** How many to choose. */
  readonly count: number;
  /** Read at most this many training rows. */
  readonly limit?: number;
  /** Training rows to leave out, from 0. */
  readonly exclude?: ReadonlySet<number>;
  readonly maxLength?: number;
  /** Which rows are looked at, where there are more than enough. */
  readonly seed?: number;
  /** Told after each forward pass. */
  readonly onProgress?: (done: number, of: number) => void;
  readonly signal?: AbortSignal;
}

export interface AdapterScore {
  readonly name: string;
  readonly folder: string;
  readonly score: number;
}

export interface AdapterChoice {
  /** Sequences or tokens that were looked at. */
  readonly observations: number;
  /** The score of the encoder without an adapter. */
  readonly bare: number;
  /** Each adapter alone, best first. */
  readonly scores: readonly AdapterScore[];
  /** In the order in which they were chosen, each with its score on what those before it leave unexplained. */
  readonly chosen: readonly AdapterScore[];
}

const ROWS = 1000;
const OBSERVATIONS = 4000;

/**
 * Says which adapters of a shelf are worth fusing for a task, without training: LogME of a linear model of what the encoder says
 * with each of them, which costs one forward pass over at most 1,000 training rows. Then a greedy choice: the best one, and after it
 * whichever explains most of what the ones before leave unexplained, so that two of a kind do not both come first.
 * @throws usage.value, adapter.duplicate, adapter.mismatch; task.empty for rows that all have one answer; train.stopped
 */
export async function chooseAdapters(options: ChooseOptions): Promise<AdapterChoice> {
  const { files, adapters: folders, count, onProgress, signal } = options;
  if (!Number.isInteger(count) || count < 1 || count > folders.length)
    fail({
      code: 'usage.value',
      subject: '--choose',
      found: String(count),
      expected: `a number from 1 to ${folders.length}, the adapters there are`,
    });
  const encoder = await loadEncoder(files, options.model);
  const loaded = await loadAll(files, folders, encoder);
  const { observations, targets } = await askedOf(options, encoder);
  const engine = holding(options.engine);
  const candidates: Candidate[] = [];
  let bare = 0;
  try {
    const look = async (adapter?: LoadedAdapter) => {
      if (signal?.aborted)
        fail({ code: 'train.stopped', subject: 'Stopped while adapters were looked at', next: 'Run the command again.' });
      const model = evidenceModel(centered(await adapterFeatures(engine, encoder, adapter, observations)));
      return { model, score: model.score(targets) };
    };
    bare = (await look()).score;
    onProgress?.(1, loaded.length + 1);
    for (const { folder, adapter } of loaded) {
      candidates.push({ name: adapter.name, folder, ...(await look(adapter)) });
      onProgress?.(candidates.length + 1, loaded.length + 1);
    }
  } finally {
    await engine.release();
  }
  const scores = candidates.map(({ name, folder, score }) => ({ name, folder, score })).sort((a, b) => b.score - a.score);
  return { observations: observations.length, bare, scores, chosen: chooseGreedily(candidates, targets, count) };
}

export interface Candidate extends AdapterScore {
  readonly model: EvidenceModel;
}

/** Matching pursuit by evidence: what one adapter leaves of each target is the target of the next. */
export function chooseGreedily(candidates: readonly Candidate[], targets: readonly Float64Array[], count: number): AdapterScore[] {
  let [left, rest] = [targets, candidates];
  const chosen: AdapterScore[] = [];
  while (chosen.length < count) {
    const scored = rest.map((candidate) => ({ candidate, score: candidate.model.score(left) }));
    const { candidate, score } = scored.reduce((best, next) => (next.score > best.score ? next : best));
    chosen.push({ name: candidate.name, folder: candidate.folder, score });
    left = left.map((target) => candidate.model.residual(target));
    rest = rest.filter((other) => other !== candidate);
  }
  return chosen;
}

async function loadAll(files: Files, folders: readonly string[], encoder: Encoder) {
  const all: { readonly folder: string; readonly adapter: LoadedAdapter }[] = [];
  for (const folder of folders) {
    const adapter = await loadAdapter(files, folder, { encoder, head: false });
    const before = all.find((other) => other.adapter.name === adapter.name);
    if (before)
      fail({
        code: 'adapter.duplicate',
        subject: folder,
        found: `an adapter named '${adapter.name}', as in ${before.folder}`,
        expected: 'adapters of different names',
        next: 'Save one of them under another name, or take it off the shelf.',
      });
    all.push({ folder, adapter });
  }
  return all;
}

/** At most so many rows and tokens, drawn at random where there are more. */
async function askedOf({ files, task, limit, exclude, maxLength, seed = 1 }: ChooseOptions, encoder: Encoder): Promise<Questions> {
  const tokenizer = await loadTokenizer(files, encoder.folder);
  const rows = await loadRows(files, task, 'train', defined({ limit, exclude }));
  const random = createRandom(seed);
  const some = rows.length > ROWS ? random.shuffle([...rows]).slice(0, ROWS) : rows;
  const tokens = sequenceLength(encoder, tokenizer, maxLength, task.kind);
  const questions = questionsOf(prepare(some, { task, tokenizer, maxLength: tokens }).units, task, { most: OBSERVATIONS, random });
  if (questions.targets.length === 0)
    fail({
      code: 'task.empty',
      subject: `the training rows of ${task.name}`,
      found: 'one and the same answer to all of them',
      expected: 'different answers',
      next: 'Choosing adapters needs rows that differ: give more of them.',
    });
  return questions;
}
