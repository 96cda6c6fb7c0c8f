import type { Head } from './kind.ts';
import type { HeadBatch, PlacedUnit, Unit } from './unit.ts';

/** Rows of a head's logits in a run. */
export interface LogitRows {
  readonly count: number;
  /** The first row of each unit, and how many it has, padding included. */
  readonly units: readonly (PlacedUnit & { readonly from: number; readonly rows: number })[];
}

/** Where the logits of units stand: by sequence, by token, or one after another where the kind of head gathers them. */
export function logitRows(head: Head, { sequences, width, units }: HeadBatch): LogitRows {
  const { gathers, reads } = head.kind;
  if (!gathers) {
    const each = reads === 'all' ? width : 1;
    const placed = units.map(({ unit, place }) => ({ unit, place, from: place * each, rows: unit.encodings.length * each }));
    return { count: sequences * each, units: placed };
  }
  let count = 0;
  const placed = units.map(({ unit, place }) => {
    const rows = gathers.rows(head, unit);
    count += rows;
    return { unit, place, from: count - rows, rows };
  });
  return { count: Math.max(1, count), units: placed };
}

/** How many rows of logits a unit has without padding. */
export function realRows({ kind, ...head }: Head, unit: Unit): number {
  if (kind.gathers) return kind.gathers.rows({ ...head, kind }, unit);
  return kind.reads === 'all' ? unit.length : unit.encodings.length;
}
