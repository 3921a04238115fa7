const ASCII = /^[ -~\n]*$/u;
const THRICE = /(.)\1\1/u;

/** Text as its rules see it: lower case, no accents, letters typed three times or more cut to one ("ameeei" → "amei", "booom" → "bom"). */
export function fold(text: string): string {
  const lower = text.toLowerCase();
  const plain = ASCII.test(lower)
    ? lower
    : lower
        .replaceAll('’', "'")
        .normalize('NFD')
        .replace(/\p{M}+/gu, '');
  return THRICE.test(plain) ? plain.replace(/(\p{L})\1{2,}/gu, '$1') : plain;
}

const WORD = /\p{L}[\p{L}\p{N}]*(?:['’]\p{L}+)?|\p{N}+(?:[.,:/]\p{N}+)*/gu;

/** The words and numbers of a text, folded, in order. */
export function wordsOf(text: string): string[] {
  return fold(text).match(WORD) ?? [];
}

/** The first letters of a folded word, so that inflected forms meet ("entrega", "entregar", "entregou"). */
export function stemOf(word: string): string {
  return /^\p{N}/u.test(word) || word.length <= 5 ? word : word.slice(0, 5);
}

const STOP_WORDS = new Set(
  `a o as os um uma uns umas de do da dos das em no na nos nas por pelo pela pelos pelas para pra pro com sem sob sobre e ou mas que se
  eu tu ele ela nos voce voces vc vcs eles elas me te lhe meu minha meus minhas seu sua seus suas nosso nossa este esta esse essa isso
  isto aquele aquela ao aos ja nao sim tem ter foi ser sao esta estao estou era vai vou como quando onde qual quais quem muito mais menos
  tambem so ate aqui ali la bem favor pode posso podemos the an of in on at to for with without by from and or but that this these those is
  are was were be been am i you he she it we they me him her us them my your his its our their not no yes do does did have has had will
  would can could should what when where which who how very more less also just please there here if so el los las un unas unos del al y pero que
  si es son yo usted ustedes mi su sus nuestro este ese eso no muy mas menos tambien aqui por favor puede puedo como cuando donde cual quien
  gracias obrigado obrigada thanks thank ola oi hello hi hola`.split(/\s+/u),
);

/** Words that carry what a text is about: no stop words, nothing under three characters except numbers. */
export function contentWordsOf(text: string): string[] {
  return wordsOf(text).filter((word) => /^\p{N}/u.test(word) || (word.length > 2 && !STOP_WORDS.has(word)));
}
