import type { Program } from '../program.ts';
import { foldOperandScale, foldScale, foldTranspose, turnProduct } from './products.ts';
import { type Rule, rewrite } from './rewrite.ts';
import { SIMPLIFICATIONS } from './simplify.ts';
import { shareErf, sumOverOutputs } from './training.ts';

export { quantizeProducts } from './int8.ts';
export { type Rule, rewrite } from './rewrite.ts';

/** Every rule; each has a test with its program before and after. */
export const RULES: readonly Rule[] = [...SIMPLIFICATIONS, foldTranspose, foldScale, foldOperandScale, turnProduct, sumOverOutputs];

/** What every program goes through before it is written as ONNX. Twice: later rules open the way for earlier ones. */
export function optimize(program: Program): Program {
  return rewrite(rewrite(shareErf(program), RULES), RULES);
}
