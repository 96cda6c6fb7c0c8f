import { fail } from '../base/errors.ts';
import {
  type Characters,
  copyCharacter,
  filterCharacters,
  mapCharacters,
  type Piece,
  plainPiece,
  toCharacters,
  toPiece,
  transform,
} from './aligned.ts';
import { flag, type Json, listOf, patternOf, text } from './json.ts';
import { createPrecompiled } from './precompiled.ts';
import { createClasses, createUndecomposed, WHITE_SPACE } from './unicode.ts';

/** A stage that rewrites text before it is split. */
export interface Normalizer {
  /** The result for text that keeps every unit in its place (most ASCII); null when the slow way is needed. */
  quick(text: string): string | null;
  apply(characters: Characters): Characters;
}

/** The normalised form of `text`, which stands at `origin` in the original. */
export function normalize(normalizer: Normalizer | null, value: string, origin: number): Piece {
  if (normalizer === null) return plainPiece(value, origin);
  const quick = normalizer.quick(value);
  return quick === null ? toPiece(normalizer.apply(toCharacters(value, origin))) : plainPiece(quick, origin);
}

/** Throws `text.tokenizer` naming a type that is not known. */
export function createNormalizer(json: Json | null): Normalizer | null {
  if (json === null) return null;
  const make = NORMALIZERS[text(json, 'type', 'normalizer')];
  if (make !== undefined) return make(json);
  return fail({
    code: 'text.tokenizer',
    subject: 'tokenizer.json, normalizer',
    found: `type "${json.type}"`,
    expected: `one of ${Object.keys(NORMALIZERS).join(', ')}`,
  });
}

const NORMALIZERS: Record<string, (json: Json) => Normalizer> = {
  BertNormalizer: bert,
  Lowercase: () => ({ quick: (value) => (isAscii(value) ? value.toLowerCase() : null), apply: lowercase }),
  NFC: () => unicodeForm('NFC'),
  NFD: () => unicodeForm('NFD'),
  NFKC: () => unicodeForm('NFKC'),
  NFKD: () => unicodeForm('NFKD'),
  StripAccents: () => {
    const { isMark } = createClasses();
    return { quick: asciiOnly, apply: (old) => filterCharacters(old, (character) => !isMark(character)) };
  },
  Strip: strip,
  Replace: replace,
  Prepend: prepend,
  Nmt: nmt,
  Precompiled: (json) => createPrecompiled(text(json, 'precompiled_charsmap', 'normalizer Precompiled')),
  Sequence: (json) => {
    const stages = listOf(json, 'normalizers').map((stage) => createNormalizer(stage) as Normalizer);
    return {
      quick: (value) => stages.reduce<string | null>((now, stage) => (now === null ? null : stage.quick(now)), value),
      apply: (old) => stages.reduce((now, stage) => stage.apply(now), old),
    };
  },
};

function bert(json: Json): Normalizer {
  const clean = flag(json, 'clean_text', true);
  const spaceCjk = flag(json, 'handle_chinese_chars', true);
  const lower = flag(json, 'lowercase', true);
  const stripAccents = flag(json, 'strip_accents', lower);
  const { isDropped, isSpace, isCjk, isNonspacingMark } = createClasses();
  const decompose = unicodeForm('NFD');
  return {
    quick(value) {
      if (!isPrintable(value)) {
        if (!isPrintableOrBreak(value)) return null;
        if (clean) value = value.replaceAll(/[\t\n\r]/g, ' ');
      }
      return lower ? value.toLowerCase() : value;
    },
    apply(old) {
      let now = old;
      if (clean)
        now = mapCharacters(
          filterCharacters(now, (c) => !isDropped(c)),
          (c) => (isSpace(c) ? ' ' : c),
        );
      if (spaceCjk) now = mapCharacters(now, (c) => (isCjk(c) ? ` ${c} ` : c));
      if (stripAccents) now = filterCharacters(decompose.apply(now), (c) => !isNonspacingMark(c));
      return lower ? lowercase(now) : now;
    },
  };
}

function lowercase(old: Characters): Characters {
  return mapCharacters(old, (character) => character.toLowerCase());
}

function strip(json: Json): Normalizer {
  const left = flag(json, 'strip_left', true);
  const right = flag(json, 'strip_right', true);
  const leading = new RegExp(`^[${WHITE_SPACE}]+`, 'u');
  const trailing = new RegExp(`[${WHITE_SPACE}]+$`, 'u');
  const { isSpace } = createClasses();
  return {
    quick: (value) => ((left && leading.test(value)) || (right && trailing.test(value)) ? null : value),
    apply(old) {
      let from = 0;
      let to = old.values.length;
      while (left && from < to && isSpace(old.values[from] as string)) from++;
      while (right && to > from && isSpace(old.values[to - 1] as string)) to--;
      const { values, starts, ends, origin } = old;
      return { values: values.slice(from, to), starts: starts.slice(from, to), ends: ends.slice(from, to), origin };
    },
  };
}

