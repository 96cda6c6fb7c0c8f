/**
 * Every error a user can meet. A message names the subject, what was found, what was expected and the next step;
 * callers that must react look at `code`, never at the wording.
 */

/** Code → what it means. `usage` codes end the command line with exit code 2, all others with 1. docs/errors.md lists them. */
export const ERROR_CODES = {
  'internal.invariant': 'A rule of the program itself was broken: a defect, please report it.',
  'usage.flag': 'An unknown flag, a missing argument, or a value of the wrong type.',
  'usage.value': 'An option has a value outside what is allowed.',
  'file.missing': 'A file or folder does not exist.',
  'file.unreadable': 'A file exists but cannot be read or written.',
  'file.truncated': 'A file ends before its own contents say it should.',
  'file.too-large': 'A file, header or value is larger than the limit set for hostile input.',
  'file.syntax': 'The bytes do not follow the format.',
  'file.duplicate-key': 'The same key stands twice.',
  'file.offsets': 'Offsets overlap, leave a gap, or point outside the file.',
  'file.dtype': 'An element type is unknown or not the one expected.',
  'file.shape': 'A shape disagrees with the bytes or with what is needed.',
  'file.unsafe': 'A file asks for something that is never done: running code, or leaving its folder.',
  'task.card': 'A task folder’s card.json is wrong.',
  'task.row': 'A row of a task does not have the form of its kind.',
  'task.label': 'A label is not in the label set.',
  'task.empty': 'A split has no rows, or only one class.',
  'text.tokenizer': 'A tokenizer file is missing something or uses a part that is not supported.',
  'text.too-long': 'An input is longer than the encoder can take.',
  'graph.shape': 'Shapes of a symbolic program do not fit each other.',
  'graph.dtype': 'Element types of a symbolic program do not fit each other.',
  'graph.gradient': 'A gradient was asked for something that has none.',
  'graph.invalid': 'A symbolic program breaks the rules of its grammar.',
  'session.missing': 'No native ONNX Runtime for this platform.',
  'session.run': 'The engine failed while running a program.',
  'encoder.config': 'An encoder’s config.json is wrong or of an unsupported family.',
  'encoder.weights': 'Weights of an encoder are missing or have other shapes than needed.',
  'method.config': 'The configuration of a method is wrong.',
  'method.site': 'A method asks for a place that this encoder does not have.',
  'method.contract': 'A method breaks a rule that every method keeps.',
  'adapter.mismatch': 'An adapter was made for another encoder.',
  'adapter.missing': 'No adapter or head of that name.',
  'adapter.duplicate': 'An adapter or head of that name exists already.',
  'adapter.format': 'An adapter folder cannot be expressed in, or read from, that layout.',
  'composition.nesting': 'Composition blocks are nested in a way that is not allowed.',
  'head.config': 'The configuration of a prediction head is wrong.',
  'train.non-finite': 'The loss or a gradient is not a finite number.',
  'train.memory': 'A training needs more memory than there is.',
  'train.resume': 'A run cannot be resumed from what is on disk.',
  'train.stopped': 'Training was stopped on request; it can be resumed.',
} as const;

export type ErrorCode = keyof typeof ERROR_CODES;

export interface Problem {
  readonly code: ErrorCode;
  /** What the message is about: a file with its line, an option, a tensor. */
  readonly subject: string;
  readonly found?: string;
  readonly expected?: string;
  /** What the reader can do now. */
  readonly next?: string;
  readonly cause?: unknown;
}

export class MultigraftError extends Error {
  readonly code: ErrorCode;
  readonly problem: Problem;

  constructor(problem: Problem) {
    super(wording(problem), problem.cause === undefined ? {} : { cause: problem.cause });
    this.name = 'MultigraftError';
    this.code = problem.code;
    this.problem = problem;
  }
}

/** Throws a {@link MultigraftError}. */
export function fail(problem: Problem): never {
  throw new MultigraftError(problem);
}

/** Throws `internal.invariant` unless `condition` holds: for what only a defect of ours can break. */
export function invariant(condition: unknown, subject: string): asserts condition {
  if (!condition) fail({ code: 'internal.invariant', subject, next: 'This is a defect of multigraft; please report it.' });
}

/** What files hold can be of any length. */
const LONGEST_FOUND = 1000;

function wording({ subject, found: whole, expected, next }: Problem): string {
  const found = whole !== undefined && whole.length > LONGEST_FOUND ? `${whole.slice(0, LONGEST_FOUND)}…` : whole;
  const facts = [found && `found ${found}`, expected && `expected ${expected}`].filter(Boolean).join('; ');
  const sentence = facts ? `${subject}: ${facts}.` : /[.!?]$/.test(subject) ? subject : `${subject}.`;
  return next ? `${sentence} ${next}` : sentence;
}

/** What a zod message says it expected: "Too small: expected number to be >0" → "number to be >0". */
export function expectationIn(message: string): string {
  return /expected (.*?)(?:, received .*)?$/.exec(message)?.[1] ?? message;
}

/** The candidate nearest to `word` by edit distance, when it is near enough to be a slip of the hand. */
export function nearest(word: string, candidates: Iterable<string>): string | undefined {
  let best: string | undefined;
  let bestDistance = Math.max(1, Math.floor(word.length / 3)) + 1;
  for (const candidate of candidates) {
    const distance = editDistance(word.toLowerCase(), candidate.toLowerCase());
    if (distance < bestDistance) {
      best = candidate;
      bestDistance = distance;
    }
  }
  return best;
}

function editDistance(a: string, b: string): number {
  let previous = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const substitution = (previous[j - 1] as number) + (a[i - 1] === b[j - 1] ? 0 : 1);
      row.push(Math.min(substitution, (previous[j] as number) + 1, (row[j - 1] as number) + 1));
    }
    previous = row;
  }
  return previous[b.length] as number;
}
