import type { FoundEntity, Reading } from '#src/ai/local/entities/found.ts';

const WORD = String.raw`\p{Lu}[\p{L}\p{N}'’&.-]{0,30}`;
const LINK = String.raw`(?:\s(?:d[aeo]s?|e|&|y|of|and|the))?`;
const SEQUENCE = String.raw`${WORD}(?:${LINK}\s${WORD}){0,6}`;
const SUFFIX = String.raw`LTDA|Ltda|ltda|EIRELI|Eireli|EPP|MEI|ME|S\.?\s?[Aa]\.?|S\/[Aa]|Inc|INC|LLC|Llc|Corp|GmbH|Cia|CIA|S\.?L\.?|SAS`;
/** A name before the form of the company: "Construtora Horizonte Ltda". */
const WITH_SUFFIX = new RegExp(
  String.raw`(?<![\p{L}\p{N}])(?<name>${WORD}(?:(?:${LINK}|\s&)\s${WORD}){0,6}?)(?:,?\s(?:${SUFFIX}))(?![\p{L}\p{N}])`,
  'gu',
);
const KINDS =
  'Padaria|Construtora|Mercearia|Clínica|Agência|Supermercado|Mercado|Farmácia|Drogaria|Restaurante|Pizzaria|Oficina|Grupo|Metalúrgica|Transportadora|Colégio|Escola|Faculdade|Universidade|Hotel|Pousada|Academia|Studio|Estúdio|Imobiliária|Distribuidora|Indústria|Editora|Lojas?|Livraria|Cooperativa|Laboratório|Hospital|Instituto|Consultoria|Advocacia|Contabilidade|Auto Posto|Posto|Banco|Ateliê|Confeitaria|Floricultura|Petshop|Barbearia|Autopeças|Marcenaria|Gráfica';
/** A kind of business with a name of its own: "Padaria Pão Quente". */
const WITH_KIND = new RegExp(String.raw`(?<![\p{L}\p{N}])(?:${KINDS})(?:\s(?:d[aeo]s?\s)?${WORD}){1,4}`, 'gu');
/** Words after which a capitalised name is a company's. */
const WORKS_AT = new RegExp(
  String.raw`(?<=(?:[Ee]mpresa|[Rr]azão social|[Nn]ome fantasia|[Tt]rabalho (?:na|no|pra|para a)|[Ss]ou d[ao]|[Ff]alo d[ao]|[Ff]alando d[ao]|[Rr]epresento [ao]|[Ww]ork (?:at|for)|[Cc]ompany(?: is)?|[Tt]rabajo en)(?::|\sé\s[ao]|\sé|\schamada)?\s)${SEQUENCE}`,
  'gu',
);

/** Places and the like that follow "sou da" and are no company. */
const NO_COMPANY =
  /^(?:São|Rio|Belo|Porto|Zona|Bahia|Brasil|Brazil|Minas|Paraná|Santa|Santo|Recife|Curitiba|Brasília|Fortaleza|Salvador|Manaus|Campinas|Região|Capital|Centro|Bairro|Vila|Jardim|Norte|Sul|Leste|Oeste|Turma|Sala|Rua)(?!\p{L})/u;

/** Companies: by legal form, by the kind of business before the name, or after words such as "empresa" and "trabalho na". */
export function companiesIn({ typed }: Reading): FoundEntity[] {
  const found = (pattern: RegExp, confidence: number, isOne: (text: string) => boolean = () => true) =>
    [...typed.matchAll(pattern)].flatMap(({ index, 0: text }) => {
      const name = text.replace(/[.,-]+$/u, (end) => (/S\.A\.$/iu.test(text) ? end : ''));
      return isOne(name) ? [{ start: index, end: index + name.length, normalized: name, confidence }] : [];
    });
  return [
    ...found(WITH_SUFFIX, 0.9),
    ...found(WITH_KIND, 0.65),
    ...found(WORKS_AT, 0.6, (name) => !NO_COMPANY.test(name) && name.length > 2),
  ];
}

