import type { Intent } from '#src/ai/local/intent.ts';

/** A rule gives a feature its points from its value: a number, yes or no, or a text. Where a kind is missing, such a value says nothing: 0. */
export interface LeadRule {
  /** Names that mean this feature, folded and without separators; English and Portuguese. */
  names: string[];
  number?(value: number): number;
  yes?: number;
  no?: number;
  /** The first pattern that the folded text has gives the points; with none of them, `otherwise`. */
  texts?: [pattern: RegExp, points: number][];
  otherwise?: number;
}

/** Points that grow with the value and level off at `most`: half of it at `half`. */
const levelling = (most: number, half: number) => (value: number) => (value <= 0 ? 0 : most / (1 + half / value));
/** The points of the first step the value does not exceed. */
const stepped =
  (steps: [upTo: number, points: number][], beyond: number) =>
  (value: number): number =>
    steps.find(([upTo]) => value <= upTo)?.[1] ?? beyond;
/** A share given as 0–1 or in percent. */
const share = (most: number) => (value: number) => most * Math.min(1, Math.max(0, value > 1 ? value / 100 : value));

/** What a customer's last wish is worth. */
export const INTENT_POINTS: Record<Intent, number> = {
  purchase: 20,
  pricing: 14,
  scheduling: 12,
  product_inquiry: 9,
  information: 4,
  greeting: 0,
  other: 0,
  support: -2,
  complaint: -8,
  cancellation: -15,
};

const SINCE = stepped([[1, 15], [3, 12], [7, 8], [14, 3], [30, 0], [90, -8]], -15); // prettier-ignore

/**
 * The rules, each with its reason: what was said lately and often, money named, who decides, where the lead came from and how far it is. The
 * weights are set by hand, not learned: no sales are known to learn from.
 */
