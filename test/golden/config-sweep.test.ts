import { describe, expect, test } from 'vitest';
import { MultigraftError } from '../../src/base/errors.ts';
import type { Files } from '../../src/base/files.ts';
import type { Tensor } from '../../src/base/tensor.ts';
import { type LoadedAdapter, loadAdapter } from '../../src/checkpoint/index.ts';
import { drawEncoder, drawPooled, loadEncoder } from '../../src/encoders/index.ts';
import { mul, scalar } from '../../src/graph/index.ts';
import { attach, bindAdapter } from '../../src/methods/index.ts';
import { firstValues } from '../../src/model/first-values.ts';
import { type Dropout, noDropout, parameters } from '../../src/nn/index.ts';
import { createHead, type Head, headInputs } from '../../src/objectives/index.ts';
import { referenceEngine } from '../../src/session/reference.ts';
import { goldenFiles } from './files.ts';
import { feedsOf } from './forward.ts';
import {
  differs,
  fill,
  firstName,
  folderOf,
  readSweep,
  type Sweep,
  type SweptCase,
  type SweptClass,
  spelledOut,
  spreadApart,
} from './sweep.ts';

/**
 * Every field of every configuration class of `adapters`, and of those of `peft` that are read here, with each other value that
 * tools/golden/config_sweep.py and peft_sweep.py tried: with the same tensors logits are those of Python, in training too where what is
 * dropped is no matter of chance, or the folder is refused with the name of the field.
 */
const encoder = { ...(await loadEncoder(goldenFiles, 'test/golden/encoders/bert')), name: 'multigraft-tiny-bert' };
const weights = new Map<string, Tensor>();
for (const [name, weight] of encoder.weights) weights.set(name, await weight.read());
const engine = referenceEngine();

type Library = 'adapters' | 'peft';
type Outcome = 'agrees' | 'refused' | 'both refuse' | 'here alone';

/** Of all cases of a library: [as Python, refused where Python computes, refused by both, computed here alone]. */
const COUNTS: Readonly<Record<Library, readonly [number, number, number, number]>> = {
  adapters: [497, 84, 130, 27],
  peft: [263, 44, 21, 21],
};

