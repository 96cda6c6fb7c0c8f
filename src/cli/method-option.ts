import { fail, MultigraftError } from '../base/errors.ts';
import { type ConfiguredMethod, configureMethod } from '../methods/index.ts';

/** The method that a flag names. @throws usage.value */
export function methodOf(text: string): ConfiguredMethod {
  try {
    return configureMethod(text);
  } catch (error) {
    if (!(error instanceof MultigraftError) || error.code !== 'method.config') throw error;
    return fail({ ...error.problem, code: 'usage.value' });
  }
}
