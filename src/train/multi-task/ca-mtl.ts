import {
  attachCaMtl,
  type CA_MTL_PRESETS,
  type CaMtlAttachment,
  type CaMtlReport,
  caMtlConfig,
  caMtlReport,
  encoderFacts,
} from '../../methods/index.ts';
import { trainableParameters } from '../../model/model.ts';
import { headParameters } from '../../objectives/index.ts';
import { copyTokenizer } from '../../text/index.ts';
import { saveCaMtl } from './ca-mtl-folder.ts';
import type { Attached, MultiTaskMethod } from './method.ts';

/** CA-MTL with a preset and settings that differ from it. @throws method.config */
export function caMtlMethod(
  text: string,
  preset: keyof typeof CA_MTL_PRESETS,
  settings: Readonly<Record<string, unknown>>,
): MultiTaskMethod<CaMtlAttachment> {
  const { max_length: mostTokens } = caMtlConfig(preset, settings);
  return {
    text,
    trainsEncoder: true,
    heads: 'pooled',
    grows: true,
    ...('max_length' in settings && { mostTokens }),
    attach: (encoder, names, tokens) =>
      attachCaMtl(caMtlConfig(preset, { max_length: tokens, ...settings }), { ...encoderFacts(encoder), tasks: names.length }),
    report: reportOf,
    async save(files, folder, { model, parameters, training, features }) {
      await copyTokenizer(files, model.encoder.folder, folder);
      await saveCaMtl(files, folder, { ...model, tensors: parameters, training, features });
    },
  };
}

/** Without heads a pooler counts as trained: most heads will read it. */
function reportOf(model: Attached<CaMtlAttachment>): CaMtlReport {
  const { encoder, heads, attachment } = model;
  const trained = new Set(trainableParameters(model).map(({ name }) => name));
  const trains = heads.length > 0 ? (name: string) => trained.has(name) : (name: string) => !attachment.freezes(name);
  const ofHeads = heads.flatMap((head) => headParameters(head, encoder.config));
  return caMtlReport(attachment, ofHeads, { weights: encoder.weights, trains });
}
