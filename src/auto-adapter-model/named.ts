import { fail } from '../base/index.ts';
import { checkName } from '../checkpoint/index.ts';
import { missing } from './options.ts';

/** Things of one kind by name: the adapters, or the heads, of a model. */
export class Named<T> {
  readonly #what: string;
  readonly #entries = new Map<string, T>();

  constructor(what: string) {
    this.#what = what;
  }

  get names(): readonly string[] {
    return [...this.#entries.keys()];
  }

  entries(): IterableIterator<[string, T]> {
    return this.#entries.entries();
  }

  has(name: string): boolean {
    return this.#entries.has(name);
  }

  find(name: string): T | undefined {
    return this.#entries.get(name);
  }

  /** @throws adapter.missing, with the nearest of the names there are */
  get(name: string): T {
    return this.#entries.get(name) ?? missing(this.#what, name, this.names);
  }

  /** @throws adapter.missing */
  remove(name: string): void {
    this.get(name);
    this.#entries.delete(name);
  }

  /** Adds or replaces. */
  set(name: string, entry: T): void {
    this.#entries.set(name, entry);
  }

  /** @throws adapter.duplicate for a name that is taken, adapter.format for one that no folder can hold */
  add(name: string, entry: T, { overwriteOk = false }: { readonly overwriteOk?: boolean } = {}): void {
    checkName(name, `${this.#what} '${name}'`, 'Choose another name.');
    if (this.has(name) && !overwriteOk)
      fail({
        code: 'adapter.duplicate',
        subject: `${this.#what} '${name}'`,
        found: 'one of that name already',
        expected: 'a new name',
        next: 'Choose another name, or give overwriteOk: true.',
      });
    this.set(name, entry);
  }
}
