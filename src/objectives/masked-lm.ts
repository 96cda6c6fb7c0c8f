import { z } from 'zod';
import { fail, float32, int32 } from '../base/index.ts';
import { normalisedEntropy } from '../batch/index.ts';
import type { EncoderConfig } from '../encoders/index.ts';
import { gather, scalar, type Value } from '../graph/index.ts';
import { activation, isActivation, linear, norm, ONE, type ParameterSpec, type Parameters, ZERO } from '../nn/index.ts';
import { argmax, mean } from './answers.ts';
import type { Head, HeadConfig, HeadKind } from './kind.ts';
import { crossEntropy } from './loss.ts';
import { textColumns, textUnit } from './text-rows.ts';
import type { HeadBatch, Target } from './unit.ts';

/** The ids that stood in the places of a unit, −1 where none is asked. */
export interface MaskedTarget extends Target {
  readonly kind: 'masked';
  readonly labels: Int32Array;
}

interface MaskedLmConfig extends HeadConfig {
  readonly vocab_size: number;
  readonly embedding_size: number;
  readonly layers: number;
  readonly activation_function: string | null;
  readonly layer_norm: boolean;
  readonly bias: boolean;
  readonly shift_labels: false;
}

const TYPE = 'masked_lm';
const KEYS = [
  ...['head_type', 'vocab_size', 'embedding_size', 'layers', 'activation_function'],
  ...['layer_norm', 'bias', 'shift_labels', 'label2id'],
];

const schema: z.ZodType<MaskedLmConfig> = z.object({
  head_type: z.literal(TYPE),
  vocab_size: z.number().int().positive(),
  embedding_size: z.number().int().positive(),
  layers: z.number().int().min(1).max(8).default(2),
  activation_function: z.string().refine(isActivation, 'the name of an activation function').nullable().default('gelu'),
  layer_norm: z.boolean().default(true),
  bias: z.boolean().default(true),
  shift_labels: z.literal(false).default(false),
  label2id: z.null().default(null),
});

/**
 * Guesses hidden words, as BERT does (Devlin et al. 2019): Python's BertStyleMaskedLMHead. Linears, each with an activation and a norm,
 * then the word embeddings of the encoder as output layer, with a bias of its own.
 */
export const MASKED_LM: HeadKind<MaskedLmConfig> = {
  type: TYPE,
  schema,
  keys: KEYS,

  task: 'classification',
  unjudged: true,
  labelled: false,
  defaults: () => ({}),
  columns: textColumns,
  usualLength: 128,
  units(row, tools) {
    const [{ encodings }] = textUnit(row, tools, undefined);
    const { maskId } = tools.tokenizer;
    const places = Int32Array.from(encodings[0]?.inputIds.keys() ?? []).filter((i) => encodings[0]?.inputIds[i] === maskId);
    if (places.length === 0)
      fail({
        code: 'task.row',
        subject: 'text',
        found: 'no word to guess',
        expected: `${tools.tokenizer.tokenOf(maskId) ?? 'a mask'} in its place, within the ${tools.maxLength} tokens that are read`,
      });
    return [{ encodings, target: undefined, places }];
  },

  reads: 'all',
  outputs: ({ vocab_size }) => vocab_size,
  parameters(head, encoder) {
    checkSizes(head, encoder);
    const { name, config } = head;
    const ofLayers = modulesOf(config).flatMap(({ linear: linearAt, norm: normAt }, i): ParameterSpec[] => {
      const [width, fanIn] = [config.embedding_size, i === 0 ? encoder.hidden : config.embedding_size];
      return [
        { name: `heads.${name}.${linearAt}.weight`, shape: [width, fanIn], init: { kind: 'normal', deviation: 0.02 }, decay: true },
        { name: `heads.${name}.${linearAt}.bias`, shape: [width], init: ZERO, decay: false },
        ...(normAt === undefined
          ? []
          : [
              { name: `heads.${name}.${normAt}.weight`, shape: [width], init: ONE, decay: false },
              { name: `heads.${name}.${normAt}.bias`, shape: [width], init: ZERO, decay: false },
            ]),
      ];
    });
    const bias = { name: `heads.${name}.${decoderOf(config)}.bias`, shape: [config.vocab_size], init: ZERO, decay: false };
    return [...ofLayers, ...(config.bias ? [bias] : [])];
  },
  wordTable: ({ name, config }) => `heads.${name}.${decoderOf(config)}.weight`,
  draw(head, { encoder, tokens, wordScores, parameters }, { input, rows }) {
    checkSizes(head, encoder);
    const { name, config } = head;
    const at = (module: number) => `heads.${name}.${module}`;
    const layers = modulesOf(config).map((module) => ({
      linear: at(module.linear),
      ...(module.norm !== undefined && { norm: at(module.norm) }),
    }));
    const hidden = drawTransform(gather(tokens, input('maskedPlaces', 'int32', [rows])), layers, {
      parameters,
      width: config.embedding_size,
      activation: config.activation_function,
      epsilon: encoder.epsilon,
    });
    return wordScores(hidden, config.bias ? parameters(`${at(decoderOf(config))}.bias`, [config.vocab_size]) : scalar(0));
  },
  gathers: {
    feeds(_, batch) {
      const places = placesIn(batch);
      return { maskedPlaces: int32([places.length], places) };
    },
    rows: (_, { places }) => places?.length ?? 0,
  },

  loss(_, logits, { input, rows }) {
    return crossEntropy(logits, input('labels', 'int32', [rows]), input('lossWeights', 'float32', [rows]));
  },
  targets(_, { units }, weight) {
    const labels = units.flatMap(({ unit }) => [...(unit.target as MaskedTarget).labels]);
    const all = labels.length > 0 ? labels : [-1];
    return {
      labels: int32(
        [all.length],
        all.map((label) => Math.max(0, label)),
      ),
      lossWeights: float32(
        [all.length],
        all.map((label) => (label >= 0 ? weight : 0)),
      ),
    };
  },
  terms: ({ target }) => (target as MaskedTarget).labels.filter((label) => label >= 0).length,

  answer({ config: { vocab_size } }, _, [unit], tokenizer) {
    const best = Array.from(unit?.unit.places ?? [], (__, i) => argmax(unit?.logits.subarray(i * vocab_size, (i + 1) * vocab_size) ?? []));
    return { prediction: best.map((id) => tokenizer?.tokenOf(id) ?? String(id)) };
  },
  entropy: {
    single: false,
    of: ({ config: { vocab_size } }, _, logits) =>
      mean(Array.from({ length: logits.length / vocab_size }, (__, i) => normalisedEntropy(logits, i * vocab_size, vocab_size))),
  },
  questions: () => [],
  fixed({ words }, { vocabulary, embedding }) {
    if (!words) return undefined;
    const { dense, norm, decoder, bias } = words;
    const settings = { vocab_size: vocabulary, embedding_size: embedding, activation_function: words.activation };
    return { className: 'MaskedLM', modules: [dense, norm, decoder], settings, ...(bias !== undefined && { bias }) };
  },
};

