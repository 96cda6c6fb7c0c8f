export {
  copyTokenizer,
  createTokenizer,
  type EncodeOptions,
  type Encoding,
  loadTokenizer,
  TOKENIZER_FILES,
  type Tokenizer,
  type Truncation,
  type WindowOptions,
} from './tokenizer.ts';
export { trainWordPiece, type WordPieceTraining, wordPieceTokenizerJson } from './wordpiece-trainer.ts';
