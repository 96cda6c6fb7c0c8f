import type { CaMtlReport } from '../methods/index.ts';
import { alignColumns, grouped } from './table.ts';

/** Numbers of each part of a CA-MTL model, and what they are against an encoder fine-tuned for each task. */
export function caMtlLines({ parts, total, againstOneEncoder, againstSingleTask, frozenShare }: CaMtlReport, tasks: number): string[] {
  const rows = Object.entries(parts).flatMap(([part, { all, trained }]) =>
    all > 0 ? [[wordsOf(part), grouped(all), grouped(trained)]] : [],
  );
  return [
    ...alignColumns([['part', 'numbers', 'trained'], ...rows, ['all', grouped(total.all), grouped(total.trained)]], [1, 2]),
    `${againstOneEncoder.toFixed(3)} × one encoder; ${tasks} fine-tuned ones have ${tasks} ×, so this is ${(100 * againstSingleTask).toFixed(1)} % of them. ${(100 * frozenShare).toFixed(1)} % of the encoder stays as it was.`,
  ];
}

/** `conditionalLayerNorm` → `conditional layer norm`. */
function wordsOf(part: string): string {
  return part.replaceAll(/[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`);
}
