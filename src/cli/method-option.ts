import { type Files, fail, MultigraftError } from '../base/index.ts';
import { loadAdapter } from '../checkpoint/index.ts';
import { loadEncoder } from '../encoders/index.ts';
import { type ConfiguredMethod, configureMethod, DEFAULT_METHOD } from '../methods/index.ts';

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

/** Settings that an adapter may be trained on with, whatever it was made with. */
const OF_TRAINING = /dropout|^init_/;

/** The method of `--method`, or of the adapter that training starts from. @throws usage.value where both are given and differ */
export async function methodToTrain(
  files: Files,
  folder: string,
  { method: given, init }: { readonly method?: string | undefined; readonly init?: string | undefined },
): Promise<ConfiguredMethod> {
  if (init === undefined) return methodOf(given ?? DEFAULT_METHOD);
  const { method: own } = await loadAdapter(files, init, { encoder: await loadEncoder(files, folder), head: false });
  if (given === undefined) return own;
  const wanted = methodOf(given);
  const differs = (key: string) => JSON.stringify(wanted.config[key]) !== JSON.stringify(own.config[key]);
  const keys = [...new Set([...Object.keys(own.config), ...Object.keys(wanted.config)])].filter(
    (key) => differs(key) && !OF_TRAINING.test(key),
  );
  const other = wanted.method.name !== own.method.name ? wanted.text : keys.map((key) => `${key} ${JSON.stringify(wanted.config[key])}`)[0];
  if (other === undefined) return wanted;
  return fail({
    code: 'usage.value',
    subject: '--method',
    found: `${other}, beside --init ${init}`,
    expected: `the method of that adapter, ${own.text}`,
    next: 'Leave out --method: training goes on with that of --init.',
  });
}
