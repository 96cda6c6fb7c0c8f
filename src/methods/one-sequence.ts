import type { EmbeddedSite, KeysAndValues, Rows, SiteName, SiteResults, Sites } from '../encoders/index.ts';
import { add, type Dim, divideDim, input, reshape, type Value } from '../graph/index.ts';

/** The batch of an encoder's drawing. */
export const BATCH = 'B';

/** A site as it is for one sequence of the batch, with placeholders for all that differs from sequence to sequence. */
export interface OneSequence<Name extends SiteName> {
  readonly site: Sites[Name];
  /** What placeholders [n, …] stand for in the whole batch: [B, n, …]. */
  readonly placeholders: ReadonlyMap<Value, Value>;
  /** Whether a hook left the site as it is. */
  isStock(result: SiteResults[Name]): boolean;
}

/** Fields of sites that hold a value for each sequence, [batch·…, …]; others of that kind, such as weights, are the same for all. */
const VALUES = ['x', 'y', 'h', 'input', 'key', 'value', 'mask', 'own', 'scores', 'residual'] as const;

export function oneSequence<Name extends SiteName>(name: Name, site: Sites[Name]): OneSequence<Name> {
  const placeholders = new Map<Value, Value>();
  const drawn = new Map<Value, Value>();
  const local = (value: Value): Value => {
    const each = divideDim(value.shape[0] as Dim, BATCH);
    if (each === undefined) return value;
    const placeholder = drawn.get(value) ?? input('of one sequence', value.dtype, [each, ...value.shape.slice(1)]);
    drawn.set(value, placeholder);
    placeholders.set(placeholder, reshape(value, [BATCH, each, ...value.shape.slice(1)]));
    return placeholder;
  };
  const fields = site as Partial<Record<string, unknown>>;
  const values = VALUES.flatMap((field) => (fields[field] === undefined ? [] : [[field, local(fields[field] as Value)] as const]));
  const one = { ...site, batch: 1, ...Object.fromEntries(values) } as Sites[Name] & Rows;
  const all = 'all' in one ? { all: { ...(one.all as Rows), batch: 1 } } : {};
  if (name !== 'residual') {
    const same = { ...one, ...all } as Sites[Name];
    return { site: same, placeholders, isStock: (result) => isSame(name, result, same) };
  }
  const residual = one as unknown as Sites['residual'];
  const joined = new Map<Value, Value>();
  const join = (h: Value): Value => {
    const sum = joined.get(h) ?? residual.norm(add(h, residual.residual));
    joined.set(h, sum);
    return sum;
  };
  const changed = { ...residual, ...all, join } as unknown as Sites[Name];
  return { site: changed, placeholders, isStock: (result) => result === joined.get(residual.h) };
}

function isSame<Name extends SiteName>(name: Name, result: SiteResults[Name], site: Sites[Name]): boolean {
  if (name === 'embedded') return (result as EmbeddedSite).x === (site as EmbeddedSite).x;
  if (name === 'attention') {
    const [given, left] = [site, result] as readonly KeysAndValues[] as [KeysAndValues, KeysAndValues];
    return given.key === left.key && given.value === left.value && given.mask === left.mask;
  }
  return result === stockOf(name, site);
}

/** What stands at a site of one value where nothing acts. */
export function stockOf<Name extends SiteName>(name: Name, site: Sites[Name]): Value {
  const { y, h, scores, x } = site as Partial<Record<string, Value>>;
  if (name === 'residual') return (site as Sites['residual']).join(h as Value);
  if (name === 'linear' || name === 'norm') return y as Value;
  return (name === 'scores' ? scores : name === 'layer' ? h : x) as Value;
}
