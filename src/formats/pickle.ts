import { fail } from '../base/index.ts';

/** A named thing the pickle refers to. It is only a name: nothing is looked up or run. */
interface PickleGlobal {
  readonly global: string;
}

export type PickleValue =
  | null
  | boolean
  | number
  | string
  | PickleTuple
  | PickleList
  | PickleDict
  | PickleGlobal
  | { readonly opaque: unknown };

interface PickleTuple {
  readonly tuple: PickleValue[];
}
export interface PickleList {
  readonly list: PickleValue[];
}
interface PickleDict {
  readonly dict: Map<PickleValue, PickleValue>;
}

export interface PickleRules {
  /** The only names a file may refer to. */
  readonly allowed: (global: string) => boolean;
  /** What a call of an allowed name stands for. */
  readonly call: (global: string, args: readonly PickleValue[]) => PickleValue;
  /** What a persistent id stands for. */
  readonly persistent: (id: PickleValue) => PickleValue;
}

const MARK = Symbol('mark');

/** Opcodes that look up, build or call objects in ways `torch.save` of tensors never needs. */
const UNSAFE: Readonly<Record<number, string>> = {
  80: 'PERSID',
  105: 'INST',
  111: 'OBJ',
  129: 'NEWOBJ',
  130: 'EXT1',
  131: 'EXT2',
  132: 'EXT4',
  146: 'NEWOBJ_EX',
  147: 'STACK_GLOBAL',
};

/** What a state dict of ten thousand tensors needs is a fifth of it. */
const MOST_OPCODES = 2_000_000;

/** Reads bytes that are one pickle; throws as {@link readPickleAt}. */
export function readPickle(bytes: Uint8Array, subject: string, rules: PickleRules): PickleValue {
  const { value, end } = readPickleAt(bytes, 0, subject, rules);
  if (end === bytes.length) return value;
  return fail({ code: 'file.syntax', subject, found: `bytes after the end (byte ${end})`, expected: 'a pickle as torch.save writes it' });
}

/**
 * Reads a pickle (protocol 2) that begins at a byte, as data, and says where it ends. Globals are names checked against `rules.allowed`, calls go to `rules.call`;
 * no code of the file or of the host is ever run. Throws `file.unsafe` for a name or an opcode outside the rules,
 * `file.syntax`, `file.truncated`, `file.duplicate-key`, `file.too-large`.
 */