export const LEAD_RULES: LeadRule[] = [
  {
    names: [
      'dayssincelastcontact',
      'dayssincelastmessage',
      'dayssincelastinbound',
      'lastinbounddays',
      'lastcontactdays',
      'inactivedays',
      'recencydays',
      'recency',
      'diassemcontato',
      'diasdesdeoultimocontato',
      'diasdesdeultimocontato',
      'diasinativo',
    ],
    number: SINCE,
  },
  {
    names: ['hourssincelastcontact', 'hourssincelastmessage', 'horassemcontato'],
    number: (hours) => SINCE(hours / 24),
  },
  {
    names: [
      'messages',
      'messagecount',
      'messagescount',
      'inboundmessages',
      'messageslast30days',
      'messagesreceived',
      'interactions',
      'interactioncount',
      'mensagens',
      'mensagensrecebidas',
      'totalmensagens',
      'interacoes',
    ],
    number: levelling(16, 8),
  },
  {
    names: [
      'replyrate',
      'responserate',
      'taxaderesposta',
      'taxaresposta',
      'engagement',
      'engagementrate',
      'engagementscore',
      'engajamento',
    ],
    number: share(15),
  },
  { names: ['responsetimeminutes', 'avgresponseminutes', 'averageresponseminutes', 'tempoderespostaminutos', 'tempomedioresposta'], number: stepped([[5, 8], [30, 6], [120, 3], [1440, 0]], -4) }, // prettier-ignore
  {
    names: [
      'budget',
      'orcamento',
      'verba',
      'amount',
      'dealvalue',
      'dealamount',
      'expectedvalue',
      'valor',
      'valornegocio',
      'ticket',
      'ticketmedio',
      'averageticket',
      'totalspent',
      'totalgasto',
      'revenue',
    ],
    number: (value) => (value <= 0 ? 0 : Math.min(20, 4 * Math.log10(1 + value))),
    yes: 12,
    no: -5,
  },
  { names: ['hasbudget', 'budgetconfirmed', 'temorcamento', 'temverba'], yes: 12, no: -5 },
  { names: ['decisionmaker', 'isdecisionmaker', 'decisor', 'tomadordedecisao'], yes: 12, no: -4 },
  { names: ['position', 'jobtitle', 'role', 'title', 'cargo', 'funcao'], texts: [[/\b(?:ceo|cto|cfo|owner|founder|s[oó]ci[oa]|don[oa]|propriet|diretor|director|presidente|president)/u, 10], [/\b(?:gerente|manager|head|coordenador|supervisor)/u, 7], [/\b(?:estudante|student|estagi|intern)/u, -3]], otherwise: 2 }, // prettier-ignore
  { names: ['stage', 'dealstage', 'pipelinestage', 'funnelstage', 'status', 'etapa', 'fase', 'estagio'], texts: [[/perdid|lost|descartad|disqualif|churn/u, -30], [/ganh|won|fechad|client/u, 25], [/negocia/u, 22], [/propost|proposal|orcamento|quote/u, 18], [/demo|reuni|meeting|visita/u, 16], [/qualific|qualif|sql/u, 12], [/contat|contact|mql/u, 5], [/nov|new|lead/u, 2]] }, // prettier-ignore
  { names: ['source', 'leadsource', 'origin', 'channel', 'utmsource', 'origem', 'canal', 'fonte'], texts: [[/indica|referr|recomend|parceir/u, 12], [/whats|chat|telefone|phone|call/u, 8], [/site|website|organic|google|busca|search|landing/u, 6], [/event|feira|webinar/u, 5], [/instagram|facebook|tiktok|ads|anuncio|social/u, 4], [/list|comprad|cold|fria|import/u, -5]], otherwise: 1 }, // prettier-ignore
  { names: ['sentiment', 'sentimento', 'humor', 'sentimentscore', 'averagesentiment'], number: (value) => 10 * Math.min(1, Math.max(-1, value)), texts: [[/positiv|bom|feliz/u, 8], [/negativ|ruim|irritad/u, -8]] }, // prettier-ignore
  {
    names: [
      'purchases',
      'orders',
      'ordercount',
      'previouspurchases',
      'purchasecount',
      'compras',
      'pedidos',
      'comprasanteriores',
      'wondeals',
      'negociosganhos',
    ],
    number: levelling(16, 2),
    yes: 10,
  },
  {
    names: [
      'visits',
      'pageviews',
      'sitevisits',
      'websitevisits',
      'pagesviewed',
      'visitas',
      'visitassite',
      'paginasvistas',
    ],
    number: levelling(10, 6),
    yes: 4,
  },
  { names: ['pricingpageviewed', 'viewedpricing', 'pricingpagevisits', 'viuprecos'], number: levelling(10, 2), yes: 8 },
  {
    names: ['clicks', 'linkclicks', 'emailclicks', 'opens', 'emailopens', 'emailsopened', 'cliques', 'aberturas'],
    number: levelling(8, 4),
    yes: 4,
  },
  {
    names: [
      'meetings',
      'demorequested',
      'meetingscheduled',
      'meetingbooked',
      'trial',
      'reuniao',
      'reuniaoagendada',
      'pediudemo',
      'visitaagendada',
    ],
    number: levelling(14, 1),
    yes: 12,
  },
  {
    names: ['quoterequested', 'proposalsent', 'proposalopened', 'pediuorcamento', 'propostaenviada', 'propostaaberta'],
    number: levelling(14, 1),
    yes: 12,
  },
  { names: ['employees', 'companysize', 'employeecount', 'funcionarios', 'tamanhodaempresa', 'porte'], number: (value) => (value <= 0 ? 0 : Math.min(10, 3 * Math.log10(1 + value))), texts: [[/grande|large|enterprise/u, 10], [/medi|medium|mid/u, 6], [/pequen|small|micro|mei/u, 2]] }, // prettier-ignore
  { names: ['opendeals', 'negociosabertos'], number: levelling(10, 1), yes: 5 },
  { names: ['lostdeals', 'negociosperdidos'], number: (value) => -Math.min(9, 3 * Math.max(0, value)), yes: -3 },
  { names: ['winchance', 'winprobability', 'dealprobability', 'chancedeganho', 'probabilidade'], number: share(10) }, // prettier-ignore
  { names: ['daysinstage', 'diasnaetapa', 'stageagedays'], number: stepped([[7, 4], [30, 0], [60, -5]], -10) }, // prettier-ignore
  { names: ['leadage', 'leadagedays', 'dayssincecreated', 'idadedolead'], number: stepped([[3, 6], [14, 3], [60, 0]], -6) }, // prettier-ignore
  { names: ['urgency', 'urgencia', 'timeline', 'prazo', 'priority', 'prioridade'], texts: [[/sem pressa|low|baixa|no rush|futur|ano que vem|next year/u, -4], [/alta|high|urgent|imediat|hoje|agora|asap|now|semana|week/u, 12], [/media|medium|mes|month/u, 5]], yes: 12 }, // prettier-ignore
  { names: ['email', 'hasemail', 'phone', 'hasphone', 'whatsapp', 'company', 'empresa', 'telefone', 'cpf', 'cnpj', 'documento'], yes: 3, no: -2, texts: [[/\S/u, 3]] }, // prettier-ignore
  { names: ['optin', 'consent', 'consentimento', 'aceitacontato'], yes: 4, no: -20 },
  {
    names: [
      'optout',
      'unsubscribed',
      'blocked',
      'bounced',
      'invalidphone',
      'spam',
      'descadastrado',
      'bloqueado',
      'bloqueou',
      'naocontatar',
    ],
    yes: -40,
    number: (value) => (value > 0 ? -40 : 0),
  },
  {
    names: ['complaints', 'opentickets', 'reclamacoes', 'reclamacao', 'ticketsabertos'],
    number: (value) => -Math.min(15, 5 * Math.max(0, value)),
    yes: -8,
  },
  { names: ['noshows', 'noshow', 'faltas'], number: (value) => -Math.min(15, 5 * Math.max(0, value)), yes: -6 },
  { names: ['competitor', 'usescompetitor', 'concorrente', 'usaconcorrente'], yes: -3, texts: [[/\S/u, -3]] }, // prettier-ignore
  { names: ['interestlevel', 'interest', 'interesse', 'fit', 'icpfit', 'productfit'], number: share(15), yes: 10, no: -8, texts: [[/alt|high|quente|hot|forte|strong/u, 14], [/medi|medium|morn|warm/u, 7], [/baix|low|fri|cold|frac|nenhum|none/u, -8]], otherwise: 4 }, // prettier-ignore
];
