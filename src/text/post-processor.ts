import { fail } from '../base/index.ts';
import { asObject, flag, integer, type Json, listOf, optionalText, part, text } from './json.ts';

/** One step of laying out a sequence pair: a special token, or all tokens of the first or second sequence. */
export type TemplatePiece =
  | { readonly kind: 'special'; readonly ids: readonly number[]; readonly typeId: number }
  | { readonly kind: 'sequence'; readonly index: 0 | 1; readonly typeId: number };

export interface PostProcessor {
  readonly single: readonly TemplatePiece[];
  readonly pair: readonly TemplatePiece[];
  /** Byte-level tokens give up the spaces they hold at either end (not in ids, in offsets). */
  readonly trims: boolean;
  /** With `trims`: the first token keeps one space, which was put there and is not in the text. */
  readonly prefixed: boolean;
}

/** Throws `text.tokenizer` naming a type that is not known. */
export function createPostProcessor(json: Json | null): PostProcessor {
  if (json === null) return PLAIN;
  const type = text(json, 'type', 'post_processor');
  switch (type) {
    case 'TemplateProcessing':
      return { ...PLAIN, single: template(json, 'single'), pair: template(json, 'pair') };
    case 'BertProcessing': {
      const cls = special(idOf(json, 'cls'), 0);
      const sep = idOf(json, 'sep');
      return { ...PLAIN, single: [cls, FIRST, special(sep, 0)], pair: [cls, FIRST, special(sep, 0), SECOND, special(sep, 1)] };
    }
    case 'RobertaProcessing': {
      const cls = special(idOf(json, 'cls'), 0);
      const sep = special(idOf(json, 'sep'), 0);
      return {
        single: [cls, FIRST, sep],
        pair: [cls, FIRST, sep, sep, { ...SECOND, typeId: 0 }, sep],
        trims: flag(json, 'trim_offsets', true),
        prefixed: flag(json, 'add_prefix_space', true),
      };
    }
    case 'ByteLevel':
      return { ...PLAIN, trims: flag(json, 'trim_offsets', true), prefixed: flag(json, 'add_prefix_space', true) };
    case 'Sequence':
      return listOf(json, 'processors').map(createPostProcessor).reduce(inTurn, PLAIN);
    default:
      return fail({
        code: 'text.tokenizer',
        subject: 'tokenizer.json, post_processor',
        found: `type "${type}"`,
        expected: 'TemplateProcessing, BertProcessing, RobertaProcessing, ByteLevel or Sequence',
      });
  }
}

const FIRST = { kind: 'sequence', index: 0, typeId: 0 } as const;
const SECOND = { kind: 'sequence', index: 1, typeId: 1 } as const;
const PLAIN: PostProcessor = { single: [FIRST], pair: [FIRST, SECOND], trims: false, prefixed: false };

function inTurn(a: PostProcessor, b: PostProcessor): PostProcessor {
  const layout = b.single.length > 1 ? b : a;
  return { single: layout.single, pair: layout.pair, trims: a.trims || b.trims, prefixed: b.trims ? b.prefixed : a.prefixed };
}

function special(id: number, typeId: number): TemplatePiece {
  return { kind: 'special', ids: [id], typeId };
}

function idOf(json: Json, key: string): number {
  const value = json[key];
  if (Array.isArray(value) && Number.isSafeInteger(value[1])) return value[1] as number;
  return fail({ code: 'text.tokenizer', subject: `tokenizer.json, post_processor, ${key}`, expected: 'a [token, id] pair' });
}

function template(json: Json, key: string): TemplatePiece[] {
  const tokens = part(json, 'special_tokens') ?? {};
  return listOf(json, key).map((piece) => {
    const sequence = part(piece, 'Sequence');
    if (sequence !== null) {
      const index = optionalText(sequence, 'id') === 'B' ? 1 : 0;
      return { kind: 'sequence', index, typeId: integer(sequence, 'type_id', 'post_processor') };
    }
    const token = asObject(piece.SpecialToken, 'post_processor, SpecialToken');
    const name = text(token, 'id', 'post_processor');
    const ids = asObject(tokens[name], `post_processor, special_tokens, ${name}`).ids;
    if (!Array.isArray(ids))
      fail({ code: 'text.tokenizer', subject: `tokenizer.json, post_processor, special_tokens, ${name}`, found: 'no ids' });
    return { kind: 'special', ids: ids.map(Number), typeId: integer(token, 'type_id', 'post_processor') };
  });
}
