import { fold, wordsOf } from '#src/ai/local/words.ts';

export type Language = 'pt' | 'en' | 'es';

/** Frequent words of chat that the other two languages do not share, folded. */
const MARKERS: Record<Language, Set<string>> = {
  pt: new Set(
    `nao voce voces vc vcs sao uma um com sem meu minha meus minhas seu sua ao aos do da dos das em na nas pelo pela isso esse essa ola oi
    bom boa dia tarde noite obrigado obrigada vlw valeu quero queria gostei gostaria preciso tem tenho ainda ja tudo muito mto mt pra
    quanto qual valor preco pedido chegou entrega foi estou to ta agora aqui mas mais tambem ate depois hoje amanha ontem pode posso
    consegue comprei compra loja produto atendimento ninguem ngm demais d aff kkk kkkk legal oque hein ne pro manda mandar faz fazer fico
    ficou veio vou vai voltar otimo otima pessimo pessima amei adorei horrivel ruim melhor pix boleto nota fiscal reais msm q n e eu`.split(
      /\s+/u,
    ),
  ),
  en: new Set(
    `the and is are was were you your i i'm i've it's it this that with for my what when where how which do does did don't doesn't not of to
    in on be have has had will would can could please thanks thank hello hi good morning order price shipping refund money service
    great love very really after still waiting they there their we our from at by but just want need like know send call much`.split(
      /\s+/u,
    ),
  ),
  es: new Set(
    `el los las una y pero muy con sin mi usted ustedes hola gracias buenos buenas tardes noches cuanto cuesta precio envio
    llego quiero quisiera necesito tienen tiene tengo hay estoy donde cuando cual del al tambien ahora hoy manana ayer
    puede puedo tienda atencion nadie bien gusta gusto encanta encanto malo bueno buena es son lo
    si eso ese dinero reembolso pesimo roto viernes`.split(/\s+/u),
  ),
};

/** Spellings only one of the three languages has. */
const SPELLINGS: [Language, RegExp][] = [
  ['pt', /[ãõ]|ç|lh[aeiou]|nh[aeiou]|ções|ê\b/giu],
  ['es', /[ñ¿¡]|ción\b|ll[aeo]/giu],
  ['en', /\b\w+'(?:s|t|m|ve|re|ll|d)\b|\bth(?:e|is|at|anks?)\b|ing\b/giu],
];

/** The language of a text among pt, en and es, by marker words and spellings; undefined where nothing in it tells. */
export function languageSeenIn(text: string): Language | undefined {
  const sample = text.slice(0, 2000);
  const scores: Record<Language, number> = { pt: 0, en: 0, es: 0 };
  for (const word of wordsOf(sample)) {
    for (const language of ['pt', 'en', 'es'] as const) {
      if (MARKERS[language].has(word)) scores[language] += 1;
    }
  }
  for (const [language, spelling] of SPELLINGS) scores[language] += 1.5 * (sample.match(spelling)?.length ?? 0);
  if (scores.en > scores.pt && scores.en >= scores.es) return 'en';
  if (scores.es > scores.pt) return 'es';
  return scores.pt > 0 ? 'pt' : undefined;
}

/** As `languageSeenIn`, with Portuguese, the product's first market, where nothing tells. */
export function detectLanguage(text: string): Language {
  return languageSeenIn(text) ?? 'pt';
}

/** The language a request asked for (its BCP 47 primary subtag), else the one its text is written in. */
export function languageOf(asked: string | undefined, text: string): Language {
  const primary = fold(asked ?? '').split('-')[0];
  return primary === 'pt' || primary === 'en' || primary === 'es' ? primary : detectLanguage(text);
}