function replace(json: Json): Normalizer {
  const pattern = patternOf(json, 'normalizer Replace');
  const content = Array.from(text(json, 'content', 'normalizer Replace'));
  return {
    quick: (value) => (value.search(pattern) < 0 ? value : null),
    apply(old) {
      const result: Characters = { values: [], starts: [], ends: [], origin: old.origin };
      let i = 0;
      let unit = 0;
      const copyUntil = (end: number) => {
        while (unit < end) {
          const value = old.values[i] as string;
          copyCharacter(old, i++, value, result);
          unit += value.length;
        }
      };
      for (const match of old.values.join('').matchAll(pattern)) {
        if (match[0] === '') continue;
        copyUntil(match.index);
        while (unit < match.index + match[0].length) unit += (old.values[i++] as string).length;
        for (const character of content) copyCharacter(old, i - 1, character, result);
      }
      while (i < old.values.length) copyCharacter(old, i, old.values[i++] as string, result);
      return result;
    },
  };
}

function prepend(json: Json): Normalizer {
  const content = Array.from(text(json, 'prepend', 'normalizer Prepend'));
  return {
    quick: (value) => (value === '' ? value : null),
    apply(old) {
      if (old.values.length === 0) return old;
      const result: Characters = { values: [], starts: [], ends: [], origin: old.origin };
      for (const character of content) copyCharacter(old, 0, character, result);
      for (let i = 0; i < old.values.length; i++) copyCharacter(old, i, old.values[i] as string, result);
      return result;
    },
  };
}

/** The control and space rules of Google's neural translation normalisation. */
function nmt(): Normalizer {
  const dropped = /[\u0001-\u0008\u000b\u000e-\u001f\u007f\u008f\u009f]/u;
  const spaces = /[\u0009\u000a\u000c\u000d\u1680\u200b-\u200f\u2028\u2029\u2581\ufeff\ufffd]/u;
  return {
    quick: (value) => (isPrintable(value) ? value : null),
    apply: (old) =>
      mapCharacters(
        filterCharacters(old, (c) => !dropped.test(c)),
        (c) => (spaces.test(c) ? ' ' : c),
      ),
  };
}

/** A Unicode normal form, with the alignment that decomposing and composing character by character gives. */
function unicodeForm(form: 'NFC' | 'NFD' | 'NFKC' | 'NFKD'): Normalizer {
  const decomposed = form === 'NFC' || form === 'NFD' ? 'NFD' : 'NFKD';
  const composes = form === 'NFC' || form === 'NFKC';
  const isUndecomposed = createUndecomposed();
  return {
    quick: asciiOnly,
    apply(old) {
      const whole = old.values.join('');
      if (whole.normalize(form) === whole) return old;
      const parts: Part[] = [];
      for (const value of old.values) {
        const pieces = isUndecomposed(value) ? value : value.normalize(decomposed);
        let change = 0;
        for (const character of pieces) {
          parts.push([character, change]);
          change = 1;
          for (let k = parts.length - 1; k > 0 && comesBefore(character, (parts[k - 1] as Part)[0]); k--) {
            [parts[k - 1], parts[k]] = [parts[k] as Part, parts[k - 1] as Part];
          }
        }
      }
      const result = composes ? compose(parts) : parts;
      return transform(
        old,
        result.map(([character]) => character),
        result.map(([, change]) => change),
      );
    },
  };
}

type Part = [character: string, change: number];

/** Whether canonical order puts mark `b`, found after `a`, before it: its combining class is smaller and not 0. */
function comesBefore(b: string, a: string): boolean {
  return b > '\u02ff' && a > '\u02ff' && (a + b).normalize('NFD') === b + a && a !== b;
}

function isNonStarter(character: string): boolean {
  return character > '\u02ff' && (comesBefore('\u0334', character) || comesBefore(character, '\u05b0'));
}

/** Canonical composition; a composed character carries the summed changes of its parts. */
function compose(parts: Part[]): Part[] {
  const result: Part[] = [];
  let base: Part | null = null;
  let marks: Part[] = [];
  for (const part of parts) {
    const [character, change] = part;
    if (base === null) {
      if (isNonStarter(character)) result.push(part);
      else base = part;
      continue;
    }
    const last = marks.at(-1);
    const blocked = last !== undefined && !comesBefore(last[0], character);
    const joined: string = blocked ? '' : (base[0] + character).normalize('NFC');
    if (!blocked && joined !== base[0] + character && joined.length <= 2 && Array.from(joined).length === 1) {
      base = [joined, base[1] + change - 1];
    } else if (isNonStarter(character)) {
      marks.push(part);
    } else {
      result.push(base, ...marks);
      base = part;
      marks = [];
    }
  }
  if (base !== null) result.push(base, ...marks);
  return result;
}

function asciiOnly(value: string): string | null {
  return isAscii(value) ? value : null;
}

function isAscii(value: string): boolean {
  return !/[^\0-\x7f]/.test(value);
}

function isPrintable(value: string): boolean {
  return !/[^ -~]/.test(value);
}

function isPrintableOrBreak(value: string): boolean {
  return !/[^\t\n\r -~]/.test(value);
}