/** Frequent first names of Brazil (IBGE, Nomes no Brasil) and some of the neighbours', folded. */
const FIRST_NAMES = new Set(
  `maria ana jose joao antonio francisco carlos paulo pedro lucas luiz marcos luis gabriel rafael daniel marcelo bruno eduardo felipe raimundo rodrigo manoel mateus andre fernando fabio leonardo gustavo
  guilherme leandro tiago thiago anderson ricardo marcio jorge alexandre roberto edson diego vitor victor sergio claudio matheus geraldo adriano julio renato caio igor henrique hugo samuel otavio vinicius
  murilo enzo arthur artur heitor davi david miguel bernardo nicolas joaquim benedito sebastiao valdir valter walter wagner wellington washington wilson everton rogerio reginaldo ronaldo romulo robson elias
  emerson jefferson juliano mauricio mauro nelson nilson osvaldo patrick alan allan alex cristiano danilo denis douglas edvaldo flavio gilberto gilmar helio ivan jair jean jonas juliana francisca antonia adriana
  marcia fernanda patricia aline sandra camila amanda bruna jessica leticia julia luciana vanessa mariana gabriela vera vitoria larissa claudia beatriz rita luana sonia renata eliane josefa simone natalia cristiane
  carla debora rosangela jaqueline rosa daniela aparecida marlene terezinha raimunda andreia fabiana lucia raquel angela rafaela joana luzia elaine daniele tereza isabel tatiana cecilia helena alice sofia sophia laura
  manuela valentina heloisa lorena isabela isabella isadora livia lara clara yasmin nicole bianca carolina caroline giovana giovanna michele monica paula priscila regina roberta rosana rosangela sabrina samara silvia
  simone solange sueli suely tania tais thais valeria viviane vivian wanda zilda lurdes lourdes marta martha marina marisa mara milena miriam mirella nair neusa noemi odete olivia pamela rebeca rosemeire ruth sara sarah
  silvana stefany tainara talita telma teresa valdirene vilma virginia cintia cristina denise edna elisa eliana erica erika ester fatima flavia gisele gloria graziela iara ines ingrid irene ivone janaina joice joyce karina
  katia kelly lidia ligia lilian luiza luisa madalena magda marcela margarida john mary james michael robert william linda juan carmen pablo diego alejandro jorge`.split(
    /\s+/u,
  ),
);
const PERSON = new RegExp(
  String.raw`(?<![\p{L}\p{N}@._-])\p{Lu}\p{Ll}{1,20}(?:\s(?:d[aeo]s?\s)?\p{Lu}\p{Ll}{1,20}){0,4}(?![\p{L}\p{N}@])`,
  'gu',
);
const SPOKEN_OF =
  /(?:fal[oae]r?|falando|falei|conversei|conversar|chama|chamar|procur[oa]r?|passa|fala) (?:com|por|pra|para) (?:[ao] )?$|(?:aqui e|quem fala e|sou|eu sou|meu nome e|me chamo|i am|i'm|this is|soy) (?:[ao] )?$/u;
const NO_NAME =
  /^(?:Sou|Oi|Olá|Bom|Boa|Rua|Av|Eu|Ele|Ela|Vocês?|Obrigad[oa]|Deus|Cliente|Gerente|Atendente|Suporte|Brasil|Dr|Dra)$/u;
const LOOK_BACK = 32;

const flatten = (word: string) => word.normalize('NFD').replace(/\p{M}/gu, '').toLowerCase();

/**
 * People beside those who introduce themselves: a capitalised frequent first name with what follows it, or any capitalised name after "falar com",
 * "aqui é". A surname alone is not found, nor a name in small letters.
 */
export function peopleIn({ typed, flat }: Reading): FoundEntity[] {
  return [...typed.matchAll(PERSON)].flatMap(({ index, 0: text }) => {
    const words = text.split(' ');
    const first = words.findIndex((word) => FIRST_NAMES.has(flatten(word)));
    const isSpokenOf = SPOKEN_OF.test(flat.slice(Math.max(0, index - LOOK_BACK), index));
    const from = first >= 0 ? first : isSpokenOf && !NO_NAME.test(words[0] ?? '') ? 0 : -1;
    if (from < 0) return [];
    const name = words.slice(from).join(' ');
    const start = index + text.length - name.length;
    return [
      {
        start,
        end: start + name.length,
        normalized: name,
        confidence: isSpokenOf ? 0.8 : words.length - from > 1 ? 0.75 : 0.6,
      },
    ];
  });
}
