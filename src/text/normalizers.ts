import { fail } from '../base/index.ts';
import {
  type Characters,
  copyCharacter,
  filterCharacters,
  mapCharacters,
  type Normalizer,
  type Piece,
  plainPiece,
  toCharacters,
  toPiece,
  transform,
} from './aligned.ts';
import { flag, type Json, listOf, patternOf, text } from './json.ts';
import { createPrecompiled } from './precompiled.ts';
import { characterClass, createClasses, createNormalFormGaps, WHITE_SPACE } from './unicode.ts';

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
  const isDropped = characterClass('1-8 b e-1f 7f 8f 9f');
  const isSpace = characterClass('9-a c-d 1680 200b-200f 2028-2029 2581 feff fffd');
  return {
    quick: (value) => (isPrintable(value) ? value : null),
    apply: (old) =>
      mapCharacters(
        filterCharacters(old, (c) => !isDropped(c)),
        (c) => (isSpace(c) ? ' ' : c),
      ),
  };
}

/** A Unicode normal form, with the alignment that decomposing and composing character by character gives. */
function unicodeForm(form: 'NFC' | 'NFD' | 'NFKC' | 'NFKD'): Normalizer {
  const decomposed = form === 'NFC' || form === 'NFD' ? 'NFD' : 'NFKD';
  const composes = form === 'NFC' || form === 'NFKC';
  const { isUndecomposed, isUnknownMark } = createNormalFormGaps();

  /** Whether canonical order puts `b`, found after `a`, before it: both are marks, and b's combining class is smaller. */
  const comesBefore = (b: string, a: string) =>
    b > LAST_BEFORE_MARKS &&
    a > LAST_BEFORE_MARKS &&
    (a + b).normalize('NFD') === b + a &&
    a !== b &&
    !isUnknownMark(a) &&
    !isUnknownMark(b);
  const isMark = (character: string) =>
    character > LAST_BEFORE_MARKS && (comesBefore(MARK_OF_CLASS_1, character) || comesBefore(character, MARK_OF_CLASS_10));

  return {
    quick: asciiOnly,
    apply(old) {
      const whole = old.values.join('');
      if (whole.normalize(form) === whole) return old;
      const parts: Part[] = [];
      for (const value of old.values) {
        let change = 0;
        for (const character of isUndecomposed(value) ? value : value.normalize(decomposed)) {
          parts.push([character, change]);
          change = 1;
          for (let k = parts.length - 1; k > 0 && comesBefore(character, (parts[k - 1] as Part)[0]); k--) {
            [parts[k - 1], parts[k]] = [parts[k] as Part, parts[k - 1] as Part];
          }
        }
      }
      const result = composes ? compose(parts, isMark, comesBefore) : parts;
      return transform(
        old,
        result.map(([character]) => character),
        result.map(([, change]) => change),
      );
    },
  };
}

type Part = [character: string, change: number];

const LAST_BEFORE_MARKS = '\u02ff';
const MARK_OF_CLASS_1 = '\u0334';
const MARK_OF_CLASS_10 = '\u05b0';

/** Canonical composition; a composed character carries the summed changes of its parts. */
function compose(parts: Part[], isMark: (character: string) => boolean, comesBefore: (b: string, a: string) => boolean): Part[] {
  const result: Part[] = [];
  let base: Part | null = null;
  let marks: Part[] = [];
  for (const part of parts) {
    const [character, change] = part;
    if (base === null) {
      if (isMark(character)) result.push(part);
      else base = part;
      continue;
    }
    const last = marks.at(-1);
    const apart: string = base[0] + character;
    const joined: string = last !== undefined && !comesBefore(last[0], character) ? apart : apart.normalize('NFC');
    if (joined !== apart && Array.from(joined).length === 1) {
      base = [joined, base[1] + change - 1];
    } else if (isMark(character)) {
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
  for (let i = 0; i < value.length; i++) if (value.charCodeAt(i) > 127) return false;
  return true;
}

function isPrintable(value: string): boolean {
  return !/[^ -~]/.test(value);
}

function isPrintableOrBreak(value: string): boolean {
  return !/[^\t\n\r -~]/.test(value);
}
