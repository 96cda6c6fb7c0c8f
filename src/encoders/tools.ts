import {
  add,
  addDims,
  concat,
  type Dim,
  evaluateDim,
  input,
  layerNorm,
  matmul,
  multiplyDims,
  reshape,
  slice,
  softmax,
  timesOf,
  type Value,
} from '../graph/index.ts';
import {
  applyLinear,
  attentionScores,
  type Dropout,
  linearParameters,
  mergeHeads,
  normParameters,
  type Parameters,
  splitHeads,
} from '../nn/index.ts';
import { type EncoderConfig, type LinearName, layerModule, type Place } from './config.ts';
import type { EncoderTools, Layer } from './drawing.ts';
import { type EncoderFamily, linearPath, linearPlace, outerLinears } from './family.ts';
import { paddingMask, windowMask } from './masks.ts';
import { rotaryPositions, type Turn } from './rotary.ts';
import type { EmbeddedSite, Hooks, LayerRows, Rows } from './sites.ts';

export interface DrawingOptions {
  readonly config: EncoderConfig;
  readonly family: EncoderFamily;
  /** Encoder parameters by full checkpoint name. */
  readonly parameters: Parameters;
  readonly dropout: Dropout;
  readonly hooks: Hooks;
  /** 'first' computes the last layer for the first token only: exact for heads that read nothing else. */
  readonly read: 'all' | 'first';
}