/** Names of the parameters of a layer, without `.weight` and `.bias`. */
interface TransformLayer {
  readonly linear: string;
  readonly norm?: string;
}

/** x [n, hidden] → [n, width] by linears, each with an activation and a norm. */
export function drawTransform(
  x: Value,
  layers: readonly TransformLayer[],
  options: { readonly parameters: Parameters; readonly width: number; readonly activation: string | null; readonly epsilon: number },
): Value {
  const { parameters, width, activation: f, epsilon } = options;
  return layers.reduce((value, layer) => {
    const sum = linear(parameters, layer.linear, value, width);
    const active = f === null ? sum : activation(f, 'head.config')(sum);
    return layer.norm === undefined ? active : norm(parameters, layer.norm, active, epsilon);
  }, x);
}

/** The numbers of modules in torch's Sequential: what is absent takes none. */
function modulesOf({ layers, activation_function, layer_norm }: MaskedLmConfig): { readonly linear: number; readonly norm?: number }[] {
  const step = stepOf(activation_function, layer_norm);
  return Array.from({ length: layers - 1 }, (_, i) => ({ linear: i * step, ...(layer_norm && { norm: (i + 1) * step - 1 }) }));
}

function decoderOf({ layers, activation_function, layer_norm }: MaskedLmConfig): number {
  return (layers - 1) * stepOf(activation_function, layer_norm);
}

function stepOf(activationFunction: string | null, layerNorm: boolean): number {
  return 1 + Number(activationFunction !== null) + Number(layerNorm);
}

/** Places among all tokens of a run; a run without any still asks for one, of weight 0: its program has no empty tensors. */
function placesIn({ width, units }: HeadBatch): number[] {
  const places = units.flatMap(({ unit, place }) => Array.from(unit.places ?? [], (i) => place * width + i));
  return places.length > 0 ? places : [0];
}

/** @throws head.config */
function checkSizes({ name, config }: Head<MaskedLmConfig>, { vocabulary, embedding }: EncoderConfig): void {
  const wanted = { vocab_size: vocabulary, embedding_size: embedding };
  for (const key of ['vocab_size', 'embedding_size'] as const)
    if (config[key] !== wanted[key])
      fail({
        code: 'head.config',
        subject: `head '${name}': key '${key}'`,
        found: `${config[key]}`,
        expected: `${wanted[key]}, that of the encoder's word embeddings`,
      });
}
