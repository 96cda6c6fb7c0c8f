import { z } from 'zod';
import type { ErrorCode } from '../base/index.ts';
import { fail } from '../base/index.ts';
import type { MethodContext } from './context.ts';
import { type Placing, placedLinears } from './linears.ts';
import { pythonPattern } from './python-pattern.ts';

/**
 * Ranks and α of single linears, as PEFT has them: by path, or by a regular expression of Python's that the path ends with; of several the
 * first counts. With `use_rslora` (Kalajdzievski 2023) the scale is α/√r in place of α/r.
 */
export const rankFields = {
  rank_pattern: z.record(z.string(), z.number().int().positive()).default({}),
  alpha_pattern: z.record(z.string(), z.number().positive()).default({}),
  use_rslora: z.boolean().default(false),
};

/** {@link rankFields} of methods without them, since the keys are those of one architecture. */
export const noRankFields = {
  rank_pattern: z.strictObject({}).default({}),
  alpha_pattern: z.strictObject({}).default({}),
  use_rslora: z.literal(false).default(false),
};

/** Keys of {@link rankFields}: the layout of `adapters` has no place for them. */
export const RANK_KEYS = Object.keys(rankFields);

export interface Ranked {
  readonly r: number;
  readonly alpha: number;
  readonly rank_pattern?: Readonly<Record<string, number>>;
  readonly alpha_pattern?: Readonly<Record<string, number>>;
  readonly use_rslora?: boolean;
}

/** Whether one rank and the scale α/r hold everywhere. */
export function ranksAlike({ rank_pattern = {}, alpha_pattern = {}, use_rslora }: Ranked): boolean {
  return !use_rslora && Object.keys(rank_pattern).length === 0 && Object.keys(alpha_pattern).length === 0;
}

/** The rank at a linear, by its path without the encoder's prefix. */
export function rankAt({ r, rank_pattern = {} }: Ranked, path: string): number {
  return valueAt(rank_pattern, path) ?? r;
}

/** What the product of low rank is multiplied by there. */
export function scaleAt(config: Ranked, path: string): number {
  const rank = rankAt(config, path);
  const alpha = valueAt(config.alpha_pattern ?? {}, path) ?? config.alpha;
  return alpha / (config.use_rslora ? Math.sqrt(rank) : rank);
}

/** The value of the first pattern that a path ends with. @throws `code` for a regular expression that is not read */
export function valueAt(
  patterns: Readonly<Record<string, number>>,
  path: string,
  code: ErrorCode = 'method.config',
  subject = 'rank_pattern and alpha_pattern',
): number | undefined {
  return Object.entries(patterns).find(([pattern]) => endsWith(path, pattern, code, subject))?.[1];
}

function endsWith(path: string, pattern: string, code: ErrorCode, subject: string): boolean {
  const name = pattern.replaceAll('\\.', '.');
  if (/^[\w.]+$/.test(name)) return `.${path}`.endsWith(`.${name}`);
  return pythonPattern(`(?:.*\\.)?(?:${pattern})`, code, subject)(path);
}

/** @throws method.site for a pattern that no adapted linear has: it would change nothing */
export function checkPatterns(config: Ranked & Placing, context: MethodContext): void {
  const placed = placedLinears(config, context);
  const { prefix } = context.family;
  for (const key of ['rank_pattern', 'alpha_pattern'] as const)
    for (const pattern of Object.keys(config[key] ?? {}))
      if (!placed.some(({ path }) => valueAt({ [pattern]: 1 }, path.slice(prefix.length)) !== undefined))
        fail({
          code: 'method.site',
          subject: key,
          found: `'${pattern}', which no adapted linear has`,
          expected: `paths such as '${placed[0]?.path.slice(prefix.length)}'`,
        });
}
