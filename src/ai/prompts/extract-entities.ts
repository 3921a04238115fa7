import { definePrompt, FENCED } from '#src/ai/prompts/define.ts';

const ITEM = '{"value": "...", "normalized": "...", "start": 0, "end": 0, "confidence": 0.0}';
const SHAPE = `{"entities": {"person": [${ITEM}, ...], "email": [], "phone": [], "company": [], "date": [], "money": [], "document": [], "address": [], "url": []}}`;

/** Asks for the names, contacts, dates, amounts and documents in a text. */
export const extractEntitiesPrompt = definePrompt({
  version: 'extract-entities-2',
  variables: {},
  fixed: ['mark'],
  instruction: {
    pt: `Extraia do texto de um cliente as pessoas, e-mails, telefones, empresas, datas, valores em dinheiro, documentos (CPF, CNPJ, RG, passaporte), endereços e URLs.
Só o que está escrito no texto: nada deduzido, nada inventado. Produtos e lugares genéricos não são entidades.`,
    en: `Extract from a customer's text the people, e-mail addresses, phones, companies, dates, amounts of money, documents (CPF, CNPJ, passport, tax ids), postal addresses and URLs.
Only what is written in the text: nothing concluded, nothing invented. Products and places in general are no entities.`,
    es: `Extrae del texto de un cliente las personas, correos, teléfonos, empresas, fechas, importes de dinero, documentos (DNI, CUIT, RUT, pasaporte), direcciones y URL.
Solo lo que está escrito en el texto: nada deducido, nada inventado. Los productos y los lugares en general no son entidades.`,
  },
  format: {
    pt: `${FENCED.pt}
value é o trecho exato do texto, letra por letra; start e end são as posições dele. normalized: e-mail em minúsculas; telefone em E.164 (+55…); data ISO 8601 (datas relativas ficam como no texto); dinheiro como "BRL 1299.90"; documento só com letras e dígitos; URL completa; o resto como no texto.
Responda só com JSON: ${SHAPE}. Um tipo sem nada é uma lista vazia. confidence vai de 0 a 1.`,
    en: `${FENCED.en}
value is the exact part of the text, letter by letter; start and end are its positions. normalized: e-mail in lower case; phone in E.164 (+55…); date ISO 8601 (relative dates stay as written); money like "BRL 1299.90"; document letters and digits only; the whole URL; anything else as written.
Answer with JSON only: ${SHAPE}. A type without any is an empty list. confidence goes from 0 to 1.`,
    es: `${FENCED.es}
value es la parte exacta del texto, letra por letra; start y end son sus posiciones. normalized: correo en minúsculas; teléfono en E.164 (+55…); fecha ISO 8601 (las relativas quedan como en el texto); dinero como "BRL 1299.90"; documento solo con letras y dígitos; URL completa; lo demás como en el texto.
Responde solo con JSON: ${SHAPE}. Un tipo sin nada es una lista vacía. confidence va de 0 a 1.`,
  },
});