/** What Python computes and this refuses, by the field: the values, and the classes where not all of them. */
const REFUSED: Readonly<Record<Library, readonly string[]>> = {
  adapters: [
    'AdapterPlusConfig leave_out=[0,1,2]',
    'AdapterPlusConfig non_linearity="prelu"',
    'AdapterPlusConfig output_adapter=false',
    'AdapterPlusConfig unheard_of=0.5',
    'CompacterPlusPlusConfig leave_out=[0,1,2]',
    'CompacterPlusPlusConfig non_linearity="prelu"',
    'CompacterPlusPlusConfig output_adapter=false',
    'CompacterPlusPlusConfig unheard_of=0.5',
    'DiReftConfig layers=[7]',
    'DiReftConfig output_reft=false',
    'DiReftConfig prefix_positions=0',
    'DiReftConfig unheard_of=0.5',
    'DoRAConfig attn_matrices=["q","o"]',
    'DoRAConfig attn_matrices=[]',
    'DoRAConfig init_weights="ia3"',
    'DoRAConfig init_weights="vera"',
    'DoRAConfig leave_out=[0,1,2]',
    'DoRAConfig selfattn_lora=false',
    'DoRAConfig unheard_of=0.5',
    'DoubleSeqBnConfig leave_out=[0,1,2]',
    'DoubleSeqBnConfig non_linearity="prelu"',
    'DoubleSeqBnConfig unheard_of=0.5',
    'DvoRAConfig attn_matrices=["q","o"]',
    'DvoRAConfig init_weights="lora"',
    'DvoRAConfig unheard_of=0.5',
    'IA3Config attn_matrices=["q","o"]',
    'IA3Config composition_mode="add"',
    'IA3Config leave_out=[0,1,2]',
    'IA3Config unheard_of=0.5',
    'LoRAConfig attn_matrices=["q","o"]',
    'LoRAConfig attn_matrices=[]',
    'LoRAConfig everywhere attn_matrices=["q","o"]',
    'LoRAConfig everywhere init_weights="ia3"',
    'LoRAConfig everywhere init_weights="vera"',
    'LoRAConfig everywhere leave_out=[0,1,2]',
    'LoRAConfig everywhere unheard_of=0.5',
    'LoRAConfig init_weights="ia3"',
    'LoRAConfig init_weights="vera"',
    'LoRAConfig leave_out=[0,1,2]',
    'LoRAConfig selfattn_lora=false',
    'LoRAConfig unheard_of=0.5',
    'LoReftConfig layers=[7]',
    'LoReftConfig output_reft=false',
    'LoReftConfig prefix_positions=0',
    'LoReftConfig unheard_of=0.5',
    'MTLLoRAConfig attn_matrices=["q","o"]',
    'MTLLoRAConfig attn_matrices=[]',
    'MTLLoRAConfig init_weights="ia3"',
    'MTLLoRAConfig init_weights="vera"',
    'MTLLoRAConfig leave_out=[0,1,2]',
    'MTLLoRAConfig selfattn_lora=false',
    'MTLLoRAConfig unheard_of=0.5',
    'MTLLoRAConfig use_gating=true',
    'MTLLoRAConfig vera_b=0.3',
    'MTLLoRAConfig vera_d=0.2',
    'NoReftConfig layers=[7]',
    'NoReftConfig output_reft=false',
    'NoReftConfig unheard_of=0.5',
    'ParBnConfig leave_out=[0,1,2]',
    'ParBnConfig non_linearity="prelu"',
    'ParBnConfig output_adapter=false',
    'ParBnConfig residual_before_ln="other"',
    'ParBnConfig residual_before_ln="post_add"',
    'ParBnConfig unheard_of=0.5',
    'PrefixTuningConfig unheard_of=0.5',
    'PrefixTuningConfig with gates non_linearity="other"',
    'PrefixTuningConfig with gates unheard_of=0.5',
    'PromptTuningConfig random_uniform_scale=2',
    'PromptTuningConfig unheard_of=0.5',
    'SeqBnConfig hypercomplex_nonlinearity="other"',
    'SeqBnConfig leave_out=[0,1,2]',
    'SeqBnConfig non_linearity="prelu"',
    'SeqBnConfig output_adapter=false',
    'SeqBnConfig phm_c_init="other"',
    'SeqBnConfig unheard_of=0.5',
    'SeqBnConfig with norms leave_out=[0,1,2]',
    'SeqBnConfig with norms non_linearity="prelu"',
    'SeqBnConfig with norms output_adapter=false',
    'SeqBnConfig with norms unheard_of=0.5',
    'SeqBnInvConfig leave_out=[0,1,2]',
    'SeqBnInvConfig non_linearity="prelu"',
    'VeraConfig attn_matrices=["q","o"]',
    'VeraConfig init_weights="lora"',
    'VeraConfig unheard_of=0.5',
  ],
  peft: [
    'FourierFTConfig modules_to_save=["word_embeddings"]',
    'FourierFTConfig unheard_of=0.5',
    'LNTuningConfig modules_to_save=["word_embeddings"]',
    'LNTuningConfig target_modules=["query"]',
    'LNTuningConfig unheard_of=0.5',
    'LoHaConfig module_dropout=1',
    'LoHaConfig modules_to_save=["word_embeddings"]',
    'LoHaConfig unheard_of=0.5',
    'LoKrConfig init_weights="other"',
    'LoKrConfig module_dropout=1',
    'LoKrConfig modules_to_save=["word_embeddings"]',
    'LoKrConfig unheard_of=0.5',
    'LoraConfig alora_invocation_tokens=[5]',
    'LoraConfig bias="lora_only"',
    'LoraConfig init_lora_weights="lora_ga"',
    'LoraConfig init_lora_weights="olora"',
    'LoraConfig init_lora_weights="pissa"',
    'LoraConfig init_lora_weights="pissa_niter_4"',
    'LoraConfig kasa_config={"a":1}',
    'LoraConfig layer_replication=[[0,2],[1,3]]',
    'LoraConfig loftq_config={"loftq_bits":4}',
    'LoraConfig lora_bias=true',
    'LoraConfig modules_to_save=["word_embeddings"]',
    'LoraConfig target_modules=["word_embeddings"]',
    'LoraConfig trainable_token_indices=[3,4]',
    'LoraConfig unheard_of=0.5',
    'LoraConfig use_dora=true',
    'LoraConfig use_qalora=true',
    'LoraConfig velora_config={"num_groups":2}',
    'MissConfig init_weights="other"',
    'MissConfig modules_to_save=["word_embeddings"]',
    'MissConfig unheard_of=0.5',
    'OFTConfig bias="oft_only"',
    'OFTConfig coft=true',
    'OFTConfig modules_to_save=["word_embeddings"]',
    'OFTConfig target_modules=["word_embeddings"]',
    'OFTConfig unheard_of=0.5',
    'RandLoraConfig modules_to_save=["word_embeddings"]',
    'RandLoraConfig save_projection=false',
    'RandLoraConfig unheard_of=0.5',
    'RoadConfig modules_to_save=["word_embeddings"]',
    'RoadConfig unheard_of=0.5',
    'ShiraConfig modules_to_save=["word_embeddings"]',
    'ShiraConfig unheard_of=0.5',
  ],
};

