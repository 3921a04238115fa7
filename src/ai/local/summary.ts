import { intentOf } from '#src/ai/local/intent.ts';
import { sentimentOf } from '#src/ai/local/sentiment.ts';
import { contentWordsOf, fold, stemOf } from '#src/ai/local/words.ts';

export interface Turn {
  role: 'user' | 'assistant' | 'system';
  content: string;
}

export interface Summary {
  summary: string;
  keyPoints: string[];
  actionItems: string[];
  decisions: string[];
}

interface Sentence {
  at: number;
  role: Turn['role'];
  text: string;
  flat: string;
  stems: Set<string>;
  worth: number;
}

const SENTENCE = /[^.!?\n]+(?:[.!?](?=[^\s])[^.!?\n]+)*[.!?…]*/gu;
const MAX_SENTENCES = 600;
const MAX_SENTENCE = 400;
const MAX_POINTS = 5;
const MAX_ITEMS = 10;
const SAME = 0.6;

const DECIDED =
  /\b(?:fechad[oa]|fechamos|fechou|fecho|combinad[oa]|combinamos|confirmad[oa]|confirmo|confirmamos|aprovad[oa]|aprovo|aceito|aceitamos|decidi|decidimos|escolhi|escolhemos|optei|vou (?:levar|querer|ficar com)|vamos (?:de|com|fechar|ficar com)|fica (?:para|pra|combinado|marcado|agendado|assim)|ficou (?:combinado|marcado|agendado|acertado|para|pra)|marcado para|agendado para|pode (?:fechar|cancelar|confirmar|mandar bala)|negocio fechado|deal|agreed|confirmed|we decided|i'll take|let's go with|settled|quedamos en|confirmado|acordado|cerrado)\b/u;
const TO_DO =
  /\b(?:vou|vamos|irei|iremos)\s(?:te |lhe |ja |me |enviar|mandar|verificar|ver|checar|confirmar|ligar|retornar|passar|agendar|separar|providenciar|conferir|encaminhar|preparar|fazer|emitir|gerar|consultar|avisar|pagar|depositar|transferir|levar|buscar|retirar|abrir|resolver|trocar|reenviar)|\b(?:te|lhe|ja te|ja) (?:envio|mando|passo|aviso|ligo|retorno|confirmo|encaminho)\b|\b(?:preciso|precisamos|precisa|necessito) (?:de|que|do|da|enviar|mandar|receber|confirmar|do)\b|\b(?:pode|podem|poderia|consegue|conseguem) (?:me )?(?:enviar|mandar|verificar|confirmar|ligar|passar|agendar|trocar|emitir|reenviar|conferir|separar|cancelar|avisar|resolver|encaminhar|ver)\b|\b(?:me (?:envia|envie|manda|mande|liga|ligue|avisa|avise|passa|passe|confirma|confirme|retorna|retorne))\b|\b(?:favor|por favor|por gentileza) (?:enviar|mandar|confirmar|verificar|retornar)\b|\b(?:falta|faltou|ficou pendente|pendente|aguardo|aguardando|fico no aguardo)\b|\b(?:i will|i'll|we will|we'll|please|can you|could you|need to|needs to)\s(?:send|check|call|confirm|schedule|book|email|ship|review|prepare|follow|provide|get|fix)|\b(?:voy a|vamos a|puede|podria|necesito)\s(?:enviar|mandar|verificar|confirmar|llamar|agendar|revisar)/u;
const EMPTY =
  /^(?:oi+e?|ola|opa|e ai|bom dia|boa tarde|boa noite|tudo bem|tudo bom|ok|okay|sim|nao|certo|entendi|ta bom|blz|beleza|obrigad[oa]|muito obrigad[oa]|de nada|por nada|valeu|vlw|hi|hello|hey|thanks|thank you|yes|no|hola|gracias|si|vale|perfeito|otimo|show|kkk+|um momento|so um momento|disponha)[\s,.!?]*(?:tudo bem|tudo bom|bom dia|boa tarde|boa noite|pessoal|gente)?[\s,.!?]*$/u;
const FACTS = /\d|R\$|US\$|€|@|https?:/u;

function sentencesOf(turns: readonly Turn[]): Sentence[] {
  const sentences: Sentence[] = [];
  for (const { role, content } of turns) {
    for (const [piece] of content.matchAll(SENTENCE)) {
      const text = piece.trim();
      if (text === '' || !/[\p{L}\p{N}]/u.test(text)) continue;
      const flat = fold(text);
      sentences.push({
        at: sentences.length,
        role,
        text,
        flat,
        stems: new Set(contentWordsOf(text).map(stemOf)),
        worth: 0,
      });
    }
  }
  // The latest matter most where there are too many to weigh.
  return sentences.slice(-MAX_SENTENCES).map((sentence, at) => ({ ...sentence, at }));
}

