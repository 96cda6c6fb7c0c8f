export type { NamedEvaluation } from './active-model.ts';
export { AutoAdapterModel } from './auto-adapter-model.ts';
export type { Embedder, EmbedderOptions, EmbedOptions } from './embed.ts';
export type { Extensions } from './extensions.ts';
export type {
  AdapterTraining,
  EvaluateOptions,
  HeadFields,
  HeadOptions,
  HeadSetup,
  LabelledHeadOptions,
  LoadOptions,
  PredictOptions,
  PretrainedOptions,
  PruneFusionOptions,
  SummaryRow,
  TrainAdapterFusionOptions,
  TrainAdapterOptions,
} from './options.ts';
export type { Pruning } from './prune.ts';
export type { HeadChoice, SetupOptions } from './saved.ts';
