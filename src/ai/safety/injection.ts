import { sanitize } from '#src/ai/safety/sanitize.ts';

/** What speaks for an attempt to give the model orders; `score` from 1 on counts as one. A heuristic, no boundary. */
export interface InjectionReading {
  score: number;
  /** The patterns that met, by name: fit for logs, they quote nothing. */
  patterns: string[];
}

const DROP =
  '(?:ignor\\w*|desconsider\\w*|desconsiderar|esquec\\w*|esquece|apagu\\w*|apaga|abandon\\w*|sobrescrev\\w*|substitu\\w*|contorn\\w*|desativ\\w*|disregard\\w*|forget\\w*|overrid\\w*|bypass\\w*|olvid\\w*|deixe de lado|pare de seguir|nao sig\\w*|nao obedec\\w*|do not follow|don.?t follow|stop following|no sigas)';
const ORDERS =
  '(?:instruc\\w*|instruct\\w*|diretriz\\w*|orientac\\w*|guidelines?|programming|programacao|system prompt|prompts?|filtros? de seguranca|safety filters?|(?:suas|seus|tuas|todas? as|todas tus|tus|your|all|the earlier|the previous|the prior) (?:previous |prior |earlier )?(?:regras|rules|reglas|restric\\w*|restrictions)|as regras)';
const YOURS = '(?:seus?|suas?|teus?|tuas?|your|the|tu|tus|o|as|su|internas?|del)';
const SHOW =
  '(?:mostr\\w*|muestr\\w*|revel\\w*|imprim\\w*|copi\\w*|repit\\w*|repet\\w*|traduz\\w*|escrev\\w*|diga|liste|show|print|output|repeat|tell|list|translat\\w*|encode|dump|leia|read)';

