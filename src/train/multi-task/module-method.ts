import { attach, attachPerTask, type ConfiguredMethod, encoderFacts, SHARED_NAME } from '../../methods/index.ts';
import { saveModules } from './folder.ts';
import type { MultiTaskMethod } from './method.ts';

const ENCODER_RATE = 5e-5;

/**
 * The tasks have each a module of a method, or share one where `shared`; without modules they share an encoder that trains, or
 * nothing but a frozen one. `trainEncoder` trains the encoder with the modules.
 */
export function moduleMethod(
  text: string,
  configured: ConfiguredMethod,
  { shared, trainEncoder }: { readonly shared: boolean; readonly trainEncoder: boolean },
): MultiTaskMethod {
  const { architecture } = configured.method;
  const modules = architecture === undefined ? 'none' : shared ? 'shared' : 'per task';
  const trainsEncoder = trainEncoder || configured.method.trainsEncoder === true;
  return {
    text,
    trainsEncoder,
    heads: modules === 'none' ? 'pooled' : 'single-task',
    grows: false,
    attach(encoder, names) {
      const facts = encoderFacts(encoder);
      const attachment =
        modules === 'per task' ? attachPerTask(configured, names, facts) : attach(configured, { ...facts, name: SHARED_NAME });
      return trainEncoder ? { ...attachment, text, trainsEncoder: true, learningRate: ENCODER_RATE } : { ...attachment, text };
    },
    save: (files, folder, trained) => saveModules(files, folder, { text, configured, modules, trainsEncoder }, trained),
  };
}
