import { z } from 'zod';
import { defined, type Files } from '../base/index.ts';
import { POOLINGS } from '../nn/index.ts';
import { nodeEngine } from '../session/node.ts';
import type { Engine } from '../session/session.ts';
import { type Exclusions, readExclusions } from '../tasks/index.ts';

/** The flags of commands that train, as far as they have them; spread them into a command's schema. */
export const trainingShape = {
  resume: z.boolean().default(false).meta({ description: 'go on with the unfinished run in --output' }),
  overwrite: z.boolean().default(false).meta({ description: 'replace an earlier result, or an unfinished run, in --output' }),
  headLayers: z.number().int().min(1).max(8).optional().meta({ description: 'linears in the head (default: 2; 1 for tagging and spans)' }),
  pooling: z.enum(POOLINGS).optional().meta({
    description:
      "what the head reads of each row: its first token, the encoder's pooler, or of all its tokens the mean, the largest numbers, the sum by the root of their number (default: what a sentence encoder's modules.json says, else first)",
  }),
  exclude: z.string().optional().meta({
    value: 'file',
    description: 'rows of train files to leave out, by task: {"tasks": {"NAME": {"trainLines": [3, 17]}}}, counted from 0',
  }),
  limit: z.number().int().positive().optional().meta({ description: 'read at most this many rows of each split' }),
  format: z.enum(['bin', 'safetensors']).optional().meta({ description: 'weight files; Python reads bin by default' }),
  threads: z
    .number()
    .int()
    .positive()
    .optional()
    .meta({ description: 'threads of the engine (default: all cores); another number may round differently' }),
  log: z
    .string()
    .optional()
    .meta({ value: 'file', description: 'log of steps and evaluations, a JSON object a line (default: log.jsonl in --output)' }),
};

/** The engine that --threads asks for. */
export function engineOf({ threads }: { threads?: number | undefined }): Promise<Engine> {
  return nodeEngine(defined({ threads }));
}

/** What --exclude says, where it is given. */
export async function exclusionsOf(files: Files, { exclude }: { exclude?: string | undefined }): Promise<Exclusions | undefined> {
  return exclude === undefined ? undefined : readExclusions(files, exclude);
}