/** Where the message speaks of another field than the one that was changed, or of the tensors that come with it. */
const SAID_BY: Readonly<Record<string, string>> = {
  'IA3Config composition_mode': "'init_weights'",
  'LoRAConfig attn_matrices': 'attention.output.dense',
  'LoRAConfig everywhere attn_matrices': 'attention.output.dense',
  target_modules: 'adapter_model.safetensors: bert.e',
  modules_to_save: 'bert.embeddings.word_embeddings.weight',
};

/** Python gives a row that is shorter than `suffix_positions` edits of other tokens: docs/methods/loreft.md. */
const OTHERWISE = ['LoReftConfig suffix_positions=9', 'NoReftConfig suffix_positions=9', 'DiReftConfig suffix_positions=9'];

describe.each(['adapters', 'peft'] as const)('%s', (library) => {
  const sweep = readSweep(library);
  const outcomes = new Map<string, Outcome>();

  test.each(Object.entries(sweep.classes))('%s', async (name, own) => {
    const heads = headsOf(library, sweep, own);
    for (const one of [{ ...own, field: 'itself', value: '' }, ...own.cases]) {
      const title = `${name} ${one.field}=${JSON.stringify(one.value)}`;
      if (OTHERWISE.includes(title)) expect(await differenceOf(library, sweep, own, one, await heads)).toContain('logits');
      else outcomes.set(title, await outcomeOf(title, library, sweep, own, one, await heads));
    }
  });

  test('what agrees and what is refused', () => {
    const count = (outcome: Outcome) => [...outcomes.values()].filter((one) => one === outcome).length;
    expect([count('agrees'), count('refused'), count('both refuse'), count('here alone')]).toEqual(COUNTS[library]);
    expect([...outcomes].flatMap(([title, outcome]) => (outcome === 'refused' ? [title] : [])).sort()).toEqual(
      [...REFUSED[library]].sort(),
    );
  });
});

async function outcomeOf(title: string, ...given: Parameters<typeof differenceOf>): Promise<Outcome> {
  const [, , , { field, error }] = given;
  try {
    const difference = await differenceOf(...given);
    if (error) return 'here alone';
    expect(difference, title).toBeUndefined();
    return 'agrees';
  } catch (problem) {
    if (!(problem instanceof MultigraftError)) throw problem;
    if (error) return 'both refuse';
    const said = SAID_BY[title.slice(0, title.indexOf('='))] ?? SAID_BY[field];
    expect(
      problem.message.includes(`'${field}'`) || problem.message.includes(field) || problem.message.includes(said ?? field),
      `${title}: ${problem.message}`,
    ).toBe(true);
    return 'refused';
  }
}