/** What a sentence says beyond its words: wishes and troubles weigh more than facts, facts more than the rest. */
function bonusOf({ role, text, flat, at }: Sentence, count: number): number {
  const { intent, confidence } = intentOf(text);
  const mood = sentimentOf(text);
  const wish = intent === 'other' || intent === 'greeting' ? 0 : confidence;
  return (
    wish +
    (mood.sentiment === 'negative' ? 0.5 * mood.confidence : 0) +
    (FACTS.test(text) ? 0.5 : 0) +
    (DECIDED.test(flat) ? 1 : 0) +
    (TO_DO.test(flat) ? 0.5 : 0) +
    (role === 'user' ? 0.3 : 0) +
    (at < count * 0.15 || at >= count * 0.85 ? 0.2 : 0)
  );
}

/** Weighs sentences by how many others share their words (in the manner of Luhn, 1958), and by what they say. */
function weighed(sentences: Sentence[]): Sentence[] {
  const inSentences = new Map<string, number>();
  for (const { stems } of sentences) for (const stem of stems) inSentences.set(stem, (inSentences.get(stem) ?? 0) + 1);
  return sentences.map((sentence) => {
    if (EMPTY.test(sentence.flat) || sentence.stems.size === 0) return { ...sentence, worth: 0 };
    let shared = 0;
    for (const stem of sentence.stems) shared += Math.log(1 + (inSentences.get(stem) ?? 1));
    const central = shared / Math.sqrt(sentence.stems.size + 2);
    return { ...sentence, worth: central + 1.5 * bonusOf(sentence, sentences.length) };
  });
}

/** How much two sentences are the same: Jaccard's share of common words. */
function overlap(a: Set<string>, b: Set<string>): number {
  let common = 0;
  for (const stem of a) if (b.has(stem)) common += 1;
  return common === 0 ? 0 : common / (a.size + b.size - common);
}

/** The first `count` that differ from those before them. */
function different(sentences: readonly Sentence[], count: number): Sentence[] {
  const kept: Sentence[] = [];
  for (const sentence of sentences) {
    if (kept.length === count) break;
    if (!kept.some((one) => one.text === sentence.text || overlap(one.stems, sentence.stems) > SAME))
      kept.push(sentence);
  }
  return kept;
}

/** A sentence as far as it may be shown: whole, or its first words and an ellipsis. */
function shown(text: string, room: number): string {
  if (text.length <= room) return text;
  const cut = text.slice(0, room - 1).toWellFormed();
  const space = cut.lastIndexOf(' ');
  return `${(space > room / 2 ? cut.slice(0, space) : cut).trimEnd()}…`;
}

const closed = (text: string) => (/[.!?…]$/u.test(text) ? text : `${text}.`);

function written(best: readonly Sentence[], maxLength: number): string {
  const chosen: Sentence[] = [];
  let length = 0;
  for (const sentence of best) {
    const own = closed(sentence.text).length + (length > 0 ? 1 : 0);
    if (sentence.text.length > MAX_SENTENCE || length + own > maxLength) continue;
    chosen.push(sentence);
    length += own;
  }
  const first = best[0];
  if (chosen.length === 0) return first ? shown(first.text, maxLength) : '';
  return chosen
    .toSorted((a, b) => a.at - b.at)
    .map(({ text }) => closed(text))
    .join(' ');
}

const MOST_SENTENCES = 8;

/**
 * A summary of a conversation out of its own sentences, word for word, in their order: those that share most with the rest and that state
 * wishes, troubles, facts and agreements. `actionItems` and `decisions` are found by their wording. Time grows with the text; of more than 600
 * sentences the last 600 are read.
 * @param maxLength of `summary`, in UTF-16 units
 */
export function summaryOf(turns: readonly Turn[], maxLength: number): Summary {
  const sentences = weighed(sentencesOf(turns));
  const ranked = sentences.filter(({ worth }) => worth > 0).toSorted((a, b) => b.worth - a.worth || a.at - b.at);
  const best = different(ranked, MOST_SENTENCES);
  const spoken = sentences.filter(({ role, worth }) => role !== 'system' && worth > 0);
  const texts = (list: readonly Sentence[]) =>
    list.toSorted((a, b) => a.at - b.at).map(({ text }) => shown(text, MAX_SENTENCE));
  const summary = written(best, maxLength);
  return {
    summary: summary || shown(turns.map(({ content }) => content.trim()).find(Boolean) ?? '', maxLength),
    keyPoints: texts(best.slice(0, MAX_POINTS)),
    actionItems: texts(different(spoken.filter(({ flat }) => TO_DO.test(flat)).toReversed(), MAX_ITEMS)),
    decisions: texts(
      different(spoken.filter(({ flat }) => DECIDED.test(flat) && !flat.endsWith('?')).toReversed(), MAX_ITEMS),
    ),
  };
}
