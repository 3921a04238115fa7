import { createHash } from 'node:crypto';
import type { FastifyReply } from 'fastify';
import type { App } from '#src/http/app-type.ts';

const STYLE = `body{font:16px/1.5 system-ui,sans-serif;max-width:24rem;margin:4rem auto;padding:0 1rem}
input,button{font:inherit;width:100%;box-sizing:border-box;padding:.5rem;margin:.5rem 0}`;

/** The token is taken out of the address bar at once, and sent only when the person presses the button: scanners of mail open links. */
const SCRIPT = `const token = new URLSearchParams(location.hash.slice(1)).get('token') ?? '';
history.replaceState(null, '', location.pathname);
const isPortuguese = /^pt/i.test(navigator.language);
document.documentElement.lang = isPortuguese ? 'pt-BR' : 'en';
for (const node of document.querySelectorAll('[data-pt]')) node.textContent = isPortuguese ? node.dataset.pt : node.dataset.en;
const form = document.querySelector('form');
const says = document.querySelector('output');
form.addEventListener('submit', async (event) => {
  event.preventDefault();
  const { email, password, totp } = form.elements;
  const post = (path, body, bearer) => fetch(path, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...(bearer ? { authorization: 'Bearer ' + bearer } : {}) },
    body: JSON.stringify(body),
  }).catch(() => undefined);
  const code = totp && totp.value ? { totp: totp.value } : {};
  const signedIn = email && await post('/api/auth/login', { email: email.value, password: password.value, ...code });
  const answer = email
    ? signedIn && signedIn.ok ? await post(form.dataset.api, { token }, (await signedIn.json()).token) : signedIn
    : await post(form.dataset.api, password ? { token, password: password.value } : { token });
  const problem = answer && !answer.ok ? await answer.json().catch(() => undefined) : undefined;
  if (answer && answer.ok) form.hidden = true;
  says.textContent = answer && answer.ok ? (isPortuguese ? 'Pronto.' : 'Done.')
    : problem?.detail ?? (isPortuguese ? 'Sem resposta. Tente de novo.' : 'No answer. Try again.');
});`;

const hashOf = (text: string) => `'sha256-${createHash('sha256').update(text).digest('base64')}'`;
const POLICY = `default-src 'none'; script-src ${hashOf(SCRIPT)}; style-src ${hashOf(STYLE)}; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'`;

const words = (tag: string, pt: string, en: string) => `<${tag} data-pt="${pt}" data-en="${en}">${en}</${tag}>`;

/** An input with its label: named by it also for who does not see the page. */
const field = (name: string, pt: string, en: string, attributes: string) =>
  `<label for="${name}" data-pt="${pt}" data-en="${en}">${en}</label><input id="${name}" name="${name}" ${attributes}>`;

const page = (api: string, content: string) => `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>WhatsHybrid</title><style>${STYLE}</style></head>
<body><form data-api="${api}">${content}</form><output></output><script>${SCRIPT}</script></body></html>
`;

const VERIFY = page(
  '/api/auth/verify-email',
  words('h1', 'Confirme o seu e-mail', 'Confirm your e-mail address') + words('button', 'Confirmar', 'Confirm'),
);
const RESET = page(
  '/api/auth/reset-password',
  words('h1', 'Escolha uma nova senha', 'Choose a new password') +
    field(
      'password',
      'Nova senha, com 8 caracteres ou mais',
      'New password, 8 characters or more',
      'type="password" minlength="8" maxlength="128" autocomplete="new-password" required',
    ) +
    words('button', 'Salvar', 'Save'),
);

const ACCEPT = page(
  '/api/invites/accept',
  words('h1', 'Aceite o convite', 'Accept the invitation') +
    words(
      'p',
      'Entre com a conta do endereço que recebeu o convite.',
      'Sign in with the account of the address that got it.',
    ) +
    field('email', 'E-mail', 'E-mail', 'type="email" autocomplete="username" required') +
    field('password', 'Senha', 'Password', 'type="password" autocomplete="current-password" required') +
    field(
      'totp',
      'Código, se você usa verificação em duas etapas',
      'Code, if you use two-step verification',
      'inputmode="numeric" autocomplete="one-time-code"',
    ) +
    words('button', 'Aceitar', 'Accept'),
);

/** Where people come back to from paying: what became of it is told by the provider, not by their browser. */
const PAID = page(
  '',
  words('h1', 'Obrigado', 'Thank you') +
    words(
      'p',
      'Você pode fechar esta página. O plano muda assim que o pagamento for confirmado.',
      'You can close this page. The plan changes as soon as the payment is confirmed.',
    ),
);

const send = (reply: FastifyReply, html: string) =>
  reply.header('content-security-policy', POLICY).type('text/html; charset=utf-8').send(html);

/** The pages that links in mails lead to, while PUBLIC_URL names no site that has its own. */
export async function linkPages(app: App): Promise<void> {
  const options = { config: { access: 'public' as const }, schema: { hide: true } };
  app.get('/verify-email', options, (_request, reply) => send(reply, VERIFY));
  app.get('/reset-password', options, (_request, reply) => send(reply, RESET));
  app.get('/billing-return', options, (_request, reply) => send(reply, PAID));
  app.get('/accept-invite', options, (_request, reply) => send(reply, ACCEPT));
}
