import { readdirSync } from 'node:fs';
import { type Batch, readCases } from './forward.ts';

/** What a generator of tools/golden that calls peft_linears.py wrote of a method. */
export interface PeftLinears {
  readonly batches: Readonly<Record<string, Batch>>;
  readonly variants: Readonly<Record<string, PeftVariant>>;
  readonly trajectories: Readonly<Record<string, PeftTrajectory>>;
  /** Numbers that train on BERT-base, by the text of a method. */
  readonly bertBaseTrainable: Readonly<Record<string, number>>;
}

export interface PeftVariant {
  readonly encoder: string;
  readonly folder: string;
  readonly keys: Record<string, number[]>;
  readonly logits64?: number[][];
  readonly pooled64?: number[][];
}

export interface PeftTrajectory extends Batch {
  readonly encoder: string;
  readonly folder: string;
  readonly labels: number[];
  readonly optimiser: { readonly learningRate: number; readonly weightDecay: number; readonly clip: number; readonly steps: number };
  readonly losses64: number[];
  readonly gradientNorms64: number[];
  readonly finalAbsSums64: Readonly<Record<string, number>>;
}

/** All that lie in the folder, by the method. */
export const PEFT_LINEARS = readdirSync('test/golden/peft-linears')
  .filter((file) => file.endsWith('.json'))
  .map((file) => [file.slice(0, -'.json'.length), readCases<PeftLinears>(`peft-linears/${file}`)] as const);