export function readPickleAt(
  bytes: Uint8Array,
  start: number,
  subject: string,
  rules: PickleRules,
): { readonly value: PickleValue; readonly end: number } {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const memo = new Map<number, PickleValue>();
  const stack: (PickleValue | typeof MARK)[] = [];
  let at = start;
  if (take(1) !== 0x80 || take(1) !== 2) {
    const expected = 'a pickle of protocol 2, which torch.save writes by default';
    return fail({
      code: 'file.syntax',
      subject,
      found: `bytes ${bytes[start]} ${bytes[start + 1]}`,
      expected,
      next: 'Save it again as safetensors.',
    });
  }
  for (let count = 0; ; count++) {
    if (count > MOST_OPCODES) fail({ code: 'file.too-large', subject, found: `more than ${MOST_OPCODES} opcodes in a pickle` });
    const opcode = take(1);
    switch (opcode) {
      case 0x2e: // STOP
        if (stack.length !== 1) syntax('the end before everything is used');
        return { value: pop(), end: at };
      case 0x28: // MARK
        stack.push(MARK);
        break;
      case 0x4e: // NONE
        stack.push(null);
        break;
      case 0x88: // NEWTRUE
        stack.push(true);
        break;
      case 0x89: // NEWFALSE
        stack.push(false);
        break;
      case 0x4b: // BININT1
        stack.push(take(1));
        break;
      case 0x4d: // BININT2
        stack.push(view.getUint16(skip(2), true));
        break;
      case 0x4a: // BININT
        stack.push(view.getInt32(skip(4), true));
        break;
      case 0x8a: // LONG1
        stack.push(long(take(1)));
        break;
      case 0x47: // BINFLOAT
        stack.push(view.getFloat64(skip(8), false));
        break;
      case 0x58: // BINUNICODE
        stack.push(text(view.getUint32(skip(4), true)));
        break;
      case 0x29: // EMPTY_TUPLE
        stack.push({ tuple: [] });
        break;
      case 0x85: // TUPLE1
        stack.push({ tuple: popMany(1) });
        break;
      case 0x86: // TUPLE2
        stack.push({ tuple: popMany(2) });
        break;
      case 0x87: // TUPLE3
        stack.push({ tuple: popMany(3) });
        break;
      case 0x74: // TUPLE
        stack.push({ tuple: popToMark() });
        break;
      case 0x5d: // EMPTY_LIST
        stack.push({ list: [] });
        break;
      case 0x61: // APPEND
        extend(popMany(1));
        break;
      case 0x65: // APPENDS
        extend(popToMark());
        break;
      case 0x7d: // EMPTY_DICT
        stack.push({ dict: new Map() });
        break;
      case 0x73: // SETITEM
        assign(popMany(2));
        break;
      case 0x75: // SETITEMS
        assign(popToMark());
        break;
      case 0x71: // BINPUT
        memo.set(take(1), top());
        break;
      case 0x72: // LONG_BINPUT
        memo.set(view.getUint32(skip(4), true), top());
        break;
      case 0x68: // BINGET
        stack.push(recall(take(1)));
        break;
      case 0x6a: // LONG_BINGET
        stack.push(recall(view.getUint32(skip(4), true)));
        break;
      case 0x63: // GLOBAL
        stack.push(named(line(), line()));
        break;
      case 0x52: {
        // REDUCE
        const [callee, args] = popMany(2);
        if (!isGlobal(callee) || !isTuple(args)) syntax('a call of something that is no name');
        stack.push(rules.call(callee.global, args.tuple));
        break;
      }
      case 0x51: // BINPERSID
        stack.push(rules.persistent(pop()));
        break;
      case 0x62: // BUILD: attributes of a dictionary, such as a state_dict's _metadata; they are not weights
        if (!isDict(popMany(1)[0]) || !isDict(top())) syntax('attributes set on something that is no dictionary');
        break;
      default: {
        const name = UNSAFE[opcode];
        const next = 'Save it again with torch.save or as safetensors.';
        if (name) return fail({ code: 'file.unsafe', subject, found: `the pickle opcode ${name}`, expected: 'tensors only', next });
        syntax(`the pickle opcode 0x${opcode.toString(16)}`);
      }
    }
  }

  function take(_: 1): number {
    return bytes[skip(1)] as number;
  }

  function skip(count: number): number {
    const start = at;
    at += count;
    if (at > bytes.length) fail({ code: 'file.truncated', subject, found: `${bytes.length} bytes`, expected: `at least ${at}` });
    return start;
  }

  function text(length: number): string {
    const start = skip(length);
    try {
      return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes.subarray(start, start + length));
    } catch {
      return syntax('text that is not UTF-8');
    }
  }

  function line(): string {
    const end = bytes.indexOf(0x0a, at);
    if (end < 0 || end - at > 1000) syntax('a name without an end');
    const found = text(end - at);
    at = end + 1;
    return found;
  }

  function long(length: number): number {
    const start = skip(length);
    let value = 0n;
    for (let i = length - 1; i >= 0; i--) value = (value << 8n) | BigInt(bytes[start + i] as number);
    value = BigInt.asIntN(8 * length, value);
    const result = Number(value);
    return Number.isSafeInteger(result) ? result : syntax('a whole number beyond 2^53');
  }

  function named(module: string, name: string): PickleGlobal {
    const global = `${module}.${name}`;
    if (!rules.allowed(global)) {
      const expected = 'tensors, dictionaries and plain values';
      const next = 'The file could run code in Python; nothing of it was run here. Use a safetensors file, or resave plain tensors.';
      fail({ code: 'file.unsafe', subject, found: `the name ${global}`, expected, next });
    }
    return { global };
  }

  function top(): PickleValue {
    const value = stack.at(-1);
    return value === undefined || value === MARK ? syntax('an opcode that needs a value where there is none') : value;
  }

  function pop(): PickleValue {
    const value = top();
    stack.pop();
    return value;
  }

  function popMany(count: number): PickleValue[] {
    const values: PickleValue[] = [];
    for (let i = 0; i < count; i++) values.unshift(pop());
    return values;
  }

  function popToMark(): PickleValue[] {
    const start = stack.lastIndexOf(MARK);
    if (start < 0) syntax('no mark');
    return stack.splice(start).slice(1) as PickleValue[];
  }

  function extend(values: PickleValue[]): void {
    const target = top();
    const list = isList(target) ? target.list : syntax('items for something that is no list');
    for (const value of values) list.push(value);
  }

  function assign(values: PickleValue[]): void {
    const target = top();
    const dict = isDict(target) && values.length % 2 === 0 ? target.dict : syntax('members for something that is no dictionary');
    for (let i = 0; i < values.length; i += 2) {
      const key = values[i] as PickleValue;
      const named = typeof key === 'object' ? 'a key' : `the key ${JSON.stringify(key)}`;
      if (dict.has(key)) fail({ code: 'file.duplicate-key', subject, found: `${named} a second time` });
      dict.set(key, values[i + 1] as PickleValue);
    }
  }

  function recall(index: number): PickleValue {
    const value = memo.get(index);
    return value === undefined ? syntax(`a reference to an unknown value ${index}`) : value;
  }

  function syntax(found: string): never {
    return fail({ code: 'file.syntax', subject, found: `${found} (byte ${at})`, expected: 'a pickle as torch.save writes it' });
  }
}

export function isTuple(value: PickleValue | undefined): value is PickleTuple {
  return typeof value === 'object' && value !== null && 'tuple' in value;
}

export function isList(value: PickleValue | undefined): value is PickleList {
  return typeof value === 'object' && value !== null && 'list' in value;
}

export function isDict(value: PickleValue | undefined): value is PickleDict {
  return typeof value === 'object' && value !== null && 'dict' in value;
}

export function isGlobal(value: PickleValue | undefined): value is PickleGlobal {
  return typeof value === 'object' && value !== null && 'global' in value;
}
