import { isJsonObject, pythonJson } from '../formats/json.ts';
import type { MethodConfig } from '../methods/index.ts';

/** Keys that are left out of the hash at these values: Python added them after hashes were in use. */
const SILENT: Readonly<Record<string, unknown>> = {
  phm_layer: true,
  phm_dim: 4,
  factorized_phm_W: true,
  shared_W_phm: false,
  shared_phm_rule: true,
  factorized_phm_rule: false,
  phm_c_init: 'normal',
  phm_init_range: 0.0001,
  learn_phm: true,
  hypercomplex_nonlinearity: 'glorot-uniform',
  phm_rank: 1,
  phm_bias: true,
  init_weights: 'bert',
  scaling: 1,
  // Python has it and never writes it.
  subtract_projection: true,
};

/**
 * The 16 hexadecimal digits by which `adapters` and its hub know a configuration. `floatKeys` as in `Method`: 1 and 1.0
 * have different hashes.
 */
export function configHash(config: MethodConfig, floatKeys: readonly string[]): Promise<string> {
  const { configs, ...own } = config;
  if (Array.isArray(configs)) return unionHash(configs, floatKeys);
  return digest(own, floatKeys);
}

/** Of a union, the keys of all members count, each with its member's number before it. */
function unionHash(configs: readonly MethodConfig[], floatKeys: readonly string[]): Promise<string> {
  const numbered = configs.flatMap((config, i) => Object.entries(config).map(([key, value]) => [`${i}.${key}`, value]));
  return digest(
    Object.fromEntries(numbered),
    floatKeys.flatMap((key) => configs.map((_, i) => `${i}.${key}`)),
  );
}

async function digest(config: MethodConfig, floatKeys: readonly string[]): Promise<string> {
  const kept = Object.entries(withoutFalsy(config)).filter(([key, value]) => !Object.hasOwn(SILENT, key) || SILENT[key] !== value);
  const text = pythonJson(Object.fromEntries(kept), { floatKeys, indent: null });
  const sha1 = await crypto.subtle.digest('SHA-1', new TextEncoder().encode(text));
  return Array.from(new Uint8Array(sha1, 0, 8), (byte) => byte.toString(16).padStart(2, '0')).join('');
}

function withoutFalsy(config: MethodConfig): MethodConfig {
  const entries = Object.entries(config).filter(([, value]) => !isFalsy(value));
  return Object.fromEntries(entries.map(([key, value]) => [key, isJsonObject(value) ? withoutFalsy(value) : value]));
}

/** What Python counts as false. */
function isFalsy(value: unknown): boolean {
  return !value || (Array.isArray(value) && value.length === 0) || (isJsonObject(value) && Object.keys(value).length === 0);
}
