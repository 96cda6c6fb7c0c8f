import { fail, list } from '../base/index.ts';
import { usualPooling } from '../encoders/index.ts';
import type { Composition } from '../methods/index.ts';
import { valuesOf } from '../model/start-values.ts';
import { sequenceLength } from '../model/task-setup.ts';
import type { Pooling } from '../nn/index.ts';
import { type Unit, vectorHead } from '../objectives/index.ts';
import { createPredictor } from '../predict/predictor.ts';
import type { Engine } from '../session/session.ts';
import { type ModelState, modelOf, trainedSteps, trainedValues } from './model-state.ts';

export interface EmbedderOptions {
  /** Which vector stands for a text; what the encoder's folder says when left out, or the mean where it says nothing. */
  readonly pooling?: Pooling;
  /** Divides vectors by their length; where the folder says so, that is done in any case. */
  readonly normalize?: boolean;
  /** The name of what goes before each text, one of the folder's prompts; the folder's usual one when left out, if it has one. */
  readonly prompt?: string;
  /** Tokens per text, special tokens included; what the folder says when left out, or as many as the encoder takes. */
  readonly maxLength?: number;
  /** Told of what a user should know: what was assumed, and by `embed` how many texts were cut. */
  readonly onNote?: (text: string) => void;
}

export interface EmbedOptions extends EmbedderOptions {
  readonly onProgress?: (done: number, of: number) => void;
}

/** Vectors of texts, with what was active when it was made; compiled once. */
export interface Embedder {
  /** Numbers in a vector. */
  readonly width: number;
  /** Which vector stands for a text, and whether it is divided by its length. */
  readonly pooling: Pooling;
  readonly normalizes: boolean;
  /** Tokens per text that are read, special tokens included. */
  readonly maxLength: number;
  /** How many of the texts so far were longer. */
  readonly cut: number;
  /** One vector [width] for each text, in order. */
  embed(texts: readonly string[], onProgress?: (done: number, of: number) => void): Promise<Float32Array[]>;
  release(): Promise<void>;
}

/**
 * What makes vectors of texts as sentence-transformers does by the encoder's folder: prompt, lower case, tokens, pooling, length.
 * @throws usage.value for what the folder has not, encoder.config for what is not available here
 */
export async function createEmbedder(
  engine: Engine,
  state: ModelState,
  { setup, skipLayers }: { readonly setup: Composition | undefined; readonly skipLayers: readonly number[] },
  { pooling: asked, normalize = false, prompt, maxLength, onNote }: EmbedderOptions,
): Promise<Embedder> {
  const { encoder, tokenizer } = state;
  const { sentence } = encoder;
  if (sentence && sentence.others.length > 0 && asked === undefined)
    fail({
      code: 'encoder.config',
      subject: `${sentence.folder}/modules.json`,
      found: `${list(sentence.others)} after the pooling`,
      expected: 'nothing but Normalize',
      next: 'Only the vector before them is available: --pooling mean.',
    });
  if (!sentence && asked === undefined) onNote?.('The folder of the encoder says nothing of sentences: the mean of all tokens is taken.');
  const pooling = asked ?? usualPooling(sentence) ?? 'mean';
  const normalizes = normalize || sentence?.normalizes === true;
  const before = promptOf(state, prompt);
  const head = vectorHead(pooling, normalizes, encoder.config);
  const model = await modelOf(state, setup, [head], { skipLayers });
  const { shares, channels = [], text } = model.attachment;
  if (shares !== undefined || channels.length > 1)
    fail({
      code: 'usage.value',
      subject: text,
      found: 'adapters that each have rows or answers of their own',
      expected: 'what acts on all texts alike',
    });
  const usual = sentence?.maxLength ?? Number.POSITIVE_INFINITY;
  const tokens = sequenceLength(encoder, tokenizer, maxLength, head.kind.task, usual, model.attachment.mostTokens);
  const fixed = await valuesOf(model, trainedValues(state, setup, []));
  const steps = trainedSteps(state, setup);
  const predictor = await createPredictor(engine, model, { fixed, steps: () => steps });

  let cut = 0;
  return {
    width: encoder.config.hidden,
    pooling,
    normalizes,
    maxLength: tokens,
    get cut() {
      return cut;
    },
    async embed(texts, onProgress) {
      const units = texts.map((text, row): Unit => {
        const encoding = tokenizer.encode(prepared(before + text), undefined, { maxLength: tokens });
        return { row, encodings: [encoding], length: encoding.inputIds.length, target: undefined };
      });
      cut += units.filter(({ encodings }) => encodings.some(({ truncated }) => truncated > 0)).length;
      return predictor.logits(units, onProgress);
    },
    release: () => predictor.release(),
  };

  function prepared(text: string): string {
    const kept = stripped(text);
    return sentence?.lowercases ? kept.toLowerCase() : kept;
  }
}

/** @throws usage.value for a prompt that is not there, encoder.config where its tokens would be left out of the pooling */
function promptOf({ encoder: { sentence, name } }: ModelState, asked: string | undefined): string {
  const wanted = asked ?? sentence?.defaultPrompt;
  if (wanted === undefined) return '';
  const prompts = sentence?.prompts ?? new Map<string, string>();
  const text = prompts.get(wanted);
  if (text === undefined)
    return fail({
      code: 'usage.value',
      subject: '--prompt',
      found: `'${wanted}'`,
      expected: prompts.size > 0 ? `one of ${list([...prompts.keys()])}` : `none: ${name} has no prompts`,
      next: 'Prompts stand in config_sentence_transformers.json; or put the words before the texts.',
    });
  if (text !== '' && sentence && !sentence.includesPrompt)
    fail({
      code: 'encoder.config',
      subject: `${sentence.folder}: field 'include_prompt'`,
      found: 'false',
      expected: `true: the tokens of the prompt '${wanted}' cannot be left out of the pooling here`,
      next: 'Take texts without a prompt.',
    });
  return text;
}

/** As Python's `str.strip`, whose white space is a little more than that of JavaScript, and has no byte order mark. */
function stripped(text: string): string {
  let [from, to] = [0, text.length];
  while (from < to && isSpace(text[from] as string)) from++;
  while (to > from && isSpace(text[to - 1] as string)) to--;
  return text.slice(from, to);
}

function isSpace(character: string): boolean {
  return (/\s/.test(character) && character !== '\ufeff') || (character >= '\u001c' && character <= '\u001f') || character === '\u0085';
}
