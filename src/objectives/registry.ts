import { expectationIn, fail, nearest, shown } from '../base/index.ts';
import type { EncoderConfig } from '../encoders/index.ts';
import type { ParameterSpec } from '../nn/index.ts';
import type { TaskKind } from '../tasks/index.ts';
import { CHOICE } from './choice.ts';
import { CLASSIFICATION } from './classification.ts';
import type { Head, HeadConfig, HeadKind } from './kind.ts';
import { MASKED_LM } from './masked-lm.ts';
import { MULTILABEL } from './multilabel.ts';
import { REGRESSION } from './regression.ts';
import { SPANS } from './spans.ts';
import { TAGGING } from './tagging.ts';

/** Every kind of head there is. Of kinds that share a type the first that claims a configuration has it. */
export const HEAD_KINDS: readonly HeadKind[] = [REGRESSION, CLASSIFICATION, MULTILABEL, CHOICE, TAGGING, SPANS, MASKED_LM];

/** A head of a configuration, by Python's keys; what it leaves out has Python's defaults. @throws head.config */
export function createHead(name: string, raw: unknown, subject = `head '${name}'`, kinds: readonly HeadKind[] = HEAD_KINDS): Head {
  const fields = (typeof raw === 'object' && raw !== null ? raw : {}) as Readonly<Record<string, unknown>>;
  const kind = kinds.find((one) => one.type === fields.head_type && (one.claims?.(fields) ?? true)) ?? refuseType(fields, subject, kinds);
  const result = kind.schema.safeParse(raw);
  if (!result.success) {
    const issue = result.error.issues[0];
    return fail({
      code: 'head.config',
      subject: `${subject}: key '${issue?.path.join('.')}'`,
      found: shown(fields[String(issue?.path[0])] ?? null),
      expected: issue ? expectationIn(issue.message) : 'another value',
    });
  }
  checkLabels(result.data, kind.outputs(result.data), subject);
  if (result.data.pooling !== undefined && result.data.use_pooler)
    fail({
      code: 'head.config',
      subject: `${subject}: key 'pooling'`,
      found: `'${result.data.pooling}', and use_pooler: true`,
      expected: 'one of them',
    });
  return { name, config: result.data, kind };
}

/** The kind of head that answers a kind of task where none is asked for. @throws head.config where there is none */
export function kindForTask(task: TaskKind, kinds: readonly HeadKind[] = HEAD_KINDS): HeadKind {
  return (
    kinds.find((kind) => kind.task === task && !kind.unjudged) ??
    fail({ code: 'head.config', subject: `a head for a task of ${task}`, found: 'none', expected: 'a kind of head that answers it' })
  );
}

/** What trains in a head. */
export function headParameters(head: Head, encoder: EncoderConfig): readonly ParameterSpec[] {
  return head.kind.parameters(head, encoder);
}

function refuseType({ head_type: type = null }: Readonly<Record<string, unknown>>, subject: string, kinds: readonly HeadKind[]): never {
  const types = [...new Set(kinds.map((kind) => kind.type))];
  const near = typeof type === 'string' ? nearest(type, types) : undefined;
  return fail({
    code: 'head.config',
    subject: `${subject}: key 'head_type'`,
    found: shown(type),
    expected: `one of ${types.join(', ')}`,
    ...(near && { next: `Did you mean '${near}'?` }),
  });
}

function checkLabels({ label2id }: HeadConfig, outputs: number, subject: string): void {
  const ids = Object.values(label2id ?? {});
  const wrong = ids.find((id, i) => id >= outputs || ids.indexOf(id) !== i);
  if (wrong !== undefined)
    fail({
      code: 'head.config',
      subject: `${subject}: key 'label2id'`,
      found: `the number ${wrong}${ids.indexOf(wrong) === ids.lastIndexOf(wrong) ? '' : ' twice'}`,
      expected: `numbers from 0 to ${outputs - 1}, each for one label`,
    });
}
