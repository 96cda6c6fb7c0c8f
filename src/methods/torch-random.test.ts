import { expect, test } from 'vitest';
import { torchPermutation } from './torch-random.ts';

// torch.randperm(n, generator=torch.Generator().manual_seed(seed))[:6] of torch 2.13; 67280421310721 is what a fresh generator has.
test.each([
  [768 * 768, 777, [391271, 183699, 413551, 384200, 435559, 59955]],
  [768 * 768, 2 ** 40 + 5, [297827, 477792, 295289, 339375, 172910, 397363]],
  [1024, 67280421310721, [374, 555, 93, 61, 673, 288]],
])('%i places from the seed %i as PyTorch draws them', (n, seed, first) => {
  expect([...torchPermutation(n, 6, seed)]).toEqual(first);
});

test('a whole permutation has every place once, and its beginning does not depend on how much is asked for', () => {
  const all = torchPermutation(2000, 5000, 3);
  expect([...all].toSorted((a, b) => a - b)).toEqual(Array.from({ length: 2000 }, (_, i) => i));
  expect(torchPermutation(2000, 700, 3)).toEqual(all.slice(0, 700));
});

test.each([-1, 0.5, 2 ** 60])('the seed %d is refused', (seed) => {
  expect(() => torchPermutation(10, 2, seed)).toThrow(expect.objectContaining({ code: 'method.config' }));
});

test('more places than PyTorch draws so are refused', () => {
  expect(() => torchPermutation(2 ** 28, 1, 0)).toThrow('less than 2^32 / 20');
});
