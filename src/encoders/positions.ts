import { int32, type Tensor } from '../base/index.ts';

/** Positions counted over real tokens from padId + 1, as RoBERTa counts them: of ids [B, S] int32, the same shape. */
export function countedPositions({ shape, data }: Tensor, padId: number): Tensor {
  const width = shape[1] as number;
  const positions = new Int32Array(data.length);
  let count = 0;
  for (let i = 0; i < data.length; i++) {
    if (i % width === 0) count = 0;
    positions[i] = data[i] === padId ? padId : padId + ++count;
  }
  return int32(shape, positions);
}
