/**
 * Does a customer's question mean the same as an entry of a help page? A question is an intent applied to a thing; pairs that
 * do not match share one of the two, often word for word, and pairs that match are worded differently, so counting shared words misleads.
 */
import { choose, expand, fill, roughen, sentenceCase } from './grammar.mjs';

const INTENTS = {
  cancel: [
    'how would I cancel {o}',
    'I want to call off {o}',
    'is there a way to stop {o}',
    'I no longer want {o}, what now',
    'getting out of {o}',
    'calling {o} off',
    'can I still back out of {o}',
    '{o}: how to cancel',
    'please put an end to {o}',
    'how can {o} be undone',
  ],
  change: [
    'how do I change {o}',
    'I want to alter {o}',
    'is there a way to edit {o}',
    'can something about {o} still be different',
    'making changes to {o}',
    'changing {o} afterwards',
    'I made a mistake in {o}, can I correct it',
    '{o}: how to edit',
    'please let me modify {o}',
    'how can {o} be adjusted',
  ],
  cost: [
    'what does {o} cost',
    'how much is {o}',
    'the price of {o}',
    'how much must I pay for {o}',
    'what you charge for {o}',
    'fees for {o}',
    'is {o} expensive',
    '{o}: what is the price',
    'tell me the charge for {o}',
    'how dear is {o}',
  ],
  duration: [
    'how long does {o} take',
    'when will {o} be ready',
    'the time needed for {o}',
    'must I wait long for {o}',
    'how many days for {o}',
    'waiting time for {o}',
    'is {o} quick',
    '{o}: how long',
    'tell me how soon {o} is done',
    'by when is {o} finished',
  ],
  status: [
    'where can I see the state of {o}',
    'what is happening with {o}',
    'how far have you got with {o}',
    'following {o} as it moves',
    'is there news of {o}',
    'checking on {o}',
    'did {o} get through',
    '{o}: see the progress',
    'show me what stage {o} is at',
    'how do I keep an eye on {o}',
  ],
  share: [
    'can someone else use {o}',
    'how do I pass {o} on to a friend',
    'giving {o} to another person',
    'may my sister take over {o}',
    'putting {o} in another name',
    'handing {o} over to a friend',
    'is {o} tied to me alone',
    '{o}: hand over to others',
    'please move {o} to my husband',
    'how can {o} go to somebody else',
  ],
  proof: [
    'where do I get a receipt for {o}',
    'I need written proof of {o}',
    'can you confirm {o} on paper',
    'a document about {o}, please',
    'a certificate for {o}',
    'getting {o} in writing',
    'do you send a confirmation of {o}',
    '{o}: get a receipt',
    'please print something that shows {o}',
    'how can I prove {o} to my employer',
  ],
  trouble: [
    '{o} does not work',
    'something went wrong with {o}',
    'help, {o} failed',
    'what to do when {o} fails',
    '{o} makes difficulties',
    'trouble with {o}',
    'why is {o} not working',
    '{o}: what if it fails',
    'please fix {o} for me',
    'how do I get {o} going again',
  ],
};
const THINGS = {
  order: ['my order', 'the order', 'what I ordered', 'an order I placed', 'the things I ordered', 'my purchase'],
  membership: ['my membership', 'the membership', 'being a member', 'a membership with you', 'my place in the club', 'the club card'],
  repair: ['the repair', 'a repair', 'having it mended', 'the mending of my device', 'my repair', 'the work on my broken device'],
  course: ['the evening course', 'my course', 'a class in the evening', 'the lessons I booked', 'a course with you', 'my evening class'],
  delivery: [
    'the delivery',
    'delivery to my door',
    'having it brought home',
    'a home delivery',
    'my delivery',
    'the bringing of the parcel',
  ],
  rental: ['the rental of a van', 'renting a van', 'a van I hire', 'hiring a van', 'my rented van', 'the van for hire'],
  voucher: ['a gift voucher', 'my voucher', 'the gift card', 'a voucher as a present', 'the voucher I got', 'my gift card'],
  visit: [
    'the visit of a fitter',
    'my appointment',
    'an appointment with the fitter',
    'the day the fitter comes',
    'a visit at my home',
    'the appointment I have',
  ],
};
/** What is easily confused, so that a pair that does not match is a close miss. */
const NEAR = {
  cancel: ['change', 'trouble', 'share'],
  change: ['cancel', 'share', 'status'],
  cost: ['duration', 'proof'],
  duration: ['cost', 'status'],
  status: ['duration', 'proof', 'trouble'],
  share: ['change', 'cancel'],
  proof: ['status', 'cost'],
  trouble: ['cancel', 'status'],
};
const LEADS = [
  '{q}?',
  '{q}',
  'hello, {q}?',
  '{q}, please?',
  'a question: {q}?',
  'one thing: {q}?',
  'I could not find it: {q}?',
  '{q}? thanks',
  'hi, {q}?',
  'sorry to ask, {q}?',
];

export function faqMatch(sizes, d) {
  const intents = Object.keys(INTENTS);
  const things = Object.keys(THINGS);
  const make = (split, i) => {
    const label = i % 2 === 0 ? 'no_match' : 'match';
    const intent = d.pick(intents);
    const thing = d.pick(things);
    const phrase = choose(INTENTS[intent], split, d, 0.6);
    const wording = choose(THINGS[thing], split, d, 0.6);
    const question = phrase.replace('{o}', wording);
    let entry;
    if (label === 'match') {
      do entry = choose(INTENTS[intent], split, d, 0.6);
      while (entry === phrase);
      entry = entry.replace('{o}', d.uniform() < 0.35 ? wording : choose(THINGS[thing], split, d, 0.6));
    } else if (d.uniform() < 0.5) {
      const other = choose(INTENTS[d.pick(NEAR[intent])], split, d, 0.6);
      entry = other.replace('{o}', d.uniform() < 0.6 ? wording : choose(THINGS[thing], split, d, 0.6));
    } else {
      const other = choose(THINGS[d.pick(things.filter((name) => name !== thing))], split, d, 0.6);
      entry = (d.uniform() < 0.5 ? phrase : choose(INTENTS[intent], split, d, 0.6)).replace('{o}', other);
    }
    const text = roughen(sentenceCase(expand(choose(LEADS, split, d, 0.4).replace('{q}', question), split, d)), d);
    return { text, textPair: sentenceCase(entry), label };
  };
  return fill(sizes, make, (row) => `${row.text} / ${row.textPair}`, d);
}
