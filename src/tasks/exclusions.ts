import { type Files, fail } from '../base/index.ts';
import { isJsonObject, readJson } from '../formats/json.ts';

/** Rows of train files to leave out, counted from 0, by the name of their task. */
export type Exclusions = ReadonlyMap<string, ReadonlySet<number>>;

/**
 * Reads `{"tasks": {"NAME": {"trainLines": [3, 17]}}}`, a list of rows that share text with the test rows of other tasks; other
 * keys are not read. @throws file.syntax naming the place; file.*
 */
export async function readExclusions(files: Files, path: string): Promise<Exclusions> {
  const content = await readJson(files, path);
  const tasks = isJsonObject(content) ? content.tasks : undefined;
  if (!isJsonObject(tasks)) return wrong(path, tasks ?? content, 'an object under "tasks", with a task a key');
  return new Map(
    Object.entries(tasks).map(([name, entry]) => {
      const place = `${path}: tasks.${name}`;
      const lines = isJsonObject(entry) ? entry.trainLines : undefined;
      if (!Array.isArray(lines)) return wrong(place, lines ?? entry, 'a list of rows under "trainLines"');
      lines.forEach((line, i) => {
        if (!Number.isInteger(line) || (line as number) < 0) wrong(`${place}.trainLines[${i}]`, line, 'the number of a row, from 0');
      });
      return [name, new Set(lines as number[])];
    }),
  );
}

function wrong(subject: string, found: unknown, expected: string): never {
  const text = JSON.stringify(found) ?? 'nothing';
  return fail({ code: 'file.syntax', subject, found: text.length > 60 ? `${text.slice(0, 60)}…` : text, expected });
}