export function encoderTools({ config, family, parameters, dropout, hooks, read }: DrawingOptions): EncoderTools & {
  readonly embeddedSite: () => EmbeddedSite;
} {
  const { prefix } = family;
  const tokens: Rows = { batch: 'B', length: 'S', first: 0 };
  const mask = input('attentionMask', 'float32', [tokens.batch, tokens.length]);
  const of = (part: string | number): Parameters => {
    return (name, shape, facts) => parameters(name, shape, facts && { ...facts, part });
  };
  const embeddings = of('embeddings');
  let sequence: EmbeddedSite = { ...tokens, x: mask, mask, added: 0, at: 0 };

  const normAt = (
    source: Parameters,
    path: string,
    x: Value,
    site: Rows & { readonly layer: number | undefined; readonly place: Place | undefined },
    options?: { readonly bias?: boolean },
  ): Value => {
    const full = prefix + path;
    const { gain, bias } = normParameters(source, full, x.shape.at(-1) as number, options);
    const { epsilon } = config;
    const y = layerNorm(x, gain, bias, epsilon);
    return hooks.norm ? hooks.norm({ ...site, path: full, x, gain, bias, epsilon, y }) : y;
  };

  return {
    tokens,
    mask,
    embeddedSite: () => sequence,
    table: (path, size, width) => embeddings(`${prefix}${path}.weight`, [size, width], { role: 'table' }),
    linear: (path, x, out) => outerLinear({ family, parameters: embeddings, hooks }, path, x, out, sequence),
    parameter: (path, shape, role) => embeddings(prefix + path, shape, { role }),
    norm: (path, x, { rows = sequence, ...options } = {}) =>
      normAt(embeddings, path, x, { ...rows, layer: undefined, place: undefined }, options),
    dropout,
    embedded(x) {
      const site = { ...tokens, x, mask, added: 0, at: 0 };
      sequence = hooks.embedded ? hooks.embedded(site) : site;
      return sequence.x;
    },
    layers(x, draw) {
      const { batch, length, first } = sequence;
      const all: Rows = { batch, length, first };
      const shared = sharedByLayers(sequence, family.mostTokens(config), config.hidden / config.heads);
      const hiddenStates = [hooks.input ? hooks.input({ ...all, x }) : x];
      let rows = all;
      for (let index = 0; index < config.layers; index++) {
        if (read === 'first' && index === config.layers - 1) rows = { batch, length: 1, first: 0 };
        const before = hiddenStates[index] as Value;
        const layer = drawnLayer(index, before, shared, rows, all);
        const h = draw(layer.tools, before);
        hiddenStates.push(hooks.layer ? hooks.layer({ ...layer.as(h), h }) : h);
      }
      return { hiddenStates, rows: wide(rows, hiddenStates.at(-1) as Value) };
    },
  };

  function drawnLayer(index: number, x: Value, shared: Shared, rows: Rows, all: Rows) {
    const module = layerModule(config, index);
    const source = of(module);
    const site: LayerRows = { ...rows, layer: index, module, input: x, all, mask: shared.padding, own: sequence.mask };

    /** The site with its batch as often as in a value of its rows. */
    const as = (value: Value): LayerRows => {
      const own = wide(rows, value);
      const times = own.times ?? 1;
      if (times === 1) return site;
      const input = repeated(x, times / (wide(all, x).times ?? 1));
      return { ...site, ...own, input, all: wide(all, input), mask: widened(site.mask, times, all.batch), own: repeated(site.own, times) };
    };

    const linearSite = (at: Rows, from: Value) => {
      const rows = wide(at, from);
      // What is no token of any sequence (a table of distances) has none.
      return { ...site, ...rows, own: at.batch === all.batch ? repeated(site.own, rows.times ?? 1) : undefined };
    };

    const linearAt = (name: LinearName, from: Value, at: Rows) => {
      const place = linearPlace(family, name);
      const path = linearPath(family, name, module);
      const width = from.shape.at(-1) as number;
      const own = linearParameters(source, path, width, place.out(config), { bias: place.bias?.(config) ?? true });
      const stock = applyLinear(own, from);
      const y = hooks.linear ? hooks.linear({ ...linearSite(at, from), name, x: from, y: stock, ...own }) : stock;
      return { ...own, place, y };
    };

    const tools: Layer = {
      ...site,
      pick: (value) => (rows.length === 1 ? firstTokens(value, wide(all, value)) : value),
      linear: (name, from, at = rows) => linearAt(name, from, at).y,
      parts(name, from) {
        const { place, weight, bias: shift, y } = linearAt(name, from, all);
        const names = place.parts ?? [];
        const width = place.out(config) / names.length;
        return names.map((part, i) => {
          const [start, end] = [i * width, (i + 1) * width];
          const own = slice(y, 1, start, end);
          if (!hooks.linear) return own;
          const parameters = { weight: slice(weight, 0, start, end), bias: shift && slice(shift, 0, start, end) };
          return hooks.linear({ ...linearSite(all, from), name: part, x: from, y: own, ...parameters });
        });
      },
      norm: (path, value, { rows: at = rows, ...options } = {}) =>
        normAt(source, path, value, { ...wide(at, value), layer: index, place: undefined }, options),
      attention({ query, key, value, theta, scale, window, bias }) {
        const { heads, attentionDropout } = config;
        const [from, to] = rows.length === 1 ? [all.first, all.first + 1] : [0, all.length];
        const turn: Turn = theta === undefined ? (turned) => turned : shared.turn(theta);
        // Methods may have repeated the batch in some of the three.
        const given = [wide(rows, query), wide(all, key), wide(all, value)].map(({ times = 1 }) => times);
        const most = Math.max(...given);
        const alike = (one: Value, of: number, { length }: Rows) =>
          splitHeads(repeated(one, most / (given[of] as number)), multiplyDims(most, all.batch), length, heads);
        const queries = turn(alike(query, 0, rows), from, to);
        const keys = turn(alike(key, 1, all), 0, all.length);
        const mask = widened(window === undefined ? shared.padding : shared.window(window, from, to), most, all.batch);
        const stock = {
          key: keys,
          value: alike(value, 2, all),
          mask: bias ? add(mask, bias(queries, keys, from, to)) : mask,
        };
        const at = (times: number) => as(repeated(query, times / (given[0] as number)));
        const read = hooks.attention ? hooks.attention({ ...at(most), ...stock }) : stock;
        const times = timesOf(read.key.shape[0] as Dim, all.batch) ?? most;
        const masked = add(attentionScores(repeated(queries, times / most), read.key, scale), read.mask);
        const scores = hooks.scores ? hooks.scores({ ...at(times), scores: masked }) : masked;
        const probabilities = dropout(softmax(scores), attentionDropout, `layer.${index}.attention`);
        const batch = probabilities.shape[0] as Dim;
        const values = repeated(read.value, (timesOf(batch, all.batch) ?? times) / times);
        return mergeHeads(matmul(probabilities, values), multiplyDims(batch, rows.length));
      },
      residual(place, h, stream, { norm: path, read = stream } = {}) {
        const [own, other] = [wide(rows, h).times ?? 1, wide(rows, stream).times ?? 1];
        const most = Math.max(own, other);
        const [output, residual] = [repeated(h, most / own), repeated(stream, most / other)];
        const x = repeated(read, most / (wide(rows, read).times ?? 1));
        const norm = (sum: Value) => (path === undefined ? sum : normAt(source, path, sum, { ...wide(rows, sum), layer: index, place }));
        const join = (value: Value) => norm(add(value, residual));
        return hooks.residual ? hooks.residual({ ...as(output), place, h: output, x, residual, norm, join }) : join(output);
      },
    };
    return { tools, as };
  }
}

