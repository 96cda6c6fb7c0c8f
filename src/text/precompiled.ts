import { fail } from '../base/index.ts';
import { type Normalizer, transform } from './aligned.ts';

/**
 * SentencePiece's precompiled normalisation: a double-array trie from UTF-8 prefixes to replacements. Follows the Rust
 * library, with its habits: a grapheme cluster of at most five bytes is looked up whole first, and the shortest prefix wins.
 */
export function createPrecompiled(base64: string): Normalizer {
  const lookUp = createLookUp(base64);
  const segmenter = new Intl.Segmenter('en', { granularity: 'grapheme' });
  const clusters = (value: string) =>
    /[^\0-\u02ff]|\r\n/.test(value) ? Array.from(segmenter.segment(value), ({ segment }) => segment) : Array.from(value);
  const unchangedAscii = Array.from({ length: 95 }, (_, i) => String.fromCharCode(32 + i)).every((c) => lookUp(c) === null);
  return {
    quick: (value) => (unchangedAscii && !/[^ -~]/.test(value) ? value : null),
    apply(old) {
      const values: string[] = [];
      const changes: number[] = [];
      let modified = false;
      const put = (from: string, to: string) => {
        modified = true;
        const replacement = Array.from(to);
        const difference = replacement.length - Array.from(from).length;
        for (const character of replacement) {
          values.push(character);
          changes.push(0);
        }
        if (difference > 0) changes.fill(1, Math.max(0, changes.length - difference));
        if (difference < 0 && changes.length > 0) changes[changes.length - 1] = (changes[changes.length - 1] as number) + difference;
      };
      for (const cluster of clusters(old.values.join(''))) {
        const whole = utf8Length(cluster) < 6 ? lookUp(cluster) : null;
        if (whole !== null) {
          put(cluster, whole);
          continue;
        }
        for (const character of cluster) {
          const replacement = lookUp(character);
          if (replacement !== null) put(character, replacement);
          else {
            values.push(character);
            changes.push(0);
          }
        }
      }
      return modified ? transform(old, values, changes) : old;
    },
  };
}

/** The replacement of the shortest prefix of a chunk that has one; null when none has. */
function createLookUp(base64: string): (chunk: string) => string | null {
  const bytes = decodeBase64(base64);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const trieBytes = bytes.length < 4 ? -1 : view.getUint32(0, true);
  if (trieBytes < 4 || trieBytes % 4 !== 0 || 4 + trieBytes > bytes.length) {
    fail({ code: 'text.tokenizer', subject: 'tokenizer.json, precompiled_charsmap', found: 'bytes that do not hold a trie' });
  }
  const units = Uint32Array.from({ length: trieBytes / 4 }, (_, i) => view.getUint32(4 + 4 * i, true));
  const replacements = bytes.subarray(4 + trieBytes);
  const encoder = new TextEncoder();
  const decoder = new TextDecoder();
  const known = new Map<string, string | null>();

  const search = (chunk: string): string | null => {
    let at = offsetOf(units[0] as number);
    for (const byte of encoder.encode(chunk)) {
      if (byte === 0) return null;
      at ^= byte;
      const unit = units[at];
      if (unit === undefined || (unit & 0x800000ff) >>> 0 !== byte) return null;
      at ^= offsetOf(unit);
      if ((unit >>> 8) & 1) {
        const start = (units[at] ?? 0) & 0x7fffffff;
        const end = replacements.indexOf(0, start);
        return decoder.decode(replacements.subarray(start, end < 0 ? replacements.length : end));
      }
    }
    return null;
  };
  return (chunk) => {
    let found = known.get(chunk);
    if (found === undefined) {
      found = search(chunk);
      if (known.size >= 50_000) known.clear();
      known.set(chunk, found);
    }
    return found;
  };
}

function offsetOf(unit: number): number {
  return (unit >>> 10) << ((unit & (1 << 9)) >>> 6);
}

function utf8Length(value: string): number {
  let length = 0;
  for (let i = 0; i < value.length; i++) {
    const unit = value.charCodeAt(i);
    length += unit < 0x80 ? 1 : unit < 0x800 || (unit >= 0xd800 && unit < 0xe000) ? 2 : 3;
  }
  return length;
}

function decodeBase64(base64: string): Uint8Array {
  try {
    return Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
  } catch (cause) {
    return fail({ code: 'text.tokenizer', subject: 'tokenizer.json, precompiled_charsmap', found: 'text that is not base64', cause });
  }
}
