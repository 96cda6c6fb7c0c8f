/**
 * A score from 1 to 5 for a short product review. Each remark about a part has a value from -2 to 2; negation turns it, degree
 * words stretch or shrink it, and what follows "but" or is called decisive counts double. Score = 3 + the weighted mean, to one decimal.
 */
import { choose, expand, fill, roughen, sentenceCase } from './grammar.mjs';

const PARTS = [
  'handle',
  'lid',
  'fabric',
  'motor',
  'colour',
  'zip',
  'base',
  'smell',
  'finish',
  'manual',
  'strap',
  'switch',
  'lining',
  'weight',
  'sound',
  'packaging',
  'shape',
  'cable',
  'seam',
  'surface',
  'cord',
  'lock',
  'rim',
  'fit',
  'light',
];
const QUALITIES = [
  ['perfect', 2],
  ['awful', -2],
  ['good', 1],
  ['poor', -1],
  ['lovely', 2],
  ['useless', -2],
  ['sturdy', 1],
  ['flimsy', -1],
  ['superb', 2],
  ['dreadful', -2],
  ['pleasant', 1],
  ['disappointing', -1],
  ['wonderful', 2],
  ['terrible', -2],
  ['decent', 1],
  ['shabby', -1],
  ['brilliant', 2],
  ['horrible', -2],
  ['solid', 1],
  ['weak', -1],
];
const DEGREES = [
  ['', 1],
  ['', 1],
  ['', 1],
  ['really', 1.2],
  ['rather', 0.7],
  ['a little', 0.5],
  ['truly', 1.2],
  ['fairly', 0.7],
  ['so', 1.2],
  ['somewhat', 0.6],
];
const NEGATIONS = ['is not', 'is hardly', 'is never', 'is by no means', 'is anything but'];
const FRAMES = [
  'the <1>',
  'the <1> and the <2>',
  'the <1>, but the <2>',
  'the <1>. what decides it for me: the <2>',
  'although the <1>, the <2>',
  'my daughter found that the <1>. the <2>',
  'after {months} months the <1>',
  'the <1>, the <2> and the <3>',
  'the <1>; still, the <2>',
  'I expected little, and the <1>',
  'the <1>. the <2>. the <3>',
  'bought for {months} euros: the <1>, but the <2>',
  'people say the <0>. I say the <1>',
  'the <1>, yet the <2>',
  'before the repair the <0>, now the <1>',
  'the <1> while the <2>',
  'in the shop they told me the <0>, at home the <1>',
  'for my work the <1>. the <2>',
  'never mind that the <1>, the <2>',
  'the old one: the <0>. this one: the <1> and the <2>',
];
/** What makes the later remark count double. `<0>` is somebody else's view or the past and does not count. */
const TURN = /, but the <2>|decides it|although|; still|, yet|never mind/;

export function reviewScore(sizes, d) {
  const make = (split) => {
    const frame = choose(FRAMES, split, d);
    const remarks = [remark(split, d), remark(split, d), remark(split, d), remark(split, d)];
    const used = [1, 2, 3].filter((i) => frame.includes(`<${i}>`));
    const weight = (i) => (i === 2 && TURN.test(frame) ? 2 : 1);
    const total = used.reduce((sum, i) => sum + weight(i), 0);
    const mean = used.reduce((sum, i) => sum + weight(i) * remarks[i].value, 0) / total;
    const text = frame.replace(/<(\d)>/g, (_, i) => remarks[i].text).replace('{months}', String(2 + d.below(30)));
    return {
      text: roughen(sentenceCase(`${expand(text, split, d)}.`), d),
      label: Math.round(10 * Math.min(5, Math.max(1, 3 + mean))) / 10,
    };
  };
  return fill(sizes, make, (row) => row.text, d);
}

function remark(split, d) {
  const part = choose(PARTS, split, d, 0.3);
  const [quality, value] = choose(QUALITIES, split, d, 0.6);
  if (d.uniform() < 0.3) return { text: `${part} ${choose(NEGATIONS, split, d, 0.7)} ${quality}`, value: value > 0 ? -value : -value / 2 };
  const [degree, factor] = choose(DEGREES, split, d, 0.6);
  return { text: `${part} is ${degree} ${quality}`.replace('  ', ' '), value: Math.max(-2, Math.min(2, value * factor)) };
}