/** Rows whose batch stands in a value [rows, d] as often as it does. */
export function wide<R extends Rows>(rows: R, { shape: [count] }: Value): R {
  const times = timesOf(count as Dim, multiplyDims(rows.batch, rows.length)) ?? 1;
  return times === 1 ? rows : { ...rows, batch: multiplyDims(times, rows.batch), times };
}

function repeated(x: Value, times: number): Value {
  return times === 1
    ? x
    : concat(
        Array.from({ length: times }, () => x),
        0,
      );
}

/** A mask [1 or batch, …] for a batch that stands there several times. */
function widened(mask: Value, times: number, batch: Dim): Value {
  return mask.shape[0] === batch ? repeated(mask, times) : mask;
}

/** x [rows, in] → [rows, out] by a linear outside of the layers, by its path without prefix; with hooks where methods may act. */
export function outerLinear(
  { family, parameters, hooks }: Pick<DrawingOptions, 'family' | 'parameters' | 'hooks'>,
  path: string,
  x: Value,
  out: number,
  { batch, length, first, mask }: Rows & { readonly mask?: Value },
): Value {
  const own = linearParameters(parameters, family.prefix + path, x.shape.at(-1) as number, out);
  const y = applyLinear(own, x);
  const name = outerLinears(family).find((place) => place.path(0) === path)?.name;
  if (!hooks.linear || name === undefined) return y;
  return hooks.linear({ batch, length, first, name, layer: undefined, module: undefined, own: mask, x, y, ...own });
}

/** What several layers read and is drawn once: masks and the tables of positions. */
interface Shared {
  /** [batch, 1, 1, length] */
  readonly padding: Value;
  readonly window: (reach: number, from: Dim, to: Dim) => Value;
  readonly turn: (theta: number) => Turn;
}

/** `text` is the greatest length of a sequence to which methods have added nothing, `width` that of a head. */
function sharedByLayers({ mask, length }: EmbeddedSite, text: number, width: number): Shared {
  const padding = paddingMask(mask);
  const most = evaluateDim(length, new Map([['S', text]]));
  const windows = new Map<string, Value>();
  const turns = new Map<number, Turn>();
  return {
    padding,
    window: (reach, from, to) => once(windows, `${reach} ${from} ${to}`, () => windowMask(mask, reach, most, from, to)),
    turn: (theta) => once(turns, theta, () => rotaryPositions(theta, width, most)),
  };
}

function once<Key, Drawn>(drawn: Map<Key, Drawn>, key: Key, draw: () => Drawn): Drawn {
  const value = drawn.get(key) ?? draw();
  drawn.set(key, value);
  return value;
}

/** The token that stands for each sequence, the first unless tokens were put before it: [batch·length, d] → [batch, d]. */
export function firstTokens(x: Value, { batch, length, first }: Rows): Value {
  const d = x.shape.at(-1) as number;
  return length === 1 ? x : reshape(slice(reshape(x, [batch, length, d]), 1, first, first + 1), [batch, d]);
}

/** Without the tokens that methods put in: [batch·(S + added), d] → [batch·S, d]. */
export function withoutAdded(x: Value, { batch, length, added, at, text }: EmbeddedSite): Value {
  if (added === 0) return x;
  if (text) return text(x);
  const d = x.shape.at(-1) as number;
  const apart = reshape(x, [batch, length, d]);
  const kept = [...(at > 0 ? [slice(apart, 1, 0, at)] : []), slice(apart, 1, at + added, length)];
  return reshape(concat(kept, 1), [multiplyDims(batch, addDims(length, -added)), d]);
}

/** The sequence with its text changed, [batch·S, d] → [batch·S, d], and the tokens that methods put in as they are. */
export function withText(site: EmbeddedSite, change: (x: Value) => Value): EmbeddedSite {
  const { x, batch, length, added, at } = site;
  if (added === 0) return { ...site, x: change(x) };
  const d = x.shape.at(-1) as number;
  const own = addDims(length, -added);
  const text = reshape(change(withoutAdded(x, site)), [batch, own, d]);
  const put = slice(reshape(x, [batch, length, d]), 1, at, at + added);
  const parts = [...(at > 0 ? [slice(text, 1, 0, at)] : []), put, slice(text, 1, at, own)];
  return { ...site, x: reshape(concat(parts, 1), [multiplyDims(batch, length), d]) };
}
