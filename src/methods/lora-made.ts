import { fail, float32, type Tensor } from '../base/index.ts';
import type { LinearName } from '../encoders/index.ts';
import { type Matrix, matrix } from '../nn/index.ts';
import type { MethodContext } from './context.ts';
import { ATTENTION_LETTERS } from './linears.ts';
import { LORA } from './lora.ts';
import { type ConfiguredMethod, loraPath, type Method } from './method.ts';

/** What is added to the matrix of one linear: up·down, with down [r, in] and up [out, r]. */
export interface LowRankUpdate {
  readonly linear: LinearName;
  /** Undefined outside of the layers. */
  readonly module: number | undefined;
  /** Full name of the linear. */
  readonly path: string;
  readonly down: Matrix;
  readonly up: Matrix;
}

/**
 * A LoRA of these updates, with α = r: they are added as they are. Those of lower rank are filled with zeros.
 * @throws method.config without updates
 */
export function loraOf(
  updates: readonly LowRankUpdate[],
  context: MethodContext,
  { dropout = 0 }: { readonly dropout?: number } = {},
): { readonly method: ConfiguredMethod; readonly tensors: ReadonlyMap<string, Tensor> } {
  if (updates.length === 0)
    fail({ code: 'method.config', subject: `adapter '${context.name}'`, found: 'no update of any linear', expected: 'at least one' });
  const r = Math.max(1, ...updates.map(({ down }) => down.rows));
  const config = LORA.schema.parse({ ...placing(updates, context), r, alpha: r, dropout });
  const tensors = new Map<string, Tensor>();
  for (const { linear, module, down, up } of updates) {
    const path = loraPath(context, linear, module);
    const filled = matrix(up.rows, r);
    for (let row = 0; row < up.rows; row++) filled.data.set(up.data.subarray(row * up.columns, (row + 1) * up.columns), row * r);
    const rows = new Float32Array(r * down.columns);
    rows.set(down.data);
    tensors.set(`${path}.lora_A`, float32([r, down.columns], rows));
    tensors.set(`${path}.lora_B`, float32([up.rows, r], filled.data));
  }
  return { method: { method: LORA as unknown as Method, config, text: Object.keys(LORA.presets)[0] as string }, tensors };
}

/** In the keys of `adapters` where each kind of linear is adapted in the same layers, by their names otherwise. */
function placing(updates: readonly LowRankUpdate[], { encoder }: MethodContext): Readonly<Record<string, unknown>> {
  const kinds = [...new Set(updates.map(({ linear }) => linear))];
  const layers = new Set(updates.map(({ module }) => module));
  const letters = Object.entries(ATTENTION_LETTERS).filter(([, linear]) => kinds.includes(linear));
  const known: readonly LinearName[] = [...Object.values(ATTENTION_LETTERS), 'intermediate', 'output'];
  const even = kinds.every((kind) => known.includes(kind)) && updates.length === kinds.length * layers.size;
  if (!even) return { linears: updates.map(({ path }) => path) };
  return {
    selfattn_lora: letters.length > 0,
    attn_matrices: letters.map(([letter]) => letter),
    intermediate_lora: kinds.includes('intermediate'),
    output_lora: kinds.includes('output'),
    leave_out: Array.from({ length: encoder.groups }, (_, module) => module).filter((module) => !layers.has(module)),
  };
}
