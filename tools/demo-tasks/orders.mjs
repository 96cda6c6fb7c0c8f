/** Slots of spoken or written orders as BIO tags: product, quantity, date, place. Other numbers, days and names are left alone. */
import { choose, fill, own } from './grammar.mjs';

const NOUNS = [
  'tea',
  'flour',
  'oats',
  'honey',
  'lentils',
  'rice',
  'soap',
  'paper',
  'bolts',
  'candles',
  'tiles',
  'rope',
  'apples',
  'carrots',
  'yeast',
  'paint',
  'screws',
  'towels',
  'buckets',
  'gloves',
  'onions',
  'twine',
  'labels',
  'jars',
  'seeds',
  'vinegar',
  'bricks',
  'wire',
  'cushions',
  'napkins',
];
const KINDS = [
  'green',
  'brown',
  'rolled',
  'wild',
  'red',
  'coarse',
  'plain',
  'glossy',
  'short',
  'white',
  'grey',
  'thin',
  'sour',
  'early',
  'dry',
  'blue',
  'brass',
  'soft',
  'small',
  'leather',
  'sweet',
  'strong',
  'waterproof',
  'tall',
  'organic',
];
const UNITS = ['boxes', 'bags', 'crates', 'sacks', 'pallets', 'rolls', 'kilos', 'cartons', 'litres', 'bundles'];
const WORDS = [
  'two',
  'three',
  'four',
  'five',
  'six',
  'seven',
  'eight',
  'nine',
  'ten',
  'a dozen',
  'twenty',
  'thirty',
  'half a dozen',
  'fifteen',
  'two dozen',
];
const PLACES = [
  'the north depot',
  'Harbour Street',
  'our shop in Larkhill',
  'gate 4',
  'the mill',
  'the kitchen on Elm Row',
  'Wexcombe',
  'the old station',
  'hall 12',
  'the pier',
  'our stand at the fair',
  'Tanner Lane',
  'the school in Dunmarsh',
  'the upper yard',
  'Fellmouth',
  'the back door of number 9',
  'the annexe',
  'Oxley Bridge',
  'the store on Quay Road',
  'room 31',
  'the island',
  'Mallow Square',
  'the garage',
  'our branch in Thornby',
  'the chapel hall',
];
const DAYS = ['Monday', 'Tuesday', 'Wednesday', 'Thursday', 'Friday', 'Saturday', 'Sunday'];
const MONTHS = ['January', 'March', 'April', 'June', 'July', 'August', 'October', 'November', 'December', 'May'];
const LOOSE = [
  'tomorrow',
  'next week',
  'the end of the month',
  'tomorrow morning',
  'early spring',
  'the day after tomorrow',
  'next Friday',
  'the weekend',
  'tonight',
  'the first of the month',
];
const NAMES = ['Ines', 'Tomas', 'Mr Okoro', 'Lena', 'Mrs Hale', 'Yusuf', 'Greta', 'Pavel', 'Dr Anand', 'Mina'];

/** `<x>` is a slot, `<name>` `<ref>` `<year>` are distractors without a tag. */
const FRAMES = [
  'please send <q> <p> to <l> by <t>',
  'we need <q> <p> at <l> on <t>',
  'I would like to order <q> <p>',
  'can you bring <q> <p> and <q> <p> to <l> ?',
  '<q> <p> for <t> , please',
  'on <t> , <name> will pick up <q> <p> at <l>',
  'add <q> <p> to order <ref>',
  'order <ref> is wrong : it should be <q> <p> , not <q> <p>',
  '<name> asked for <p> at <l> , <q> to be exact',
  'put me down for <p> , <q> of them , ready <t>',
  'move the <p> from <l> to <l>',
  'do you have <p> ? if so , <q> by <t>',
  'as in <year> , we take <q> <p> , delivered to <l>',
  'no <p> this time , only <q> <p>',
  'the <p> must be at <l> before <t> , says <name>',
  'for invoice <ref> we still wait for <q> <p>',
  '<l> has run out of <p> , send <q> <t>',
  'make it <q> instead , <t> at the latest',
  'how soon can <q> <p> be in <l> ? <t> would be good',
  'from <t> on , <l> gets <q> <p> a day',
  '<name> here , extension <ref> , two things : <q> <p> and the <p> for <l>',
  'cancel the <p> for <t>',
  'our <q> <p> went to <l> instead of <l>',
  'it is for the party of <name> on <t> : <q> <p>',
  'since <year> no one at <l> has asked for <p> , now they want <q>',
  'ship whatever <p> you have to <l> , at least <q>',
  'the same again , <q> <p> , but on <t> and to <l>',
  '<t> is too late , the <p> are for <t>',
  'could <name> drop <q> <p> at <l> ?',
  'ref <ref> : <p> , <q> , <l> , <t>',
];

export function orderSlots(sizes, d) {
  const make = (split) => {
    const tokens = [];
    const tags = [];
    const add = (text, slot) => {
      for (const [i, token] of text.split(' ').entries()) {
        tokens.push(token);
        tags.push(slot === undefined ? 'O' : `${i === 0 ? 'B' : 'I'}-${slot}`);
      }
    };
    for (const word of choose(FRAMES, split, d).split(' ')) {
      if (word === '<q>') add(quantity(split, d), 'quantity');
      else if (word === '<p>') add(product(split, d), 'product');
      else if (word === '<t>') add(date(split, d), 'date');
      else if (word === '<l>') add(choose(PLACES, split, d, 0.4), 'place');
      else if (word === '<name>') add(choose(NAMES, split, d, 0.4));
      else if (word === '<ref>') add(String(100 + d.below(9000)));
      else if (word === '<year>') add(String(2001 + d.below(20)));
      else add(word);
    }
    if (d.uniform() < 0.5) tokens[0] = tokens[0][0].toUpperCase() + tokens[0].slice(1);
    if (d.uniform() < 0.4 && tokens.at(-1) !== '?') {
      tokens.push('.');
      tags.push('O');
    }
    return { tokens, tags };
  };
  return fill(sizes, make, (row) => row.tokens.join(' '), d);
}

function quantity(split, d) {
  const number = d.uniform() < 0.5 ? String(2 + d.below(split === 'test' ? 400 : 90)) : choose(WORDS, split, d, 0.5);
  return d.uniform() < 0.55 ? `${number} ${choose(UNITS, split, d, 0.5)}` : number;
}

function product(split, d) {
  const noun = choose(NOUNS, split, d, 0.3);
  return d.uniform() < 0.5 ? `${choose(KINDS, split, d, 0.4)} ${noun}` : noun;
}

function date(split, d) {
  const kind = d.uniform();
  if (kind < 0.4) return d.pick(own(DAYS, split).concat(split === 'train' ? [] : DAYS));
  if (kind < 0.7) return `${1 + d.below(28)} ${choose(MONTHS, split, d, 0.5)}`;
  return choose(LOOSE, split, d, 0.5);
}
