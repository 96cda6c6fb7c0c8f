export { ANSWER_FORMS, type AnswerForm, answerOf, entriesOf, numbersOf, onlyAnswer, rightTexts } from './answers.ts';
export { type Exclusions, readExclusions } from './exclusions.ts';
export { type LoadRowsOptions, type LoadTaskOptions, loadRows, loadTask } from './load.ts';
export { type ClassBalance, checkTask, classBalance, type SplitReport, type TaskReport } from './report.ts';
export { checkPredictionRow, checkRow } from './row.ts';
export { type Passage, passagesOf, textsOf } from './texts.ts';
export * from './types.ts';