/** Weight 1 is enough alone; less needs company. */
const PATTERNS: [name: string, weight: number, pattern: RegExp][] = [
  ['drop-orders', 1, new RegExp(`\\b${DROP}\\b.{0,30}\\b${ORDERS}`)],
  [
    'drop-all',
    1,
    /\b(?:ignor\w*|desconsider\w*|esquec\w*|disregard|forget|olvida)\b (?:tudo|todo|everything|all) (?:o )?(?:que|you|do que|above)/,
  ],
  ['drop-above', 1, /\b(?:ignore|disregard|desconsidere) (?:the|o|tudo) (?:above|acima|context\w*)\b/],
  [
    'ignore-context',
    1,
    /\bignor\w+ (?:o (?:contexto|filtro|resto da conversa)|the (?:context|filter|rest of the conversation))/,
  ],
  [
    'no-follow',
    1,
    /\b(?:do not|don.?t|nao|no) (?:follow|siga|segue|sigas)\b.{0,12}\b(?:regras da empresa|rules|reglas)/,
  ],
  [
    'show-prompt',
    1,
    new RegExp(
      `\\b(?:${SHOW}|qual e|what is|cual es)\\b.{0,40}\\b${YOURS}\\b.{0,12}\\b(?:(?:system |hidden |initial |inicial )?prompt|instruc\\w*|instructions|configuration)\\b.{0,25}(?:sistema|system|interna\\w*|inicia\\w*|$|palavra|verbatim|que voce recebeu|block|aqui|to )`,
    ),
  ],
  [
    'show-own-orders',
    1,
    /\b(?:suas?|tuas?|your) (?:hidden |initial |internal )?(?:instructions?|instrucoes|prompt)(?: (?:iniciais|internas|inicial|de sistema|do sistema))?\b/,
  ],
  ['system-prompt', 1, /\b(?:system prompt|prompt d[eo]l? sistema)\b/],
  [
    'show-above',
    1,
    /\b(?:print|repeat|repita|repete|imprima|output|copie)\b (?:tudo|everything|all|the words|the text|o texto).{0,25}\b(?:acima|above)/,
  ],
  [
    'rules-given',
    1,
    /\b(?:quais regras te deram|every rule you were given|regras (?:que )?(?:voce recebeu|te deram)|rules you (?:were given|have been given))/,
  ],
  [
    'new-orders',
    1,
    /\b(?:novas? (?:instrucoes|instrucao|diretriz\w*|ordens)|new (?:instructions?|policy|orders|directive))\s?:|\b(?:suas instrucoes foram|your instructions have been) (?:atualizad\w+|updated)|\bnova tarefa\s?:/,
  ],
  [
    'follow-these',
    1,
    /\b(?:siga|obedeca|follow|obey) (?:estas ordens|somente a mim|apenas as minhas|these orders|only me|mine)\b|\b(?:obedecer somente a mim|must obey only me)\b/,
  ],
  [
    'role-marks',
    1,
    /<\|?(?:im_start|im_end|system|assistant|endoftext)\b|\[\/?inst\]|<<sys>>|^\s*#{2,}\s*(?:instruc\w+|instruction|system|sistema)\b|^\s*\[?(?:sistema|system)\]?\s?:|^\s*\[(?:sistema|system)\]|^\s*<\/?system>/m,
  ],
  ['fake-turns', 1, /\b(?:assistente|assistant|atendente|ai)\s?: .{0,80}\b(?:cliente|user|usuario|customer)\s?: /],
  [
    'end-of-data',
    1,
    /\b(?:end of (?:conversation|data|material|context|text)|fim d[oa] (?:material|conversa|contexto|texto))\b\s?[.:]/,
  ],
  ['real-task', 1, /\b(?:real|verdadeira) (?:task|tarefa)\b|\b(?:tarefa|task) (?:real|verdadeira)\b/],
  [
    'new-role',
    1,
    /\b(?:you are now|voce agora e|eres ahora|from now on you|a partir de agora voce|a partir de ahora eres|act as (?:if|an?)|aja como (?:um|meu|se)|pretend (?:you|to be)|finja que voce|faca de conta que voce|answer as an? ai|become an?|vire um)\b.{0,60}\b(?:dan|hacker|terminal|unrestricted|restric\w*|restrictions|limits?|limites|filtros?|filters?|policy|regras|rules|ai|assistente|chaves)\b/,
  ],
  [
    'no-limits',
    1,
    /\b(?:do anything now|sem censura|jailbreak|without filters|no content policy|you are free now|(?:all )?(?:restrictions|safety|restricoes) (?:is|are|estao) (?:disabled|desativad\w+|off))\b/,
  ],
  [
    'special-mode',
    1,
    /\b(?:modo (?:desenvolvedor|administrador|admin|debug|deus)\b.{0,6}\b(?:ativad\w|e mostre)|ative o modo (?:desenvolvedor|administrador|admin|debug)|(?:developer|debug|admin|god) mode (?:enabled|on|and)|voce esta em modo de teste|you are in test mode)/,
  ],
  [
    'authority',
    1,
    /\b(?:como|as the|as) (?:administrador|system administrator|admin|desenvolvedor|developer)\b.{0,40}\b(?:ordeno|order|command|exijo)\b/,
  ],
  [
    'fake-permission',
    1,
    /\b(?:voce tem permissao para|you (?:may|are allowed to)) (?:dar|give|conceder|grant)\b.{0,25}\b(?:desconto|discount)/,
  ],
  [
    'answer-only',
    1,
    /\b(?:responda|respond|reply|answer)\b (?:apenas|so|only|somente) (?:com|with) \S{1,20}.{0,20}\b(?:ignor|resto|rest|word)|\breply only with the word\b/,
  ],
  [
    'exfiltrate',
    1,
    /\b(?:envie|mande|send)\b.{0,40}\b(?:historico|conversa|conversation|history)\b.{0,25}https?:|!\[[^\]]{0,40}\]\(\s?https?:/,
  ],
  [
    'planted-link',
    1,
    /\b(?:quando responder|when you (?:answer|reply)|no final da sua resposta|at the end of your (?:answer|reply))\b.{0,40}\b(?:inclua|include|coloque|append|add)\b/,
  ],
  [
    'other-customers',
    1,
    /\b(?:lista de clientes|dados do ultimo cliente|telefones dos outros clientes|customer list|other customers.? (?:data|phones?))\b/,
  ],
  [
    'tell-customer',
    0.6,
    /\b(?:confirme|tell|diga) (?:ao cliente|the customer|que)\b.{0,40}\b(?:reembols\w+|refunded|gratuito|free)/,
  ],
  ['role-play', 0.6, /\b(?:my grandma used to read|como meu avo)\b/],
];

/** Words whose letters are shuffled inside to slip through: "ignroe", "instrutcions". */
const KEYWORDS =
  'ignore ignora disregard desconsidere previous anteriores instructions instrucoes instrucciones regras prompt system sistema reveal revele override'.split(
    ' ',
  );
const shape = (word: string): string =>
  word.charAt(0) + Array.from(word.slice(1, -1)).toSorted().join('') + word.charAt(word.length - 1);
const BY_SHAPE = new Map(KEYWORDS.map((word) => [shape(word), word]));

/** As the patterns read it: lower case, no accents, spelled-out words joined, shuffled keywords put right. */
function plain(text: string): string {
  return sanitize(text)
    .toLowerCase()
    .normalize('NFD')
    .replaceAll(/\p{M}+/gu, '')
    .replaceAll(/\b(?:[a-z][ .\-_*]){3,}[a-z]\b/g, (spelled) => spelled.replaceAll(/[^a-z]/g, ''))
    .replaceAll(/[a-z]{6,14}/g, (word) => BY_SHAPE.get(shape(word)) ?? word)
    .replaceAll(/[^\S\n]+/g, ' ');
}

const MAX_READ = 100_000;

/** Reads customer material for orders to the model, in Portuguese, English and Spanish; the first 100 000 characters. */
export function readInjection(text: string): InjectionReading {
  const read = plain(text.slice(0, MAX_READ));
  const met = PATTERNS.filter(([, , pattern]) => pattern.test(read));
  return { score: met.reduce((sum, [, weight]) => sum + weight, 0), patterns: met.map(([name]) => name) };
}

export const isInjection = ({ score }: InjectionReading): boolean => score >= 1;