/** In words, or undefined. @throws what loading and drawing throw */
async function differenceOf(library: Library, sweep: Sweep, own: SweptClass, one: SweptCase, head: Heads): Promise<string | undefined> {
  const adapter = await loadAdapter(await folder(library, sweep, own, one), 'golden', { encoder });
  const { evaluated, trained, random } = await logitsOf(adapter, head, sweep, one.training !== undefined);
  if (one.error) return undefined;
  if (differs(evaluated, one.values)) return `logits ${evaluated.data} for ${one.values}`;
  if (random !== (one.random ?? false)) return `dropout ${random}`;
  if (one.training && differs(trained, one.training)) return `in training ${trained.data} for ${one.training}`;
  if (!one.initial) return undefined;
  const { parameters: specs } = bindAdapter(adapter.method, { encoder: encoder.config, family: encoder.family, name: 'golden' });
  return spreadApart(await firstValues(specs, encoder, { seed: 1 }), one.initial);
}

function folder(library: Library, sweep: Sweep, own: SweptClass, { field, value, tensors = own.tensors }: SweptCase): Promise<Files> {
  const kind = spelledOut(sweep.tensors[tensors] as Sweep['tensors'][number]);
  const names = new Set(kind.map(([name]) => name));
  const drawn = kind.map(([name, shape]) => [name, fill({ ...sweep, ...own }, firstName(name, names), shape)] as const);
  const config = { ...own.config, ...(field !== 'itself' && { [field]: value }) };
  if (library === 'peft') return folderOf(config, 'adapter_model.safetensors', drawn);
  const model = {
    hidden_size: 32,
    model_class: 'BertAdapterModel',
    model_name: encoder.name,
    model_type: 'bert',
    version: 'adapters.1.3.0',
  };
  return folderOf({ config, name: 'golden', ...model }, 'adapter.safetensors', drawn);
}

interface Heads {
  readonly head: Head;
  readonly tensors: ReadonlyMap<string, Tensor>;
}

/** The head of all cases of a class: in PEFT's folders that of the class itself. */
async function headsOf(library: Library, sweep: Sweep, own: SweptClass): Promise<Heads> {
  if (library === 'peft') {
    const { head } = await loadAdapter(await folder(library, sweep, own, { ...own, field: 'itself', value: '' }), 'golden', { encoder });
    if (!head) throw new Error('no head');
    return { head, tensors: head.tensors };
  }
  const shapes = { 'heads.golden.1.weight': [3, 32], 'heads.golden.1.bias': [3] };
  const tensors = Object.entries(shapes).map(([name, shape]) => [name, fill({ ...sweep, ...own }, name, shape)] as const);
  return {
    head: createHead('golden', { head_type: 'classification', num_labels: 3, layers: 1, dropout_prob: 0 }),
    tensors: new Map(tensors),
  };
}

interface Logits {
  readonly evaluated: Tensor;
  readonly trained: Tensor;
  readonly random: boolean;
}

/** In training (nearly) all is dropped where that is asked for. */
async function logitsOf(adapter: LoadedAdapter, { head, tensors }: Heads, sweep: Sweep, training: boolean): Promise<Logits> {
  const { config, family } = encoder;
  const attachment = attach(adapter.method, { encoder: config, family, name: adapter.name });
  let random = false;
  const run = async (dropout: Dropout): Promise<Tensor> => {
    const resolve = parameters(() => false);
    const options = { family, config, parameters: resolve, dropout, hooks: attachment.hooks(resolve, dropout), read: 'all' } as const;
    const { output, first, mask } = drawEncoder(options);
    const pooled = () => drawPooled(options, first);
    const drawing = {
      encoder: config,
      tokens: output,
      first,
      mask,
      pooled,
      vector: (pooling: string) => (pooling === 'pooler' ? pooled() : first),
      wordScores: () => output,
      parameters: resolve,
      dropout: noDropout,
    };
    const logits = head.kind.draw(head, drawing, headInputs(0, 1));
    const session = await engine.compile({ outputs: { logits } }, new Map([...weights, ...adapter.tensors, ...tensors]));
    return (await session.run(feedsOf(sweep, encoder))).logits as Tensor;
  };
  const asked = parameters(() => false);
  const asks: Dropout = (x, p) => {
    random ||= p > 0;
    return x;
  };
  drawEncoder({ family, config, parameters: asked, dropout: asks, hooks: attachment.hooks(asked, asks), read: 'all' });
  const evaluated = await run(noDropout);
  const trained = training ? await run((x, p) => (p > 0.9 ? mul(x, scalar(0)) : x)) : evaluated;
  return { evaluated, trained, random };
}
