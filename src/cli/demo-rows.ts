/** Sentences that stand in no task of the demo, by task: what the trained adapters are asked at the end. */
export const FRESH: Readonly<Record<string, readonly Readonly<Record<string, unknown>>[]>> = {
  tickets_topic: [
    { text: 'I was charged twice for one lamp, although the delivery was quick.' },
    { text: 'The app closes whenever I open my basket.' },
    { text: 'Where is my parcel? The courier said Tuesday and it is Friday now.' },
  ],
  tickets_urgency: [
    { text: 'Our shop cannot sell anything until this works again, please help at once.' },
    { text: 'No hurry at all, answer me when the holidays are over.' },
    { text: 'It is a nuisance, but we manage for now.' },
  ],
  faq_match: [
    { text: 'Can I send my order back?', textPair: 'How do I return something I bought' },
    { text: 'Can I send my order back?', textPair: 'How do I change the address of my order' },
  ],
  order_slots: [
    { tokens: ['Please', 'send', 'twelve', 'boxes', 'of', 'candles', 'to', 'Marlow', 'by', 'Tuesday', '.'] },
    { tokens: ['We', 'need', '40', 'bags', 'of', 'sand', 'next', 'week'] },
  ],
  review_score: [{ text: 'The handle is sturdy and the colour is lovely.' }, { text: 'The lid is not good, and the smell is terrible.' }],
};

/** A row and its answer on one line. */
export function shownAnswer(row: Readonly<Record<string, unknown>>, prediction: unknown): string {
  if (Array.isArray(row.tokens) && Array.isArray(prediction)) return bracketed(row.tokens as string[], prediction as string[]);
  const input = row.textPair === undefined ? String(row.text) : `${row.text} / ${row.textPair}`;
  return `${input} → ${typeof prediction === 'number' ? prediction.toFixed(1) : prediction}`;
}

/** Words with their spans in brackets: `send [twelve boxes](quantity) of …`. */
function bracketed(tokens: readonly string[], tags: readonly string[]): string {
  const parts: { type: string; words: string[] }[] = [];
  tokens.forEach((token, i) => {
    const [prefix, type = ''] = (tags[i] ?? '').split('-');
    const last = parts.at(-1);
    if (type !== '' && prefix === 'I' && last?.type === type) last.words.push(token);
    else parts.push({ type, words: [token] });
  });
  return parts.map(({ type, words }) => (type === '' ? words.join(' ') : `[${words.join(' ')}](${type})`)).join(' ');
}
