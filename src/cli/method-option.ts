import { fail, MultigraftError } from '../base/index.ts';
import { type ConfiguredMethod, configureMethod } from '../methods/index.ts';

/** The method that a flag names. @throws usage.value */
export function methodOf(text: string): ConfiguredMethod {
  return usageOf(() => configureMethod(text));
}

/** What a flag's text gives; that it cannot be read is wrong usage. @throws usage.value */
export function usageOf<T>(read: () => T): T {
  try {
    return read();
  } catch (error) {
    if (!(error instanceof MultigraftError) || error.code !== 'method.config') throw error;
    return fail({ ...error.problem, code: 'usage.value' });
  }
}
