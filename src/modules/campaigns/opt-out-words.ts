/** What takes its sender off campaigns when it is all that a message says: Portuguese and English, folded. */
const WORDS = new Set([
  'sair',
  'parar',
  'pare',
  'cancelar',
  'cancelar inscricao',
  'descadastrar',
  'descadastre',
  'descadastro',
  'remover',
  'remova',
  'nao quero receber',
  'nao quero mais receber',
  'stop',
  'stopall',
  'stop all',
  'unsubscribe',
  'cancel',
  'quit',
  'end',
  'optout',
  'opt out',
  'remove me',
]);

/** Politeness around a word does not change what it says. */
const POLITE =
  /^(?:quero|por favor|favor|pf|please|pls)\s+|\s+(?:por favor|pf|please|pls|obrigad[oa]|thanks|thank you)$/g;

/** Small letters without accents, and words with one space between: `Sair!!` and `SAIR` are one. */
const fold = (text: string): string =>
  text
    .normalize('NFD')
    .replaceAll(/\p{M}/gu, '')
    .toLowerCase()
    .replaceAll(/[^\p{L}\p{N}]+/gu, ' ')
    .trim();

/** Longer texts are no word for it, and not looked at. */
const MOST_CHARACTERS = 80;

/**
 * Whether a message says no more than that its sender wants no more of them. One that says anything else besides is left to people.
 * @param more words of the workspace's own
 */
export function isOptOut(text: string, more: readonly string[] = []): boolean {
  if (text.length > MOST_CHARACTERS) return false;
  const said = fold(text);
  const bare = said.replaceAll(POLITE, '').trim();
  const own = new Set(more.map(fold));
  return [said, bare].some((one) => one !== '' && (WORDS.has(one) || own.has(one)));
}
