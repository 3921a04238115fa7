/**
 * What takes its sender off campaigns when it is all that a message says, in Portuguese and English: rules on the folded text. An answer to an
 * offer ("não quero", "não tenho interesse") is none.
 */
const TELL = '(mensagens|mensagem|msgs?|promoco(?:es|ao)|propagandas?|ofertas?|nada|isso|contato)';
const LIST = '( (da|dessa|desta|de sua|sua) lista( de (contatos|transmissao|envios?))?)';
const RULES = [
  'stop( all)?|stopall|end|quit|opt ?out|unsubscribe|remove|cancel|sair|parar|pare|parem|bloquear|cancelar|cancele|cancela',
  `(eu )?(quero )?sair${LIST}`,
  `(me )?(descadastr(ar|e|em|a|o)|desinscrev(er|a|am|e)|remov(er|a|am)|exclu(ir|a|am))( me)?${LIST}?( por completo)?`,
  `me (tir(ar|e|em|a)|remove|exclui|descadastrem)${LIST}?|tir(ar|e|em|a) me${LIST}?|tir(ar|e|em) meu (numero|contato)${LIST}?`,
  `(pare|parem|parar|para) (de|com) (me )?(mandar|enviar|escrever|o envio|os envios)( de)?( ${TELL})?`,
  `(pare|parem|parar) (com )?(as? )?${TELL}`,
  `(cancelar|cancele|cancela) (a |o |os )?(inscricao|assinatura|envios?|cadastro|recebimento)`,
  `(eu )?nao (quero|desejo)( mais)? receber( mais)?( ${TELL})?( de voces)?`,
  '(eu )?nao quero mais( nada)?',
  `nao (me )?(mande|mandem|envie|enviem|manda|envia)( me)?( mais)?( ${TELL})?( mais)?`,
  `(do not|don ?t|dont) (message|text|contact|write)( to)? me( again| anymore| any more)?`,
  'stop (promotions?|messages?|messaging|texting|sending|writing)( to)?( me)?( messages?)?',
  '(unsubscribe|remove|opt me out|take me off)( me)?( from)?( (the|this|your) list)?',
  'no more (messages?|texts?|promotions?)',
].map((rule) => new RegExp(`^(?:${rule})$`));

/** Politeness around a rule does not change what it says. */
const POLITE =
  /^(?:quero|por favor|favor|pf|please|pls|ola|oi|bom dia|boa tarde|boa noite)\s+|\s+(?:por favor|pf|please|pls|obrigad[oa]|thanks|thank you)$/g;

/** What telephones put below a text. */
const SIGNATURE = /\n\s*(?:enviado d[oe]|sent from) [^\n]{1,40}$/iu;

/** Letters that look like Latin ones, by which filters of words are passed; Cyrillic as Unicode's list of confusables has it. */
const LOOKALIKES = new Map(
  Object.entries({ а: 'a', е: 'e', о: 'o', р: 'p', с: 'c', у: 'y', х: 'x', і: 'i', ѕ: 's', т: 't', г: 'r' }),
);

/** Small letters without accents, and words with one space between: `Sair!!`, `ＳＡＩＲ` and `S.A.I.R` are one. */
function fold(text: string): string {
  const words = text
    .normalize('NFKD')
    .replaceAll(/\p{M}/gu, '')
    .toLowerCase()
    .replaceAll(/\p{Script=Cyrillic}/gu, (letter) => LOOKALIKES.get(letter) ?? letter)
    .replaceAll(/[^\p{L}\p{N}]+/gu, ' ')
    .trim();
  return /^(?:\p{L} ){2,}\p{L}$/u.test(words) ? words.replaceAll(' ', '') : words;
}

/** Longer texts are no word for it, and not looked at. */
const MOST_CHARACTERS = 80;

/**
 * Whether a message says no more than that its sender wants no more of them. One that says anything else besides is left to people.
 * @param more words of the workspace's own
 */
export function isOptOut(text: string, more: readonly string[] = []): boolean {
  const bareText = text.slice(0, 2 * MOST_CHARACTERS).replace(SIGNATURE, '');
  if (bareText.length > MOST_CHARACTERS) return false;
  const said = fold(bareText);
  const bare = said.replaceAll(POLITE, '').replaceAll(POLITE, '').trim();
  const own = new Set(more.map(fold));
  return [said, bare].some((one) => one !== '' && (own.has(one) || RULES.some((rule) => rule.test(one))));
}
