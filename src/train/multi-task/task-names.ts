import { fail } from '../../base/index.ts';
import { checkName } from '../../checkpoint/index.ts';

/** Names of tasks that were read from a file: each fit for a name, and none twice. @throws method.config */
export function checkTaskNames(names: readonly string[], subject: string): void {
  for (const name of names) checkName(name, `${subject}: the name of a task`, 'Correct it in the file.', 'method.config');
  const twice = names.find((name, i) => names.indexOf(name) !== i);
  if (twice !== undefined) fail({ code: 'method.config', subject, found: `two tasks named '${twice}'`, expected: 'each name once' });
}
