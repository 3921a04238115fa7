import { type Intent, intentOf } from '#src/ai/local/intent.ts';
import { sentimentOf } from '#src/ai/local/sentiment.ts';
import { contentWordsOf, fold, stemOf, wordsOf } from '#src/ai/local/words.ts';

/** What a label of a workspace's own may be called, and the words that speak of it. A label that has one of the names is about the topic. */
const TOPICS: { names: string; words?: string; intent?: Intent; mood?: 'positive' | 'negative' | 'neutral' }[] = [
  { names: 'saudacao cumprimento greeting hello saludo', intent: 'greeting' },
  { names: 'preco precos orcamento cotacao valores pricing price quote precio presupuesto', intent: 'pricing', words: 'preco valor custa quanto desconto orcamento parcela price cost precio' },
  { names: 'produto produtos catalogo estoque disponibilidade product stock producto', intent: 'product_inquiry', words: 'tem modelo tamanho cor estoque disponivel cardapio size color' },
  { names: 'compra compras venda vendas pedido purchase sales order ventas lead interessado', intent: 'purchase', words: 'comprar quero pedido encomendar levar buy order plano assinar contratar' },
  { names: 'suporte tecnico ajuda problema bug erro support help technical soporte', intent: 'support', words: 'erro trava funciona acessar senha login instalar configurar bug app aplicativo sistema error broken' },
  { names: 'reclamacao reclamacoes insatisfacao queixa ouvidoria complaint complaints queja detrator', intent: 'complaint', mood: 'negative' },
  { names: 'elogio elogios satisfeito promotor agradecimento praise compliment thanks', mood: 'positive', words: 'obrigado parabens adorei amei excelente otimo thanks great' },
  { names: 'informacao informacoes duvida duvidas faq information question pergunta consulta', intent: 'information', words: 'horario endereco onde funciona como prazo aberto' },
  { names: 'agendamento agenda horario marcacao visita scheduling appointment booking cita turno reserva', intent: 'scheduling', words: 'marcar agendar horario remarcar consulta reserva amanha' },
  { names: 'cancelamento cancelar desistencia churn cancellation cancel rescisao baja', intent: 'cancellation', words: 'cancelar cancela desistir encerrar' },
  { names: 'entrega entregas frete logistica rastreio rastreamento envio delivery shipping tracking atraso', words: 'entrega chegou chega frete rastreio correios motoboy transportadora encomenda pacote delivery package prazo enviado' },
  { names: 'pagamento pagamentos financeiro cobranca fatura boleto payment billing finance invoice pago', words: 'pix boleto cartao fatura cobranca cobrado pagar paguei pagamento parcela invoice payment charged comprovante segunda via' },
  { names: 'troca devolucao reembolso estorno return refund exchange garantia warranty cambio', words: 'trocar troca devolver devolucao reembolso estorno dinheiro garantia defeito refund return exchange' },
  { names: 'vaga vagas emprego curriculo rh trabalhe job jobs career recrutamento', words: 'vaga emprego curriculo trabalhar contratando entrevista salario job resume' },
  { names: 'parceria fornecedor revenda partnership supplier atacado', words: 'parceria fornecedor revender revenda atacado influencer divulgar partnership' },
  { names: 'spam propaganda golpe advertising', words: 'ganhe clique gratis premio promocao emprestimo link urgente bitcoin renda extra' },
  { names: 'urgente urgencia urgent emergencia emergency', words: 'urgente urgencia agora hoje emergencia socorro urgent asap imediatamente' },
  { names: 'positivo positiva positive feliz', mood: 'positive' },
  { names: 'negativo negativa negative bravo irritado', mood: 'negative' },
  { names: 'neutro neutra neutral', mood: 'neutral' },
]; // prettier-ignore
const OTHER = /^(?:outr[oa]s?|other|none|nenhum[a]?|geral|general|otros?|diversos|nao identificado|unknown)$/u;

const topics = TOPICS.map((topic) => ({
  ...topic,
  names: new Set(topic.names.split(' ').map(stemOf)),
  words: new Set((topic.words ?? '').split(' ').filter(Boolean).map(stemOf)),
}));

const OF_NAME = 2.5;
const OF_WORD = 2;
const OF_INTENT = 3;
const OF_MOOD = 2.5;
const OF_OTHER = 0.8;
const BESIDES = 0.5;
const EVIDENCE_FOR_SURE = 1.5;

export interface LabelGuess {
  intent: string;
  confidence: number;
  subIntents: string[];
}

/**
 * The label, of a workspace's own, that fits a text best: by the label's own words in it, by the words of the topic the label is about, and by
 * what the built-in intent and sentiment say of that topic. `confidence` is its share of all evidence, lowered where there is little.
 */
export function labelOf(text: string, labels: readonly string[]): LabelGuess {
  const stems = new Set(wordsOf(text.slice(0, 4000)).map(stemOf));
  const guess = intentOf(text);
  const mood = sentimentOf(text);
  const scored = labels.map((label) => {
    const own = contentWordsOf(label.replaceAll(/[_-]/gu, ' ')).map(stemOf);
    if (OTHER.test(fold(label.trim()))) return { label, score: OF_OTHER };
    let score = own.length === 0 ? 0 : (OF_NAME * own.filter((stem) => stems.has(stem)).length) / Math.sqrt(own.length);
    for (const topic of topics.filter(({ names }) => own.some((stem) => names.has(stem)))) {
      score += OF_WORD * Math.sqrt([...topic.words].filter((stem) => stems.has(stem)).length);
      if (topic.intent === guess.intent) score += OF_INTENT * guess.confidence;
      else if (topic.intent && guess.subIntents.includes(topic.intent)) score += 1;
      if (topic.mood === mood.sentiment) score += OF_MOOD * mood.confidence;
    }
    return { label, score };
  });
  const ranked = scored.toSorted((a, b) => b.score - a.score);
  const [best = { label: labels[0] ?? '', score: 0 }, ...others] = ranked;
  const total = ranked.reduce((sum, { score }) => sum + score, 0);
  const share = total === 0 ? 1 / Math.max(1, labels.length) : best.score / total;
  const confidence = total === 0 ? share : share * (best.score / (best.score + EVIDENCE_FOR_SURE / 2));
  return {
    intent: best.label,
    confidence: Math.round(confidence * 100) / 100,
    subIntents: others
      .filter(({ score }) => score > OF_OTHER && score >= best.score * BESIDES)
      .map(({ label }) => label),
  };
}
